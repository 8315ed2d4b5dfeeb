"""Numbers of cells as sums over queries: their means over all cells, or over the repeated ones, from parts of a table.

A floor is known for repeated cells only. Whether these can speak for the others follows from how they were drawn, so
two sums are kept: of all cells, with the floors of repeated cells weighted by the inverse of the probability with which
they were drawn, and of the repeated cells alone, each counted once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass, replace

import numpy as np

from ...arrays import Floats
from .replicates import Cells, Replicates
from .sums import ClusterSums, MergedEstimate, cluster_sums


@dataclass(frozen=True)
class FloorEstimator:
    """How the floor of a loss is estimated: from `minimum` replicates of a cell on, one number for each cell.

    `per_cell` gives an ndarray of shape (n_cells,) in the unit of the loss, NaN where a cell has too few runs. The
    interval of a `skewed` one is corrected for skewness.
    """

    method: str
    minimum: int
    per_cell: Callable[[Replicates], Floats]
    skewed: bool = False


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
        *counts, least, largest = zip(astuple(self), astuple(other), strict=True)
        n_cells, n_repeated, n_enough, n_unknown = map(sum, counts)
        return FloorSupport(n_cells, n_repeated, n_enough, n_unknown, min(least), max(largest))

    def source(self, minimum: int, loss: str) -> str:
        """Where a floor comes from that needs `minimum` runs of each repeated cell; `loss` is named in the reason.

        ``repeats`` where all cells are repeated, or those that are were drawn with one known probability; ``ipw`` where
        they were drawn with known, unequal ones; else ``none: <reason>``, since repeats of queries that somebody picked
        say nothing about the others.
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
class CellSums:
    """Sums over queries of the numbers of cells for one metric, and the runs of all cells and of the repeated ones.

    `whole` are those of all cells: `cells` (their number), `loss` and `baseline`, and where there is a floor `weight`
    (one over the probability with which a repeated cell was drawn) and `weighted_floor`; `repeated` those of the cells
    with two runs or more: `cells`, `loss`, `baseline`, `floor`.
    """

    support: FloorSupport
    n_runs: int
    n_repeated_runs: int
    whole: ClusterSums
    repeated: ClusterSums

    @classmethod
    def of(
        cls, cells: Cells, numbers: Mapping[str, Mapping[str, Floats]], floors: Mapping[str, FloorEstimator | None]
    ) -> dict[str, CellSums]:
        """Sums of one part, which holds all cells of its queries, by metric.

        Its `numbers` of shape (n_cells,) are ``loss``, ``baseline`` and ``floor``, as far as there are these; `floors`
        says how its floor was estimated (None without one), and floors of cells with too few runs for that are not
        looked at. Raises InvalidInputError if a number is not finite or beyond 1e80.
        """
        is_repeated = cells.repeated
        drawn = is_repeated & ~np.isnan(cells.repeat_prob)
        nothing = np.zeros(cells.n_queries)

        def by_query(values: Floats) -> Floats:
            return np.asarray(np.bincount(cells.query, values, cells.n_queries))

        def of_repeated(values: Floats, of_all: Floats) -> Floats:
            if is_repeated.all():
                return of_all
            return by_query(np.where(is_repeated, values, 0.0)) if is_repeated.any() else nothing

        # What several metrics ask for is one array, and is summed once.
        ones = by_query(np.ones(cells.n_cells))
        ones_of_repeated = of_repeated(np.ones(cells.n_cells), ones)
        weight = np.where(drawn, 1.0 / np.where(drawn, cells.repeat_prob, 1.0), 0.0)
        weight_by_query = by_query(weight) if drawn.any() else nothing
        requests: list[tuple[dict[str, Floats], tuple[str, ...]]] = []
        for name, held in numbers.items():
            of_all = {"cells": ones, **{column: by_query(held[column]) for column in held if column != "floor"}}
            of_some = {column: of_repeated(held[column], of_all[column]) for column in held if column != "floor"}
            of_some, floor = {"cells": ones_of_repeated, **of_some}, floors[name]
            if floor is not None:
                usable = np.where(cells.counts >= floor.minimum, held["floor"], 0.0)
                of_all["weight"] = weight_by_query
                of_all["weighted_floor"] = by_query(weight * usable) if drawn.any() else nothing
                of_some["floor"] = by_query(usable)
            is_skewed = floor is not None and floor.skewed
            requests.append((of_all, ("weight", "weighted_floor") if is_skewed else ()))
            requests.append((of_some, ("cells", "floor") if is_skewed else ()))
        sums = cluster_sums(requests)
        n_runs, n_repeated_runs = int(cells.counts.sum()), int(cells.counts[is_repeated].sum())
        out = {}
        for name, whole, repeated in zip(numbers, sums[::2], sums[1::2], strict=True):
            floor = floors[name]
            support = FloorSupport.of(cells, floor.minimum if floor else 2)
            out[name] = cls(support, n_runs, n_repeated_runs, whole, repeated)
        return out

    def merge(self, other: CellSums) -> CellSums:
        """Sums of two parts that share no query.

        Raises InvalidInputError if the parts hold different losses or floors.
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
    def _used(self) -> ClusterSums:
        return self.repeated if self.support.all_repeated else self.whole

    @property
    def n_queries(self) -> int:
        """Queries that have a cell."""
        return self._used.counts["cells"]

    @property
    def n_repeated_queries(self) -> int:
        """Queries that have a cell with two runs or more."""
        return self.repeated.counts["cells"]

    def mean_loss(self, name: str) -> MergedEstimate:
        """Mean over cells of ``loss`` or ``baseline``."""
        return self._used.ratio(name, "cells")

    def mean_floor(self) -> MergedEstimate:
        """Mean over cells of the floor, where `FloorSupport.source` says that there is one."""
        if self.support.all_repeated:
            return self.repeated.ratio("floor", "cells")
        return self.whole.ratio("weighted_floor", "weight")
