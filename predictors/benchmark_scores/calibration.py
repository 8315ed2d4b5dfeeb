"""From a location and out-of-fold residuals to a calibrated distribution on the logit scale."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from ..arrays import Floats
from ..fitting.conformal import level_offsets
from .trees import BOOSTING, grow, predict_trees

GRID: Floats = np.concatenate([[0.005, 0.01], np.arange(1, 40) / 40, [0.99, 0.995]])
"""Levels at which the distribution of standardised residuals is kept."""
FLOOR = 0.1


@dataclass
class ResidualCurve:
    """Conformal quantiles of standardised residuals at `GRID`."""

    offsets: Floats

    @classmethod
    def fit(cls, residuals: Floats, weights: Floats) -> Self:
        """One-sided conformal offset at every level (`foretell.predictors.fitting.conformal.level_offsets`)."""
        offsets = level_offsets(residuals, np.zeros((len(residuals), len(GRID))), GRID, weights)
        return cls(np.maximum.accumulate(np.asarray(offsets, dtype=np.float64)))

    def at(self, levels: Floats) -> Floats:
        """Standardised quantiles at `levels` (n_levels,), linear in the normal quantile of the level."""
        from scipy.special import ndtri

        return np.asarray(np.interp(ndtri(levels), ndtri(GRID), self.offsets), dtype=np.float64)

    def away_from_middle(self, levels: Floats, location: Floats) -> Floats:
        """Quantiles of residuals that were counted away from a score of 50, shape (n_samples, n_levels).

        `location` is on the logit scale; below 0 the curve stands mirrored.
        """
        return np.where((location < 0)[:, None], -self.at(1 - levels), self.at(levels))


@dataclass
class ResidualScale:
    """How large residuals are where: LightGBM of their logarithm, damped towards a constant."""

    booster: Any
    centre: float
    damping: float

    @classmethod
    def fit(
        cls, columns: Floats, residuals: Floats, weight: Floats, *, damping: float, rounds: int, **settings: Any
    ) -> Self:
        """Learn ``log(|residual| + FLOOR)`` from `columns` with as many trees as `rounds`."""
        target = np.log(np.abs(residuals) + FLOOR)
        shape = {"objective": "l2", "num_leaves": 8, "min_data_in_leaf": 200, "feature_fraction": 0.5}
        booster = grow(columns, target, weight, BOOSTING | shape | settings, rounds=rounds)
        return cls(booster, float(np.average(target, weights=weight)), damping)

    def predict(self, columns: Floats) -> Floats:
        """Scale of each row's residual on the logit scale, > 0, shape (n_samples,)."""
        learnt = predict_trees(self.booster, columns)
        return np.exp(self.centre + self.damping * (learnt - self.centre))
