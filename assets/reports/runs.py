"""`request_traces` as reports read it: part by part under the rules over all days, priced, and added up by query.

Where rows must be held at once, of more than `ROWS_IN_RUN` those of some queries are drawn. A part is priced where it
lies; what leaves it are sums and counts without any text. The mean over the runs of a query then is that of all parts,
so reports are the same however the traces are cut.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol, Self, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from foretell.assets.engine import Engine, Part, Table, current_engine, read_part
from foretell.assets.lake.traces.across_days import is_drawn, repeated_keys, rows_of_part
from foretell.assets.store.money import percent
from foretell.predictors.errors import InvalidInputError

ROWS_IN_RUN = 1_000_000
"""Requests that a report holds at once where it must hold any; of more, some queries are drawn."""

ORDER = ["started_at", "source", "request_id"]
PRICING = [
    "query_id", "model", "provider", "service_tier", "started_at", "benchmark", "prompt_text", "input_tokens",
    "output_tokens", "reasoning_tokens", "is_censored", "score",
]  # fmt: skip
"""What prices, passes and their reasons are read from; the text only for its length, where input is not counted."""
QUERY = ["benchmark", "model", "query_id"]
LISTED = ["benchmark", "model", "listed_usd_per_mtok"]
PRICED = ("total_usd", "thinking", "answer", "prompt", "per_input", "per_output")
SCORED = ("scored_usd", "score", "passed")
MAX_CENSORED = 0.05


class Mergeable(Protocol):
    """Sums of a part that can be added to those of another."""

    def merge(self, other: Self) -> Self:
        """Sums of both."""
        ...


K = TypeVar("K", bound=Hashable)
M = TypeVar("M", bound=Mergeable)


@dataclass(frozen=True, eq=False)
class TracePart:
    """A part of `request_traces`, and the positions of its rows whose key came before on another day."""

    part: Part
    repeated: NDArray[np.int64]

    def read(self, columns: Sequence[str]) -> pd.DataFrame:
        """The other rows."""
        frame = read_part(self.part, columns)
        return frame.drop(index=frame.index[self.repeated])

    def draw(self, columns: Sequence[str], share: float) -> tuple[pd.DataFrame, int]:
        """Those of them whose query is drawn, and how many there are; `query_id` must be among the columns."""
        frame = self.read(columns)
        return frame[is_drawn(frame["query_id"], share)], len(frame)


def trace_parts(traces: pd.DataFrame | Table) -> tuple[Engine, list[TracePart]]:
    """Parts to work on, and the engine to do so: a frame is one part, and stays in this process."""
    if isinstance(traces, pd.DataFrame):
        return Engine(), [TracePart(traces, np.empty(0, dtype=np.int64))]
    engine = current_engine()
    repeated = repeated_keys(traces, engine)
    parts = enumerate(traces.parts)
    return engine, [TracePart(part, rows_of_part(repeated, place)["row"].to_numpy()) for place, part in parts]


def merge_groups(one: Mapping[K, M], other: Mapping[K, M]) -> dict[K, M]:
    """Sums by group of both parts."""
    both = {group: sums.merge(other[group]) for group, sums in one.items() if group in other}
    return {**one, **other, **both}


@dataclass(frozen=True, eq=False)
class Drawn:
    """Requests of some queries, or of all: `rows` by time, then key; how many there are of all queries."""

    rows: pd.DataFrame
    n_there: int

    def reasons(self) -> list[str]:
        """A sentence on what was drawn; none where that is everything."""
        return drawn_reasons(len(self.rows), self.n_there)


def drawn_reasons(n_drawn: int, n_there: int) -> list[str]:
    """A sentence on how many requests were drawn; none where all were."""
    words = f"Drawn are {n_drawn:,} of {n_there:,} requests: all requests of some queries, which a hash chooses."
    return [words] if n_drawn < n_there else []


def drawn_share(traces: pd.DataFrame | Table, max_rows: int) -> float:
    """What share of the queries to draw so that about `max_rows` requests come."""
    n_rows = len(traces) if isinstance(traces, pd.DataFrame) else traces.n_rows
    return min(1.0, max_rows / max(n_rows, 1))


def draw_queries(traces: pd.DataFrame | Table, columns: Sequence[str], *, max_rows: int = ROWS_IN_RUN) -> Drawn:
    """Bring `columns` of `request_traces` into this process, of more than about `max_rows` requests some queries only.

    A query is drawn by its hash, with all its requests, whatever part they lie in; so the draw is the same however
    the table is cut, and the same from one night to the next as long as the table grows little. The number of rows is
    about `max_rows` where queries have about as many requests each.
    """
    engine, parts = trace_parts(traces)
    wanted = list(dict.fromkeys([*columns, *ORDER, "query_id"]))
    found = engine.map(partial(TracePart.draw, columns=wanted, share=drawn_share(traces, max_rows)), parts)
    frames = [frame for frame, _ in found]
    whole = pd.concat([frame for frame in frames if len(frame)] or frames[:1])
    return Drawn(whole.sort_values(ORDER, kind="stable", ignore_index=True), sum(n for _, n in found))


def price_runs(traces: pd.DataFrame, price_file: Path | None) -> pd.DataFrame:
    """Runs with the rates of their model and what each part of them costs, null where that is not known.

    Returns
    -------
    DataFrame
        `traces` and the columns `usd_per_input_token`, `usd_per_output_token`, `listed_usd_per_mtok`
        (input + output), `input_usd`, `thinking_usd`, `answer_usd` (null where reasoning is not reported),
        `total_usd`: tokens times rate, without cache and batch discounts, so that models are compared by list; and
        `is_estimated` where the input tokens are.
    """
    from foretell.predictors.thinking_tokens.prices.cost import estimated_input_tokens, request_rates

    inputs = estimated_input_tokens(traces)
    rates = request_rates(traces.assign(input_tokens=inputs), price_file=price_file)
    runs = traces.assign(
        usd_per_input_token=rates["input"].to_numpy(),
        usd_per_output_token=rates["output"].to_numpy(),
        benchmark=traces["benchmark"].fillna("(none)"),
        is_estimated=traces["input_tokens"].isna().to_numpy() & ~np.isnan(inputs),
    )
    runs["listed_usd_per_mtok"] = 1e6 * (runs["usd_per_input_token"] + runs["usd_per_output_token"])
    tokens = {name: traces[name].astype("float64") for name in ("output_tokens", "reasoning_tokens")}
    runs["input_tokens"] = inputs
    runs["input_usd"] = runs["usd_per_input_token"] * inputs
    runs["thinking_usd"] = runs["usd_per_output_token"] * tokens["reasoning_tokens"]
    runs["answer_usd"] = runs["usd_per_output_token"] * (tokens["output_tokens"] - tokens["reasoning_tokens"])
    runs["total_usd"] = runs["input_usd"] + runs["usd_per_output_token"] * tokens["output_tokens"]
    return runs


def priced_reasons(models: pd.DataFrame) -> list[str]:
    """Which runs are left out of a report on prices or are not what they seem; `models` as in `RunSums`."""
    reasons = []
    if models["estimated"].any():
        reasons.append(
            f"The input tokens of {int(models['estimated'].sum())} runs are estimated as a quarter of the characters."
        )
    for column, why in (
        ("no_price", "no price is known: add them to your price file"),
        ("no_input", "neither the tokens nor the text of the input are recorded"),
    ):
        lost = models.index[models[column] > 0].tolist()
        if lost:
            reasons.append(f"{int(models[column].sum())} runs of {_listed(lost)} are left out: {why}.")
    capped = (models["censored"] / models["kept"].where(models["kept"] > 0)).loc[lambda share: share > MAX_CENSORED]
    return reasons + [
        f"{model} was cut off in {percent(share)} of its runs: it is judged by cut answers, and looks cheaper than "
        "it is."
        for model, share in capped.items()
    ]


def _listed(names: list[str]) -> str:
    shown = ", ".join(map(str, names[:4]))
    return shown if len(names) <= 4 else f"{shown} and {len(names) - 4} more models"


def query_table(runs: pd.DataFrame, column: str) -> pd.DataFrame:
    """Mean of `column` over the runs of each query on each model; index query, columns model."""
    if column not in runs:
        raise InvalidInputError(f"the runs lack the column {column!r}")
    return runs.pivot_table(index="query_id", columns="model", values=column, aggfunc="mean")


@dataclass(frozen=True, eq=False)
class RunSums:
    """Sums over runs, of one part or of all.

    Attributes
    ----------
    queries : DataFrame
        Index `QUERY`; sums of `PRICED` over `runs`, of `bare_usd` (cost without thinking) over `bare_runs`, of
        `SCORED` over `scored_runs`.
    listed : DataFrame
        Index `LISTED`; `runs` and `scored_runs` at each listed price.
    models : DataFrame
        Index model; counts of runs that are kept, left out and why, dollars of thinking, the first provider by name.
    n_drawn, n_there : int
        Runs that were added up, and those of all queries.
    """

    queries: pd.DataFrame
    listed: pd.DataFrame
    models: pd.DataFrame
    n_drawn: int
    n_there: int

    @classmethod
    def merged(cls, parts: Sequence[RunSums]) -> RunSums:
        """Sums of all parts; they may share queries, not runs."""
        queries = _added([part.queries for part in parts], QUERY)
        listed = _added([part.listed for part in parts], LISTED)
        models = pd.concat([part.models for part in parts])
        counts = models.drop(columns="provider").groupby(level="model").sum()
        providers = models.groupby(level="model")["provider"].min()
        n_drawn, n_there = sum(part.n_drawn for part in parts), sum(part.n_there for part in parts)
        return cls(queries, listed, counts.assign(provider=providers), n_drawn, n_there)

    def priced(self) -> pd.DataFrame:
        """One row per query and model with a price: means over its runs, columns `QUERY`, `PRICED`, `bare_usd`."""
        sums = self.queries[self.queries["runs"] > 0]
        means = sums[list(PRICED)].div(sums["runs"], axis=0)
        return means.assign(bare_usd=sums["bare_usd"] / sums["bare_runs"].where(sums["bare_runs"] > 0)).reset_index()

    def scored(self) -> pd.DataFrame:
        """One row per query and model with a price and a score: means over its runs, `cost_usd`, `score`, `passed`."""
        sums = self.queries[self.queries["scored_runs"] > 0]
        means = sums[list(SCORED)].div(sums["scored_runs"], axis=0).rename(columns={"scored_usd": "cost_usd"})
        return means.assign(total_usd=means["cost_usd"]).reset_index()

    def listed_prices(self, by: list[str], runs: str = "runs") -> pd.Series:
        """Median over runs of the listed price, USD per million tokens, input + output."""
        counts = self.listed.loc[self.listed[runs] > 0, runs].rename("n").reset_index()
        return counts.groupby(by)[["listed_usd_per_mtok", "n"]].apply(_weighted_median)

    def reasons(self) -> list[str]:
        """What was drawn, and which models are left out for want of a price, and why."""
        return [*drawn_reasons(self.n_drawn, self.n_there), *priced_reasons(self.models)]

    def reasons_scored(self) -> list[str]:
        """The same, and how many runs have no score."""
        n_lost, n = int(self.models["unscored"].sum()), int(self.models["kept"].sum())
        reasons = [*self.reasons(), *([f"{n_lost} of {n} runs have no score."] if n_lost else [])]
        if n_lost and n_lost == n:
            reasons.append(
                "No run has a score: ingest traces with `score` (Inspect logs have it) to see what a pass costs."
            )
        return reasons


def run_sums(traces: pd.DataFrame | Table, price_file: Path | None, *, max_rows: int = ROWS_IN_RUN) -> RunSums:
    """Price the runs of `request_traces` and add them up, wherever the engine is; keys count once over all days.

    The sums are kept by query, for models are compared on the queries that they share; so of more than about
    `max_rows` runs, those of some queries are drawn.
    """
    engine, parts = trace_parts(traces)
    work = partial(_sums_of_part, price_file=price_file, share=drawn_share(traces, max_rows))
    return RunSums.merged(engine.map(work, parts))


def _sums_of_part(part: TracePart, price_file: Path | None, share: float) -> RunSums:
    drawn, n_there = part.draw(PRICING, share)
    runs = price_runs(drawn, price_file)
    counts = pd.DataFrame(
        {
            "model": runs["model"], "runs": 1, "estimated": runs["is_estimated"],
            "no_price": runs["usd_per_output_token"].isna(), "provider": runs["provider"],
        }
    )  # fmt: skip
    counts["no_input"] = ~counts["no_price"] & runs["total_usd"].isna()
    kept = counts["kept"] = runs["total_usd"].notna() & ~counts["no_price"]
    scored = kept & runs["score"].notna()
    counts["censored"], counts["unscored"] = kept & runs["is_censored"], kept & ~scored
    counts["thinking_usd"] = runs["thinking_usd"].where(scored).fillna(0.0)
    counts["scored_usd"] = runs["total_usd"].where(scored, 0.0)
    counts["provider"] = runs["provider"].where(scored)
    models = counts.drop(columns="provider").groupby("model").sum()
    models["provider"] = counts.groupby("model")["provider"].min()

    tokens = runs["reasoning_tokens"].astype("float64")
    score = runs["score"].astype("float64").where(scored, 0.0)
    columns = pd.DataFrame(
        {
            **{name: runs[name] for name in QUERY},
            "runs": 1,
            "total_usd": runs["total_usd"],
            "thinking": tokens.fillna(0.0),
            "answer": runs["output_tokens"].astype("float64") - tokens.fillna(0.0),
            "prompt": runs["input_tokens"],
            "per_input": runs["usd_per_input_token"],
            "per_output": runs["usd_per_output_token"],
            "bare_runs": runs["thinking_usd"].notna().astype("int64"),
            "bare_usd": (runs["total_usd"] - runs["thinking_usd"]).fillna(0.0),
            "scored_runs": scored.astype("int64"),
            "scored_usd": counts["scored_usd"],
            "score": score,
            "passed": (score >= 1).astype("float64"),
        }
    )
    listed = runs.assign(runs=1, scored_runs=scored.astype("int64"))[[*LISTED, "runs", "scored_runs"]]
    return RunSums(columns[kept].groupby(QUERY).sum(), listed[kept].groupby(LISTED).sum(), models, len(drawn), n_there)


def _added(tables: Sequence[pd.DataFrame], by: list[str]) -> pd.DataFrame:
    # As columns: indexes of several levels are joined one table after the other, each time over all that came before.
    rows = pd.concat([table.reset_index() for table in tables], ignore_index=True)
    return rows.groupby(by, dropna=False).sum()


def _weighted_median(counts: pd.DataFrame) -> float:
    """Median where each price counts `n` times."""
    in_order = counts.sort_values("listed_usd_per_mtok")
    ends = in_order["n"].cumsum().to_numpy()
    middle = np.searchsorted(ends, [(ends[-1] - 1) // 2, ends[-1] // 2], side="right")
    return float(in_order["listed_usd_per_mtok"].to_numpy()[middle].mean())
