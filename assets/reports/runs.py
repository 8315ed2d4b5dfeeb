"""`request_traces` as reports read it: under the rules over all days, drawn where there are many, and priced.

Of more than `ROWS_IN_RUN` requests those of some queries are drawn, a query with all its runs; so reports are the same
however the traces are cut. A part is drawn and priced where it lies.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from foretell.assets.engine import Engine, Part, Table, current_engine, read_part
from foretell.assets.lake.traces.across_days import is_drawn, repeated_keys, rows_of_part
from foretell.assets.store.money import percent
from foretell.predictors.errors import InvalidInputError
from foretell.predictors.thinking_tokens.prices.cost import estimated_input_tokens, request_rates

ROWS_IN_RUN = 1_000_000
"""Requests that a report holds at once; of more, some queries are drawn."""

ORDER = ["started_at", "source", "request_id"]
TEXT = "prompt_text"
PRICING = [
    "query_id", "model", "provider", "service_tier", "started_at", "benchmark", TEXT, "input_tokens",
    "output_tokens", "reasoning_tokens", "is_censored", "score",
]  # fmt: skip
"""What prices, passes and their reasons are read from; the text only for its length, where input is not counted."""
MAX_CENSORED = 0.05


@dataclass(frozen=True, eq=False)
class TracePart:
    """A part of `request_traces`, and the positions of its rows whose key came before on another day."""

    part: Part
    repeated: NDArray[np.int64]

    def read(self, columns: Sequence[str]) -> pd.DataFrame:
        """The other rows."""
        frame = read_part(self.part, columns)
        return frame.drop(index=frame.index[self.repeated])


def trace_parts(traces: pd.DataFrame | Table) -> tuple[Engine, list[TracePart]]:
    """Parts to work on, and the engine to do so: a frame is one part, and stays in this process."""
    if isinstance(traces, pd.DataFrame):
        return Engine(), [TracePart(traces, np.empty(0, dtype=np.int64))]
    engine = current_engine()
    repeated = repeated_keys(traces, engine)
    parts = enumerate(traces.parts)
    return engine, [TracePart(part, rows_of_part(repeated, place)["row"].to_numpy()) for place, part in parts]


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


Made = Callable[[pd.DataFrame], pd.DataFrame]
"""What is made of the drawn rows of a part, row by row."""


def draw_queries(
    traces: pd.DataFrame | Table, columns: Sequence[str], *, max_rows: int = ROWS_IN_RUN, made: Made | None = None
) -> Drawn:
    """Bring `columns` of `request_traces` into this process, of more than about `max_rows` requests some queries only.

    A query is drawn by its hash, with all its requests, whatever part they lie in; so the draw is the same however
    the table is cut, and the same from one night to the next as long as the table grows little. The number of rows is
    about `max_rows` where queries have about as many requests each. `made` of them comes, made where the part lies.
    """
    engine, parts = trace_parts(traces)
    n_rows = len(traces) if isinstance(traces, pd.DataFrame) else traces.n_rows
    wanted = list(dict.fromkeys([*columns, *ORDER, "query_id"]))
    work = partial(_drawn_part, columns=wanted, share=min(1.0, max_rows / max(n_rows, 1)), made=made)
    drawn = engine.map(work, parts)
    frames = [frame for frame, _ in drawn]
    whole = pd.concat([frame for frame in frames if len(frame)] or frames[:1])
    return Drawn(whole.sort_values(ORDER, kind="stable", ignore_index=True), sum(n for _, n in drawn))


def _drawn_part(part: TracePart, columns: Sequence[str], share: float, made: Made | None) -> tuple[pd.DataFrame, int]:
    frame = part.read(columns)
    drawn = frame[is_drawn(frame["query_id"], share)]
    return drawn if made is None else made(drawn), len(frame)


def price_runs(traces: pd.DataFrame, price_file: Path | None) -> pd.DataFrame:
    """Runs with the rates of their model and what each part of them costs, null where that is not known.

    Returns
    -------
    DataFrame
        `traces` and the columns `usd_per_input_token`, `usd_per_output_token`, `listed_usd_per_mtok`
        (input + output), `input_usd`, `thinking_usd` (null where reasoning is not reported), `total_usd`: tokens
        times rate, without cache and batch discounts, so that models are compared by list; and `is_estimated` where
        the input tokens are.
    """
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
    runs["total_usd"] = runs["input_usd"] + runs["usd_per_output_token"] * tokens["output_tokens"]
    return runs


def priced_runs(
    traces: pd.DataFrame | Table, price_file: Path | None, *, more: Sequence[str] = (), max_rows: int = ROWS_IN_RUN
) -> tuple[pd.DataFrame, list[str]]:
    """Runs that have a price, with the columns of `price_runs`, and what is to be said of the others.

    Texts and other columns come only where they are among `more`.
    """
    drawn = draw_queries(traces, [*PRICING, *more], max_rows=max_rows,
                         made=partial(_price_part, price_file=price_file, with_text=TEXT in more))  # fmt: skip
    runs = drawn.rows
    return runs[runs["total_usd"].notna()], [*drawn.reasons(), *_price_reasons(runs)]


def _price_part(traces: pd.DataFrame, price_file: Path | None, with_text: bool) -> pd.DataFrame:
    runs = price_runs(traces, price_file)
    return runs if with_text else runs.drop(columns=TEXT)


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
    if column not in runs:
        raise InvalidInputError(f"the runs lack the column {column!r}")
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
            reasons.append(f"{len(lost)} runs of {_listed(sorted(lost['model'].unique()))} are left out: {why}.")
    cut_off = runs[~unknown].groupby("model")["is_censored"].mean()
    return reasons + [
        f"{model} was cut off in {percent(share)} of its runs: it is judged by cut answers, and looks cheaper than "
        "it is."
        for model, share in cut_off[cut_off > MAX_CENSORED].items()
    ]


def _listed(names: list[str]) -> str:
    shown = ", ".join(map(str, names[:4]))
    return shown if len(names) <= 4 else f"{shown} and {len(names) - 4} more models"
