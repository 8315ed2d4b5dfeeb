"""What an evaluation is broken down by: the values of columns, those with most runs, and the others as one segment."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from enum import Enum
from typing import TypeAlias

import numpy as np
import pandas as pd

from ..arrays import Codes
from ..errors import InvalidInputError

MOST_SEGMENTS = 500
"""Segments by the values of a column (or of several at once) that are told one by one."""


class Pooled(Enum):
    """In place of a value: all those that are not told one by one. No value of a column equals it."""

    OTHERS = "others"


SegmentColumns: TypeAlias = tuple[tuple[str, ...], ...]
Segment: TypeAlias = tuple[tuple[str, Hashable], ...]
"""Columns and the values there, None where they are null and `Pooled.OTHERS` for those pooled; of all cells none."""
ToldSegments: TypeAlias = Mapping[tuple[str, ...], pd.DataFrame]
"""By columns: the values that are told one by one, a row each. Columns that are not among them are told whole."""


def columns_of_segments(segments: Sequence[str | tuple[str, ...]]) -> SegmentColumns:
    """The columns of each entry, which is one or several."""
    return tuple((entry,) if isinstance(entry, str) else tuple(entry) for entry in segments)


def count_segments(rows: pd.DataFrame, segments: Sequence[str | tuple[str, ...]]) -> pd.DataFrame:
    """Runs (`n_runs`) of every combination of the columns of `segments` that `rows`, one per run, hold.

    Counts of parts of a table may be concatenated for `told_segments`.
    """
    columns = list(dict.fromkeys(name for names in columns_of_segments(segments) for name in names))
    if not columns:
        return pd.DataFrame({"n_runs": []})
    return rows.groupby(columns, dropna=False, sort=False, observed=True).size().rename("n_runs").reset_index()


def told_segments(counts: pd.DataFrame, segments: Sequence[str | tuple[str, ...]]) -> ToldSegments:
    """Which segments are told one by one where there are more than `MOST_SEGMENTS`: those with most runs, ties by name.

    It rests on the `counts` of a whole table (`count_segments`), so that it is the same however that is cut, and what
    is told of its floors is told of its evaluations. The other runs of such columns are one segment.
    """
    told = {}
    for names in columns_of_segments(segments):
        of_value = counts.groupby(list(names), dropna=False, sort=False)["n_runs"].sum().reset_index()
        if len(of_value) > MOST_SEGMENTS:
            most = of_value["n_runs"] >= of_value["n_runs"].nlargest(MOST_SEGMENTS).iloc[-1]
            ordered = of_value[most].sort_values(["n_runs", *names], ascending=[False] + [True] * len(names))
            told[names] = ordered.head(MOST_SEGMENTS)[list(names)]
    return told


def told_of(rows: pd.DataFrame, segments: Sequence[str | tuple[str, ...]]) -> ToldSegments:
    """`told_segments` of the runs of a whole table in memory."""
    return told_segments(count_segments(rows, segments), segments)


def segment_name(segment: Segment) -> str:
    """``all``, ``benchmark=aime,model=x``, or ``benchmark,model: others``, which no value can spell."""
    if segment and segment[0][1] is Pooled.OTHERS:
        return f"{','.join(column for column, _ in segment)}: others"
    return ",".join(f"{column}={'null' if value is None else value}" for column, value in segment) or "all"


def places_by_segment(rows: pd.DataFrame, columns: SegmentColumns, told: ToldSegments) -> dict[Segment, Codes]:
    """Positions of the rows of every segment, ``all`` first; raises InvalidInputError if a column is missing."""
    places: dict[Segment, Codes] = {(): np.arange(len(rows))}
    factors = {}
    for names in columns:
        if missing := sorted(set(names) - set(rows.columns)):
            raise InvalidInputError(f"`outcomes` lacks the segment columns {missing}")
        for name in names:
            if name not in factors:
                codes, values = pd.factorize(rows[name])
                factors[name] = np.where(codes < 0, len(values), codes), pd.Index(values)
        sizes = [len(factors[name][1]) + 1 for name in names]
        code, others = np.ravel_multi_index([factors[name][0] for name in names], sizes), int(np.prod(sizes))
        if names in told:
            at = np.array([_positions(told[names][name], factors[name][1]) for name in names])
            kept = np.ravel_multi_index(at[:, (at >= 0).all(axis=0)], sizes)
            code = np.where(np.isin(code, kept), code, others)
        order = np.argsort(code, kind="stable")
        present, first = np.unique(code[order], return_index=True)
        named = [[*factors[name][1], None] for name in names]
        for one, where in zip(present.tolist(), np.split(order, first[1:]), strict=True):
            values_at = np.unravel_index(one, sizes) if one != others else ()
            held = [of_column[i] for of_column, i in zip(named, values_at)] or [Pooled.OTHERS] * len(names)  # noqa: B905
            places[tuple(zip(names, held, strict=True))] = where
    return places


def _positions(wanted: pd.Series, values: pd.Index) -> Codes:
    """Where each of `wanted` stands among `values`, null behind the last; -1 where it does not."""
    return np.where(wanted.isna(), len(values), values.get_indexer(pd.Index(wanted)))


def values_of(rows: pd.DataFrame, segments: Iterable[Segment]) -> dict[str, pd.Index]:
    """The values that segments have of each column of `rows`, null left out; categories keep their order."""
    told: dict[str, set[Hashable]] = {str(name): set() for name in rows}
    for name, value in (pair for segment in segments for pair in segment):
        told[name].add(value)
    distinct = {name: pd.Index(rows[name].dropna().unique()) for name in told}
    return {name: index[np.array([value in told[name] for value in index], bool)] for name, index in distinct.items()}


def in_order(segments: Iterable[Segment], columns: SegmentColumns, values: Mapping[str, pd.Index]) -> list[Segment]:
    """Segments by their columns, then their `values` in order, null and then those pooled behind the last."""
    places: dict[str, dict[Hashable, int]] = {}
    for name, index in values.items():
        ordered = [*pd.factorize(index, sort=True)[1], None, Pooled.OTHERS]
        places[name] = {value: place for place, value in enumerate(ordered)}

    def place(segment: Segment) -> tuple[int, ...]:
        position = ((), *columns).index(tuple(name for name, _ in segment))
        return position, *(places[name][value] for name, value in segment)

    return sorted(segments, key=place)
