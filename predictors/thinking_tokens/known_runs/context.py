"""Past runs of the queries of a forecast: as list columns of `Requests`, and as one flat table.

A run on another model or effort makes a forecast *warm*; a run of the same model and effort is a *pilot*.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...arrays import Codes, Floats, Mask
from ...errors import InvalidInputError
from ...schemas.requests import CONTEXT_COLUMNS, context_sizes
from ..pooling.hierarchy import cell_keys
from .details import DETAILS, run_details
from .query_effects import ContextRuns

CONFIG: tuple[str, ...] = ("model", "reasoning_effort")
"""What a run shares with its pilots."""

PAIRS_AT_MOST, PAIRS_PER_RUN = 5_000_000, 10
"""Pairs of runs of one query that a fit learns from before queries of many runs are taken in parts of
`RUNS_THAT_KNOW`: pairs grow with the square of the runs of a query, and a gateway sees some thousands of times."""
RUNS_THAT_KNOW = 30
KEEP_ALL = 0.5
EVERY_RUN = 0.5
KEEP_OTHER = 0.7
KEEP_PILOT = 0.5
PILOT_ALONE = 0.3


@dataclass(frozen=True)
class FlatContext:
    """Known runs as rows: `frame` has `Requests` columns, `target` the position of the forecast each informs.

    `details` are those of `details.run_details`, not centred.
    """

    target: Codes
    frame: pd.DataFrame
    output_tokens: Floats
    is_censored: Mask
    details: Floats

    @property
    def log_tokens(self) -> Floats:
        """Of runs that were cut off, what they came to; shape (n_runs,)."""
        return np.log(np.maximum(self.output_tokens, 1.0))

    def select(self, keep: Mask) -> "FlatContext":
        """The runs where `keep`."""
        return FlatContext(*(values[keep] for values in vars(self).values()))


def attach_context(requests: pd.DataFrame, runs: pd.DataFrame, *, pilots: bool = True) -> pd.DataFrame:
    """Add to each request what is known of its query: the list columns of `Requests`.

    Parameters
    ----------
    requests : DataFrame
        Requests to forecast, with `query_id` and `model`. They must not be among `runs`.
    runs : DataFrame
        Past runs: `query_id`, `model`, `output_tokens`, and where known `reasoning_effort`, `is_censored`,
        `reasoning_tokens` and `score`.
    pilots : bool
        Whether runs of the request's own model and effort count; False leaves only the warm ones.

    Returns
    -------
    DataFrame
        Index and columns of `requests`, and the columns `CONTEXT_COLUMNS`; empty lists where nothing is known.

    Raises
    ------
    InvalidInputError
        If a column is missing that says which runs are of which query.
    """
    for name, frame, needed in (
        ("requests", requests, ("query_id", "model")),
        ("runs", runs, ("query_id", "model", "output_tokens")),
    ):
        missing = sorted(set(needed) - set(frame))
        if missing:
            raise InvalidInputError(
                f"`{name}` lacks the columns {missing}: `query_id` says which runs are of one query; where "
                "queries have no names, their text can be one"
            )
    left = pd.DataFrame({"query_id": requests["query_id"].to_numpy(), "config": cell_keys(requests, CONFIG)})
    left["position"] = np.arange(len(requests))
    right = pd.DataFrame({"query_id": runs["query_id"].to_numpy(), "config_of_run": cell_keys(runs, CONFIG)})
    right["context_models"] = runs["model"].to_numpy(dtype=object)
    efforts = runs["reasoning_effort"] if "reasoning_effort" in runs else pd.Series(None, index=runs.index)
    right["context_reasoning_efforts"] = efforts.astype(object).where(efforts.notna(), None).to_numpy()
    right["context_output_tokens"] = runs["output_tokens"].to_numpy(dtype=np.float64)
    right["context_is_censored"] = runs["is_censored"].to_numpy(dtype=bool) if "is_censored" in runs else False
    for name, column in (("context_reasoning_tokens", "reasoning_tokens"), ("context_scores", "score")):
        right[name] = runs[column].to_numpy(dtype=np.float64, na_value=np.nan) if column in runs else np.nan
    pairs = left.merge(right, on="query_id")
    if not pilots:
        pairs = pairs[pairs["config"] != pairs["config_of_run"]]
    grouped = pairs.groupby("position")[list(CONTEXT_COLUMNS)].agg(list).to_dict()
    lists = {name: [grouped[name].get(i, []) for i in range(len(requests))] for name in CONTEXT_COLUMNS}
    return requests.assign(**{name: pd.Series(of, index=requests.index, dtype=object) for name, of in lists.items()})


def flatten_context(X: pd.DataFrame) -> FlatContext | None:
    """Read the list columns of `X`; None where no row knows of any run."""
    if "context_models" not in X or "context_output_tokens" not in X:
        return None
    sizes = context_sizes(X, "context_models").to_numpy()
    if not sizes.any():
        return None
    target = np.repeat(np.arange(len(X)), sizes)
    with_context = X[sizes > 0]

    def flat(name: str) -> list[object]:
        if name not in with_context:
            return [None] * len(target)
        lists = [
            value if hasattr(value, "__len__") and len(value) else [None] * n
            for value, n in zip(with_context[name], sizes[sizes > 0], strict=True)
        ]
        return [element for values in lists for element in values]

    frame = X[[c for c in ("benchmark", "prompt_text") if c in X]].iloc[target].reset_index(drop=True)
    frame["model"] = pd.Series(flat("context_models"), dtype=object).astype(str)
    frame["reasoning_effort"] = pd.Series(flat("context_reasoning_efforts"), dtype=object)
    tokens = np.array(flat("context_output_tokens"), dtype=np.float64)
    censored = np.array([bool(value) for value in flat("context_is_censored")], dtype=bool)
    beside = (np.array(flat(name), dtype=np.float64) for name in ("context_reasoning_tokens", "context_scores"))
    return FlatContext(target.astype(np.intp), frame, tokens, censored, run_details(tokens, *beside))


def sample_context(
    queries: NDArray[np.object_], configs: NDArray[np.object_], rng: np.random.Generator, *, pilots: bool
) -> tuple[Codes, Codes]:
    """Draw, for each of n runs, which other runs of its query are taken as known: positions of both, `target` first.

    For half of the runs every other configuration is kept, for the other half each run of them with probability
    .7; with `pilots`, other runs of the same configuration too, with probability .5. For half of the runs one run
    of each configuration is drawn, for the other half all of them. Of those that know pilots, three in ten know
    nothing else.
    """
    of_query, of_config = (pd.factorize(keys)[0] for keys in (_bounded(queries), configs))
    runs = pd.DataFrame({"query": of_query, "config": of_config, "source": np.arange(len(queries))})
    rng.random(len(queries))  # nothing reads them: what is drawn next, and so every fit, stays as it was
    runs = runs[np.bincount(of_query)[of_query] > 1]
    pairs = runs.rename(columns={"source": "target", "config": "own"}).merge(runs, on="query")
    pairs = pairs[pairs["source"] != pairs["target"]]
    pairs["draw"] = rng.random(len(pairs))
    pairs = pairs.sort_values("draw")
    every_run = (rng.random(len(queries)) < EVERY_RUN)[pairs["target"]]
    pairs = pairs[every_run | ~pairs.duplicated(["target", "config"])]
    is_pilot = pairs["own"] == pairs["config"]
    chance = rng.random(len(pairs))
    keep_all = (rng.random(len(queries)) < KEEP_ALL)[pairs["target"]]
    keep = np.where(is_pilot, pilots & (chance < KEEP_PILOT), keep_all | (chance < KEEP_OTHER))
    has_pilot = np.zeros(len(queries), dtype=bool)
    has_pilot[pairs["target"][keep & is_pilot]] = True
    alone = has_pilot & (rng.random(len(queries)) < PILOT_ALONE)
    keep &= is_pilot | ~alone[pairs["target"]]
    pairs = pairs[keep].sort_values(["target", "source"])
    return pairs["target"].to_numpy(dtype=np.intp), pairs["source"].to_numpy(dtype=np.intp)


def _bounded(queries: NDArray[np.object_]) -> NDArray[Any]:
    """The query of each run; where pairs of runs would be too many, its runs fall into parts that know no other."""
    codes, _ = pd.factorize(queries)
    sizes = np.bincount(codes).astype(np.float64)
    if (sizes**2).sum() <= PAIRS_AT_MOST + PAIRS_PER_RUN * len(queries):
        return queries
    turn = pd.Series(codes).groupby(codes).cumcount().to_numpy()
    return np.asarray(codes + (turn // RUNS_THAT_KNOW) * len(sizes))


def summarise_context(n: int, context: ContextRuns, configs: Sequence[str]) -> Floats:
    """Columns about the known runs of n forecasts, shape (n, 12 + 4 * n_configs), NaN where there are none.

    Number of warm runs and of pilots; least and largest residual of the warm runs; mean residual and details of warm
    runs, then of pilots; mean residual and details of the warm runs of each of `configs`.
    """
    signal_names = ["residual", *DETAILS]
    table = pd.DataFrame(np.column_stack([context.residual, context.details]), columns=signal_names)
    table["target"], table["config"] = context.target, context.config
    warm, pilot = (table[context.is_pilot == is_pilot].groupby("target") for is_pilot in (False, True))
    counts = [part.size().reindex(range(n)).fillna(0) for part in (warm, pilot)]
    ends = warm["residual"].agg(["min", "max"]).reindex(range(n))
    means = [part[signal_names].mean().reindex(range(n)) for part in (warm, pilot)]
    position = {config: i for i, config in enumerate(configs)}
    codes = np.array([position.get(str(config), -1) for config in context.config], dtype=np.intp)
    keep = ~context.is_pilot & (codes >= 0)
    wide = [
        _by_config(context.target[keep], codes[keep], table.loc[keep, name].to_numpy(), n, len(configs))
        for name in signal_names
    ]
    return np.column_stack([part.to_numpy(dtype=np.float64) for part in (*counts, ends, *means)] + wide)


def _by_config(target: Codes, codes: Codes, values: Floats, n: int, n_configs: int) -> Floats:
    """Mean value per forecast and configuration, NaN where there is none; shape (n, n_configs)."""
    is_measured = np.isfinite(values)
    at = target[is_measured] * n_configs + codes[is_measured]
    sums = np.bincount(at, values[is_measured], n * n_configs)
    counts = np.bincount(at, minlength=n * n_configs)
    out: Floats = np.full(n * n_configs, np.nan)
    np.divide(sums, counts, out=out, where=counts > 0)
    return out.reshape(n, n_configs)
