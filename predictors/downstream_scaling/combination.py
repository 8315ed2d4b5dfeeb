"""What is learnt from past forecasts: which methods to trust where, and how far off they are.

A forecast is the weighted mean of the methods on a logit scale. A method's weight rests on three things: how it did
on all ladders of the past, how that changes with the reach of the extrapolation, and how it did on this ladder when
its own largest models were held out. The spread joins what is known to make forecasts wrong, each part with a learnt
coefficient, and the quantiles of the standardised errors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, logit, ndtri, softmax

from predictors.downstream_scaling.ladder import Ladder
from predictors.downstream_scaling.least_squares import Floats
from predictors.downstream_scaling.methods import forecast_shares, match_reach

__all__ = [
    "GATES",
    "MEDIAN",
    "PARTS",
    "REGIMES",
    "SCALE_LEVELS",
    "Evidence",
    "Spread",
    "Stack",
    "bounds",
    "gather",
    "group_weights",
    "regimes",
    "widening",
]

MARGIN_POINTS = 3.0
EDGE = 0.004
N_CUTS = 3
TYPICAL_ERROR = 10.0
"""Points that a unit of the pull is worth."""
SMOOTH = 0.2
"""Points below which an absolute error counts as its square."""
LEAST_BACKTEST_ERROR = 0.01
LOW = 0.5
MOST_WIDENING = 3.0
LADDER_FOLDS = 5
REGIMES = 3
PARTS = ("constant", "sampling", "disagreement", "backtest", "reach", "drop", "flat")
"""Parts of the spread, all on the logit scale; see `gather`."""
GATES = ("reach", "varied", "low", "levels")
SCALE_LEVELS = np.r_[0.002, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2:0.81:0.1, 0.85, 0.9, 0.95, 0.975, 0.99, 0.998]
MEDIAN = int(np.argmin(np.abs(SCALE_LEVELS - 0.5)))


@dataclass(frozen=True)
class Evidence:
    """What is known of each of n forecasts before the outcome.

    Attributes
    ----------
    z : ndarray of shape (n, n_methods)
        Forecasts on the logit scale between `lower` and `upper`; NaN where a method does not apply.
    own : ndarray of shape (n, n_methods)
        Log of the method's mean absolute error on the ladder's own backtests, about its mean over methods; 0 where
        there is none.
    gates : ndarray of shape (n, len(GATES))
        What a method's worth may depend on: log target compute above the ladder over the ladder's own span (at most
        2), how much tokens per parameter vary in the ladder, how near the largest model is to a guess, log of the
        number of compute levels above 4.
    lower, upper : ndarray of shape (n,)
        Bounds of the forecast in points: a little below chance, where noise can carry a score, and the upper bound.
    parts : ndarray of shape (n, len(PARTS))
        What makes a forecast uncertain: a constant; sampling of the target's items; disagreement of the methods
        (filled in by the stack); error of the methods' mean on own backtests; log compute beyond the ladder; the
        deepest fall of the ladder; 1 where all models still guess.
    own_errors : ndarray of shape (n, n_cuts, n_methods)
        Signed errors on own backtests, logit scale, NaN where there is none.
    """

    z: Floats
    own: Floats
    gates: Floats
    lower: Floats
    upper: Floats
    parts: Floats
    own_errors: Floats

    def take(self, rows: NDArray[Any]) -> Evidence:
        """The same for some forecasts."""
        return Evidence(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))

    def to_scale(self, points: Floats) -> Floats:
        """Points on the logit scale of each forecast."""
        share = (points - self.lower) / (self.upper - self.lower)
        return np.asarray(logit(np.clip(share, EDGE, 1 - EDGE)))

    def to_points(self, z: Floats) -> Floats:
        """The opposite of `to_scale`; `z` of shape (n,) or (n, k)."""
        lower, upper = (a if z.ndim == 1 else a[:, None] for a in (self.lower, self.upper))
        return np.asarray(lower + (upper - lower) * expit(z))


def gather(ladders: Sequence[Ladder], names: Sequence[str]) -> Evidence:
    """Run every method on every ladder and on the ladder's own backtests."""
    cuts = [match_reach(ladder, N_CUTS) if len(ladder) >= 4 else [] for ladder in ladders]
    flat = [part for own in cuts for part, _ in own]
    shares = forecast_shares([*ladders, *flat], names)
    n = len(ladders)
    lower, upper = bounds(ladders)
    own_errors = np.full((n, N_CUTS, len(names)), np.nan)
    position = n
    for i, own in enumerate(cuts):
        for k, (part, actual) in enumerate(own):
            forecast = _z(part.points(shares[position]), lower[i], upper[i])
            own_errors[i, k] = forecast - _z(np.array(part.points(np.array(actual))), lower[i], upper[i])
            position += 1
    chance, top = (np.array([getattr(ladder, name) for ladder in ladders])[:, None] for name in ("chance", "upper"))
    points = chance + (top - chance) * shares[:n]
    z = _z(points, lower[:, None], upper[:, None])
    gates, parts = _gates(ladders), _parts(ladders, lower, upper)
    return Evidence(z, _own_scores(own_errors), gates, lower, upper, parts, own_errors)


def _z(points: Floats, lower: Any, upper: Any) -> Floats:
    share = (points - lower) / (upper - lower)
    return np.asarray(logit(np.clip(share, EDGE, 1 - EDGE)))


def bounds(ladders: Sequence[Ladder]) -> tuple[Floats, Floats]:
    """Least and greatest possible score in points: a little below chance, where noise can carry it, and the upper."""
    chance = np.array([ladder.chance for ladder in ladders])
    items = np.array([ladder.n_items for ladder in ladders])
    error = np.sqrt(chance * (100 - chance) / np.where(np.isnan(items), 1000.0, items))
    return np.maximum(0.0, chance - MARGIN_POINTS - 2 * error), np.array([ladder.upper for ladder in ladders])


def _own_scores(own_errors: Floats) -> Floats:
    known = np.isfinite(own_errors)
    count = known.sum(axis=1)
    mean = np.where(known, np.abs(own_errors), 0.0).sum(axis=1) / np.maximum(count, 1)
    score = np.log(LEAST_BACKTEST_ERROR * 4 + mean)
    has = count > 0
    centre = np.where(has, score, 0.0).sum(axis=1) / np.maximum(has.sum(axis=1), 1)
    return np.where(has, score - centre[:, None], 0.0)


def _gates(ladders: Sequence[Ladder]) -> Floats:
    out = np.zeros((len(ladders), len(GATES)))
    for i, ladder in enumerate(ladders):
        span = max(np.log(ladder.flops[-1] / ladder.flops[0]), 0.7)
        ratio = np.log(ladder.tokens / ladder.params)
        varied = float(np.std(ratio)) if np.isfinite(ratio).all() else 0.0
        low = 1.0 - np.clip(ladder.shares[-1] / 0.2, 0.0, 1.0)
        reach = np.clip(np.log(ladder.target_flops / ladder.flops[-1]) / span, 0.0, 2.0)
        out[i] = reach, min(1.0, varied), low, np.log(max(len(ladder.levels), 2) / 4)
    return out


def _parts(ladders: Sequence[Ladder], lower: Floats, upper: Floats) -> Floats:
    out = np.zeros((len(ladders), len(PARTS)))
    for i, ladder in enumerate(ladders):
        z = _z(ladder.scores, lower[i], upper[i])
        last = ladder.scores[-1] / 100
        items = 1000.0 if np.isnan(ladder.n_items) else ladder.n_items
        slope = np.clip((ladder.scores[-1] - lower[i]) / (upper[i] - lower[i]), 0.02, 0.98)
        per_point = 1.0 / (slope * (1 - slope) * (upper[i] - lower[i]))
        known = ladder.errors[np.isfinite(ladder.errors)]
        noise = np.hypot(100 * np.sqrt(max(last * (1 - last), 0.25 / items) / items), _known(ladder.checkpoint_error))
        error = float(np.median(known)) if known.size else noise
        fall = float((np.maximum.accumulate(z) - z).max())
        guess = bool((ladder.scores <= ladder.chance + np.maximum(2 * error, 2.0)).all())
        out[i] = (1.0, noise * per_point, 0.0, 0.0, max(0.0, np.log(ladder.target_flops / ladder.flops[-1])),
                  max(0.0, fall - 2 * error * per_point), float(guess))  # fmt: skip
    return out


def _known(value: float) -> float:
    return value if np.isfinite(value) else 0.0


def group_weights(codes: NDArray[np.intp]) -> Floats:
    """Weights that give every group the same say, mean 1."""
    counts = np.bincount(codes)
    weights = 1.0 / counts[codes]
    return np.asarray(weights / weights.mean())


@dataclass(frozen=True)
class Stack:
    """Weights of methods: softmax of ``prior + gates @ by_gate - trust * own``.

    Attributes
    ----------
    prior : ndarray of shape (n_methods,)
    by_gate : ndarray of shape (len(GATES), n_methods)
    trust : float
        How far the ladder's own backtests count; 0 ignores them.
    """

    prior: Floats
    by_gate: Floats
    trust: float

    def weights(self, evidence: Evidence) -> Floats:
        """Weights of shape (n, n_methods), 0 where a method does not apply; a row sums to 1, or to 0."""
        score = self.prior + evidence.gates @ self.by_gate - self.trust * evidence.own
        applies = np.isfinite(evidence.z)
        score = np.where(applies, score, -60.0)
        return np.asarray(softmax(score, axis=1) * applies)

    def location(self, evidence: Evidence) -> tuple[Floats, Floats]:
        """Weighted mean of the methods and `Evidence.parts` with disagreement and backtest error filled in."""
        weights = self.weights(evidence)
        z = np.where(np.isfinite(evidence.z), evidence.z, 0.0)
        mean = (weights * z).sum(axis=1)
        parts = evidence.parts.copy()
        parts[:, 2] = np.sqrt((weights * (z - mean[:, None]) ** 2).sum(axis=1))
        own = np.where(np.isfinite(evidence.own_errors), evidence.own_errors, 0.0)
        combined = (weights[:, None, :] * own).sum(axis=2)
        counted = np.isfinite(evidence.own_errors).any(axis=2)
        parts[:, 3] = np.sqrt((combined**2 * counted).sum(axis=1) / np.maximum(counted.sum(axis=1), 1))
        return mean, parts

    @classmethod
    def fit(cls, evidence: Evidence, y: Floats, weight: Floats, start: Stack, pull: float) -> Stack:
        """Least mean absolute error in points, pulled to `start` as `pull` rows' worth of evidence would."""
        m = len(start.prior)
        usable = np.asarray(np.isfinite(evidence.z).any(axis=1))
        evidence, y, weight = evidence.take(usable), y[usable], weight[usable]
        if not len(y):
            return start
        applies = np.isfinite(evidence.z)
        ridge = pull / len(y)

        z = np.where(applies, evidence.z, 0.0)
        ratio = weight / weight.sum() / TYPICAL_ERROR

        def objective(theta: Floats) -> tuple[float, Floats]:
            stack = cls(theta[:m], theta[m:-1].reshape(-1, m), float(np.exp(theta[-1])))
            weights = stack.weights(evidence)
            mean = (weights * z).sum(axis=1)
            points = evidence.to_points(mean)
            root = np.sqrt((points - y) ** 2 + SMOOTH**2)
            slope = (points - evidence.lower) * (evidence.upper - points) / (evidence.upper - evidence.lower)
            by_score = (ratio * (points - y) / root * slope)[:, None] * weights * (z - mean[:, None])
            gradient = np.r_[
                by_score.sum(axis=0),
                (evidence.gates.T @ by_score).ravel(),
                -stack.trust * (by_score * evidence.own).sum(),
            ]
            away = theta - origin
            return float((ratio * root).sum() + ridge * (away**2).sum()), gradient + 2 * ridge * away

        origin = np.r_[start.prior, start.by_gate.ravel(), np.log(start.trust)]
        found = minimize(objective, origin, jac=True, method="L-BFGS-B", options={"maxiter": 200})
        theta = found.x
        return cls(theta[:m], theta[m:-1].reshape(-1, m), float(np.exp(theta[-1])))


@dataclass(frozen=True)
class Spread:
    """Scale ``sqrt(sum (coefficient * part)^2)`` and quantiles of errors in units of it, by regime.

    A ladder whose largest model has hardly left chance is another regime than one that has: there most forecasts are
    nearly right and a few miss a sudden rise, the more so where a guess scores nothing (free answers).

    Attributes
    ----------
    coefficients : ndarray of shape (REGIMES, len(PARTS))
        Of ladders that have left chance, and of those that have not: where a guess scores, and where it does not.
    quantiles : ndarray of shape (REGIMES, len(SCALE_LEVELS))
    """

    coefficients: Floats
    quantiles: Floats

    def scale(self, parts: Floats, regime: NDArray[np.intp]) -> Floats:
        """Standard deviation of each forecast on the logit scale."""
        return np.asarray(np.sqrt((parts**2 * self.coefficients[regime] ** 2).sum(axis=1)))

    def at(self, levels: Floats, regime: NDArray[np.intp]) -> Floats:
        """Standardised error of shape (n, n_levels), linear in the normal quantile beyond the outermost level."""
        curves = np.stack([_interpolate(ndtri(levels), ndtri(SCALE_LEVELS), row) for row in self.quantiles])
        return np.asarray(curves[regime])

    @classmethod
    def fit(
        cls, parts: Floats, errors: Floats, weight: Floats, regime: NDArray[np.intp], start: Spread, pull: float
    ) -> Spread:
        """Likelihood of heavy-tailed errors (Student, 4 degrees of freedom), then their weighted quantiles."""
        coefficients, quantiles = start.coefficients.copy(), start.quantiles.copy()
        for r in range(REGIMES):
            rows = regime == r
            if rows.any():
                coefficients[r] = _fit_scale(parts[rows], errors[rows], weight[rows], start.coefficients[r], pull)
                scale = np.sqrt((parts[rows] ** 2) @ (coefficients[r] ** 2))
                quantiles[r] = _fit_quantiles(errors[rows] / scale, weight[rows], start.quantiles[r], pull)
        return cls(coefficients, quantiles)


def widening(
    parts: Floats, errors: Floats, weight: Floats, regime: NDArray[np.intp], origin: NDArray[np.intp], start: Spread,
    pull: float,
) -> float:  # fmt: skip
    """Factor on the quantiles that makes 90 % intervals hold 90 % of the errors on ladders they have not seen.

    `origin` numbers the ladders; each has the same say, and a fold is a fifth of them. At least 1.
    """
    votes = group_weights(origin)
    ratio = np.full(len(errors), np.nan)
    ends = np.array([0.05, 0.5, 0.95])
    for fold in np.unique(origin % LADDER_FOLDS):
        out = origin % LADDER_FOLDS == fold
        if out.all():
            return 1.0
        some = Spread.fit(parts[~out], errors[~out], weight[~out], regime[~out], start, pull)
        quantiles = some.at(ends, regime[out]) * some.scale(parts[out], regime[out])[:, None]
        lower, middle, upper = quantiles[:, 0], quantiles[:, 1], quantiles[:, 2]
        ratio[out] = np.maximum((errors[out] - middle) / (upper - middle), (errors[out] - middle) / (lower - middle))
    order = np.argsort(ratio, kind="stable")
    share = votes[order].cumsum() / votes.sum()
    at = min(int(np.searchsorted(share, 0.9)), len(order) - 1)
    return float(np.clip(ratio[order][at], 1.0, MOST_WIDENING))


def regimes(evidence: Evidence) -> NDArray[np.intp]:
    """0 where the largest model of the ladder has left chance, else 1, or 2 where a guess scores nothing."""
    low = evidence.gates[:, GATES.index("low")] > LOW
    return np.where(low, np.where(evidence.lower > 0, 1, 2), 0)


def _fit_scale(parts: Floats, errors: Floats, weight: Floats, start: Floats, pull: float) -> Floats:
    origin = np.log(start)
    share = weight / weight.sum()
    ridge = pull / len(errors)

    def objective(theta: Floats) -> tuple[float, Floats]:
        squares = parts**2 * np.exp(2 * theta)
        variance = squares.sum(axis=1)
        ratio = errors**2 / variance / 4
        density = 0.5 * np.log(variance) + 2.5 * np.log1p(ratio)
        by_variance = share * (0.5 - 2.5 * ratio / (1 + ratio)) / variance
        away = theta - origin
        gradient = 2 * (by_variance[:, None] * squares).sum(axis=0) + 2 * ridge * away
        return float((share * density).sum() + ridge * (away**2).sum()), gradient

    return np.asarray(np.exp(minimize(objective, origin, jac=True, method="L-BFGS-B", options={"maxiter": 200}).x))


def _fit_quantiles(standard: Floats, weight: Floats, start: Floats, pull: float) -> Floats:
    order = np.argsort(standard, kind="stable")
    w = weight[order]
    position = (w.cumsum() - 0.5 * w) / w.sum()
    effective = w.sum() ** 2 / (w**2).sum()
    raw = np.interp(SCALE_LEVELS, position, standard[order])
    # Of a quantile with less than one error beyond it the sample says nothing: the wider of it and the default.
    unseen = np.minimum(SCALE_LEVELS, 1 - SCALE_LEVELS) * effective < 1.0
    wider = np.maximum(np.abs(raw), np.abs(start)) * np.sign(SCALE_LEVELS - 0.5)
    share = effective / (effective + pull)
    mixed = share * np.where(unseen, wider, raw) + (1 - share) * start
    return np.asarray(np.maximum.accumulate(mixed))


def _interpolate(at: Floats, x: Floats, y: Floats) -> Floats:
    inside = np.interp(at, x, y)
    low = y[0] + (at - x[0]) * max((y[1] - y[0]) / (x[1] - x[0]), 0.5)
    high = y[-1] + (at - x[-1]) * max((y[-1] - y[-2]) / (x[-1] - x[-2]), 0.5)
    return np.where(at < x[0], low, np.where(at > x[-1], high, inside))
