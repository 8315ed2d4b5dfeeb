"""Conformal calibration: quantiles with finite-sample coverage, by held-out data.

Families use these primitives to calibrate; `foretell.predictors.metrics` measures the result. Everything works on
the scale the caller uses (calibrate log tokens on log tokens). Coverage is guaranteed for exchangeable
calibration and test data only: weight repeated runs of one query by 1 / R, since runs of a query are not exchangeable
with new queries. Vovk, Gammerman & Shafer (2005), Algorithmic learning in a random world.
"""

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import Floats
from ..base import check_levels
from ..errors import InvalidInputError

SHRINKAGE = 50.0
"""Calibration clusters at which a group's own offset and the global one count alike."""


def conformal_quantile(scores: ArrayLike, coverage: float, weights: ArrayLike | None = None) -> float:
    """The least score that a new one stays at or under with probability `coverage`, in (0, 1).

    The ``ceil((n + 1) coverage)``-th smallest score; infinite where n is too small for it (n < 9 for a two-sided 90 %
    interval's score). Give runs of a query the weight 1 / R each, so that a query counts once; the new point has 1.
    InvalidInputError if scores are null or infinite, weights negative, or `coverage` outside (0, 1).

    >>> conformal_quantile(range(1, 20), 0.9)
    18.0
    """
    s = np.asarray(scores, dtype=np.float64).ravel()
    w = np.ones(s.size) if weights is None else np.asarray(weights, dtype=np.float64).ravel()
    if not np.isfinite(s).all():
        raise InvalidInputError(f"`scores` must be finite, got {int((~np.isfinite(s)).sum())} NaN or infinite values")
    if w.size != s.size or not np.isfinite(w).all() or (w < 0).any():
        raise InvalidInputError("`weights` must be finite, not negative and as many as `scores`")
    if not 0 < coverage < 1:
        raise InvalidInputError(f"`coverage` must be in (0, 1), got {coverage}")
    order = np.argsort(s, kind="stable")
    cumulative = np.cumsum(w[order])
    needed = coverage * (w.sum() + 1.0)
    place = int(np.searchsorted(cumulative, needed - 1e-9 * max(1.0, needed)))
    return float(s[order[place]]) if place < s.size else float("inf")


def level_offsets(y: ArrayLike, quantiles: ArrayLike, levels: ArrayLike, weights: ArrayLike | None = None) -> Floats:
    """What to add to each predicted quantile so that outcomes stay at or under it with its probability.

    One-sided conformal prediction at every level. Levels too extreme for the calibration data take the
    offset of the nearest level that has one (no guarantee there). Of `quantiles` (n_calibration, n_levels) at
    increasing levels the offsets are of shape (n_levels,): add, then sort along the levels. `weights` as of
    `conformal_quantile`. InvalidInputError if shapes disagree, or no level has a finite offset (no calibration data to
    speak of).
    """
    checked = check_levels(np.asarray(levels, dtype=np.float64).tolist())
    outcome, q = np.asarray(y, dtype=np.float64), np.asarray(quantiles, dtype=np.float64)
    if q.shape != (outcome.size, checked.size):
        raise InvalidInputError(f"`quantiles` must have shape {(outcome.size, checked.size)}, got {q.shape}")
    residuals = outcome[:, None] - q
    upper = np.array([conformal_quantile(residuals[:, k], p, weights) for k, p in enumerate(checked)])
    lower = np.array([-conformal_quantile(-residuals[:, k], 1 - p, weights) for k, p in enumerate(checked)])
    offsets = np.where(checked >= 0.5, upper, lower)
    finite = np.isfinite(offsets)
    if not finite.any():
        raise InvalidInputError(f"{outcome.size} calibration outcomes are too few to calibrate any of the levels")
    return np.asarray(np.interp(checked, checked[finite], offsets[finite]))
