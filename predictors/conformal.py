"""Conformal calibration: intervals and quantiles with finite-sample coverage, by held-out data.

Families use these primitives to calibrate; `predictors.metrics` measures the result. Everything works on
the scale the caller uses (calibrate log tokens on log tokens). Coverage is guaranteed for exchangeable
calibration and test data only: with repeated runs of one query take one run per query
(`one_run_per_group`) or weight runs by 1 / R, since runs of a query are not exchangeable with new queries.

References
----------
Romano, Patterson & Candes (2019), Conformalized quantile regression.
Vovk, Gammerman & Shafer (2005), Algorithmic learning in a random world (Mondrian conformal prediction).
Gibbs & Candes (2021), Adaptive conformal inference under distribution shift.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from predictors.base import check_levels
from predictors.errors import InvalidInputError

__all__ = [
    "SHRINKAGE",
    "AdaptiveConformal",
    "GroupOffsets",
    "conformal_quantile",
    "cqr_offset",
    "cqr_offsets_by_group",
    "cqr_scores",
    "level_offsets",
    "offsets_by_group",
    "one_run_per_group",
]

Floats = NDArray[np.float64]
SHRINKAGE = 50.0
"""Calibration clusters at which a group's own offset and the global one count alike."""


def conformal_quantile(scores: ArrayLike, coverage: float, weights: ArrayLike | None = None) -> float:
    """Finite-sample quantile: the least score that a new one stays at or under with probability `coverage`.

    Parameters
    ----------
    scores : array-like of shape (n_calibration,)
        Nonconformity scores.
    coverage : float
        In (0, 1).
    weights : array-like of shape (n_calibration,), optional
        Non-negative; give runs of a query 1 / R each, so that a query counts once. The new point has
        weight 1. By default all 1.

    Returns
    -------
    float
        The ``ceil((n + 1) coverage)``-th smallest score; infinite where n is too small for it
        (n < 9 for a two-sided 90 % interval's score).

    Raises
    ------
    InvalidInputError
        If scores are null or infinite, weights negative, or `coverage` outside (0, 1).

    Examples
    --------
    >>> conformal_quantile(range(1, 20), 0.9)
    18.0
    """
    s, w = _scores_and_weights(scores, weights)
    if not 0 < coverage < 1:
        raise InvalidInputError(f"`coverage` must be in (0, 1), got {coverage}")
    order = np.argsort(s, kind="stable")
    cumulative = np.cumsum(w[order])
    needed = coverage * (w.sum() + 1.0)
    place = int(np.searchsorted(cumulative, needed - 1e-9 * max(1.0, needed)))
    return float(s[order[place]]) if place < s.size else float("inf")


def one_run_per_group(groups: ArrayLike, rng: np.random.Generator) -> NDArray[np.intp]:
    """Positions of one random run of each group (query), ascending."""
    codes, uniques = pd.factorize(np.asarray(groups))
    order = rng.permutation(codes.size)
    first = np.full(len(uniques), -1, dtype=np.intp)
    first[codes[order[::-1]]] = order[::-1]
    return np.sort(first)


def cqr_scores(y: ArrayLike, lower: ArrayLike, upper: ArrayLike) -> Floats:
    """Distance of each outcome outside its interval, negative inside: ``max(lower - y, y - upper)``."""
    outcome, a, b = (np.asarray(x, dtype=np.float64) for x in (y, lower, upper))
    return np.asarray(np.maximum(a - outcome, outcome - b))


def cqr_offset(
    y: ArrayLike, lower: ArrayLike, upper: ArrayLike, coverage: float, weights: ArrayLike | None = None
) -> float:
    """What to widen the interval by at both ends (to narrow, where negative) for `coverage` on new queries."""
    return conformal_quantile(cqr_scores(y, lower, upper), coverage, weights)


@dataclass(frozen=True)
class GroupOffsets:
    """Offsets per group with a global one for groups that were not seen; plain numbers, ready for JSON.

    Attributes
    ----------
    overall : float
        Offset over all calibration data.
    by_group : mapping of group to float
        Offset per group, shrunk towards `overall`.
    n_by_group : mapping of group to float
        Calibration clusters (sum of weights) per group.
    """

    overall: float
    by_group: Mapping[str, float]
    n_by_group: Mapping[str, float]

    def at(self, groups: pd.Series) -> Floats:
        """Offset of each row, shape (n_samples,); `overall` for null and unseen groups."""
        found = groups.astype(object).map(lambda g: self.by_group.get(str(g), self.overall), na_action="ignore")
        return np.asarray(found.astype("float64").fillna(self.overall).to_numpy())


def offsets_by_group(
    scores: ArrayLike,
    groups: pd.Series,
    coverage: float,
    weights: ArrayLike | None = None,
    *,
    shrinkage: float = SHRINKAGE,
) -> GroupOffsets:
    """Conformal quantile per group (Mondrian), shrunk towards the global one by ``n / (n + shrinkage)``.

    Shrinkage gives up the finite-sample guarantee per group for much less noise where groups have few
    calibration points (measured in docs/studies/noise-floor.md, section 3). `shrinkage=0` is the plain
    Mondrian quantile.

    Parameters
    ----------
    scores : array-like of shape (n_calibration,)
    groups : Series of shape (n_calibration,)
        Null counts towards the global offset only.
    coverage : float
    weights : array-like of shape (n_calibration,), optional
        As in `conformal_quantile`; a group's n is the sum of its weights.
    shrinkage : float, optional

    Returns
    -------
    GroupOffsets
        A group too small for a finite quantile has the global one, where `shrinkage` > 0.
    """
    s, w = _scores_and_weights(scores, weights)
    if shrinkage < 0:
        raise InvalidInputError(f"`shrinkage` must be >= 0, got {shrinkage}")
    if len(groups) != s.size:
        raise InvalidInputError(f"`groups` and `scores` must have the same length, got {len(groups)} and {s.size}")
    overall = conformal_quantile(s, coverage, w)
    codes, names = pd.factorize(groups)
    by_group: dict[str, float] = {}
    n_by_group: dict[str, float] = {}
    for code, name in enumerate(names):
        inside = codes == code
        own, n = conformal_quantile(s[inside], coverage, w[inside]), float(w[inside].sum())
        share = n / (n + shrinkage) if shrinkage else 1.0
        by_group[str(name)] = share * own + (1.0 - share) * overall if np.isfinite(own) or not shrinkage else overall
        n_by_group[str(name)] = n
    return GroupOffsets(overall, by_group, n_by_group)


def cqr_offsets_by_group(
    y: ArrayLike,
    lower: ArrayLike,
    upper: ArrayLike,
    groups: pd.Series,
    coverage: float,
    weights: ArrayLike | None = None,
    *,
    shrinkage: float = SHRINKAGE,
) -> GroupOffsets:
    """`cqr_offset` per group with shrinkage, see `offsets_by_group`."""
    return offsets_by_group(cqr_scores(y, lower, upper), groups, coverage, weights, shrinkage=shrinkage)


def level_offsets(y: ArrayLike, quantiles: ArrayLike, levels: ArrayLike, weights: ArrayLike | None = None) -> Floats:
    """What to add to each predicted quantile so that outcomes stay at or under it with its probability.

    One-sided conformal prediction at every level. Levels too extreme for the calibration data take the
    offset of the nearest level that has one (no guarantee there).

    Parameters
    ----------
    y : array-like of shape (n_calibration,)
    quantiles : array-like of shape (n_calibration, n_levels)
    levels : array-like of shape (n_levels,)
        Strictly increasing in (0, 1).
    weights : array-like of shape (n_calibration,), optional
        As in `conformal_quantile`.

    Returns
    -------
    ndarray of shape (n_levels,)
        Add, then sort along the levels.

    Raises
    ------
    InvalidInputError
        If shapes disagree, or no level has a finite offset (no calibration data to speak of).
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


@dataclass
class AdaptiveConformal:
    """Calibration that follows drift: a rolling window of nights, and a level that learns from its misses.

    Each night: `offset` for the night's forecasts, then `update` with the night's scores. The miss rate
    that is aimed at moves by ``step * (1 - coverage - misses)`` and is capped, since uncapped it asks
    for infinite or empty intervals. 30 nights and a step of .02 recovered 90 % coverage best after a
    jump (docs/studies/noise-floor.md).

    Parameters
    ----------
    coverage : float, optional
        Nominal probability of the interval.
    step : float, optional
        Step (gamma) of adaptive conformal inference per night; 0 only rolls the window.
    window : int, optional
        Nights of scores that calibrate.
    min_miss, max_miss : float, optional
        Caps of the miss rate that is aimed at.

    Attributes
    ----------
    miss : float
        Miss rate aimed at now; starts at ``1 - coverage``.
    """

    coverage: float = 0.9
    step: float = 0.02
    window: int = 30
    min_miss: float = 0.005
    max_miss: float = 0.5
    miss: float = field(default=float("nan"))
    nights: deque[Floats] = field(default_factory=deque, repr=False)

    def __post_init__(self) -> None:
        if not (0 < self.coverage < 1 and self.step >= 0 and self.window >= 1):
            raise InvalidInputError("`coverage` must be in (0, 1), `step` >= 0 and `window` >= 1")
        if not 0 < self.min_miss <= 1 - self.coverage <= self.max_miss < 1:
            raise InvalidInputError("`min_miss` <= 1 - `coverage` <= `max_miss` must hold, all in (0, 1)")
        if np.isnan(self.miss):
            self.miss = 1.0 - self.coverage

    def offset(self) -> float:
        """Offset for tonight's intervals; infinite before the window holds enough scores."""
        if not self.nights:
            return float("inf")
        return conformal_quantile(np.concatenate(list(self.nights)), 1.0 - self.miss)

    def update(self, scores: ArrayLike) -> float:
        """Learn from tonight's scores (one per query); return the share that tonight's offset covered."""
        s, _ = _scores_and_weights(scores, None)
        if s.size == 0:
            return float("nan")
        covered = float(np.mean(s <= self.offset()))
        if self.nights:
            moved = self.miss + self.step * (covered - self.coverage)
            self.miss = float(np.clip(moved, self.min_miss, self.max_miss))
        self.nights.append(s)
        while len(self.nights) > self.window:
            self.nights.popleft()
        return covered

    def state(self) -> dict[str, object]:
        """Everything `from_state` needs, as JSON types."""
        parameters = ("coverage", "step", "window", "min_miss", "max_miss", "miss")
        return {name: getattr(self, name) for name in parameters} | {"nights": [s.tolist() for s in self.nights]}

    @classmethod
    def from_state(cls, state: Mapping[str, object]) -> AdaptiveConformal:
        """Rebuild what `state` wrote."""
        values = dict(state)
        nights = deque(np.asarray(s, dtype=np.float64) for s in values.pop("nights"))  # type: ignore[attr-defined]
        return cls(**values, nights=nights)  # type: ignore[arg-type]


def _scores_and_weights(scores: ArrayLike, weights: ArrayLike | None) -> tuple[Floats, Floats]:
    s = np.asarray(scores, dtype=np.float64).ravel()
    w = np.ones(s.size) if weights is None else np.asarray(weights, dtype=np.float64).ravel()
    if not np.isfinite(s).all():
        raise InvalidInputError(f"`scores` must be finite, got {int((~np.isfinite(s)).sum())} NaN or infinite values")
    if w.size != s.size or not np.isfinite(w).all() or (w < 0).any():
        raise InvalidInputError("`weights` must be finite, not negative and as many as `scores`")
    return s, w
