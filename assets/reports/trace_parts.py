"""`request_traces` as reports read it: part by part under the rules over all days, or a sample of whole queries."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol, Self, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from foretell.assets.engine import Engine, LocalEngine, Part, Table, current_engine, read_part
from foretell.assets.lake.traces.across_days import repeated_keys, rows_of_part
from foretell.assets.lake.traces.draw import is_drawn

ROWS_IN_RUN = 1_000_000
"""Requests that a report holds at once where it must hold any; of more, some queries are drawn."""

ORDER = ["started_at", "source", "request_id"]


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
        return LocalEngine(), [TracePart(traces, np.empty(0, dtype=np.int64))]
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
    """Requests of some queries, or of all.

    Attributes
    ----------
    rows : DataFrame
        By time, then key; the columns that were asked for are among them.
    n_there : int
        Requests of all queries.
    """

    rows: pd.DataFrame
    n_there: int

    def reasons(self) -> list[str]:
        """A sentence on what was drawn; none where that is everything."""
        return drawn_reasons(len(self.rows), self.n_there)


def drawn_reasons(n_drawn: int, n_there: int) -> list[str]:
    """A sentence on how many requests were drawn; none where all were."""
    if n_drawn == n_there:
        return []
    drawn = f"{n_drawn:,} of {n_there:,} requests"
    return [f"Drawn are {drawn}: all requests of some queries, which a hash chooses."]


def drawn_share(traces: pd.DataFrame | Table, max_rows: int) -> float:
    """What share of the queries to draw so that about `max_rows` requests come."""
    n_rows = len(traces) if isinstance(traces, pd.DataFrame) else traces.n_rows
    return min(1.0, max_rows / max(n_rows, 1))


def draw_queries(traces: pd.DataFrame | Table, columns: Sequence[str], *, max_rows: int = ROWS_IN_RUN) -> Drawn:
    """Bring requests into this process, of more than about `max_rows` those of some queries only.

    A query is drawn by its hash, with all its requests, whatever part they lie in; so the draw is the same however
    the table is cut, and the same from one night to the next as long as the table grows little. The number of rows is
    about `max_rows` where queries have about as many requests each.

    Parameters
    ----------
    traces : DataFrame or Table
        `request_traces`.
    columns : sequence of str
        Which columns travel.
    max_rows : int, optional
    """
    engine, parts = trace_parts(traces)
    wanted = list(dict.fromkeys([*columns, *ORDER, "query_id"]))
    found = engine.map(partial(TracePart.draw, columns=wanted, share=drawn_share(traces, max_rows)), parts)
    frames = [frame for frame, _ in found]
    whole = pd.concat([frame for frame in frames if len(frame)] or frames[:1])
    return Drawn(whole.sort_values(ORDER, kind="stable", ignore_index=True), sum(n for _, n in found))
