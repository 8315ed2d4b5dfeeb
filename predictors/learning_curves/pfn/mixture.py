"""A forecast as a mixture of normals, cut off at the ends of a scale."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import logsumexp, ndtr

from ...arrays import Codes, Floats
from ..curves import UnitScale

BISECTIONS = 46
RESOLUTION = 1e-3
"""Share of the range within which a quantile is its end: outcomes may be exactly 1, normals are not."""


@dataclass(frozen=True)
class Mixture:
    """One mixture of K normals per row, truncated to [lower, upper]: on [0, 1] a `forecaster.UnitDistribution`.

    `weights`, `means` and `sds` have shape (n, K); rows of `weights` sum to 1, `sds` are positive. `lower` and `upper`
    are numbers or of shape (n, 1).
    """

    weights: Floats
    means: Floats
    sds: Floats
    lower: Floats | float = 0.0
    upper: Floats | float = 1.0

    def __len__(self) -> int:
        return len(self.weights)

    def log_density(self, unit: ArrayLike) -> Floats:
        """Log density at `unit` (n,); values beyond the ends count as these. Higher is better."""
        z = (np.clip(np.asarray(unit, dtype=np.float64)[:, None], self.lower, self.upper) - self.means) / self.sds
        terms = -0.5 * z * z - np.log(self.sds) - 0.5 * np.log(2 * np.pi)
        return np.asarray(logsumexp(terms, b=self.weights, axis=1)) - np.log(self._below_and_inside()[1][:, 0])

    def probability_below(self, unit: ArrayLike) -> Floats:
        """Probability of at most `unit`, shape (n,)."""
        below, inside = self._below_and_inside()
        at = self._raw_cdf(np.clip(np.asarray(unit, dtype=np.float64)[:, None], self.lower, self.upper))
        return np.asarray(np.clip((at - below) / inside, 0, 1)[:, 0])

    def mean(self) -> Floats:
        """Expected value, shape (n,)."""
        low, high = ((end - self.means) / self.sds for end in (self.lower, self.upper))
        density_low, density_high = (np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi) for z in (low, high))
        parts = self.means * (ndtr(high) - ndtr(low)) + self.sds * (density_low - density_high)
        mean = (self.weights * parts).sum(axis=1, keepdims=True) / self._below_and_inside()[1]
        return np.asarray(np.clip(mean, self.lower, self.upper)[:, 0])

    def quantiles(self, levels: ArrayLike) -> Floats:
        """Quantiles at `levels` in (0, 1), shape (n, n_levels). One nearer to an end than 0.1 % is the end."""
        below, inside = self._below_and_inside()
        asked = below + np.asarray(levels, dtype=np.float64)[None, :] * inside
        low = np.maximum((self.means - 9 * self.sds).min(axis=1)[:, None], self.lower) + np.zeros_like(asked)
        high = np.minimum((self.means + 9 * self.sds).max(axis=1)[:, None], self.upper) + np.zeros_like(asked)
        low = np.minimum(low, high)
        for _ in range(BISECTIONS):
            middle = 0.5 * (low + high)
            is_below = self._raw_cdf(middle) < asked
            low, high = np.where(is_below, middle, low), np.where(is_below, high, middle)
        out = 0.5 * (low + high)
        near = RESOLUTION * (self.upper - self.lower)
        return np.where(out < self.lower + near, self.lower, np.where(out > self.upper - near, self.upper, out))

    def on(self, scale: UnitScale) -> "Mixture":
        """The same mixtures in the unit of each metric."""
        lower, upper = np.sort(np.column_stack([scale.worst, scale.best]), axis=1).T[:, :, None]
        return Mixture(self.weights, scale.from_unit(self.means), self.sds * scale.span[:, None], lower, upper)

    def take(self, rows: Codes) -> Self:
        """The mixtures of `rows`."""
        ends = (np.broadcast_to(end, (len(self), 1))[rows] for end in (self.lower, self.upper))
        return type(self)(self.weights[rows], self.means[rows], self.sds[rows], *ends)

    def _raw_cdf(self, unit: Floats) -> Floats:
        out = np.zeros(unit.shape)
        for k in range(self.weights.shape[1]):
            out += self.weights[:, k : k + 1] * ndtr((unit - self.means[:, k : k + 1]) / self.sds[:, k : k + 1])
        return out

    def _below_and_inside(self) -> tuple[Floats, Floats]:
        """Mass of the normals below `lower` and within the ends, shape (n, 1) each."""
        below, upto = (self._raw_cdf(np.broadcast_to(end, (len(self), 1))) for end in (self.lower, self.upper))
        return below, np.maximum(upto - below, 1e-12)
