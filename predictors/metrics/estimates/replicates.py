"""The long table of runs, checked once and laid out by cell: all runs of a cell side by side, sorted.

A **cell** is what shares one forecast (one query on one model and configuration), its runs are the
replicates. A **query** is what is independent; several cells may belong to one query.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...arrays import Codes, Floats, Mask
from ...errors import InvalidInputError

Scale = Literal["identity", "log"]


@dataclass(frozen=True)
class Cells:
    """How often each cell was run, and which query it belongs to; arrays of shape (n_cells,).

    `counts` are the runs, `query` is the query (cluster), 0 .. n_queries - 1, and `repeat_prob` the probability with
    which the cell was drawn for repetition, NaN where unknown.
    """

    counts: Codes
    query: Codes
    repeat_prob: Floats

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return int(self.counts.size)

    @property
    def n_queries(self) -> int:
        """Number of queries."""
        return int(self.query.max()) + 1

    @property
    def repeated(self) -> Mask:
        """Which cells have two runs or more, shape (n_cells,)."""
        return np.asarray(self.counts >= 2)

    def take(self, places: Codes) -> Cells:
        """Only the cells at `places`, of shape (n_kept,), queries numbered anew."""
        query = np.unique(self.query[places], return_inverse=True)[1]
        return Cells(self.counts[places], query, self.repeat_prob[places])


@dataclass(frozen=True)
class Replicates(Cells):
    """Runs laid out by cell.

    `values` of shape (n_runs,) are outcomes, by cell and then ascending, on the scale that was asked for; `cell` of
    the same shape is the cell of each, 0 .. n_cells - 1; `starts` (n_cells,) the first run of each cell. `cell_ids` and
    `query_ids` are names. Of the table `row_cell` (n_runs,) is the cell of each row, in its order, and `first_rows`
    (n_cells,) a row of each cell, for columns that are constant within a cell.
    """

    values: Floats
    cell: Codes
    starts: Codes
    cell_ids: pd.Index
    query_ids: pd.Index
    row_cell: Codes
    first_rows: Codes

    def mean_within(self, per_run: Floats) -> Floats:
        """Mean over the runs of each cell, shape (n_cells,)."""
        return np.asarray(np.add.reduceat(per_run, self.starts) / self.counts)

    def rank_within(self) -> Codes:
        """Position of each run among the sorted runs of its cell, from 0."""
        return np.arange(self.values.size) - np.repeat(self.starts, self.counts)


def group_replicates(outcomes: pd.DataFrame, scale: Scale = "identity") -> Replicates:
    """Check the long table of runs and lay it out by cell.

    `outcomes` has one row per run: `cell_id`, `query_id`, `value`, optional `repeat_prob`. Where the optional columns
    `replicate` or `response_id` are there, they must not repeat within a cell (`replicate`) or at all (`response_id`):
    a run counted twice looks like a smaller noise floor. The `scale` ``"log"`` takes natural logarithms. Raises
    InvalidInputError if columns are missing, values are null, not finite, or not positive under ``"log"``, a cell
    belongs to two queries, `repeat_prob` is outside (0, 1] or varies within a cell, or a run is there twice.
    """
    if not isinstance(outcomes, pd.DataFrame):
        raise InvalidInputError(f"`outcomes` must be a DataFrame, got {type(outcomes).__name__}")
    missing = sorted({"cell_id", "query_id", "value"} - set(outcomes.columns))
    if missing:
        raise InvalidInputError(f"`outcomes` lacks the columns {missing}")
    if len(outcomes) == 0:
        raise InvalidInputError("`outcomes` has no rows")
    values = to_scale(_finite(outcomes["value"], "outcomes['value']"), scale, "outcomes['value']")
    cell, cell_ids = _codes(outcomes["cell_id"], "cell_id")
    query, query_ids = _codes(outcomes["query_id"], "query_id")
    duplicates = duplicated_runs(outcomes)
    if duplicates.any():
        raise InvalidInputError(
            f"`outcomes` holds {int(duplicates.sum())} runs twice (same cell and `replicate`, or same `response_id`): "
            "drop the copies, they fake a low noise floor"
        )
    order = np.lexsort((values, cell))
    row_cell, cell = cell, cell[order]
    starts = np.flatnonzero(np.r_[True, cell[1:] != cell[:-1]])
    counts = np.diff(np.r_[starts, cell.size])
    first_rows = order[starts]
    constant_within(query[order], starts, counts, "query_id")
    probability = _repeat_prob(outcomes, order, starts, counts)
    of_cells = (counts, query[first_rows], probability)
    return Replicates(*of_cells, values[order], cell, starts, cell_ids, query_ids, row_cell, first_rows)


def to_scale(values: Floats, scale: Scale, name: str) -> Floats:
    """Values of any shape on a scale; ``"log"`` is the natural logarithm and wants positive values."""
    if scale == "identity":
        return values
    if scale != "log":
        raise InvalidInputError(f"`scale` must be 'identity' or 'log', got {scale!r}")
    if np.any(values <= 0):
        raise InvalidInputError(
            f"`{name}` must be > 0 on the log scale, got {int(np.count_nonzero(values <= 0))} values <= 0 "
            f"(least {values.min():g}): shift outcomes and forecasts alike, for example by 1, or use scale='identity'"
        )
    return np.log(values)


def constant_within(codes: NDArray[np.generic], starts: Codes, counts: Codes, name: str) -> None:
    """Raise where a column takes two values within one cell; `codes` of shape (n_runs,), sorted by cell."""
    differs = codes != np.repeat(codes[starts], counts)
    if differs.any():
        cells = int(np.unique(np.searchsorted(starts, np.flatnonzero(differs), side="right")).size)
        raise InvalidInputError(f"`{name}` must be the same in all runs of a cell, it varies in {cells} cells")


def duplicated_runs(outcomes: pd.DataFrame) -> pd.Series:
    """Mark the second and later copies of runs that are there twice, shape (n_runs,), index of `outcomes`.

    A run is the same as an earlier one if it has the same `cell_id` and `replicate`, or the same
    `response_id` (an answer served from a cache). Null ids are never the same. Without either column
    nothing can be told and nothing is marked.
    """
    marked = np.zeros(len(outcomes), dtype=bool)
    for keys in (["cell_id", "replicate"], ["response_id"]):
        if set(keys) <= set(outcomes.columns):
            named = outcomes[keys].notna().all(axis=1).to_numpy()
            marked |= named & outcomes.duplicated(subset=keys).to_numpy()
    return pd.Series(marked, index=outcomes.index, name="is_duplicate")


def splits_of(outcomes: pd.DataFrame) -> frozenset[str]:
    """The splits that a table of runs names, none without a column `split`; refuses a query with runs in several."""
    if not isinstance(outcomes, pd.DataFrame) or "split" not in outcomes or "query_id" not in outcomes:
        return frozenset()
    n_splits = outcomes.groupby("query_id", observed=True)["split"].nunique(dropna=False)
    straddling = n_splits.index[n_splits > 1]
    if len(straddling):
        raise InvalidInputError(
            f"{len(straddling)} values of `query_id` have runs in more than one `split` (for example "
            f"{straddling[0]!r}): split by `query_id`, never by row"
        )
    return frozenset(outcomes["split"].astype(str))


def _finite(values: pd.Series, name: str) -> Floats:
    try:
        array = values.to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise InvalidInputError(f"`{name}` must be numbers, got dtype {values.dtype}") from error
    bad = int(np.count_nonzero(~np.isfinite(array)))
    if bad:
        raise InvalidInputError(f"`{name}` must be finite, got {bad} NaN or infinite values")
    return array


def _codes(ids: pd.Series, name: str) -> tuple[Codes, pd.Index]:
    codes, uniques = pd.factorize(ids)
    if (codes < 0).any():
        raise InvalidInputError(f"`{name}` must not be null, got {int((codes < 0).sum())} null values")
    return codes, pd.Index(uniques)


def _repeat_prob(outcomes: pd.DataFrame, order: Codes, starts: Codes, counts: Codes) -> Floats:
    if "repeat_prob" not in outcomes.columns:
        return np.full(starts.size, np.nan)
    column = outcomes["repeat_prob"].to_numpy(dtype=np.float64, na_value=np.nan)[order]
    given = column[~np.isnan(column)]
    if given.size and (given.min() <= 0 or given.max() > 1):
        raise InvalidInputError(f"`repeat_prob` must be in (0, 1], got {given.min():g} to {given.max():g}")
    constant_within(np.nan_to_num(column, nan=-1.0), starts, counts, "repeat_prob")
    return np.asarray(column[starts])
