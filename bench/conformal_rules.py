"""Conformal rules that `bench/noise_floor_study.py` compares: per group, and adaptive over nights.

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

from foretell.predictors.fitting.conformal import SHRINKAGE, conformal_quantile

Floats = NDArray[np.float64]


def cqr_scores(y: ArrayLike, lower: ArrayLike, upper: ArrayLike) -> Floats:
    """How far each outcome lies outside its interval (negative: inside), shape (n,)."""
    outcome, a, b = (np.asarray(x, dtype=np.float64) for x in (y, lower, upper))
    return np.asarray(np.maximum(a - outcome, outcome - b))


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
        offsets = groups.astype(object).map(lambda g: self.by_group.get(str(g), self.overall), na_action="ignore")
        return np.asarray(offsets.astype("float64").fillna(self.overall).to_numpy())


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
    s = np.asarray(scores, dtype=np.float64)
    w = np.ones(s.size) if weights is None else np.asarray(weights, dtype=np.float64)
    overall = conformal_quantile(s, coverage, w)
    codes, names = pd.factorize(groups)
    by_group: dict[str, float] = {}
    n_by_group: dict[str, float] = {}
    for code, name in enumerate(names):
        inside = codes == code
        offset, n = conformal_quantile(s[inside], coverage, w[inside]), float(w[inside].sum())
        share = n / (n + shrinkage) if shrinkage else 1.0
        by_group[str(name)] = (
            share * offset + (1.0 - share) * overall if np.isfinite(offset) or not shrinkage else overall
        )
        n_by_group[str(name)] = n
    return GroupOffsets(overall, by_group, n_by_group)


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
        if np.isnan(self.miss):
            self.miss = 1.0 - self.coverage

    def offset(self) -> float:
        """Offset for tonight's intervals; infinite before the window holds enough scores."""
        if not self.nights:
            return float("inf")
        return conformal_quantile(np.concatenate(list(self.nights)), 1.0 - self.miss)

    def update(self, scores: ArrayLike) -> float:
        """Learn from tonight's scores (one per query); return the share that tonight's offset covered."""
        s = np.asarray(scores, dtype=np.float64)
        covered = float(np.mean(s <= self.offset()))
        if self.nights:
            moved = self.miss + self.step * (covered - self.coverage)
            self.miss = float(np.clip(moved, self.min_miss, self.max_miss))
        self.nights.append(s)
        while len(self.nights) > self.window:
            self.nights.popleft()
        return covered
