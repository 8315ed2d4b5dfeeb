"""Noise floors of a table that is worked on in parts: each part holds whole queries, and their sums are added."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from predictors.errors import InvalidInputError
from predictors.metrics.noise_floor import (
    FloorSupport,
    NoiseFloor,
    crps_floor_per_cell,
    pinball_floor_per_cell,
    pinball_minimum_replicates,
    variance_per_cell,
)
from predictors.metrics.partials import ClusterSums
from predictors.metrics.replicates import Replicates, Scale, group_replicates

__all__ = ["PARTIAL_FLOORS", "PartialFloor", "floor_columns", "partial_floors"]

Floats = NDArray[np.float64]
FLOOR = ("weight", "floor")
MAE_REPLICATES = pinball_minimum_replicates(0.5)


@dataclass(frozen=True)
class _Kind:
    """How a floor is estimated, as `noise_floor` has it: replicates needed, names, and the skewness of its interval."""

    minimum: int
    loss: str
    method: str
    cubed: tuple[str, ...]


PARTIAL_FLOORS: dict[str, _Kind] = {
    "crps": _Kind(2, "", "half Gini mean difference", ()),
    "mae": _Kind(MAE_REPLICATES, "absolute error", "combined", ()),
    "mse": _Kind(2, "", "unbiased variance", FLOOR),
}
"""The metrics whose floors can be added up."""


@dataclass(frozen=True)
class PartialFloor:
    """The floor of one metric on a part of the table.

    Attributes
    ----------
    metric : str
        A key of `PARTIAL_FLOORS`.
    support : FloorSupport
    n_runs, n_queries : int
        Of all cells.
    n_repeated_runs, n_repeated_queries : int
        Of the cells with two runs or more.
    equal, weighted : ClusterSums
        Over queries, of the repeated cells: each counted once, and by the inverse of its probability.
    """

    metric: str
    support: FloorSupport
    n_runs: int
    n_queries: int
    n_repeated_runs: int
    n_repeated_queries: int
    equal: ClusterSums
    weighted: ClusterSums

    def merge(self, other: PartialFloor) -> PartialFloor:
        """The floor of both parts, which must share no query.

        Raises
        ------
        InvalidInputError
            If the metrics differ.
        """
        if self.metric != other.metric:
            raise InvalidInputError(f"floors of {self.metric} and {other.metric} cannot be merged")
        return PartialFloor(
            self.metric,
            self.support.merge(other.support),
            self.n_runs + other.n_runs,
            self.n_queries + other.n_queries,
            self.n_repeated_runs + other.n_repeated_runs,
            self.n_repeated_queries + other.n_repeated_queries,
            self.equal.merge(other.equal),
            self.weighted.merge(other.weighted),
        )

    def replicated(self) -> PartialFloor | None:
        """The same of the cells with two runs or more, where these are some but not all; None where they are not."""
        if not 0 < self.support.n_repeated < self.support.n_cells:
            return None
        support = replace(self.support, n_cells=self.support.n_repeated)
        return replace(self, support=support, n_runs=self.n_repeated_runs, n_queries=self.n_repeated_queries)

    def floor(self) -> NoiseFloor:
        """What `noise_floor` would say of the whole table."""
        kind = PARTIAL_FLOORS[self.metric]
        source = self.support.source(kind.minimum, kind.loss)
        nan = float("nan")
        if source.startswith("none"):
            return NoiseFloor(nan, nan, nan, self.n_queries, self.n_runs, source)
        sums = self.equal if self.support.n_repeated == self.support.n_cells else self.weighted
        estimate = sums.ratio("floor", "weight")
        ends = estimate.interval(skew_corrected=bool(kind.cubed))
        bracket = tuple(sums.ratio(name, "weight").value for name in ("lower", "upper") if name in sums.columns)
        support = (self.n_repeated_queries, self.n_repeated_runs)
        return NoiseFloor(estimate.value, *ends, *support, f"{source}: {kind.method}", *bracket)


def partial_floors(runs: pd.DataFrame, scale: Scale = "identity") -> dict[str, PartialFloor]:
    """Floors of one part of a long table of runs (see `group_replicates`), which holds all runs of its queries.

    Returns
    -------
    dict of metric to PartialFloor
    """
    laid_out = group_replicates(runs, scale)
    lower, upper, combined = (2.0 * end for end in pinball_floor_per_cell(laid_out, 0.5))
    ends = {
        "crps": {"floor": crps_floor_per_cell(laid_out)},
        "mae": {"floor": combined, "lower": lower, "upper": upper},
        "mse": {"floor": variance_per_cell(laid_out)},
    }
    return {metric: _partial(metric, laid_out, per_cell) for metric, per_cell in ends.items()}


def floor_columns(runs: Replicates, per_cell: dict[str, Floats], weight: Floats) -> dict[str, Floats]:
    """Per query: weights of its cells, and `per_cell` times weight, summed; NaN counts as 0 where weight is 0."""
    n = int(runs.query.max()) + 1
    columns = {"weight": weight, **{k: np.where(weight > 0, weight * v, 0.0) for k, v in per_cell.items()}}
    return {name: np.asarray(np.bincount(runs.query, values, n), dtype=np.float64) for name, values in columns.items()}


def _partial(metric: str, runs: Replicates, per_cell: dict[str, Floats]) -> PartialFloor:
    kind = PARTIAL_FLOORS[metric]
    repeated = runs.counts >= 2
    known = repeated & ~np.isnan(runs.repeat_prob)
    inverse = np.where(known, 1.0 / np.where(known, runs.repeat_prob, 1.0), 0.0)
    return PartialFloor(
        metric,
        FloorSupport.of(runs.counts, runs.repeat_prob, kind.minimum),
        int(runs.counts.sum()),
        int(runs.query.max()) + 1,
        int(runs.counts[repeated].sum()),
        int(np.unique(runs.query[repeated]).size),
        ClusterSums.of(floor_columns(runs, per_cell, repeated.astype(np.float64)), cubed=kind.cubed),
        ClusterSums.of(floor_columns(runs, per_cell, inverse), cubed=kind.cubed),
    )
