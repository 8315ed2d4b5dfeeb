"""Segments of a table of runs: the cells whose columns take the same values, and what these segments are called."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...errors import InvalidInputError
from .replicates import Replicates, constant_within

Codes = NDArray[np.intp]
SegmentColumns: TypeAlias = tuple[tuple[str, ...], ...]
Segment: TypeAlias = tuple[tuple[str, Hashable], ...]
"""Columns and the values there, None where they are null; of all cells none."""


def segment_name(segment: Segment) -> str:
    """``all`` or ``column=value,column=value``; a null value is called ``null``."""
    return ",".join(f"{name}={'null' if value is None else value}" for name, value in segment) or "all"


def cells_by_segment(
    outcomes: pd.DataFrame, runs: Replicates, columns: SegmentColumns
) -> tuple[dict[Segment, Codes], dict[str, pd.Index]]:
    """Places of the cells of every segment, and the values that each segment column takes, in order, null left out.

    Raises InvalidInputError if a column is missing or takes two values within a cell.
    """
    cells: dict[Segment, Codes] = {(): np.arange(runs.n_cells)}
    codes: dict[str, Codes] = {}
    values: dict[str, pd.Index] = {}
    for names in columns:
        missing = sorted(set(names) - set(outcomes.columns))
        if missing:
            raise InvalidInputError(f"`outcomes` lacks the segment columns {missing}")
        for name in names:
            if name not in values:
                codes[name], values[name] = _codes_by_cell(outcomes[name], runs, name)
        named = [[*values[name], None] for name in names]
        sizes = [len(of_column) for of_column in named]
        code = np.ravel_multi_index([codes[name] for name in names], sizes)
        order = np.argsort(code, kind="stable")
        present, first = np.unique(code[order], return_index=True)
        for at, places in zip(np.transpose(np.unravel_index(present, sizes)), np.split(order, first[1:]), strict=True):
            there = (of_column[i] for of_column, i in zip(named, at, strict=True))
            cells[tuple(zip(names, there, strict=True))] = places
    return cells, values


def _codes_by_cell(column: pd.Series, runs: Replicates, name: str) -> tuple[Codes, pd.Index]:
    """Place of each cell's value among the values, which are in order; null comes after the last."""
    by_row, values = pd.factorize(column, use_na_sentinel=True, sort=True)
    if (by_row != by_row[runs.first_rows][runs.row_cell]).any():
        by_cell = by_row[np.argsort(runs.row_cell, kind="stable")]
        constant_within(by_cell, runs.starts, runs.counts, name)
    codes = by_row[runs.first_rows]
    return np.where(codes < 0, len(values), codes), pd.Index(values)
