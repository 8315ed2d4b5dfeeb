"""`request_traces` as reports read it: under the rules over all days, drawn where there are many, and priced.

Of more than `ROWS_IN_RUN` requests those of some queries are drawn, a query with all its runs; so reports are the same
however the traces are cut. Which rows are drawn is found where they lie, once for all reports of a night.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from foretell.assets.engine import Engine, Part, Table, current_engine, read_part
from foretell.assets.engine.tables import WhileUnchanged
from foretell.assets.lake.traces.across_days import is_drawn, repeated_keys, rows_of_part
from foretell.assets.store.money import percent
from foretell.predictors.errors import DatasetError
from foretell.predictors.metrics.segments import MOST_SEGMENTS, Pooled, places_by_segment, told_of
from foretell.predictors.thinking_tokens.prices.cost import estimated_input_tokens, request_rates

ROWS_IN_RUN = 1_000_000
"""Requests that a report holds at once; of more, some queries are drawn."""

ORDER = ["started_at", "source", "request_id"]
TEXT = "prompt_text"
PRICING = [
    "model", "provider", "service_tier", "started_at", "benchmark", "input_tokens", "output_tokens",
    "reasoning_tokens", "is_censored", "score",
]  # fmt: skip
"""What prices, passes and their reasons are read from."""
MAX_CENSORED = 0.05
MOST_COMPARED = 50
"""Models of a benchmark that are set side by side; pairs of them are some thousand."""


@dataclass(frozen=True, eq=False)
class TracePart:
    """Rows of a part of `request_traces` by their positions; None are all."""

    part: Part
    rows: NDArray[np.int64] | None = None

    def read(self, columns: Sequence[str]) -> pd.DataFrame:
        """These rows."""
        frame = read_part(self.part, columns)
        return frame if self.rows is None else frame.take(self.rows)


def trace_parts(traces: pd.DataFrame | Table) -> tuple[Engine, list[TracePart]]:
    """Requests, none twice, by part, and the engine to work on them."""
    table, parts = Table.of(traces), []
    repeated = repeated_keys(table)
    for place, part in enumerate(table.parts):
        twice = rows_of_part(repeated, place)["row"].to_numpy()
        parts.append(TracePart(part, np.delete(np.arange(Table((part,)).n_rows), twice) if len(twice) else None))
    return current_engine().over(table), parts


@dataclass(frozen=True, eq=False)
class Drawn:
    """Requests of some queries, or of all: `rows` by time, then key; how many there are of all queries."""

    rows: pd.DataFrame
    n_there: int

    def reasons(self) -> list[str]:
        """A sentence on what was drawn; none where that is everything."""
        n = len(self.rows)
        words = f"Drawn are {n:,} of {self.n_there:,} requests: all requests of some queries, which a hash chooses."
        return [words] if n < self.n_there else []


Made = Callable[[TracePart, Sequence[str]], pd.DataFrame]
"""How `columns` of the drawn rows of a part are read, row by row."""
_Draw: TypeAlias = tuple[list[TracePart], NDArray[np.intp], NDArray[np.intp], int]
"""Which requests are drawn; what puts those of all parts in order (time, then key); their queries in that order,
numbered by their ids; how many requests there are. 24 bytes a request are kept in place of the ids."""
_draws = WhileUnchanged[_Draw]()


def draw_queries(
    traces: pd.DataFrame | Table, columns: Sequence[str], *, max_rows: int = ROWS_IN_RUN, made: Made = TracePart.read
) -> Drawn:
    """Bring `columns` of `request_traces` into this process, of more than about `max_rows` requests some queries only.

    A query is drawn by its hash, with all its requests, whatever part they lie in; so the draw is the same however
    the table is cut, and the same from one night to the next as long as the table grows little. The number of rows is
    about `max_rows` where queries have about as many requests each. What is drawn is found once for all reports, while
    the files are the same. A column `query_id` that is not asked for is the number of the query, in the order of ids.

    Raises `DatasetError` if files are written anew meanwhile.
    """
    table = Table.of(traces)
    engine, stamp = current_engine().over(table), table.stamp
    parts, order, queries, n_there = _draws.get((stamp, max_rows, engine.name), partial(_draw, table, max_rows))
    wanted = list(dict.fromkeys(columns)) or ["model"]
    try:
        frames = engine.map(partial(made, columns=wanted), parts)  # type: ignore[call-arg]
    finally:  # rows that are no longer there are an IndexError
        if table.stamp != stamp:
            raise DatasetError("days of `request_traces` were written anew while they were read: make the report again")
    rows = pd.concat(frames).take(order).reset_index(drop=True)
    return Drawn(rows if "query_id" in wanted else rows.assign(query_id=queries), n_there)


def _draw(traces: Table, max_rows: int) -> _Draw:
    engine, parts = trace_parts(traces)
    drawn = engine.map(partial(_drawn_of_part, share=min(1.0, max_rows / max(traces.n_rows, 1))), parts)
    full = [found for found in drawn if len(found[1])] or drawn[:1]
    keys = pd.concat([keys for _, keys, _ in full], ignore_index=True)
    order = keys.sort_values(ORDER, kind="stable").index.to_numpy()
    queries = pd.factorize(keys["query_id"], sort=True)[0][order]
    return [part for part, _, _ in full], order, queries, sum(n for _, _, n in drawn)


def _drawn_of_part(part: TracePart, share: float) -> tuple[TracePart, pd.DataFrame, int]:
    """The rows that are drawn, their keys, and how many rows there are."""
    keys = part.read([*ORDER, "query_id"])
    stays = is_drawn(keys["query_id"], share)
    rows = np.flatnonzero(stays) if part.rows is None else part.rows[stays]
    return TracePart(part.part, rows), keys[stays], len(keys)


def counted_inputs(traces: pd.DataFrame) -> pd.DataFrame:
    """Runs with `input_tokens` as floats, a quarter of the characters where null; and whether it `is_estimated`."""
    inputs = estimated_input_tokens(traces)
    is_estimated = traces["input_tokens"].isna().to_numpy() & ~np.isnan(inputs)
    return traces.assign(input_tokens=inputs, is_estimated=is_estimated)


def _counted_part(part: TracePart, columns: Sequence[str]) -> pd.DataFrame:
    """The same of the drawn rows of a part; texts are read where input is not counted, and come where asked for."""
    runs = part.read([name for name in columns if name != TEXT])
    with_text = TEXT in columns
    if with_text or runs["input_tokens"].isna().any():
        runs = runs.assign(**{TEXT: part.read([TEXT])[TEXT]})
    counted = counted_inputs(runs)
    return counted if with_text else counted.drop(columns=TEXT, errors="ignore")


def price_runs(traces: pd.DataFrame, price_file: Path | None) -> pd.DataFrame:
    """Runs of `counted_inputs` with the rates of their model and what each part of them costs, null where not known.

    Returns
    -------
    DataFrame
        `traces` and the columns `usd_per_input_token`, `usd_per_output_token`, `listed_usd_per_mtok`
        (input + output), `input_usd`, `thinking_usd` (null where reasoning is not reported), `total_usd`: tokens
        times rate, without cache and batch discounts, so that models are compared by list.
    """
    rates = request_rates(traces, price_file=price_file)
    per_input, per_output = rates["input"].to_numpy(), rates["output"].to_numpy()
    output, thinking = (traces[name].astype("float64") for name in ("output_tokens", "reasoning_tokens"))
    input_usd = per_input * traces["input_tokens"]
    return traces.assign(
        usd_per_input_token=per_input, usd_per_output_token=per_output,
        benchmark=traces["benchmark"].fillna("(none)"), listed_usd_per_mtok=1e6 * (per_input + per_output),
        input_usd=input_usd, thinking_usd=per_output * thinking, total_usd=input_usd + per_output * output,
    )  # fmt: skip


def priced_runs(
    traces: pd.DataFrame | Table, price_file: Path | None, *, more: Sequence[str] = (), max_rows: int = ROWS_IN_RUN
) -> tuple[pd.DataFrame, list[str]]:
    """Runs that have a price, with the columns of `price_runs`, and what is to be said of the others.

    Texts, ids of queries and other columns come only where they are among `more`.
    """
    drawn = draw_queries(traces, [*PRICING, *more], max_rows=max_rows, made=_counted_part)
    runs = price_runs(drawn.rows, price_file)
    return runs[runs["total_usd"].notna()], [*drawn.reasons(), *_price_reasons(runs)]


def scored_runs(
    traces: pd.DataFrame | Table, price_file: Path | None, *, more: Sequence[str] = (), max_rows: int = ROWS_IN_RUN
) -> tuple[pd.DataFrame, list[str]]:
    """Those of `priced_runs` that have a score; `passed` is 1 where it is 1 (a part of the points is no pass)."""
    runs, reasons = priced_runs(traces, price_file, more=more, max_rows=max_rows)
    scored = runs[runs["score"].notna()]
    if n_lost := len(runs) - len(scored):
        reasons.append(f"{n_lost} of {len(runs)} runs have no score.")
    if n_lost and scored.empty:
        reasons.append(
            "No run has a score: ingest traces with `score` (Inspect logs have it) to see what a pass costs."
        )
    return scored.assign(passed=(scored["score"] >= 1).astype("float64"), cost_usd=scored["total_usd"]), reasons


def query_means(runs: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Means over the runs of each query: one row per `benchmark`, `model` and `query_id`."""
    return runs.groupby(["benchmark", "model", "query_id"], as_index=False)[list(columns)].mean()


def query_table(runs: pd.DataFrame, column: str) -> pd.DataFrame:
    """Mean of `column` over the runs of each query on each model; index query, columns model."""
    return runs.pivot_table(index="query_id", columns="model", values=column, aggfunc="mean")


def _price_reasons(runs: pd.DataFrame) -> list[str]:
    """Which runs are left out of a report on prices, or are not what they seem."""
    reasons = []
    if n_estimated := int(runs["is_estimated"].sum()):
        reasons.append(f"The input tokens of {n_estimated} runs are estimated as a quarter of the characters.")
    unpriced, unknown = runs["usd_per_output_token"].isna(), runs["total_usd"].isna()
    for lost, why in (
        (runs[unpriced], "no price is known: add them to your price file"),
        (runs[unknown & ~unpriced], "neither the tokens nor the text of the input are recorded"),
    ):
        if len(lost):
            reasons.append(f"{len(lost)} runs of {listed(sorted(lost['model'].unique()), 4)} are left out: {why}.")
    cut_off = runs[~unknown].groupby("model")["is_censored"].mean()
    return reasons + [
        f"{model} was cut off in {percent(share)} of its runs: it is judged by cut answers, and looks cheaper than "
        "it is."
        for model, share in cut_off[cut_off > MAX_CENSORED].items()
    ]


def pooled(runs: pd.DataFrame, columns: Sequence[str], reasons: list[str]) -> pd.DataFrame:
    """`runs` whose `columns` hold the `MOST_SEGMENTS` groups with most runs, and one group of all others.

    As of an evaluation, ties by name. The others have a word for a name that no group here has; `reasons` is told.
    """
    names = tuple(columns)
    if not (told := told_of(runs, [names])):
        return runs
    others = places_by_segment(runs, (names,), told)[tuple((name, Pooled.OTHERS) for name in names)]
    word = "(others)"
    while any((runs[name] == word).any() for name in names):
        word = f"({word})"
    is_told = np.ones(len(runs), dtype=bool)
    is_told[others] = False
    n = len(runs.iloc[others][list(names)].drop_duplicates())
    reasons.append(
        f"Of {n + MOST_SEGMENTS:,} groups by {', '.join(names)} the {MOST_SEGMENTS} with most runs are told; the other "
        f"{n:,}, with {len(others):,} of {len(runs):,} runs, are {word}."
    )
    return runs.assign(**{name: runs[name].astype("str").where(is_told, word) for name in names})


def compared(runs: pd.DataFrame, reasons: list[str]) -> pd.DataFrame:
    """Runs of the `MOST_COMPARED` models with most runs of each of the `MOST_SEGMENTS` benchmarks with most runs.

    Ties by name; `reasons` is told what is left out. Of fewer all are kept.
    """
    pair = ["benchmark", "model"]
    counts = runs.groupby(pair, observed=True).size().rename("n").reset_index()
    place = counts.sort_values("n", ascending=False, kind="stable").groupby("benchmark").cumcount()
    kept = counts[place.sort_index() < MOST_COMPARED]
    if (told := told_of(runs, ["benchmark"])) != {}:
        kept = kept[kept["benchmark"].isin(told["benchmark",]["benchmark"])]
    if len(kept) == len(counts):
        return runs
    reasons.append(
        f"Compared are the {MOST_COMPARED} models with most runs of each of the {MOST_SEGMENTS} benchmarks with most "
        f"runs: {len(counts) - len(kept):,} of {len(counts):,} pairs of benchmark and model are left out."
    )
    return runs[pd.MultiIndex.from_frame(runs[pair]).isin(pd.MultiIndex.from_frame(kept[pair]))]


def listed(names: Sequence[str] | pd.Index, most: int = 20) -> str:
    """Names, of many the first `most`."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(map(str, names[:most])) + more
