"""The parametric rival of `curves_rivals.py`: families of curves fitted to what was observed, batched.

All are of one form, ``asymptote - (asymptote - start) * g(x)`` with g from 1 down to 0.

Curves are on the unit scale of `curves.CurveBatch`: 0 is the worst value there can be, 1 the best, and x is the
budget in multiples of the first one observed. The asymptote is free or the best value there is, the start is free; g is
what tells the families apart:

=========== =========================== ====================== ===========
family      g(x)                        asymptote, start       parameters
=========== =========================== ====================== ===========
pow3        x^-b                        free, free at x = 1    3
pow4        ((x + d) / (1 + d))^-b      free, free at x = 1    4
log_power3  1 / (1 + (x / k)^h)         1, free at x = 0       3
mmf4        1 / (1 + x^d / b)           free, free at x = 0    4
wbl4        exp(-(k x)^d)               free, free at x = 0    4
=========== =========================== ====================== ===========

Values go through a logistic function and rates through an exponential, so every parameter vector is a valid curve,
rising or falling.

References
----------
Mohr, Viering, Loog & van Rijn (2022), LCDB 1.0 (names).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from foretell.predictors.arrays import Floats
from foretell.predictors.fitting.least_squares import NormalPrior, Points, fit_least_squares
from foretell.predictors.learning_curves.curves import CurveBatch

Shape: TypeAlias = Callable[[Floats, Floats], tuple[Floats, list[Floats]]]
"""(shape parameters (q, n, 1), log x (n, k)) -> g (n, k) and its q derivatives."""
MISFIT = 0.01
"""Standard deviation, unit scale, by which a family may miss a curve even without noise."""
CHUNK = 4096
LEAST_MSE = 1e-4


@dataclass(frozen=True)
class CurveFamily:
    """One family: whether the asymptote is free, the shape, the weak prior and the starts (S, p) of its fits.

    Parameters are unconstrained, in the order asymptote (if free), start, shape.
    """

    name: str
    has_asymptote: bool
    shape: Shape
    prior: NormalPrior
    starts: Floats

    def weak_prior(self, factor: float) -> NormalPrior:
        """The prior with standard deviations `factor` times as wide."""
        return NormalPrior(self.prior.mean, self.prior.precision / factor**2)

    @property
    def n_params(self) -> int:
        return len(self.prior.mean)

    def __call__(self, params: Floats, log_x: Floats) -> tuple[Floats, Floats]:
        """Values (n, k) and derivatives (p, n, k) at ``log_x`` (n, k) for ``params`` (n, p)."""
        columns = list(params.T[:, :, None])
        slopes: list[Floats] = []
        top = _logistic(columns.pop(0)) if self.has_asymptote else np.ones((len(params), 1))
        bottom = _logistic(columns.pop(0))
        g, d_shape = self.shape(np.asarray(columns), log_x)
        if self.has_asymptote:
            slopes.append(top * (1 - top) * (1 - g))
        slopes.append(bottom * (1 - bottom) * g)
        gap = top - bottom
        slopes += [-gap * d for d in d_shape]
        return top - gap * g, np.stack(slopes)


@dataclass(frozen=True)
class FamilyFit:
    """Fits of one family to n curves.

    Attributes
    ----------
    family : CurveFamily
    params : ndarray of shape (n, p)
    hessian : ndarray of shape (n, p, p)
        Posterior precision of `params`.
    log_evidence : ndarray of shape (n,)
        Laplace approximation, up to what all families share; higher is better.
    mean_squared_error : ndarray of shape (n,)
        Over the observed points, unit scale; lower is better.
    """

    family: CurveFamily
    params: Floats
    hessian: Floats
    log_evidence: Floats
    mean_squared_error: Floats

    def predict(self, log_x: Floats) -> tuple[Floats, Floats]:
        """Value and standard deviation (delta method) at ``log_x`` of shape (n,), unit scale."""
        with np.errstate(all="ignore"):
            value, slopes = self.family(self.params, log_x[:, None])
            by_row = np.moveaxis(slopes, 0, 1)
            variance = np.einsum("npk,npk->nk", by_row, np.linalg.solve(self.hessian, by_row))[:, 0]
        deviation = np.sqrt(np.clip(np.nan_to_num(variance, nan=1.0), 0.0, 1.0))
        return np.clip(np.nan_to_num(value[:, 0], nan=0.5), 0.0, 1.0), deviation


def weights_of(batch: CurveBatch) -> Floats:
    """Inverse standard deviations of the points, shape (n, k), 0 for none: measured errors joined with `MISFIT`."""
    errors = np.where(np.isnan(batch.errors), MISFIT, batch.errors)
    return np.asarray(np.where(batch.seen, 1.0 / np.hypot(errors, MISFIT), 0.0))


def fit_family(
    family: CurveFamily, log_x: Floats, values: Floats, weights: Floats, *, prior: NormalPrior | None = None,
    n_iterations: int = 30,
) -> FamilyFit:  # fmt: skip
    """Maximum a posteriori fits of one family to n curves, the best of several starts.

    `log_x` (natural logarithm of the budget), `values` (unit scale) and `weights` (inverse standard deviations, 0 = no
    such point) have shape (n, k); `prior` is by default the weak one of the family.
    """
    prior = prior or family.prior
    starts = _starts(family, np.broadcast_to(prior.mean, (len(values), family.n_params)), values, weights)
    fit = fit_least_squares(family, Points(log_x, values, weights), np.stack(starts), prior, n_iterations=n_iterations)
    with np.errstate(all="ignore"):
        curvature = np.linalg.slogdet(fit.hessian)[1]
        evidence = -fit.cost + 0.5 * np.linalg.slogdet(prior.precision)[1] - 0.5 * curvature
        fitted = family(fit.params, log_x)[0]
        seen = weights > 0
        squares = np.where(seen, (fitted - values) ** 2, 0.0).sum(axis=1) / np.maximum(seen.sum(axis=1), 1)
    evidence = np.where(np.isfinite(evidence), evidence, -1e6)
    return FamilyFit(family, fit.params, fit.hessian, evidence, np.where(np.isfinite(squares), squares, 1.0))


def _starts(family: CurveFamily, centre: Floats, values: Floats, weights: Floats) -> list[Floats]:
    """The prior's centre and the family's starts, their free ends moved to what was observed."""
    seen = weights > 0
    first = values[np.arange(len(values)), np.argmax(seen, axis=1)]
    last = values[np.arange(len(values)), seen.shape[1] - 1 - np.argmax(seen[:, ::-1], axis=1)]
    out, place = [np.array(centre)], int(family.has_asymptote)
    for offsets in family.starts:
        start = np.array(centre)
        if family.has_asymptote:
            start[:, 0] = _logit(last + 0.25 * (last - first))
        start[:, place] = _logit(first)
        start[:, place + 1 :] += offsets
        out.append(start)
    return out


def _logistic(z: Floats) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(z, -30.0, 30.0))))


def _logit(u: Floats) -> Floats:
    inside = np.clip(u, 0.02, 0.98)
    return np.asarray(np.log(inside / (1 - inside)))


# -- shapes ---------------------------------------------------------------------------------------------
def _rate(z: Floats) -> Floats:
    return np.asarray(np.exp(np.clip(z, -30.0, 30.0)))


def _power(s: Floats, lx: Floats) -> tuple[Floats, list[Floats]]:
    b = _rate(s[0])
    g = np.exp(-b * lx)
    return g, [-g * b * lx]


def _shifted_power(s: Floats, lx: Floats) -> tuple[Floats, list[Floats]]:
    b, d, x = _rate(s[0]), _rate(s[1]), np.exp(lx)
    stretch = np.log(x + d) - np.log1p(d)
    g = np.exp(-b * stretch)
    return g, [-g * b * stretch, -g * b * d * (1 / (x + d) - 1 / (1 + d))]


def _hill(s: Floats, lx: Floats) -> tuple[Floats, list[Floats]]:
    h = _rate(s[1])
    g = _logistic(h * (s[0] - lx))
    slope = g * (1 - g)
    return g, [slope * h, slope * h * (s[0] - lx)]


def _mmf(s: Floats, lx: Floats) -> tuple[Floats, list[Floats]]:
    d = _rate(s[1])
    g = _logistic(s[0] - d * lx)
    slope = g * (1 - g)
    return g, [slope * np.ones_like(lx), -slope * d * lx]


def _weibull(s: Floats, lx: Floats) -> tuple[Floats, list[Floats]]:
    d, place = _rate(s[1]), s[0] + lx
    power = np.exp(np.clip(d * place, None, 300.0))
    g = np.exp(-power)
    return g, [-g * power * d, -g * power * d * place]


Prior: TypeAlias = tuple[float, float]
"""Mean and standard deviation of a parameter."""


def _family(
    name: str, shape: Shape, ends: Sequence[Prior], rates: Sequence[Prior], *starts: Sequence[float]
) -> CurveFamily:
    prior = NormalPrior.independent(*zip(*ends, *rates, strict=True))
    return CurveFamily(name, len(ends) == 2, shape, prior, np.array(starts, dtype=np.float64))


_TOP, _BOTTOM = (1.2, 1.3), (0.0, 1.3)
"""Mean and standard deviation of the logits of a free asymptote and of the start."""


FAMILIES: dict[str, CurveFamily] = {
    family.name: family
    for family in (
        _family("pow3", _power, (_TOP, _BOTTOM), [(-0.8, 0.8)], [-1], [1]),
        _family("pow4", _shifted_power, (_TOP, _BOTTOM), [(-0.6, 0.8), (0.5, 1.5)], [-0.5, -1], [0.7, 2]),
        _family("log_power3", _hill, (_BOTTOM,), [(3.0, 3.0), (-1.1, 0.6)], [-2, 0], [3, 0.5]),
        _family("mmf4", _mmf, (_TOP, _BOTTOM), [(1.5, 2.0), (-0.4, 0.6)], [-1, -0.5], [2, 0.5]),
        _family("wbl4", _weibull, (_TOP, _BOTTOM), [(-2.0, 2.0), (-0.8, 0.6)], [1, -0.3], [-2, 0.3]),
    )
}
"""All families by name; priors are weak and were set before any score was seen, for curves on the unit scale."""


def forecast_ensemble(batch: CurveBatch) -> tuple[Floats, Floats]:
    """Mean and standard deviation, unit scale, of a mixture of all families at the targets of n curves; (n,) each.

    A family weighs by the geometric mean of its Laplace evidence and of one over the mean squared error of its fit.
    Curves are fitted in chunks of similar length, which keeps padding and memory small.
    """
    n = len(batch)
    value, deviation, log_weight = np.zeros((3, n, len(FAMILIES)))
    order = np.argsort(batch.lengths, kind="stable")
    for start in range(0, n, CHUNK):
        rows = order[start : start + CHUNK]
        part = batch.take(rows)
        for j, family in enumerate(FAMILIES.values()):
            fit = fit_family(family, part.log_x, part.values, weights_of(part))
            value[rows, j], deviation[rows, j] = fit.predict(part.target)
            log_weight[rows, j] = 0.5 * (fit.log_evidence - np.log(fit.mean_squared_error + LEAST_MSE))
    weight = np.exp(log_weight - log_weight.max(axis=1, keepdims=True))
    weight /= weight.sum(axis=1, keepdims=True)
    mean = (weight * value).sum(axis=1)
    variance = (weight * (deviation**2 + (value - mean[:, None]) ** 2)).sum(axis=1)
    return mean, np.sqrt(variance)
