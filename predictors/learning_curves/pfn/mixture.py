"""A forecast as a mixture of normals, cut off at the bounds of the metric."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp, ndtr

from ...base import check_levels

Floats = NDArray[np.float64]
BISECTIONS = 46
RESOLUTION = 1e-3
"""Share of a bounded range within which a quantile is the bound itself: outcomes may be exactly 1, normals are not."""


@dataclass(frozen=True)
class Mixture:
    """One mixture of K normals per row, truncated to [lower, upper]: a `forecaster.CurveDistribution`.

    Attributes
    ----------
    weights, means, sds : ndarray of shape (n, K)
        Means and standard deviations in the unit of the metric. Rows of `weights` sum to 1; `sds` are positive.
    lower, upper : ndarray of shape (n,)
        Bounds of the metric; infinite where it has none.
    """

    weights: Floats
    means: Floats
    sds: Floats
    lower: Floats
    upper: Floats

    def __len__(self) -> int:
        return len(self.weights)

    def log_density(self, y: ArrayLike) -> Floats:
        """Log density of `y` (n,) in the unit of the metric; beyond the bounds that of the bound. Higher is better."""
        y = np.clip(np.asarray(y, dtype=np.float64), self.lower, self.upper)
        z = (y[:, None] - self.means) / self.sds
        terms = -0.5 * z * z - np.log(self.sds) - 0.5 * np.log(2 * np.pi)
        return np.asarray(logsumexp(terms, b=self.weights, axis=1)) - np.log(self._inside())

    def cdf(self, y: ArrayLike) -> Floats:
        """Probability of at most `y`, shape (n,) or (n, m) like `y`."""
        y = np.asarray(y, dtype=np.float64)
        wide = y[:, None] if y.ndim == 1 else y
        wide = np.clip(wide, self.lower[:, None], self.upper[:, None])
        out = np.clip((self._raw_cdf(wide) - self._raw_cdf(self.lower[:, None])) / self._inside()[:, None], 0, 1)
        return out[:, 0] if y.ndim == 1 else out

    def mean(self) -> Floats:
        """Expected value, shape (n,), within the bounds."""
        low = (self.lower[:, None] - self.means) / self.sds
        high = (self.upper[:, None] - self.means) / self.sds
        density_low, density_high = (np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi) for z in (low, high))
        parts = self.means * (ndtr(high) - ndtr(low)) + self.sds * (density_low - density_high)
        return np.asarray(np.clip((self.weights * parts).sum(axis=1) / self._inside(), self.lower, self.upper))

    def quantile(self, levels: Sequence[float]) -> Floats:
        """Quantiles at `levels`, strictly increasing in (0, 1): shape (n, n_levels), non-decreasing in each row.

        A quantile nearer to a bound than 0.1 % of the range is the bound.
        """
        checked = check_levels(levels)
        base, inside = self._raw_cdf(self.lower[:, None]), self._inside()[:, None]
        asked = base + checked[None, :] * inside
        low = np.maximum((self.means - 9 * self.sds).min(axis=1), self.lower)[:, None] + np.zeros_like(asked)
        high = np.minimum((self.means + 9 * self.sds).max(axis=1), self.upper)[:, None] + np.zeros_like(asked)
        low = np.minimum(low, high)
        for _ in range(BISECTIONS):
            middle = 0.5 * (low + high)
            below = self._raw_cdf(middle) < asked
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        out = np.maximum.accumulate(0.5 * (low + high), axis=1)
        lower, upper = self.lower[:, None], self.upper[:, None]
        near = RESOLUTION * np.where(np.isfinite(upper - lower), upper - lower, 0.0)
        return np.where(out < lower + near, lower, np.where(out > upper - near, upper, out))

    def take(self, rows: NDArray[np.intp]) -> Self:
        """The mixtures of `rows`."""
        return type(self)(*(getattr(self, field.name)[rows] for field in fields(self)))

    def _raw_cdf(self, y: Floats) -> Floats:
        out = np.zeros(y.shape)
        for k in range(self.weights.shape[1]):
            out += self.weights[:, k : k + 1] * ndtr((y - self.means[:, k : k + 1]) / self.sds[:, k : k + 1])
        return out

    def _inside(self) -> Floats:
        """Mass of the normals within the bounds."""
        mass = self._raw_cdf(self.upper[:, None]) - self._raw_cdf(self.lower[:, None])
        return np.asarray(np.maximum(mass[:, 0], 1e-12))
