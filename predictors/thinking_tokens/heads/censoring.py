"""Runs that were cut off: what is known of them is a lower bound.

A capped run is never learnt from as if its cap were its length. Its log length is replaced by what the
runs that were not cut off say about the part beyond the cap: the expectation while the location is
fitted (Buckley & James 1979, Linear Regression with Censored Data), a draw where a distribution is
fitted. The distribution of residuals is the product-limit estimate (Kaplan & Meier 1958).
"""

from typing import Self

import numpy as np

from ...arrays import Floats, Mask

TAIL_POINTS = 40
MIN_SCALE = 0.05


class ResidualDistribution:
    """Distribution of residuals of which some are known only to exceed a bound.

    Beyond the largest residual that was seen whole, the product-limit estimate leaves mass unassigned;
    it is spread exponentially with the mean excess of the upper half, so tails in tokens are Pareto.
    """

    def fit(self, residual: Floats, is_censored: Mask, weight: Floats) -> Self:
        """Estimate from `residual` (a lower bound where `is_censored`); arrays of shape (n_samples,)."""
        # At a tie the whole ones come first: a run cut off at t is known to exceed t.
        order = np.lexsort((is_censored, residual))
        values, censored, w = residual[order], is_censored[order], weight[order]
        at_risk = w[::-1].cumsum()[::-1]
        factor = np.where(censored, 1.0, 1.0 - w / at_risk)
        survival = np.cumprod(np.clip(factor, 0.0, 1.0))
        mass = -np.diff(survival, prepend=1.0)
        keep = mass > 0
        points, mass, rest = values[keep], mass[keep], float(survival[-1])
        median = points[np.searchsorted(mass.cumsum(), 0.5 * mass.sum())]
        upper = points >= median
        excess = np.average(points[upper] - median, weights=mass[upper])
        self.scale_ = max(float(excess), MIN_SCALE)
        if rest > 1e-12:
            steps = (np.arange(TAIL_POINTS) + 0.5) / TAIL_POINTS
            points = np.append(points, points[-1] - self.scale_ * np.log1p(-steps))
            mass = np.append(mass, np.full(TAIL_POINTS, rest / TAIL_POINTS))
        self.points_, self.mass_ = points, mass / mass.sum()
        # Sums over the points at and after each position, and zero after the last.
        self._mass_after = np.append(self.mass_[::-1].cumsum()[::-1], 0.0)
        self._moment_after = np.append((self.mass_ * self.points_)[::-1].cumsum()[::-1], 0.0)
        return self

    def mean_beyond(self, bound: Floats) -> Floats:
        """Expected residual given that it exceeds `bound`; shape of `bound`."""
        at = np.searchsorted(self.points_, bound, side="right")
        mass = self._mass_after[at]
        has_mass = mass > 1e-9
        inside = np.divide(self._moment_after[at], mass, out=np.zeros_like(bound), where=has_mass)
        return np.where(has_mass, np.maximum(inside, bound), bound + self.scale_)

    def draw_beyond(self, bound: Floats, u: Floats) -> Floats:
        """Quantile at `u` in (0, 1) of the residual given that it exceeds `bound`; shape of `bound`."""
        at = np.searchsorted(self.points_, bound, side="right")
        mass = self._mass_after[at]
        cumulative = 1.0 - self._mass_after[1:]
        place = np.searchsorted(cumulative, (1.0 - mass) + u * mass)
        inside = self.points_[np.minimum(place, len(self.points_) - 1)]
        return np.where(mass > 1e-9, np.maximum(inside, bound), bound - self.scale_ * np.log1p(-u))
