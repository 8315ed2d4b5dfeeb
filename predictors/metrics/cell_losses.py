"""Each metric as one number per cell: its mean loss over the runs, and its floor."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from predictors.errors import InvalidInputError
from predictors.metrics.noise_floor import (
    crps_floor_per_cell,
    pinball_floor_per_cell,
    pinball_minimum_replicates,
    variance_per_cell,
)
from predictors.metrics.point import absolute_error, log_loss, squared_error
from predictors.metrics.quantile import align_forecast, interval_score, pinball_loss
from predictors.metrics.replicates import Replicates, Scale
from predictors.metrics.score_floors import LOG_LOSS_REPLICATES, log_loss_floor_per_cell

__all__ = ["Metric", "cell_floors", "cell_losses", "parse_metric", "run_losses"]

Floats = NDArray[np.float64]
Kind = Literal["crps", "mae", "mse", "brier", "log_loss", "coverage", "width", "interval_score", "pinball"]
PATTERN = re.compile(
    r"^(?:(crps|mae|mse|brier|log_loss)|(coverage|width|interval_score|pinball)_(\d+(?:\.\d+)?))(_log)?$"
)


@dataclass(frozen=True)
class Metric:
    """A metric by name: its kind, the per cent in its name as a probability, its scale and its levels."""

    name: str
    kind: Kind
    probability: float
    scale: Scale

    @property
    def is_loss(self) -> bool:
        """Whether lower is better; coverage is better near its nominal value, width says nothing alone."""
        return self.kind not in ("coverage", "width")

    @property
    def levels(self) -> tuple[float, ...]:
        """Levels of the forecast that the metric reads one by one."""
        if self.kind == "mae":
            return (0.5,)
        if self.kind == "pinball":
            return (self.probability,)
        if self.kind in ("coverage", "width", "interval_score"):
            tail = (1.0 - self.probability) / 2
            return (round(tail, 9), round(1.0 - tail, 9))
        return ()

    @property
    def minimum_replicates(self) -> int:
        """Replicates that the floor needs."""
        if self.kind == "log_loss":
            return LOG_LOSS_REPLICATES
        return max((pinball_minimum_replicates(level) for level in self.levels), default=2)

    @property
    def no_floor(self) -> str | None:
        """Why the metric has no floor at all, if so."""
        return None if self.is_loss else f"none: {self.kind} is not a loss"


def parse_metric(name: str, scale: Scale) -> Metric:
    """Read a metric's name.

    ``crps``, ``mae``, ``mse``, ``brier``, ``log_loss``, ``coverage_90``, ``width_90``, ``interval_score_90``,
    ``pinball_95`` (numbers in per cent); with ``_log`` at the end on the log scale whatever `scale` says.

    Raises
    ------
    InvalidInputError
        For an unknown name.
    """
    match = PATTERN.match(name)
    percent = float(match[3] or 50) if match else 0.0
    if match is None or not 0 < percent < 100:
        raise InvalidInputError(
            f"`metrics` knows crps, mae, mse, brier, log_loss, coverage_<percent>, width_<percent>, "
            f"interval_score_<percent> and pinball_<percent>, each also with _log, got {name!r}"
        )
    kind: Kind = match[1] or match[2]  # type: ignore[assignment]
    return Metric(name, kind, percent / 100, "log" if match[4] else scale)


def cell_losses(
    runs: Replicates, forecast: pd.DataFrame, metrics: Sequence[Metric], name: str = "forecast"
) -> dict[str, Floats]:
    """Mean loss over the runs of each cell, for metrics that share one scale (that of `runs`).

    Returns
    -------
    dict of metric name to ndarray of shape (n_cells,)

    Raises
    ------
    InvalidInputError
        If forecasts are missing, not finite or crossing, or lack a level; if a Brier score is asked
        of outcomes other than 0 and 1.
    """
    aligned = align_forecast(forecast, runs.cell_ids, metrics[0].scale, name)
    levels = tuple(sorted({level for metric in metrics for level in metric.levels}))
    parts = aligned.summarise(runs, levels, crps=any(metric.kind == "crps" for metric in metrics))
    return {metric.name: _loss(metric, runs, parts) for metric in metrics}


def cell_floors(runs: Replicates, metrics: Sequence[Metric]) -> dict[str, Floats]:
    """Floor of each cell for metrics that have one; NaN for cells with one run, shape (n_cells,)."""
    return {metric.name: _floor(metric, runs) for metric in metrics if metric.no_floor is None}


def run_losses(runs: Replicates, forecast: pd.DataFrame, metric: Metric, name: str = "forecast") -> Floats:
    """Loss of each run, in the order of ``runs.values``, shape (n_runs,)."""
    aligned = align_forecast(forecast, runs.cell_ids, metric.scale, name)
    parts = aligned.summarise(runs, metric.levels, crps=metric.kind == "crps")
    return _per_run(metric, runs, parts)


def _loss(metric: Metric, runs: Replicates, parts: dict[str | float, Floats]) -> Floats:
    if metric.kind == "width":
        return parts[metric.levels[1]] - parts[metric.levels[0]]
    return runs.mean_within(_per_run(metric, runs, parts))


def _per_run(metric: Metric, runs: Replicates, parts: dict[str | float, Floats]) -> Floats:
    y = runs.values
    if metric.kind == "crps":
        return parts["crps_per_run"]
    if metric.kind in ("brier", "log_loss") and not np.isin(y, (0.0, 1.0)).all():
        raise InvalidInputError(f"`{metric.kind}` wants outcomes 0 or 1: use `mse` for other outcomes")
    if metric.kind == "log_loss":
        return log_loss(y, parts["mean"][runs.cell])
    if metric.kind in ("mse", "brier"):
        return squared_error(y, parts["mean"][runs.cell])
    ends = [parts[level][runs.cell] for level in metric.levels]
    if metric.kind == "mae":
        return absolute_error(y, ends[0])
    if metric.kind == "pinball":
        return pinball_loss(y, ends[0], metric.probability)
    if metric.kind == "coverage":
        return ((ends[0] <= y) & (y <= ends[1])).astype(np.float64)
    return interval_score(y, ends[0], ends[1], metric.probability)


def _floor(metric: Metric, runs: Replicates) -> Floats:
    if metric.kind == "crps":
        return crps_floor_per_cell(runs)
    if metric.kind in ("mse", "brier"):
        return variance_per_cell(runs)
    if metric.kind == "log_loss":
        return log_loss_floor_per_cell(runs)
    combined = [pinball_floor_per_cell(runs, level)[2] for level in metric.levels]
    if metric.kind == "interval_score":
        return np.asarray(2.0 / (1.0 - metric.probability) * (combined[0] + combined[1]))
    return 2.0 * combined[0] if metric.kind == "mae" else combined[0]
