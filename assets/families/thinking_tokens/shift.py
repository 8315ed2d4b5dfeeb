"""Forecasts where the user is: another model, benchmark or source, or a later day, left out of the fit in turn."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtrit

from foretell.assets.judging.family import Family
from foretell.assets.judging.splits import Round, Split
from foretell.predictors.base import EVALUATION_LEVELS
from foretell.predictors.model_names import model_keys
from foretell.predictors.thinking_tokens.bill.totals import forecast_batch, simulate_totals
from foretell.predictors.thinking_tokens.known_runs.context import attach_context
from foretell.predictors.thinking_tokens.predictor import ThinkingTokensPredictor

SHIFTS = ("new_source", "new_benchmark", "new_model", "later")
"""What is left out: a source; a benchmark of a source that has others, in every cell; a model under all its spellings
and efforts, in all sources; of a source what came after its median day, forecast from what came before anywhere."""
KNOWN = ("", "_k5", "_k10", "_k20", "_warm", "_warm_k5", "_warm_k10", "_warm_k20")
"""What is known: nothing; so many runs of every cell left out, in one `adapt`; other models' runs of the queries."""
CELL = ["source", "benchmark", "model", "reasoning_effort"]
CONFIG = ["model", "reasoning_effort"]
MANY_BENCHMARKS = 40
"""A source with more is a collection, where a benchmark of a handful of items is no test of its own; the only benchmark
of a source is a new source when it is left out, and judged there."""
RUNS_OF_CELL, RUNS_OF_CLUSTER, RUNS_OF_QUERY = 60, 400, 25
"""Most runs that are judged of a cell and of what is left out, and most runs of a query that are known."""
LEAST_SD, MAX_LOG = 1e-6, 18.0
BEYOND_ANCHORS = 5
"""Runs that a cell has beside its anchors, or it is not asked about."""


@dataclass(frozen=True)
class ShiftTerms:
    """Which of `SHIFTS`, which of `KNOWN` (``_warm`` of new models alone), and how much is left out: a fit each.

    Of more than `clusters` as many are drawn, with a seed.
    """

    shifts: Sequence[str] = SHIFTS
    known: Sequence[str] = ("", "_k5", "_k20", "_warm", "_warm_k5", "_warm_k20")
    clusters: int = 20


@dataclass(frozen=True, eq=False)
class _Given:
    """Forecasts that were made already, index `cell_id`, as a forecaster."""

    quantiles: pd.DataFrame

    def predict_quantiles(self, X: pd.DataFrame, levels: Sequence[float]) -> pd.DataFrame:
        return self.quantiles.loc[X.index, list(levels)]


_Judged: TypeAlias = tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]
"""Outcomes, with the forecasts of their cells and those of the reference by `cell_id`."""


def shift_splits(
    family: Family,
    examples: pd.DataFrame,
    terms: ShiftTerms | None = None,
    predictor: ThinkingTokensPredictor | None = None,
) -> Iterator[Split]:
    """A split for every kind of shift and what is known, and ``<split>_total`` for the bills of its cells.

    Intervals are over what was left out. Cells of which more than a fifth of the runs were cut off are not judged. The
    reference is the distribution of the runs of the benchmark on other models, or of all sources where it is new;
    with anchors it is what they say alone: their mean, or their line through other models' runs where these are known.

    Kinds of which there is only one are skipped. The predictor is by default the family's, without heads (it is asked
    about unseen cells alone) and without public figures.
    """
    terms = terms or ShiftTerms()
    predictor = predictor or ThinkingTokensPredictor(heads=False)
    runs = examples.fillna({"reasoning_effort": "", "benchmark": ""})
    for shift in terms.shifts:
        asked = [known for known in terms.known if shift == "new_model" or not known.startswith("_warm")]
        forecasts: dict[str, list[Sequence[_Judged]]] = {known: [] for known in asked}
        for name, train, test in _folds(runs, shift, terms.clusters):
            fitted = _fit(family, predictor, train)
            for known in asked:
                if made := _forecast(family, fitted, train, test, known):
                    # Intervals resample what was left out.
                    cluster = {"query_id": f"{shift}{known}: {name}", "left_out": name}
                    forecasts[known].append([
                        (rows.assign(**cluster).drop(columns=["split", "is_capped"]), quantiles, reference)
                        for rows, quantiles, reference in made
                    ])  # fmt: skip
        for known in asked:
            if forecasts[known]:
                yield from _splits(f"{shift}{known}", forecasts[known])


def _folds(runs: pd.DataFrame, shift: str, clusters: int) -> Iterator[tuple[str, pd.DataFrame, pd.DataFrame]]:
    """Name of what is left out, what is fitted to, and what is forecast."""
    if shift == "later":
        days = runs["started_at"]
        for source, own in runs[days.notna()].groupby("source")["started_at"]:
            middle = own.median()
            train, test = runs[days < middle], runs.loc[own.index[(own >= middle) & (own > own.min())]]
            if len(test) and len(train["source"].unique()) > 1:
                yield str(source), train, test
        return
    base = {name: model_keys(name)[-1] for name in runs["model"].unique()}
    n_benchmarks = runs[~runs["is_capped"]].groupby("source")["benchmark"].nunique()
    key = {
        "new_source": runs["source"],
        "new_benchmark": (runs["source"] + " / " + runs["benchmark"]).where(
            runs["source"].map(n_benchmarks).between(2, MANY_BENCHMARKS)
        ),
        "new_model": runs["model"].map(base),
    }[shift]
    names = sorted(key[~runs["is_capped"]].dropna().unique())
    if len(names) > clusters:
        names = sorted(np.random.default_rng(1).choice(names, clusters, replace=False).tolist())
    for name in names if len(names) > 1 else ():
        yield name, runs[key != name], runs[key == name]


def _fit(family: Family, predictor: ThinkingTokensPredictor, train: pd.DataFrame) -> ThinkingTokensPredictor:
    fresh = predictor.unfitted()
    X = family.inputs(train).drop(columns="prompt_text", errors="ignore")
    return fresh.fit(X, train["value"], groups=train["query_id"], is_censored=train["is_censored"])


def _forecast(
    family: Family, fitted: ThinkingTokensPredictor, train: pd.DataFrame, test: pd.DataFrame, known: str
) -> Sequence[_Judged]:
    """Forecasts of some runs of what was left out, and of their totals; none where runs are too few for the anchors."""
    test = test[~test["is_capped"] & ~test["is_censored"]].sample(frac=1.0, random_state=1)
    warm, k = known.startswith("_warm"), int(known.rpartition("_k")[2] or 0) if "_k" in known else 0
    if k:
        test = test[test.groupby(CELL)["value"].transform("size") >= k + BEYOND_ANCHORS]
    place = test.groupby(CELL).cumcount()
    anchors, rest = test[place < k], test[(place >= k) & (place < k + RUNS_OF_CELL)]
    rest = rest[rest.groupby(CELL).cumcount().rank(method="first") <= RUNS_OF_CLUSTER].sort_index()
    if rest.empty:
        return ()
    past = _past(train)
    asked = [_inputs(family, part, past if warm else None) for part in (anchors, rest)]
    if k:
        fitted = fitted.adapt(asked[0], anchors["value"].astype("float64"))
    cells = rest.assign(cell_id=rest["cell_id"] + "|" + rest["replicate"].astype(str))
    inputs = asked[1].set_axis(cells["cell_id"])
    quantiles = fitted.predict_quantiles(inputs, EVALUATION_LEVELS)
    batch, codes = forecast_batch(fitted, inputs), pd.factorize(pd.MultiIndex.from_frame(cells[CELL]))[0]
    totals, bills = [], []
    for code in np.unique(codes):
        at = np.flatnonzero(codes == code)
        draws, _ = simulate_totals(batch.take(at))
        totals.append(np.quantile(draws, EVALUATION_LEVELS))
        bills.append(cells.iloc[[at[0]]].assign(value=float(cells["value"].iloc[at].sum())))
    total_rows = pd.concat(bills)
    frame = pd.DataFrame(np.array(totals), index=total_rows["cell_id"], columns=quantiles.columns)
    reference = _of_anchors(anchors, cells, past if warm else None) if k else _of_runs(train, cells)
    return (cells, quantiles, reference), (total_rows, frame, frame)


def _inputs(family: Family, rows: pd.DataFrame, past: pd.DataFrame | None) -> pd.DataFrame:
    inputs = family.inputs(rows).drop(columns=["run_reasoning_tokens", "run_score", "prompt_text"], errors="ignore")
    return inputs if past is None else attach_context(inputs, past, pilots=False)


def _past(train: pd.DataFrame) -> pd.DataFrame:
    """A run of each model and effort on each query, some of them where there are many."""
    first = train.drop_duplicates(["query_id", *CONFIG])
    first = first[first.groupby("query_id").cumcount() < RUNS_OF_QUERY]
    return first[["query_id", *CONFIG, "is_censored"]].assign(output_tokens=first["value"])


def _of_anchors(anchors: pd.DataFrame, cells: pd.DataFrame, past: pd.DataFrame | None) -> pd.DataFrame:
    """Quantiles about the mean of a cell's anchors, or about their line through the mean of other runs of the query."""
    usual = pd.Series(dtype="float64")
    if past is not None:
        usual = np.log(past["output_tokens"]).groupby(past["query_id"]).mean()
    rows = pd.DataFrame(index=cells["cell_id"], columns=list(EVALUATION_LEVELS), dtype="float64")
    own = dict(list(anchors.groupby(CELL)))
    for cell, part in cells.groupby(CELL):
        x, y = own[cell]["query_id"].map(usual).to_numpy(float), np.log(own[cell]["value"].to_numpy(float))
        asked = part["query_id"].map(usual).to_numpy(float)
        has_line = np.isfinite(x).all() and np.isfinite(asked).all() and x.std() > LEAST_SD
        slope, intercept = np.polyfit(x, y, 1) if has_line else (0.0, y.mean())
        centre = intercept + slope * (asked if has_line else np.zeros(len(part)))
        freedom = len(y) - 1 - int(has_line)
        sd = np.sqrt(((y - intercept - slope * (x if has_line else 0.0)) ** 2).sum() / freedom * (1 + 1 / len(y)))
        width = sd * stdtrit(freedom, EVALUATION_LEVELS)
        rows.loc[part["cell_id"]] = np.exp(np.clip(centre[:, None] + width, 0.0, MAX_LOG))
    return rows


def _of_runs(train: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """Quantiles of the runs of the benchmark, every cell counted once; of all sources, each once, where it is new."""
    usable = train[~train["is_capped"]]
    size = usable.groupby(CELL)["value"].transform("size")
    parts = usable.assign(weight=1 / size)
    keys = ["source", "benchmark"]
    known = {key: _quantiles(part) for key, part in parts.groupby(keys)}
    whole = _quantiles(parts.assign(weight=parts["weight"] / parts.groupby("source")["weight"].transform("sum")))
    rows = [known.get((source, benchmark), whole) for source, benchmark in cells[keys].itertuples(index=False)]
    return pd.DataFrame(np.array(rows), index=cells["cell_id"], columns=list(EVALUATION_LEVELS))


def _quantiles(part: pd.DataFrame) -> NDArray[np.float64]:
    order = np.argsort(part["value"].to_numpy())
    values, weight = part["value"].to_numpy(np.float64)[order], part["weight"].to_numpy()[order]
    return np.asarray(np.interp(EVALUATION_LEVELS, (np.cumsum(weight) - weight / 2) / weight.sum(), values))


def _splits(name: str, forecasts: Sequence[Sequence[_Judged]]) -> Iterator[Split]:
    """The split of the runs and that of the totals, of which each cluster brings a part."""
    model = ThinkingTokensPredictor.__name__
    segments = ("left_out", "source", "model") if name.startswith("new_model") else ("left_out",)
    rivals = ("anchors_alone" if "_k" in name else "benchmark_runs", model)
    terms: Sequence[dict[str, Any]] = ({"segments": segments}, {"metrics": ("crps", "coverage_90", "width_90")})
    for end, rival, how, parts in zip(("", "_total"), rivals, terms, zip(*forecasts, strict=True), strict=True):
        rows, quantiles, reference = (pd.concat(frames) for frames in zip(*parts, strict=True))
        asked = Round(None, rows.set_index("cell_id")[CELL], rows)
        yield Split(f"{name}{end}", [asked], {model: _Given(quantiles)}, (rival, _Given(reference)), **how)
