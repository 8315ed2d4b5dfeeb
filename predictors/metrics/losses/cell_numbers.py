"""All metrics of a table of runs as numbers per cell: losses, losses of the baseline, floors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..estimates.cell_sums import CellSums, CellTerms
from ..estimates.replicates import Cells, Replicates, group_replicates
from .cell_losses import Metric, cell_losses

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class CellNumbers:
    """Numbers of all metrics by name, in their units, for each cell of a table or of a segment of it.

    `losses` is empty without a forecast, `baselines` without a baseline; `floors` lacks metrics that have none, and a
    floor is NaN for cells with too few runs.
    """

    cells: Cells
    losses: dict[str, Floats]
    baselines: dict[str, Floats]
    floors: dict[str, Floats]

    def take(self, places: NDArray[np.intp]) -> CellNumbers:
        """Only the cells at `places`, of shape (n_kept,), queries numbered anew."""
        parts = ({name: values[places] for name, values in part.items()} for part in self._parts())
        return CellNumbers(self.cells.take(places), *parts)

    def sums(self, metrics: Sequence[Metric]) -> dict[str, CellSums]:
        """Sums over queries for each metric: of its ``loss``, ``baseline`` and ``floor``, where there are these.

        Raises
        ------
        InvalidInputError
            If a number is beyond 1e80.
        """
        return CellSums.of(self.cells, {metric.name: self._terms(metric) for metric in metrics})

    def _terms(self, metric: Metric) -> CellTerms:
        loss, baseline, floor = (
            {column: part[metric.name]} if metric.name in part else {}
            for column, part in zip(("loss", "baseline", "floor"), self._parts(), strict=True)
        )
        if metric.floor is None:
            return CellTerms(loss | baseline, floor)
        return CellTerms(loss | baseline, floor, metric.floor.minimum, metric.floor.skewed)

    def _parts(self) -> tuple[dict[str, Floats], ...]:
        return self.losses, self.baselines, self.floors


def cell_numbers(
    outcomes: pd.DataFrame, forecast: pd.DataFrame | None, baseline: pd.DataFrame | None, metrics: Sequence[Metric]
) -> tuple[Replicates, CellNumbers]:
    """Check runs and forecasts (see `foretell.predictors.metrics.evaluate`) and work out every metric per cell.

    Returns
    -------
    runs : Replicates
        On the scale of the last metric.
    numbers : CellNumbers
    """
    losses: dict[str, Floats] = {}
    baselines: dict[str, Floats] = {}
    floors: dict[str, Floats] = {}
    runs = None
    for scale in dict.fromkeys(metric.scale for metric in metrics):
        of_scale = [metric for metric in metrics if metric.scale == scale]
        runs = group_replicates(outcomes, scale)
        if forecast is not None:
            losses |= cell_losses(runs, forecast, of_scale, "forecast")
        floors |= {metric.name: metric.floor.per_cell(runs) for metric in of_scale if metric.floor}
        if baseline is not None:
            baselines |= cell_losses(runs, baseline, of_scale, "baseline")
    assert runs is not None
    return runs, CellNumbers(runs.cells, losses, baselines, floors)
