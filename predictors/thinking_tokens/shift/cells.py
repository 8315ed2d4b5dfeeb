"""Cells: the runs of one source, benchmark, model and effort, summed up by their mean and their spreads.

Inside each benchmark a two-way empirical-Bayes fit tells how long a cell's answers are from how long its queries'
answers are, so that models that ran on other queries of a benchmark can be compared.
"""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...arrays import Codes, Floats, Mask

CELL = ["source", "benchmark", "model", "reasoning_effort"]
"""Columns that name a cell, text without nulls."""

STEPS = 25
PRIOR_QUERIES = 5.0
"""Weight, in queries, of the benchmark's residual variance in that of a cell."""
LEAST_VARIANCE = 1e-3


@dataclass(frozen=True)
class CellTable:
    """What is known of each cell.

    Attributes
    ----------
    cells : DataFrame of shape (n_cells, 4)
        Columns `CELL`.
    mean : ndarray of shape (n_cells,)
        Mean log tokens over the queries of the benchmark.
    error : ndarray of shape (n_cells,)
        Variance of `mean` as an estimate.
    query_variance : ndarray of shape (n_cells,)
        Variance of log tokens between queries that the cells of a benchmark share, in the cell's benchmark.
    rest_variance : ndarray of shape (n_cells,)
        Variance of a single run about its cell's mean and its query's effect.
    n_queries : ndarray of shape (n_cells,)
    """

    cells: pd.DataFrame
    mean: Floats
    error: Floats
    query_variance: Floats
    rest_variance: Floats
    n_queries: Floats

    def __len__(self) -> int:
        return len(self.mean)

    @property
    def spread(self) -> Floats:
        """Variance of a run of a query that nothing is known of, about the mean of its cell; shape (n_cells,)."""
        return self.query_variance + self.rest_variance

    def take(self, rows: Codes | Mask) -> "CellTable":
        """The cells at `rows` (positions or a mask)."""
        arrays = {name: values[rows] for name, values in self._arrays().items()}
        return CellTable(cells=self.cells.iloc[np.arange(len(self))[rows]].reset_index(drop=True), **arrays)

    def joined(self, other: "CellTable") -> "CellTable":
        """These cells and those of `other`; a cell may stand twice, as two measurements of one mean."""
        arrays = {name: np.concatenate([values, vars(other)[name]]) for name, values in self._arrays().items()}
        return CellTable(cells=pd.concat([self.cells, other.cells], ignore_index=True), **arrays)

    def _arrays(self) -> dict[str, Floats]:
        return {name: values for name, values in vars(self).items() if name != "cells"}

    def state(self) -> tuple[dict[str, Any], dict[str, Floats]]:
        """JSON and arrays from which `from_state` restores the table."""
        columns = {str(name): self.cells[name].tolist() for name in self.cells}
        return columns, {f"table.{name}": values for name, values in self._arrays().items()}

    @classmethod
    def from_state(cls, state: dict[str, Any], arrays: dict[str, Floats]) -> Self:
        """Restore what `state` returned."""
        named = {name.removeprefix("table."): values for name, values in arrays.items() if name.startswith("table.")}
        return cls(cells=pd.DataFrame(state), **named)


def summarise_cells(X: pd.DataFrame, log_tokens: Floats, query: NDArray[np.object_]) -> CellTable:
    """Sum up runs `X` (columns `CELL`, without nulls) by cell.

    `log_tokens` and `query`, which names the query within its benchmark, have shape (n_runs,); runs that were cut off
    are left out by the caller, or completed.
    """
    benchmark, _ = _codes(X[["source", "benchmark"]])
    cell, cells = _codes(X[CELL])
    item, items = _codes(pd.DataFrame({"benchmark": benchmark, "query": query}))
    pair, pairs = _codes(pd.DataFrame({"cell": cell, "item": item}))
    of_cell, of_item = benchmark[cells], benchmark[items]
    runs = np.bincount(pair)
    value = np.bincount(pair, log_tokens) / runs
    cell_of_pair, item_of_pair = cell[pairs], item[pairs]
    # Between repeated runs of one query on one model, by benchmark; 0 where nothing is repeated.
    squares, place = np.bincount(pair, (log_tokens - value[pair]) ** 2), of_cell[cell_of_pair]
    repeat = np.bincount(place, squares) / np.maximum(np.bincount(place, runs - 1), 1)
    mean, between, rest, n_queries = _two_way(cell_of_pair, item_of_pair, value, of_cell, of_item)
    query_variance = between[of_cell]
    # The residual of a mean over runs holds their repetition divided by their number: give the rest of it back.
    per_pair = 1.0 - 1.0 / runs
    extra = np.bincount(cell_of_pair, per_pair) / np.bincount(cell_of_pair) * repeat[of_cell]
    error, names = (query_variance + rest) / n_queries, X[CELL].iloc[cells].reset_index(drop=True)
    return CellTable(names, mean, error, query_variance, rest + extra, n_queries)


def _two_way(
    cell: Codes, item: Codes, value: Floats, of_cell: Codes, of_item: Codes
) -> tuple[Floats, Floats, Floats, Floats]:
    """Alternate between means of cells and shrunk effects of queries, with the two variances of each benchmark.

    Returns means, variances between queries (by benchmark), variances of the rest and numbers of queries of the cells.
    """
    n_queries, n_models = np.bincount(cell).astype(float), np.bincount(item).astype(float)
    here = of_cell[cell]
    mean = np.bincount(cell, value) / n_queries
    whole = np.bincount(here, (value - mean[cell]) ** 2) / np.bincount(here)
    between = np.maximum(whole / 2, LEAST_VARIANCE)
    within = between.copy()
    alone = np.bincount(of_cell) == 1
    for _ in range(STEPS):
        shrink = within[of_item] / between[of_item]
        effect = np.bincount(item, value - mean[cell]) / (n_models + shrink)
        error = within[of_item] / (n_models + shrink)
        mean = np.bincount(cell, value - effect[item]) / n_queries
        residual = (value - mean[cell] - effect[item]) ** 2 + error[item]
        between = np.maximum(np.bincount(of_item, effect**2 + error) / np.bincount(of_item), LEAST_VARIANCE)
        within = np.maximum(np.bincount(here, residual) / np.bincount(here), LEAST_VARIANCE)
        # One model alone cannot tell a long query from a long answer: half and half.
        between[alone] = within[alone] = np.maximum(whole[alone] / 2, LEAST_VARIANCE)
    rest = (np.bincount(cell, residual) + PRIOR_QUERIES * within[of_cell]) / (n_queries + PRIOR_QUERIES)
    return mean, between, rest, n_queries


def _codes(frame: pd.DataFrame) -> tuple[Codes, Codes]:
    """Position of each row among the distinct rows, and the first row of each of these."""
    codes, _ = pd.factorize(pd.MultiIndex.from_frame(frame))
    return codes.astype(np.intp), np.unique(codes, return_index=True)[1]
