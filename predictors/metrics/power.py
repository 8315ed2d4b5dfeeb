"""Planning: how many queries and repeats a comparison needs, from one that was made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from predictors.errors import InsufficientReplicatesError, InvalidInputError
from predictors.metrics.cell_losses import parse_metric, run_losses
from predictors.metrics.replicates import Scale, group_replicates

__all__ = ["DifferenceVariance", "difference_variance", "power_table", "required_queries"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class DifferenceVariance:
    """Variance of a paired loss difference, in its two parts.

    Attributes
    ----------
    between : float
        Between cells, of the expected difference: only more queries help. May be negative by chance.
    within : float
        Between runs of a cell: more runs help as well.
    n_cells, n_replicates : int
        Replicated cells and their runs.
    """

    between: float
    within: float
    n_cells: int
    n_replicates: int


def difference_variance(
    outcomes: pd.DataFrame,
    forecast_a: pd.DataFrame,
    forecast_b: pd.DataFrame,
    *,
    metric: str = "crps",
    scale: Scale = "identity",
) -> DifferenceVariance:
    """Split the variance of the paired difference of two predictors into queries and runs.

    Parameters are those of `predictors.metrics.compare`; only cells with two runs or more are used, one
    cell is one query here.

    Raises
    ------
    InsufficientReplicatesError
        With fewer than two replicated cells.
    """
    parsed = parse_metric(metric, scale)
    if not parsed.is_loss:
        raise InvalidInputError(f"`metric` must be a loss, got {metric!r}")
    runs = group_replicates(outcomes, parsed.scale)
    d = run_losses(runs, forecast_a, parsed, "forecast_a") - run_losses(runs, forecast_b, parsed, "forecast_b")
    repeated = runs.counts >= 2
    if repeated.sum() < 2:
        raise InsufficientReplicatesError("two cells with two runs or more are needed to tell queries from runs")
    mean = runs.mean_within(d)
    squares = np.add.reduceat((d - np.repeat(mean, runs.counts)) ** 2, runs.starts)
    counts = runs.counts[repeated]
    within = float(squares[repeated].sum() / (counts - 1).sum())
    between = float(mean[repeated].var(ddof=1) - within * np.mean(1.0 / counts))
    return DifferenceVariance(between, within, int(repeated.sum()), int(counts.sum()))


def required_queries(
    effect: float, variance: DifferenceVariance, replicates: int = 1, *, power: float = 0.8, size: float = 0.05,
    two_sided: bool = True,
) -> int:  # fmt: skip
    """Queries that find a difference of `effect` with probability `power`: ``((z_a + z_b) sd / effect)^2``.

    Parameters
    ----------
    effect : float
        True difference, in the unit of the loss; positive.
    variance : DifferenceVariance
    replicates : int, optional
        Runs per query.
    power, size : float, optional
    two_sided : bool, optional

    Examples
    --------
    >>> required_queries(0.5, DifferenceVariance(0.5, 0.5, 2, 4))
    32
    """
    if not effect > 0 or replicates < 1:
        raise InvalidInputError(f"`effect` must be > 0 and `replicates` >= 1, got {effect} and {replicates}")
    z = float(stats.norm.ppf(1 - size / (2 if two_sided else 1)) + stats.norm.ppf(power))
    total = max(variance.between, 0.0) + variance.within / replicates
    return max(2, int(np.ceil(z**2 * total / effect**2 - 1e-9)))


def power_table(
    effects: Sequence[float], variance: DifferenceVariance, replicates: Sequence[int] = (1, 2, 3, 5, 10)
) -> pd.DataFrame:
    """Required queries (and runs in all) for each effect and number of replicates, long format."""
    rows = []
    for effect in effects:
        for r in replicates:
            n = required_queries(effect, variance, r)
            rows.append({"effect": effect, "replicates": r, "n_queries": n, "n_runs": n * r})
    return pd.DataFrame(rows)
