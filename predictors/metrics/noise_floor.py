"""The noise floor: the error that remains for a forecaster who knows each query's distribution of outcomes.

Only this module estimates floors. Each estimator gives one number per cell from its replicates; the
floor is their mean over cells, under the same weights as the error it stands beside. Unbiased from two
replicates for squared error, CRPS and Brier score; for absolute error and quantile losses a bracket
(in sample too low, leave-one-out too high) and the combination of its ends.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from predictors.errors import InvalidInputError
from predictors.metrics.clusters import Estimate, mean_estimate
from predictors.metrics.replicates import Replicates, Scale, group_replicates

__all__ = [
    "FloorSupport",
    "FloorWeights",
    "NoiseFloor",
    "crps_floor",
    "crps_floor_per_cell",
    "floor_weights",
    "mae_floor",
    "mse_floor",
    "pinball_floor",
    "pinball_floor_per_cell",
    "pinball_minimum_replicates",
    "table_floor",
    "variance_per_cell",
]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class NoiseFloor:
    """A noise floor, or the reason why there is none.

    Attributes
    ----------
    value : float
        In the unit of the loss; NaN where it cannot be estimated, never 0 for want of replicates.
    ci_lower, ci_upper : float
        95 % interval over queries.
    n_queries, n_replicates : int
        Queries and runs that the estimate rests on.
    method : str
        ``repeats`` or ``ipw`` and the estimator, or ``none: <reason>``.
    bracket_lower, bracket_upper : float
        Ends that hold the floor in expectation, for losses without an unbiased estimator; else NaN.
    """

    value: float
    ci_lower: float
    ci_upper: float
    n_queries: int
    n_replicates: int
    method: str
    bracket_lower: float = float("nan")
    bracket_upper: float = float("nan")


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

    ``sum_{r<s} |y_r - y_s| / (R (R - 1))``, computed from the sorted runs.

    References
    ----------
    Ferro (2014), Fair scores for ensemble forecasts, for the same U-statistic of an ensemble.
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
    best = _order_statistic(values, start, counts, level, skip=None)
    in_sample = runs.mean_within(_pinball(values - best, level))
    lonely = counts < 2
    others = np.where(lonely, 1, counts - 1)
    left_out = _order_statistic(values, start, others, level, skip=np.where(lonely, 1, rank))
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


def _order_statistic(
    values: Floats, start: NDArray[np.intp], n: NDArray[np.intp], level: float, skip: NDArray[np.intp] | None
) -> Floats:
    """Sample quantile at `level` of n sorted runs from `start`, without the run of rank `skip`.

    Any minimiser of the pinball loss does; where it is an interval, its midpoint.
    """
    place = level * n
    lower = np.ceil(place - 1e-9).astype(np.intp) - 1
    upper = np.minimum(np.where(np.abs(place - np.round(place)) < 1e-9, lower + 1, lower), n - 1)
    if skip is not None:
        lower, upper = lower + (lower >= skip), upper + (upper >= skip)
    return np.asarray((values[start + lower] + values[start + upper]) / 2.0)


def _pinball(error: Floats, level: float) -> Floats:
    return np.asarray(np.maximum(level * error, (level - 1.0) * error))


def _divide(total: Floats, by: NDArray[np.integer]) -> Floats:
    return np.asarray(np.where(by > 0, total / np.maximum(by, 1), np.nan))


# -- which cells may speak for the others -----------------------------------------------------------
@dataclass(frozen=True)
class FloorWeights:
    """Weights of the cells in a floor, shape (n_cells,), and where they come from.

    `weights` is None where the floor cannot be estimated; `source` then says why.
    """

    weights: Floats | None
    source: str


def floor_weights(counts: NDArray[np.integer], repeat_prob: Floats, minimum: int = 2, loss: str = "") -> FloorWeights:
    """Decide whether replicated cells can speak for all cells, and with which weights.

    Parameters
    ----------
    counts : ndarray of int of shape (n_cells,)
        Runs of each cell.
    repeat_prob : ndarray of shape (n_cells,)
        Probability with which each cell was drawn for repetition, NaN where unknown.
    minimum : int, optional
        Replicates that the estimator needs.
    loss : str, optional
        Name of the loss in the reason, where it needs more than two replicates.

    Returns
    -------
    FloorWeights
        All cells repeated: weight 1, ``repeats``. Some, with known probabilities: inverse-probability
        weights, ``ipw`` (``repeats`` where the probability is one constant). Otherwise None and
        ``none: <reason>``: repeats of queries that somebody picked say nothing about the others.
    """
    repeated = counts >= 2
    source = FloorSupport.of(counts, repeat_prob, minimum).source(minimum, loss)
    if source.startswith("none"):
        return FloorWeights(None, source)
    if repeated.all():
        return FloorWeights(np.ones(counts.size), source)
    return FloorWeights(np.where(repeated, 1.0 / np.where(repeated, repeat_prob, 1.0), 0.0), source)


@dataclass(frozen=True)
class FloorSupport:
    """What decides whether replicated cells can speak for all; parts of a table are added up.

    Attributes
    ----------
    n_cells, n_repeated, n_enough, n_unknown : int
        Cells, those of two runs or more, those of as many as the estimator needs, and those whose probability of
        being drawn for repetition is not known.
    least_prob, largest_prob : float
        Of the known probabilities.
    """

    n_cells: int
    n_repeated: int
    n_enough: int
    n_unknown: int
    least_prob: float
    largest_prob: float

    @classmethod
    def of(cls, counts: NDArray[np.integer], repeat_prob: Floats, minimum: int) -> FloorSupport:
        """Count one part; `counts` and `repeat_prob` of shape (n_cells,)."""
        known = repeat_prob[~np.isnan(repeat_prob)]
        ends = (float(known.min()), float(known.max())) if known.size else (np.inf, -np.inf)
        n_repeated, n_enough = int((counts >= 2).sum()), int((counts >= minimum).sum())
        return cls(counts.size, n_repeated, n_enough, counts.size - known.size, *ends)

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
        """``repeats``, ``ipw`` or ``none: <reason>``; see `floor_weights`."""
        n, n_repeated = self.n_cells, self.n_repeated
        if n_repeated == 0:
            return "none: one run per query"
        if self.n_enough < n_repeated:
            enough = f"({self.n_enough} of {n_repeated} repeated cells have them)"
            return f"none: {loss} needs {minimum} runs per query {enough}"
        if n_repeated == n:
            return "repeats"
        # A cell that was not repeated needs its probability too: one that could not be drawn is not spoken for.
        if self.n_unknown:
            return f"none: repeats were not drawn at random ({n_repeated} of {n} cells have them)"
        return "repeats" if self.least_prob == self.largest_prob else "ipw"


# -- floors of a whole table --------------------------------------------------------------------
def mse_floor(replicates: pd.DataFrame, scale: Scale = "identity") -> NoiseFloor:
    """Noise floor of squared error (of the Brier score, for outcomes 0 and 1): mean within-cell variance.

    Parameters
    ----------
    replicates : DataFrame of shape (n_runs, n_columns)
        Long table, see `group_replicates`: `query_id`, `value`, optional `cell_id` (by default the
        query) and `repeat_prob`.
    scale : {"identity", "log"}, optional

    Returns
    -------
    NoiseFloor
        In the squared unit of the target, with a skewness-corrected interval. NaN with a reason
        where queries have one run or repeats were not drawn at random.

    Raises
    ------
    InvalidInputError
        For a malformed table.
    """
    return table_floor(replicates, scale, "unbiased variance", variance_per_cell, skewed=True)


def crps_floor(replicates: pd.DataFrame, scale: Scale = "identity") -> NoiseFloor:
    """Noise floor of the CRPS: half of Gini's mean difference (parameters as `mse_floor`), unit of the target."""
    return table_floor(replicates, scale, "half Gini mean difference", crps_floor_per_cell)


def mae_floor(replicates: pd.DataFrame, scale: Scale = "identity") -> NoiseFloor:
    """Noise floor of absolute error, from 4 replicates, with its bracket (parameters as `mse_floor`)."""
    return pinball_floor(replicates, 0.5, scale, factor=2.0)


def pinball_floor(
    replicates: pd.DataFrame, level: float, scale: Scale = "identity", *, factor: float = 1.0
) -> NoiseFloor:
    """Noise floor of `factor` times the pinball loss at `level`, with its bracket.

    Needs 4 replicates near the median, 8 at levels .1 and .9, more further out
    (`pinball_minimum_replicates`); parameters otherwise as `mse_floor`. Unit of the target.
    """
    if not 0 < level < 1:
        raise InvalidInputError(f"`level` must be in (0, 1), got {level}")
    minimum = pinball_minimum_replicates(level)
    name = "absolute error" if (level, factor) == (0.5, 2.0) else f"the pinball loss at {level:g}"
    runs = group_replicates(_with_cells(replicates), scale)
    chosen = floor_weights(runs.counts, runs.repeat_prob, minimum, name)
    ends = [factor * part for part in pinball_floor_per_cell(runs, level)]
    if chosen.weights is None:
        return _no_floor(runs, chosen)
    n_queries = int(runs.query.max()) + 1
    lower, upper, estimate = (mean_estimate(e, runs.query, n_queries, chosen.weights) for e in ends)
    ci = estimate.interval()
    return NoiseFloor(
        estimate.value, *ci, *_support(runs, chosen), f"{chosen.source}: combined", lower.value, upper.value
    )


def table_floor(
    replicates: pd.DataFrame,
    scale: Scale,
    name: str,
    per_cell: Callable[[Replicates], Floats],
    *,
    skewed: bool = False,
    minimum: int = 2,
    loss: str = "",
) -> NoiseFloor:
    """Floor of a long table from any per-cell estimator `per_cell`, described as `name`.

    `skewed` corrects the interval for skewness; `minimum` replicates are needed for `loss`.
    """
    runs = group_replicates(_with_cells(replicates), scale)
    chosen = floor_weights(runs.counts, runs.repeat_prob, minimum, loss)
    if chosen.weights is None:
        return _no_floor(runs, chosen)
    n_queries = int(runs.query.max()) + 1
    estimate: Estimate = mean_estimate(per_cell(runs), runs.query, n_queries, chosen.weights)
    ci = estimate.interval(skew_corrected=skewed)
    return NoiseFloor(estimate.value, *ci, *_support(runs, chosen), f"{chosen.source}: {name}")


def _with_cells(replicates: pd.DataFrame) -> pd.DataFrame:
    if isinstance(replicates, pd.DataFrame) and "cell_id" not in replicates and "query_id" in replicates:
        return replicates.assign(cell_id=replicates["query_id"])
    return replicates


def _support(runs: Replicates, chosen: FloorWeights) -> tuple[int, int]:
    used = np.ones(runs.n_cells, dtype=bool) if chosen.weights is None else chosen.weights > 0
    return int(np.unique(runs.query[used]).size), int(runs.counts[used].sum())


def _no_floor(runs: Replicates, chosen: FloorWeights) -> NoiseFloor:
    nan = float("nan")
    return NoiseFloor(nan, nan, nan, *_support(runs, chosen), chosen.source)
