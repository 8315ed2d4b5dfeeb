"""Scores under repeated draws: pass@k, its power law, and the pass rates behind it.

References
----------
Chen et al. (2021, arXiv 2107.03374) for the unbiased estimate; Brown et al. (2024, arXiv 2407.21787) for
``exp(-a k^-b)``; Schaeffer et al. (2025, arXiv 2502.17578) for the Beta distribution of pass rates, whose left tail is
the exponent.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize
from scipy.special import betaln, gammaln

from predictors.downstream_scaling.least_squares import Floats, fit_curves
from predictors.errors import InvalidInputError

__all__ = ["BetaPassRates", "CoverageLaw", "pass_at_k"]


def pass_at_k(n_correct: ArrayLike, n_draws: ArrayLike, k: int) -> Floats:
    """Unbiased probability that one of `k` draws of each item is right, ``1 - C(n - c, k) / C(n, k)``.

    Examples
    --------
    >>> pass_at_k([0, 1, 2], [2, 2, 2], 1).tolist()
    [0.0, 0.5, 1.0]
    """
    c, n = np.broadcast_arrays(np.asarray(n_correct, dtype=np.float64), np.asarray(n_draws, dtype=np.float64))
    if (c < 0).any() or (c > n).any() or k < 1 or (n < k).any():
        raise InvalidInputError(f"pass@{k} needs 0 <= n_correct <= n_draws and n_draws >= k")
    left = n - c
    with np.errstate(invalid="ignore"):
        log_none = gammaln(left + 1) - gammaln(left - k + 1) - gammaln(n + 1) + gammaln(n - k + 1)
    return np.asarray(1.0 - np.where(left < k, 0.0, np.exp(log_none)).round(15))


@dataclass(frozen=True)
class CoverageLaw:
    """Coverage (mean pass@k) as ``exp(-a k^-b)``."""

    a: float
    b: float

    def __call__(self, k: ArrayLike) -> Floats:
        """Coverage at `k` draws."""
        return np.asarray(np.exp(-self.a * np.asarray(k, dtype=np.float64) ** -self.b))

    @classmethod
    def fit(cls, k: ArrayLike, coverage: ArrayLike) -> CoverageLaw:
        """Least squares on the coverage.

        Raises
        ------
        InvalidInputError
            With fewer than three points, or coverage of 0 everywhere.
        """
        draws, share = np.asarray(k, dtype=np.float64), np.asarray(coverage, dtype=np.float64)
        if len(draws) < 3 or not (share > 0).any():
            raise InvalidInputError("a law of coverage needs 3 values of k or more, one of them with coverage above 0")
        starts = np.array(list(product([-2.0, 0.0, 1.5], [-2.0, -1.0, 0.0])))
        fit = fit_curves(
            lambda theta, x: np.exp(-np.exp(np.clip(theta[0] - np.exp(theta[1]) * x, -60, 60))),
            np.log(draws)[:, None], share[:, None], np.full((len(draws), 1), 0.01), starts,
            np.zeros(2), np.full(2, np.inf),
        )  # fmt: skip
        return cls(float(np.exp(fit.parameters[0, 0])), float(np.exp(fit.parameters[1, 0])))


@dataclass(frozen=True)
class BetaPassRates:
    """Pass rates of the items as Beta(alpha, beta); coverage falls short of 1 like ``k ** -alpha``."""

    alpha: float
    beta: float

    def coverage(self, k: ArrayLike) -> Floats:
        """Expected pass@k, ``1 - B(alpha, beta + k) / B(alpha, beta)``."""
        draws = np.asarray(k, dtype=np.float64)
        return np.asarray(1.0 - np.exp(betaln(self.alpha, self.beta + draws) - betaln(self.alpha, self.beta)))

    @classmethod
    def fit(cls, n_correct: ArrayLike, n_draws: ArrayLike) -> BetaPassRates:
        """Greatest beta-binomial likelihood.

        Raises
        ------
        InvalidInputError
            If no item, or every item, is ever solved in every draw: the distribution is then not identified.
        """
        c, n = np.broadcast_arrays(np.asarray(n_correct, dtype=np.float64), np.asarray(n_draws, dtype=np.float64))
        if c.sum() == 0 or c.sum() == n.sum():
            raise InvalidInputError("all draws fail or all succeed: draw more, or of other items")

        def loss(theta: Floats) -> float:
            a, b = np.exp(theta)
            return float(-(betaln(c + a, n - c + b) - betaln(a, b)).mean())

        mean = float(c.sum() / n.sum())
        start = np.log([max(mean, 0.01), max(1 - mean, 0.01)])
        found = minimize(loss, start, method="Nelder-Mead", options={"maxiter": 2000, "xatol": 1e-6, "fatol": 1e-10})
        return cls(float(np.exp(found.x[0])), float(np.exp(found.x[1])))
