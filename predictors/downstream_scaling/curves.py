"""Bounded curves of score over compute, as parameters without bounds.

`x` is ``log(train_flops / reference)``, where the reference is the largest compute of the ladder; scores are
shares of the way from chance to the upper bound (0-1). Each curve rises with compute by construction, except
`bnsl`, which may turn.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy.special import expit

from predictors.downstream_scaling.least_squares import Fit, Floats, fit_curves

__all__ = ["CURVES", "CurveFamily", "fit_family"]

NO_PRIOR = np.inf


@dataclass(frozen=True)
class CurveFamily:
    """One curve: its function, its starts and its weak priors.

    Attributes
    ----------
    name : str
    curve : callable
        Parameters (p, B) and x (n, B) -> scores (n, B).
    starts : ndarray of shape (n_starts, p)
    prior_mean, prior_scale : ndarray of shape (p,)
        So wide that they matter only where the data say nothing: a flat or a one-point ladder.
    """

    name: str
    curve: Callable[[Floats, Floats], Floats]
    starts: Floats
    prior_mean: Floats
    prior_scale: Floats


def exponential(theta: Floats, x: Floats) -> Floats:
    """``exp(-a C^-b - c)`` with a, b, c > 0 (COD, arXiv 2502.17262, with the chance floor known)."""
    log_a, log_b, log_c = theta
    return np.asarray(np.exp(-np.exp(np.clip(log_a - np.exp(log_b) * x, -60, 60)) - np.exp(log_c)))


def exponential_free_floor(theta: Floats, x: Floats) -> Floats:
    """``g + (1 - g) exp(-a C^-b - c)`` with all four free."""
    floor = expit(theta[3])
    return np.asarray(floor + (1 - floor) * exponential(theta[:3], x))


def logistic(theta: Floats, x: Floats) -> Floats:
    """``h / (1 + exp(-k (x - x0)))`` with 0 < h < 1 and k > 0."""
    middle, log_slope, top = theta
    return np.asarray(expit(top) * expit(np.exp(log_slope) * (x - middle)))


def power(theta: Floats, x: Floats) -> Floats:
    """``1 - a C^-b - c`` with a, b, c > 0."""
    log_a, log_b, top = theta
    return np.asarray(expit(top) - np.exp(np.clip(log_a - np.exp(log_b) * x, -60, 20)))


def bnsl(theta: Floats, x: Floats) -> Floats:
    """Broken neural scaling law with one break, of the error (arXiv 2210.14891, equation 1).

    ``1 - (a + b C^-c0 (1 + (C / d)^(1 / f))^(-c1 f))``.
    """
    level, log_b, c0, c1, log_d, log_f = theta
    f = np.exp(log_f)
    bend = f * np.logaddexp(0.0, (x - log_d) / f)
    return np.asarray(1.0 - (expit(level) + np.exp(np.clip(log_b - c0 * x - c1 * bend, -60, 20))))


def _family(name: str, curve: Callable[[Floats, Floats], Floats], parameters: list[tuple[list[float], float, float]]
            ) -> CurveFamily:  # fmt: skip
    starts = np.array(list(product(*(values for values, _, _ in parameters))), dtype=np.float64)
    mean = np.array([m for _, m, _ in parameters])
    return CurveFamily(name, curve, starts, mean, np.array([s for _, _, s in parameters]))


CURVES: dict[str, CurveFamily] = {
    family.name: family
    for family in (
        _family("exponential", exponential, [
            ([-3.0, -1.5, 0.0, 1.0, 2.0], 0.0, 3.0), ([-2.5, -1.5, -0.7, 0.0], -1.2, 1.0), ([-5.0, -2.0], -3.5, 2.0),
        ]),
        _family("exponential_free_floor", exponential_free_floor, [
            ([-3.0, -1.5, 0.0, 1.5], 0.0, 3.0), ([-2.5, -1.5, -0.5], -1.2, 1.0), ([-5.0, -2.0], -3.5, 2.0),
            ([-6.0, -2.0], -5.0, 2.0),
        ]),
        _family("logistic", logistic, [
            ([-4.0, -2.0, 0.0, 2.0, 4.0], 0.0, 4.0), ([-2.0, -1.0, 0.0, 1.0], -0.7, 1.0), ([0.0, 3.0], 3.0, 2.0),
        ]),
        _family("power", power, [
            ([-3.0, -1.5, -0.5, 0.0], -1.0, 1.5), ([-3.0, -2.0, -1.0, 0.0], -1.5, 1.0), ([0.0, 2.0, 4.0], 2.0, 2.0),
        ]),
        _family("bnsl", bnsl, [
            ([-4.0, -1.0], -2.0, 2.0), ([-1.5, -0.3], -0.5, 1.0), ([0.02, 0.2], 0.1, 0.3), ([0.0, 0.3, 1.0], 0.2, 0.5),
            ([-3.0, -1.0], -1.5, 1.5), ([-1.5, 0.0], -1.0, 0.7),
        ]),
    )
}  # fmt: skip
"""Curves by name."""


def fit_family(family: CurveFamily, x: Floats, y: Floats, scale: Floats, *, with_prior: bool = True) -> Fit:
    """Fit one curve to B ladders of n points: arrays of shape (n, B)."""
    prior = family.prior_scale if with_prior else np.full_like(family.prior_scale, NO_PRIOR)
    return fit_curves(family.curve, x, y, scale, family.starts, family.prior_mean, prior)
