"""Segments of a table of runs: the cells whose columns take the same values, and what these segments are called."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from predictors.errors import InvalidInputError
from predictors.metrics.replicates import Replicates, constant_within

__all__ = ["ALL", "Segment", "SegmentColumns", "cells_by_segment", "check_constant", "segment_columns", "segment_name"]

Codes = NDArray[np.intp]
SegmentColumns: TypeAlias = tuple[tuple[str, ...], ...]
Segment: TypeAlias = tuple[int, tuple[Hashable, ...]]
"""Position among the segment columns (-1 for all cells), and the values there; None where they are null."""
ALL: Segment = (-1, ())


def segment_columns(segments: Sequence[str | tuple[str, ...]]) -> SegmentColumns:
    """Columns of each segment, as tuples."""
    return tuple((entry,) if isinstance(entry, str) else tuple(entry) for entry in segments)


def segment_name(columns: SegmentColumns, segment: Segment) -> str:
    """``all`` or ``column=value,column=value``; a null value is called ``null``."""
    position, values = segment
    if position < 0:
        return "all"
    terms = zip(columns[position], values, strict=True)
    return ",".join(f"{name}={'null' if value is None else value}" for name, value in terms)


def cells_by_segment(outcomes: pd.DataFrame, runs: Replicates, columns: SegmentColumns) -> list[tuple[Segment, Codes]]:
    """Cells of every segment: all of them first, then by the order of `columns` and of the values, null last.

    Raises
    ------
    InvalidInputError
        If a column is missing or takes two values within a cell.
    """
    found: list[tuple[Segment, Codes]] = [(ALL, np.arange(runs.n_cells))]
    for position, keys in enumerate(columns):
        missing = sorted(set(keys) - set(outcomes.columns))
        if missing:
            raise InvalidInputError(f"`outcomes` lacks the segment columns {missing}")
        found += [((position, values), cells) for values, cells in _cells_by_values(outcomes, runs, keys)]
    return found


def check_constant(row_codes: Codes, runs: Replicates, name: str) -> None:
    """Raise where a column (its codes by row of the table) takes two values within one cell."""
    if (row_codes != row_codes[runs.first_rows][runs.row_cell]).any():
        by_cell = row_codes[np.argsort(runs.row_cell, kind="stable")]
        constant_within(by_cell, runs.starts, runs.counts, name)


def _cells_by_values(
    outcomes: pd.DataFrame, runs: Replicates, keys: tuple[str, ...]
) -> list[tuple[tuple[Hashable, ...], Codes]]:
    code = np.zeros(runs.n_cells, dtype=np.intp)
    known: list[list[Hashable]] = []
    for key in keys:
        row_codes, values = pd.factorize(outcomes[key], use_na_sentinel=True, sort=True)
        check_constant(row_codes, runs, key)
        known.append([*values, None])
        row_codes = np.where(row_codes < 0, len(values), row_codes)
        code = code * len(known[-1]) + row_codes[runs.first_rows]
    order = np.argsort(code, kind="stable")
    present, first = np.unique(code[order], return_index=True)
    places = np.unravel_index(present, [len(values) for values in known])
    named = [tuple(values[i] for values, i in zip(known, at, strict=True)) for at in zip(*places, strict=True)]
    return [(values, np.sort(cells)) for values, cells in zip(named, np.split(order, first[1:]), strict=True)]
