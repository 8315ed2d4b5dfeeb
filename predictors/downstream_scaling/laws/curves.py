"""Bounded curves of score over compute, or over size and data, as parameters without bounds.

`x` is ``log(train_flops / reference)``, where the reference is the largest compute of the ladder (or the same of
parameters and of tokens); scores are shares of the way from chance to the upper bound (0-1). Each curve rises with
compute by construction, and maps parameters of shape (p, B) and x of shape (n, B) to scores of shape (n, B).
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy.special import expit

from ...arrays import Floats
from ...fitting.least_squares import NormalPrior, Points, best_starts, fit_least_squares, with_numeric_slopes

STARTS_FOLLOWED = 3
MAX_STEPS = 60
TOLERANCE = 1e-9


@dataclass(frozen=True)
class Law:
    """One law: its curve, the starts of its fits and its weak prior.

    Attributes
    ----------
    curve : callable
        Parameters of shape (p, ...) and x of shape (...), or (q, ...) for q variables -> values of shape (...).
    starts : ndarray of shape (n_starts, p)
    prior : NormalPrior
        So wide that it matters only where the data say nothing: a flat or a one-point ladder.
    """

    curve: Callable[[Floats, Floats], Floats]
    starts: Floats
    prior: NormalPrior

    def fit(self, x: Floats, y: Floats, scale: Floats) -> Floats:
        """Fit the law to B ladders of n models, each as if it were alone.

        Parameters
        ----------
        x : ndarray of shape (n, B) or (q, n, B)
        y, scale : ndarray of shape (n, B)
            Values, and the standard deviation of a residual (infinite: the point does not count).

        Returns
        -------
        ndarray of shape (p, B)
            Parameters of the best of the `STARTS_FOLLOWED` starts with the least loss.
        """
        points = Points(*(np.ascontiguousarray(a.T) for a in (x, y, 1.0 / scale)))
        starts = best_starts(self.curve, points, self.starts, self.prior, STARTS_FOLLOWED)
        fit = fit_least_squares(with_numeric_slopes(self.curve), points, starts, self.prior,
                                n_iterations=MAX_STEPS, tolerance=TOLERANCE)  # fmt: skip
        return np.ascontiguousarray(fit.params.T)


def exponential(theta: Floats, x: Floats) -> Floats:
    """Share ``exp(-a C^-b - c)`` with a, b, c > 0, shape of `x` (COD, arXiv 2502.17262, the chance floor known)."""
    log_a, log_b, log_c = theta
    return np.asarray(np.exp(-np.exp(np.clip(log_a - np.exp(log_b) * x, -60, 60)) - np.exp(log_c)))


def exponential_free_floor(theta: Floats, x: Floats) -> Floats:
    """Share ``g + (1 - g) exp(-a C^-b - c)`` with all four free, shape of `x`."""
    floor = expit(theta[3])
    return np.asarray(floor + (1 - floor) * exponential(theta[:3], x))


def size_and_data(theta: Floats, x: Floats) -> Floats:
    """Share ``exp(-(A N^-alpha + B D^-beta + c))``; `x` holds log parameters and log tokens, shape (2, ...)."""
    c, a, b, log_alpha, log_beta = theta
    size = np.exp(np.clip(a - np.exp(log_alpha) * x[0], -60, 6))
    data = np.exp(np.clip(b - np.exp(log_beta) * x[1], -60, 6))
    return np.asarray(np.exp(-(np.exp(c) + size + data)))


def _law(curve: Callable[[Floats, Floats], Floats], *parameters: tuple[list[float], float, float]) -> Law:
    """A law whose starts are all combinations; each parameter has its starts, prior mean and standard deviation."""
    starts = np.array(list(product(*(values for values, _, _ in parameters))), dtype=np.float64)
    return Law(curve, starts, NormalPrior.independent([m for _, m, _ in parameters], [s for *_, s in parameters]))


EXPONENTIAL = _law(
    exponential,
    ([-3.0, -1.5, 0.0, 1.0, 2.0], 0.0, 3.0), ([-2.5, -1.5, -0.7, 0.0], -1.2, 1.0), ([-5.0, -2.0], -3.5, 2.0),
)  # fmt: skip
EXPONENTIAL_FREE_FLOOR = _law(
    exponential_free_floor,
    ([-3.0, -1.5, 0.0, 1.5], 0.0, 3.0), ([-2.5, -1.5, -0.5], -1.2, 1.0), ([-5.0, -2.0], -3.5, 2.0),
    ([-6.0, -2.0], -5.0, 2.0),
)  # fmt: skip
SIZE_AND_DATA = _law(
    size_and_data,
    ([-4.0, -1.5], -3.0, 2.0), ([-2.0, 0.0, 1.5], -0.5, 2.0), ([-2.0, 0.0, 1.5], -0.5, 2.0),
    ([-1.5, -0.5], -1.0, 0.7), ([-1.5, -0.5], -1.0, 0.7),
)  # fmt: skip
