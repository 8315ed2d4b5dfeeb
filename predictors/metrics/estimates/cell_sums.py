"""Numbers of cells as sums over queries: their means over all cells, or over the repeated ones, from parts of a table.

A floor is known for repeated cells only. Whether these can speak for the others follows from how they were drawn, so
two sums are kept: of all cells, with the floors of repeated cells weighted by the inverse of the probability with which
they were drawn, and of the repeated cells alone, each counted once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .replicates import Cells
from .sums import ClusterSums, MergedEstimate, cluster_sums

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class FloorSupport:
    """What decides whether repeated cells can speak for all; parts of a table are added up.

    Counts are of cells, those of two runs or more, those of as many as the estimator needs, and those whose probability
    of being drawn for repetition is not known; then come the ends of the known probabilities.
    """

    n_cells: int
    n_repeated: int
    n_enough: int
    n_unknown: int
    least_prob: float
    largest_prob: float

    @classmethod
    def of(cls, cells: Cells, minimum: int) -> FloorSupport:
        """Count the cells of one part, for an estimator that needs `minimum` runs of a cell."""
        probability = cells.repeat_prob[~np.isnan(cells.repeat_prob)]
        ends = (float(probability.min()), float(probability.max())) if probability.size else (np.inf, -np.inf)
        n_enough = int((cells.counts >= minimum).sum())
        return cls(cells.n_cells, int(cells.repeated.sum()), n_enough, cells.n_cells - probability.size, *ends)

    @property
    def all_repeated(self) -> bool:
        """Whether every cell has two runs or more."""
        return self.n_repeated == self.n_cells

    def merge(self, other: FloorSupport) -> FloorSupport:
        """Counts of two parts that share no cell."""
        return FloorSupport(
            self.n_cells + other.n_cells,
            self.n_repeated + other.n_repeated,
            self.n_enough + other.n_enough,
            self.n_unknown + other.n_unknown,
            min(self.least_prob, other.least_prob),
            max(self.largest_prob, other.largest_prob),
        )

    def source(self, minimum: int, loss: str) -> str:
        """Where a floor comes from that needs `minimum` runs of each repeated cell; `loss` is named in the reason.

        Returns
        -------
        str
            ``repeats`` where all cells are repeated, or those that are were drawn with one known probability; ``ipw``
            where they were drawn with known, unequal ones; else ``none: <reason>``, since repeats of queries that
            somebody picked say nothing about the others.
        """
        if self.n_repeated == 0:
            return "none: one run per query"
        if self.n_enough < self.n_repeated:
            enough = f"({self.n_enough} of {self.n_repeated} repeated cells have them)"
            return f"none: {loss} needs {minimum} runs per query {enough}"
        if self.all_repeated:
            return "repeats"
        # A cell that was not repeated needs its probability too: one that could not be drawn is not spoken for.
        if self.n_unknown:
            return f"none: repeats were not drawn at random ({self.n_repeated} of {self.n_cells} cells have them)"
        return "repeats" if self.least_prob == self.largest_prob else "ipw"


@dataclass(frozen=True)
class CellTerms:
    """Numbers of each cell for one metric, arrays of shape (n_cells,) in any unit.

    Floors of cells with fewer than `minimum` runs are not looked at; where they are `skewed` their intervals are
    corrected for it.
    """

    losses: Mapping[str, Floats]
    floors: Mapping[str, Floats]
    minimum: int = 2
    skewed: bool = False


@dataclass(frozen=True)
class CellSums:
    """Sums over queries of the losses and floors of cells, and the runs of all cells and of the repeated ones.

    `whole` are those of all cells: `cells` (their number), each loss, and where there are floors `weight` (one over the
    probability with which a repeated cell was drawn) and ``weighted_<floor>``; `repeated` those of the cells with two
    runs or more: `cells`, each loss, each floor.
    """

    support: FloorSupport
    n_runs: int
    n_repeated_runs: int
    whole: ClusterSums
    repeated: ClusterSums

    @classmethod
    def of(cls, cells: Cells, terms: Mapping[str, CellTerms]) -> dict[str, CellSums]:
        """Sums of one part, which holds all cells of its queries, for each of several metrics.

        Raises
        ------
        InvalidInputError
            If a number is not finite or beyond 1e80.
        """
        columns = _Columns(cells)
        requests = [request for of_metric in terms.values() for request in columns.requests(of_metric)]
        sums = cluster_sums(requests)
        n_runs, n_repeated_runs = int(cells.counts.sum()), int(cells.counts[columns.repeated].sum())
        return {
            name: cls(FloorSupport.of(cells, of_metric.minimum), n_runs, n_repeated_runs, whole, repeated)
            for (name, of_metric), whole, repeated in zip(terms.items(), sums[::2], sums[1::2], strict=True)
        }

    def merge(self, other: CellSums) -> CellSums:
        """Sums of two parts that share no query.

        Raises
        ------
        InvalidInputError
            If the parts hold different losses or floors.
        """
        return CellSums(
            self.support.merge(other.support),
            self.n_runs + other.n_runs,
            self.n_repeated_runs + other.n_repeated_runs,
            self.whole.merge(other.whole),
            self.repeated.merge(other.repeated),
        )

    def replicated(self) -> CellSums | None:
        """Of the cells with two runs or more alone, where these are some but not all; None where they are not."""
        if self.support.n_repeated == 0 or self.support.all_repeated:
            return None
        support = replace(self.support, n_cells=self.support.n_repeated)
        return replace(self, support=support, n_runs=self.n_repeated_runs)

    @property
    def n_queries(self) -> int:
        """Queries that have a cell."""
        return (self.repeated if self.support.all_repeated else self.whole).counts["cells"]

    @property
    def n_repeated_queries(self) -> int:
        """Queries that have a cell with two runs or more."""
        return self.repeated.counts["cells"]

    def mean_loss(self, name: str) -> MergedEstimate:
        """Mean over cells of a loss."""
        return (self.repeated if self.support.all_repeated else self.whole).ratio(name, "cells")

    def mean_floor(self, name: str = "floor") -> MergedEstimate:
        """Mean over cells of a floor, where `FloorSupport.source` says that there is one."""
        if self.support.all_repeated:
            return self.repeated.ratio(name, "cells")
        return self.whole.ratio(f"weighted_{name}", "weight")


class _Columns:
    """Numbers of cells added up by query; what several metrics ask for is one array, and is summed once."""

    def __init__(self, cells: Cells) -> None:
        self.cells = cells
        self.repeated = cells.repeated
        drawn = self.repeated & ~np.isnan(cells.repeat_prob)
        self._nothing = np.zeros(cells.n_queries)
        self._ones = self._by_query(np.ones(cells.n_cells))
        self._ones_of_repeated = self._of_repeated(np.ones(cells.n_cells), self._ones)
        self._weight = np.where(drawn, 1.0 / np.where(drawn, cells.repeat_prob, 1.0), 0.0) if drawn.any() else None
        self._weight_by_query = self._nothing if self._weight is None else self._by_query(self._weight)

    def requests(self, terms: CellTerms) -> Iterator[tuple[dict[str, Floats], tuple[str, ...]]]:
        """Columns of all cells and of the repeated ones, as `cluster_sums` takes them."""
        whole = {"cells": self._ones}
        repeated = {"cells": self._ones_of_repeated}
        for name, values in terms.losses.items():
            whole[name] = self._by_query(values)
            repeated[name] = self._of_repeated(values, whole[name])
        if terms.floors:
            whole["weight"] = self._weight_by_query
        for name, values in terms.floors.items():
            usable = np.where(self.cells.counts >= terms.minimum, values, 0.0)
            repeated[name] = self._by_query(usable)
            whole[f"weighted_{name}"] = self._nothing if self._weight is None else self._by_query(self._weight * usable)
        weighted = tuple(f"weighted_{name}" for name in terms.floors)
        yield whole, ("weight", *weighted) if terms.skewed else ()
        yield repeated, ("cells", *terms.floors) if terms.skewed else ()

    def _by_query(self, values: Floats) -> Floats:
        return np.asarray(np.bincount(self.cells.query, values, self.cells.n_queries))

    def _of_repeated(self, values: Floats, by_query: Floats) -> Floats:
        if self.repeated.all():
            return by_query
        return self._by_query(np.where(self.repeated, values, 0.0)) if self.repeated.any() else self._nothing
