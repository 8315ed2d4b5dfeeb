"""Each metric as one number per cell: its mean loss over the runs."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from ...arrays import Floats
from ...errors import InvalidInputError
from ..estimates.cell_sums import FloorEstimator
from ..estimates.noise_floor import (
    CRPS_FLOOR,
    LOG_LOSS_FLOOR,
    MAE_FLOOR,
    MSE_FLOOR,
    interval_score_estimator,
    pinball_estimator,
)
from ..estimates.replicates import Replicates, Scale
from .quantile import forecast_parts, interval_score, log_loss, pinball_loss

Kind = Literal["crps", "mae", "mse", "brier", "log_loss", "coverage", "width", "interval_score", "pinball"]
DEFAULT_METRICS = ("crps", "mae", "mse", "coverage_90", "width_90", "interval_score_90")
FLOORS = {"crps": CRPS_FLOOR, "mae": MAE_FLOOR, "mse": MSE_FLOOR, "brier": MSE_FLOOR, "log_loss": LOG_LOSS_FLOOR}
PATTERN = re.compile(
    r"^(?:(crps|mae|mse|brier|log_loss)|(coverage|width|interval_score|pinball)_(\d+(?:\.\d+)?))(_log)?$"
)


@dataclass(frozen=True)
class Metric:
    """A metric by name: its `kind` is the name without per cent and scale.

    `probability` is the per cent: nominal coverage of the interval, or level of the pinball loss; else 0.5.
    """

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
    def floor(self) -> FloorEstimator | None:
        """How its noise floor is estimated; None for what is no loss and has none."""
        if self.kind == "interval_score":
            return interval_score_estimator(*self.levels)
        if self.kind == "pinball":
            return pinball_estimator(self.probability)
        return FLOORS.get(self.kind)


def parse_metric(name: str, scale: Scale) -> Metric:
    """Read a metric's name.

    ``crps``, ``mae``, ``mse``, ``brier``, ``log_loss``, ``coverage_90``, ``width_90``, ``interval_score_90``,
    ``pinball_95`` (numbers in per cent); with ``_log`` at the end on the log scale whatever `scale` says. Raises
    InvalidInputError for an unknown name.
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


def parse_metrics(metrics: Sequence[str], scale: Scale) -> list[Metric]:
    """Read the names of metrics, which must differ; errors as of `parse_metric`."""
    if isinstance(metrics, str) or not metrics or len(set(metrics)) < len(metrics):
        raise InvalidInputError(f"`metrics` must be different names, got {metrics!r}")
    return [parse_metric(name, scale) for name in metrics]


def cell_losses(
    runs: Replicates, forecast: pd.DataFrame, metrics: Sequence[Metric], name: str = "forecast"
) -> dict[str, Floats]:
    """Mean loss over the runs of each cell, shape (n_cells,), for metrics that share one scale (that of `runs`).

    `forecast` of shape (n_forecasts, n_levels) has the index `cell_id` and one column per level, in the unit of the
    outcomes before they were put on the scale; errors call it by its `name`. By metric, in its unit: of losses lower is
    better, coverage is a share and width has no direction. Raises InvalidInputError if forecasts are missing, not
    finite or crossing, or lack a level; if a Brier score is asked of outcomes other than 0 and 1.
    """
    levels = tuple(sorted({level for metric in metrics for level in metric.levels}))
    is_crps = any(metric.kind == "crps" for metric in metrics)
    parts = forecast_parts(forecast, runs, metrics[0].scale, levels, crps=is_crps, name=name)
    return {metric.name: _loss(metric, runs, parts) for metric in metrics}


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
        return np.asarray((y - parts["mean"][runs.cell]) ** 2)  # of outcomes 0 and 1 the Brier score
    ends = [parts[level][runs.cell] for level in metric.levels]
    if metric.kind == "mae":
        return np.abs(y - ends[0])
    if metric.kind == "pinball":
        return pinball_loss(y, ends[0], metric.probability)
    if metric.kind == "coverage":
        return ((ends[0] <= y) & (y <= ends[1])).astype(np.float64)
    return interval_score(y, ends[0], ends[1], metric.probability)
