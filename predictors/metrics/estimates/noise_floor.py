"""The noise floor: the error that remains for a forecaster who knows each query's distribution of outcomes.

Only this module estimates floors. Each estimator gives one number per cell from its replicates; the floor is their
mean over cells, under the same weights as the error it stands beside. Unbiased from two replicates for squared error,
CRPS and Brier score; for absolute error and quantile losses a bracket (in sample too low, leave-one-out too high) and
the combination of its ends; for the log loss a jackknife.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from ...arrays import Codes, Floats
from ...errors import InvalidInputError
from .cell_sums import CellSums, FloorEstimator
from .replicates import Replicates

LOG_LOSS_REPLICATES = 4


# -- one number per cell --------------------------------------------------------------------------
def variance_per_cell(runs: Replicates) -> Floats:
    """Unbiased variance of each cell's outcomes, ``s^2`` with R - 1, shape (n_cells,); NaN for one run.

    The floor of squared error, and of the Brier score where outcomes are 0 or 1, since
    ``p (1 - p) R / (R - 1)`` is the same number.
    """
    centred = runs.values - np.repeat(runs.values[runs.starts], runs.counts)  # so that equal runs give exactly 0
    deviation = centred - np.repeat(runs.mean_within(centred), runs.counts)
    total = np.add.reduceat(deviation**2, runs.starts)
    return _divide(total, runs.counts - 1)


def crps_floor_per_cell(runs: Replicates) -> Floats:
    """Half of Gini's mean difference of each cell, shape (n_cells,); NaN for one run. Unbiased from 2.

    ``sum_{r<s} |y_r - y_s| / (R (R - 1))``, computed from the sorted runs; the U-statistic of Ferro (2014), Fair scores
    for ensemble forecasts.
    """
    centred = runs.values - np.repeat(runs.values[runs.starts], runs.counts)
    slope = 2.0 * runs.rank_within() - np.repeat(runs.counts, runs.counts) + 1.0
    total = np.add.reduceat(slope * centred, runs.starts)
    return _divide(total, runs.counts * (runs.counts - 1))


def pinball_floor_per_cell(runs: Replicates, level: float) -> tuple[Floats, Floats, Floats]:
    """Floor of the pinball loss per cell: in sample, leave-one-out and combined, each (n_cells,).

    In expectation the floor lies between the first two. The combination
    ``(R I + (R - 1) O) / (2 R - 1)`` is exact for squared error and asymptotically so for quantiles.
    NaN for one run.
    """
    values, counts = runs.values, np.repeat(runs.counts, runs.counts)
    start, rank = np.repeat(runs.starts, runs.counts), runs.rank_within()
    best = _order_statistic(values, start, counts, level, skip=counts)
    in_sample = runs.mean_within(_pinball(values - best, level))
    left_out = _order_statistic(values, start, np.maximum(counts - 1, 1), level, skip=np.where(counts < 2, 1, rank))
    out_of_sample = runs.mean_within(_pinball(values - left_out, level))
    combined = (runs.counts * in_sample + (runs.counts - 1) * out_of_sample) / (2 * runs.counts - 1)
    single = runs.counts < 2
    for array in (in_sample, out_of_sample, combined):
        array[single] = np.nan
    return in_sample, out_of_sample, combined


def pinball_minimum_replicates(level: float) -> int:
    """Replicates from which the combined estimator is within about 5 % (docs/studies/noise-floor.md)."""
    tail = min(level, 1.0 - level)
    return 4 if tail > 0.25 else 8 if tail >= 0.1 else int(np.ceil(0.6 / tail))


def _order_statistic(values: Floats, start: Codes, n: Codes, level: float, skip: Codes) -> Floats:
    """Sample quantile at `level` of n sorted runs from `start`, without the run of rank `skip` where there is one.

    Any minimiser of the pinball loss does; where it is an interval, its midpoint.
    """
    place = level * n
    lower = np.ceil(place - 1e-9).astype(np.intp) - 1
    upper = np.minimum(np.where(np.abs(place - np.round(place)) < 1e-9, lower + 1, lower), n - 1)
    lower, upper = lower + (lower >= skip), upper + (upper >= skip)
    return np.asarray((values[start + lower] + values[start + upper]) / 2.0)


def _pinball(error: Floats, level: float) -> Floats:
    return np.asarray(np.maximum(level * error, (level - 1.0) * error))


def log_loss_floor_per_cell(runs: Replicates) -> Floats:
    """Jackknife entropy of each cell's outcomes 0 and 1, in nats, shape (n_cells,); NaN below 4 runs.

    ``R H(k, R) - (R - 1) mean of H without each run`` (Burnham & Overton 1979). No estimator is unbiased (Paninski
    2003); this one was within 6 % from 4 runs (docs/studies/noise-floor.md). Raises InvalidInputError if an outcome is
    neither 0 nor 1.
    """
    if not np.isin(runs.values, (0.0, 1.0)).all():
        raise InvalidInputError("the log loss needs outcomes 0 or 1: use `mse` for other outcomes")
    r = runs.counts.astype(np.float64)
    k = np.add.reduceat(runs.values, runs.starts)
    left = np.maximum(r - 1, 1)
    left_out = k / r * _entropy(np.maximum(k - 1, 0) / left) + (r - k) / r * _entropy(np.minimum(k / left, 1))
    entropy = r * _entropy(k / r) - (r - 1) * left_out
    return np.where(runs.counts >= LOG_LOSS_REPLICATES, entropy, np.nan)


def _entropy(p: Floats) -> Floats:
    return np.asarray(special.entr(p) + special.entr(1.0 - p))


def _divide(total: Floats, by: NDArray[np.integer]) -> Floats:
    return np.asarray(np.where(by > 0, total / np.maximum(by, 1), np.nan))


# -- how the floor of a loss is estimated ---------------------------------------------------------
CRPS_FLOOR = FloorEstimator("half Gini mean difference", 2, crps_floor_per_cell)
MSE_FLOOR = FloorEstimator("unbiased variance", 2, variance_per_cell, skewed=True)
LOG_LOSS_FLOOR = FloorEstimator("jackknife entropy", LOG_LOSS_REPLICATES, log_loss_floor_per_cell)


def pinball_estimator(level: float, factor: float = 1.0) -> FloorEstimator:
    """The estimator of the floor of `factor` times the pinball loss at `level`, in (0, 1)."""
    minimum = pinball_minimum_replicates(level)
    return FloorEstimator("combined", minimum, lambda runs: factor * pinball_floor_per_cell(runs, level)[2])


MAE_FLOOR = pinball_estimator(0.5, factor=2.0)


def interval_score_estimator(lower: float, upper: float) -> FloorEstimator:
    """The estimator of the floor of the interval score between the quantiles at two levels, from two pinball losses."""
    factor = 2.0 / (1.0 - (upper - lower))
    below, above = (pinball_estimator(level, factor) for level in (lower, upper))
    minimum = max(below.minimum, above.minimum)
    return FloorEstimator("combined", minimum, lambda runs: below.per_cell(runs) + above.per_cell(runs))


# -- floors of a table ----------------------------------------------------------------------------
@dataclass(frozen=True)
class NoiseFloor:
    """A noise floor, or the reason why there is none.

    `value` is in the unit of the loss, NaN where it cannot be estimated, never 0 for want of replicates, with its 95 %
    interval over queries, NaN for fewer than two. `n_queries` and `n_replicates` count what the estimate rests on, all
    where there is none. `method` is ``repeats`` or ``ipw`` and the estimator, or ``none: <reason>``.
    """

    value: float
    ci_lower: float
    ci_upper: float
    n_queries: int
    n_replicates: int
    method: str


def floor_sums(runs: Replicates, estimator: FloorEstimator) -> CellSums:
    """Sums over queries from which `noise_floor` makes the floor; those of parts of whole queries can be merged."""
    return CellSums.of(runs, {"": {"floor": estimator.per_cell(runs)}}, {"": estimator})[""]


def noise_floor(sums: CellSums, estimator: FloorEstimator, loss: str) -> NoiseFloor:
    """The floor from sums that `estimator` made; `loss` is named in the reason where it needs more replicates.

    NaN with a reason where queries have one run, or too few, or repeats were not drawn at random.
    """
    source = sums.support.source(estimator.minimum, loss)
    if source.startswith("none"):
        nan = float("nan")
        return NoiseFloor(nan, nan, nan, sums.n_queries, sums.n_runs, source)
    floor = sums.mean_floor()
    ends = floor.interval(skew_corrected=estimator.skewed)
    n_queries, n_runs = sums.n_repeated_queries, sums.n_repeated_runs
    return NoiseFloor(floor.value, *ends, n_queries, n_runs, f"{source}: {estimator.method}")
