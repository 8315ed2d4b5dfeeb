"""All metrics of a table of runs as numbers per cell: losses, losses of the baseline, floors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from predictors.errors import InvalidInputError
from predictors.metrics.cell_losses import Metric, cell_floors, cell_losses, parse_metric
from predictors.metrics.replicates import Replicates, Scale, group_replicates
from predictors.metrics.segments import check_constant

__all__ = ["DEFAULT_METRICS", "CellNumbers", "cell_numbers", "parse_metrics"]

Floats = NDArray[np.float64]
Codes = NDArray[np.intp]
DEFAULT_METRICS = ("crps", "mae", "mse", "coverage_90", "width_90", "interval_score_90")


@dataclass(frozen=True)
class CellNumbers:
    """Per-cell numbers of all metrics, for the whole table or a segment of it.

    Attributes
    ----------
    runs : Replicates
        Of the whole table.
    counts, repeat_prob, query : ndarray of shape (n_cells,)
        Runs of each cell, its probability of being repeated, and its query, 0 .. n_queries - 1.
    losses, baselines, floors : dict of metric name to ndarray of shape (n_cells,)
        A floor is NaN for cells with too few runs; metrics without a floor are absent there, and all metrics are
        absent in `baselines` where there is no baseline.
    features : DataFrame of shape (n_cells, n_features) or None
        For modelled floors.
    """

    runs: Replicates
    counts: Codes
    repeat_prob: Floats
    query: Codes
    losses: dict[str, Floats] = field(default_factory=dict)
    baselines: dict[str, Floats] = field(default_factory=dict)
    floors: dict[str, Floats] = field(default_factory=dict)
    features: pd.DataFrame | None = None

    @property
    def n_queries(self) -> int:
        """Queries that have a cell here."""
        return int(self.query.max()) + 1

    @property
    def n_replicates(self) -> int:
        """Runs of all cells."""
        return int(self.counts.sum())

    def take(self, cells: Codes) -> CellNumbers:
        """The same numbers for some cells, queries numbered anew."""
        query = np.unique(self.query[cells], return_inverse=True)[1]
        losses, baselines, floors = (
            {name: values[cells] for name, values in part.items()}
            for part in (self.losses, self.baselines, self.floors)
        )
        features = None if self.features is None else self.features.iloc[cells]
        return CellNumbers(
            self.runs, self.counts[cells], self.repeat_prob[cells], query, losses, baselines, floors, features
        )


def parse_metrics(metrics: Sequence[str], scale: Scale) -> list[Metric]:
    """Read the names of metrics, which must differ.

    Raises
    ------
    InvalidInputError
        For names that repeat, or that `parse_metric` does not know.
    """
    if isinstance(metrics, str) or not metrics or len(set(metrics)) < len(metrics):
        raise InvalidInputError(f"`metrics` must be different names, got {metrics!r}")
    return [parse_metric(name, scale) for name in metrics]


def cell_numbers(
    outcomes: pd.DataFrame,
    forecast: pd.DataFrame,
    baseline: pd.DataFrame | None,
    metrics: Sequence[Metric],
    features: Sequence[str] = (),
) -> CellNumbers:
    """Check runs and forecasts (see `predictors.metrics.evaluate`) and work out every metric per cell."""
    losses: dict[str, Floats] = {}
    baselines: dict[str, Floats] = {}
    floors: dict[str, Floats] = {}
    runs = None
    for scale in dict.fromkeys(metric.scale for metric in metrics):
        wanted = [metric for metric in metrics if metric.scale == scale]
        runs = group_replicates(outcomes, scale)
        losses |= cell_losses(runs, forecast, wanted, "forecast")
        floors |= cell_floors(runs, wanted)
        if baseline is not None:
            baselines |= cell_losses(runs, baseline, wanted, "baseline")
    assert runs is not None
    table = _features(outcomes, runs, features) if features else None
    return CellNumbers(runs, runs.counts, runs.repeat_prob, runs.query, losses, baselines, floors, table)


def _features(outcomes: pd.DataFrame, runs: Replicates, names: Sequence[str]) -> pd.DataFrame:
    missing = sorted(set(names) - set(outcomes.columns))
    if missing:
        raise InvalidInputError(f"`outcomes` lacks the feature columns {missing}")
    for name in names:
        check_constant(pd.factorize(outcomes[name])[0], runs, name)
    return outcomes[list(names)].iloc[runs.first_rows].astype("float64")
