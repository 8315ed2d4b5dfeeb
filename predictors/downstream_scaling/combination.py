"""How laws become one forecast, and what is learnt from past forecasts: how far off they are.

A forecast is the weighted mean of the laws on a logit scale. A law's weight rests on how it did on this ladder when its
own largest models were held out. The spread joins what is known to make forecasts wrong, each part with a learnt
coefficient, and the quantiles of the standardised errors.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, logit, ndtri, softmax

from ..arrays import Codes, Floats, Mask
from .abstention import deepest_fall
from .ladder import Ladder
from .laws.methods import forecast_shares, match_reach

MARGIN_POINTS = 3.0
EDGE = 0.004
N_CUTS = 3
N_FOLDS = 10
LEAST_BACKTEST_ERROR = 0.04
LOW = 0.1
"""Share of the largest model under which a ladder has hardly left chance."""
PARTS = ("constant", "sampling", "disagreement", "backtest", "reach", "fall", "few")
"""Parts of the spread, all on the logit scale; see `gather`."""
SCALE_LEVELS = np.r_[0.01, 0.025, 0.05, 0.1, 0.15, 0.2:0.81:0.1, 0.85, 0.9, 0.95, 0.975, 0.99]


@dataclass(frozen=True)
class Evidence:
    """What is known of each of n forecasts before the outcome.

    Attributes
    ----------
    z : ndarray of shape (n, n_methods)
        Forecasts on the logit scale between `lower` and `upper`; NaN where a law does not apply.
    own_errors : ndarray of shape (n, n_cuts, n_methods)
        Signed errors on the ladder's own backtests, logit scale, NaN where there is none.
    lower, upper : ndarray of shape (n,)
        Bounds of the forecast in points: a little below chance, where noise can carry a score, and the upper bound.
    ladder_parts : ndarray of shape (n, len(PARTS))
        `parts` as far as the ladder alone says them, 0 elsewhere.
    is_low : ndarray of bool of shape (n,)
        Whether the largest model has hardly left chance: a few forecasts of such ladders miss a sudden rise.
    """

    z: Floats
    own_errors: Floats
    lower: Floats
    upper: Floats
    ladder_parts: Floats
    is_low: Mask

    def take(self, rows: NDArray[Any]) -> "Evidence":
        """The same for some forecasts."""
        return Evidence(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))

    def to_scale(self, points: Floats) -> Floats:
        """Points (n,) on the logit scale of the forecasts."""
        return _z(points, self.lower, self.upper)

    def to_points(self, z: Floats) -> Floats:
        """Logit-scale values of shape (n,) or (n, k) in points."""
        lower, upper = (a[:, None] if z.ndim == 2 else a for a in (self.lower, self.upper))
        return np.asarray(lower + (upper - lower) * expit(z))

    @property
    def weights(self) -> Floats:
        """Weights of the laws, shape (n, n_methods), 0 where one does not apply; a row sums to 1, or to 0.

        Equal ones, changed by the log of each law's mean absolute error on the ladder's own backtests.
        """
        applies, is_measured = np.isfinite(self.z), np.isfinite(self.own_errors)
        count = is_measured.sum(axis=1)
        mean = np.where(is_measured, np.abs(self.own_errors), 0.0).sum(axis=1) / np.maximum(count, 1)
        score = np.log(LEAST_BACKTEST_ERROR + mean)
        has = count > 0
        centre = np.where(has, score, 0.0).sum(axis=1) / np.maximum(has.sum(axis=1), 1)
        about_mean = np.where(has, score - centre[:, None], 0.0)
        return np.asarray(softmax(np.where(applies, -about_mean, -60.0), axis=1) * applies)

    @property
    def location(self) -> Floats:
        """Weighted mean of the laws, logit scale, shape (n,)."""
        return np.asarray((self.weights * np.nan_to_num(self.z)).sum(axis=1))

    @property
    def parts(self) -> Floats:
        """What makes a forecast uncertain, shape (n, len(PARTS)).

        A constant; sampling of the target's items; disagreement of the laws; error of their weighted mean on own
        backtests; log compute beyond the ladder; the deepest fall at no less size and data; log compute beyond the
        ladder over its compute levels.
        """
        weights, parts = self.weights, self.ladder_parts.copy()
        away = np.nan_to_num(self.z) - self.location[:, None]
        parts[:, PARTS.index("disagreement")] = np.sqrt((weights * away**2).sum(axis=1))
        combined = (weights[:, None, :] * np.nan_to_num(self.own_errors)).sum(axis=2)
        counted = np.isfinite(self.own_errors).any(axis=2)
        squares = (combined**2 * counted).sum(axis=1) / np.maximum(counted.sum(axis=1), 1)
        parts[:, PARTS.index("backtest")] = np.sqrt(squares)
        return parts


def gather(ladders: Sequence[Ladder], names: Sequence[str]) -> Evidence:
    """Run every law on every ladder and on the ladder's own backtests."""
    backtests = [(i, k, *cut) for i, ladder in enumerate(ladders) for k, cut in enumerate(match_reach(ladder, N_CUTS))]
    shares = forecast_shares([*ladders, *(part for _, _, part, _ in backtests)], names)
    n = len(ladders)
    lower, upper = bounds(ladders)
    own_errors = np.full((n, N_CUTS, len(names)), np.nan)
    for (i, k, part, actual), forecast in zip(backtests, shares[n:], strict=True):
        measured = _z(np.array(part.points(np.array(actual))), lower[i], upper[i])
        own_errors[i, k] = _z(part.points(forecast), lower[i], upper[i]) - measured
    chance, top = (np.array([getattr(ladder, name) for ladder in ladders])[:, None] for name in ("chance", "upper"))
    z = _z(chance + (top - chance) * shares[:n], lower[:, None], upper[:, None])
    is_low = np.array([not len(ladder) or ladder.shares[-1] < LOW for ladder in ladders])
    return Evidence(z, own_errors, lower, upper, _ladder_parts(ladders, lower, upper), is_low)


def _z(points: Floats, lower: Any, upper: Any) -> Floats:
    share = (points - lower) / (upper - lower)
    return np.asarray(logit(np.clip(share, EDGE, 1 - EDGE)))


def bounds(ladders: Sequence[Ladder]) -> tuple[Floats, Floats]:
    """Least and greatest possible score in points: a little below chance, where noise can carry it, and the upper."""
    chance = np.array([ladder.chance for ladder in ladders])
    items = np.array([ladder.n_items for ladder in ladders])
    error = np.sqrt(chance * (100 - chance) / np.where(np.isnan(items), 1000.0, items))
    return np.maximum(0.0, chance - MARGIN_POINTS - 2 * error), np.array([ladder.upper for ladder in ladders])


def _ladder_parts(ladders: Sequence[Ladder], lower: Floats, upper: Floats) -> Floats:
    out = np.zeros((len(ladders), len(PARTS)))
    for i, ladder in enumerate(ladders):
        last = ladder.scores[-1] / 100
        items = 1000.0 if np.isnan(ladder.n_items) else ladder.n_items
        share = np.clip((ladder.scores[-1] - lower[i]) / (upper[i] - lower[i]), 0.02, 0.98)
        per_point = 1.0 / (share * (1 - share) * (upper[i] - lower[i]))
        measured = ladder.errors[np.isfinite(ladder.errors)]
        sampling = 100 * np.sqrt(max(last * (1 - last), 0.25 / items) / items)
        noise = np.hypot(sampling, np.nan_to_num(ladder.checkpoint_error))
        error = float(np.median(measured)) if measured.size else noise
        fall = max(0.0, deepest_fall(ladder)[0] - 2 * error) * per_point
        reach = max(0.0, np.log(ladder.target_flops / ladder.flops[-1]))
        out[i] = 1.0, noise * per_point, 0.0, 0.0, reach, fall, reach / len(ladder.levels)
    return out


def group_weights(codes: Codes) -> Floats:
    """Weights that give every group the same say, mean 1, shape (n,)."""
    counts = np.bincount(codes)
    weights = 1.0 / counts[codes]
    return np.asarray(weights / weights.mean())


@dataclass(frozen=True)
class Spread:
    """Scale ``sqrt(sum (coefficient * part)^2)`` and quantiles of errors in units of it.

    Attributes
    ----------
    coefficients : ndarray of shape (len(PARTS),)
    quantiles : ndarray of shape (2, len(SCALE_LEVELS))
        Of ladders that have left chance, and of those that have not.
    """

    coefficients: Floats
    quantiles: Floats

    def scale(self, parts: Floats) -> Floats:
        """Standard deviation of each forecast on the logit scale, shape (n,)."""
        return np.asarray(np.sqrt(parts**2 @ self.coefficients**2))

    def at(self, levels: Floats, is_low: Mask) -> Floats:
        """Standardised error of shape (n, n_levels), linear in the normal quantile beyond the outermost level."""
        curves = np.stack([_interpolate(ndtri(levels), ndtri(SCALE_LEVELS), row) for row in self.quantiles])
        return np.asarray(curves[is_low.astype(int)])

    @classmethod
    def fit(cls, parts: Floats, errors: Floats, groups: Codes, is_low: Mask, start: "Spread") -> "Spread":
        """Likelihood of heavy-tailed errors (Student, 4 degrees of freedom), then their quantiles over groups left out.

        Groups are numbered from 0; a fold is every `N_FOLDS`-th.
        """
        weight = group_weights(groups)
        standard = np.empty(len(errors))
        for fold in np.unique(groups % N_FOLDS):
            out = groups % N_FOLDS == fold
            inside = _fit_scale(parts[~out], errors[~out], weight[~out], start.coefficients)
            standard[out] = errors[out] / np.sqrt(parts[out] ** 2 @ inside**2)
        coefficients = _fit_scale(parts, errors, weight, start.coefficients)
        quantiles = [
            _fit_quantiles(standard[rows], groups[rows], row) if rows.any() else row
            for rows, row in zip((~is_low, is_low), start.quantiles, strict=True)
        ]
        return cls(coefficients, np.stack(quantiles))


GROUPS_OF_DEFAULTS = 2.0
"""Groups whose say the default quantiles have."""
PULL_OF_SCALE = 0.003


def _fit_scale(parts: Floats, errors: Floats, weight: Floats, start: Floats) -> Floats:
    origin = np.log(start)
    share = weight / weight.sum()

    def objective(theta: Floats) -> tuple[float, Floats]:
        squares = parts**2 * np.exp(2 * theta)
        variance = squares.sum(axis=1)
        ratio = errors**2 / variance / 4
        density = 0.5 * np.log(variance) + 2.5 * np.log1p(ratio)
        by_variance = share * (0.5 - 2.5 * ratio / (1 + ratio)) / variance
        away = theta - origin
        gradient = 2 * (by_variance[:, None] * squares).sum(axis=0) + 2 * PULL_OF_SCALE * away
        return float((share * density).sum() + PULL_OF_SCALE * (away**2).sum()), gradient

    return np.asarray(np.exp(minimize(objective, origin, jac=True, method="L-BFGS-B", options={"maxiter": 200}).x))


def _fit_quantiles(standard: Floats, groups: Codes, start: Floats) -> Floats:
    codes, group = np.unique(groups, return_inverse=True)
    order = np.argsort(standard, kind="stable")
    w = group_weights(group)[order]
    # As in conformal prediction: a new group ranks among one more than there are.
    position = 0.5 + ((w.cumsum() - 0.5 * w) / w.sum() - 0.5) * len(codes) / (len(codes) + 1)
    # The weighted mean of the laws is the median forecast: a shift that other families had is no part of it.
    side = np.sign(np.round(SCALE_LEVELS - 0.5, 6))
    raw = side * np.maximum(side * np.interp(SCALE_LEVELS, position, standard[order]), 0.0)
    share = len(codes) / (len(codes) + GROUPS_OF_DEFAULTS)
    return np.asarray(share * raw + (1 - share) * start)


def _interpolate(at: Floats, x: Floats, y: Floats) -> Floats:
    inside = np.interp(at, x, y)
    low = y[0] + (at - x[0]) * max((y[1] - y[0]) / (x[1] - x[0]), 0.5)
    high = y[-1] + (at - x[-1]) * max((y[-1] - y[-2]) / (x[-1] - x[-2]), 0.5)
    return np.where(at < x[0], low, np.where(at > x[-1], high, inside))
