"""The prior over learning curves that the network is trained on: what it believes before it sees a point.

A curve lives on ``t = log2(step / first step)`` and in [0, 1], higher is better. It is a mixture of saturating
shapes between a start and an asymptote, to which real curves owe the rest: plateaus, dips, declines, drifts, jumps,
late phases, noise that shrinks with data and grows away from the ends of the range, heavy tails. Nothing is rejected.

The idea of shared start and asymptote is from Rakotoarison et al. (2024), In-Context Freeze-Thaw Bayesian Optimization
for Hyperparameter Optimization (FT-PFN); that of training a network on draws of a curve prior from Adriaensen et al.
(2023), Efficient Bayesian Learning Curve Extrapolation using Prior-Data Fitted Networks (LC-PFN). The shapes, the
weights and the code are this project's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foretell.predictors.learning_curves.curves import MAX_POINTS as MAX_CONTEXT
from foretell.predictors.learning_curves.pfn.pretrained import FARTHEST

__all__ = ["PROTOCOL_CUTOFFS", "CurvePrior", "Draws"]

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Ints = NDArray[np.int64]

PROTOCOL_CUTOFFS = (0.1, 0.2, 0.4, 0.8)
"""Shares of the anchors at which half of the draws are cut."""


@dataclass(frozen=True)
class Draws:
    """Curves drawn from a prior, cut into what is observed and what is asked.

    Attributes
    ----------
    log_steps : ndarray of shape (n, max_context)
        log2 of the step over the first step; rows are padded with zeros.
    values : ndarray of shape (n, max_context)
        Observed values in [0, 1], higher is better; padded with zeros.
    lengths : ndarray of shape (n,)
        Observed points of each curve, at least 1.
    target_log_steps, targets : ndarray of shape (n, n_targets)
        Asked points; the last column is the end of the curve.
    """

    log_steps: Floats
    values: Floats
    lengths: Ints
    target_log_steps: Floats
    targets: Floats


@dataclass(frozen=True)
class CurvePrior:
    """A distribution over learning curves, with its hyper-parameters.

    Parameters
    ----------
    n_targets : int
        Asked points of each curve; the end of the curve is always one of them.
    dirichlet : float
        Concentration of the weights of the shapes: small means that one shape dominates.
    low_start : float
        Share of curves that start near 0; the others start as `start` says.
    start : tuple of two floats
        Beta parameters of the value at the first step.
    headroom : tuple of two floats
        Beta parameters of the share of the room above the start that the asymptote takes up.
    low_gain, high_gain : float
        Added to the first of them at a start of 0 (nothing from 0.5 on: many classes leave more to learn) and at a
        start of 1 (nothing up to 0.75: what starts well is easy).
    perfect : float
        Share of curves whose asymptote is the end of the range.
    log_noise : tuple of two floats
        Mean and standard deviation of the log of a curve's noise level.
    noise_decay : float
        Largest rate at which the noise shrinks, per doubling in log2.
    noise_df : float
        Least degrees of freedom of the noise.
    outliers : float
        Share of points with four times the noise.
    drift : tuple of two floats
        Mean and standard deviation of the log of the random walk's step per square root of a doubling.
    decline, flat, dip, overfit, jump, late, asleep : float
        Share of curves that fall, do not move, dip, fall after a peak, jump, enter a late phase, and stand still
        without noise until some point.
    pace : tuple of two floats
        Mean and standard deviation of the log of a factor on the doublings that a curve's shape sees.
    end_outliers : float
        Share of curves whose last point has three times the noise: final runs are made under other conditions.
    smooth : float
        Share of curves with a tenth of the noise and of the drift.
    """

    n_targets: int = 4
    dirichlet: float = 0.35
    low_start: float = 0.2
    start: tuple[float, float] = (3.4, 1.7)
    headroom: tuple[float, float] = (0.8, 0.75)
    low_gain: float = 1.6
    high_gain: float = 0.5
    perfect: float = 0.08
    pace: tuple[float, float] = (0.1, 0.35)
    log_noise: tuple[float, float] = (-5.4, 1.4)
    noise_decay: float = 0.45
    noise_df: float = 3.0
    outliers: float = 0.03
    end_outliers: float = 0.1
    drift: tuple[float, float] = (-6.3, 1.5)
    decline: float = 0.035
    flat: float = 0.08
    dip: float = 0.05
    overfit: float = 0.035
    jump: float = 0.04
    late: float = 0.17
    asleep: float = 0.08
    smooth: float = 0.04

    def sample(self, n: int, rng: np.random.Generator) -> Draws:
        """Draw `n` curves, each on a grid of its own and cut at a random place."""
        log_steps, lengths = _grids(n, self.n_targets, rng)
        curve = self.curves(log_steps, rng)
        rows = np.arange(n)[:, None]
        k = np.arange(MAX_CONTEXT)[None, :]
        seen = k < lengths[:, None]
        # Targets sit right behind the observed points of their row.
        at = lengths[:, None] + np.arange(self.n_targets)[None, :]
        zero = np.float32(0)
        return Draws(
            np.where(seen, log_steps[:, :MAX_CONTEXT], zero),
            np.where(seen, curve[:, :MAX_CONTEXT], zero),
            lengths,
            log_steps[rows, at],
            curve[rows, at],
        )

    def curves(self, log_steps: Floats, rng: np.random.Generator) -> Floats:
        """Draw one noisy curve on each row of `log_steps` (n, m), ascending; values in [0, 1]."""
        n, t = len(log_steps), log_steps
        end = t.max(axis=1, keepdims=True)
        onset = np.where(rng.random((n, 1)) < self.asleep, rng.uniform(0, 0.9, (n, 1)) * end, -1.0)
        still = np.where((onset > 0) & (t <= onset), 0.01, 1.0)
        still = still * np.where(rng.random((n, 1)) < self.smooth, 0.1, 1.0)
        level = self._means(t, np.maximum(t - np.maximum(onset, 0), 0), rng) + self._drift(t, still, rng)
        return _reflect(level + self._noise(t, level, still, rng)).astype(np.float32)

    def _noise(self, t: Floats, level: Doubles, still: Doubles, rng: np.random.Generator) -> Doubles:
        n = len(t)
        sd = still * np.exp(rng.normal(*self.log_noise, size=(n, 1)))
        sd = sd * 2 ** (-rng.uniform(0, self.noise_decay, (n, 1)) * t)
        room = np.clip(4 * level * (1 - level), 0.0025, 1)
        sd = sd * room ** rng.uniform(0.0, 0.6, (n, 1))
        sd = sd * np.where(rng.random(t.shape) < self.outliers, 4.0, 1.0)
        odd_end = (rng.random((n, 1)) < self.end_outliers) & (t >= t.max(axis=1, keepdims=True))
        sd = np.where(odd_end, 3 * sd + 0.003, sd)
        df = self.noise_df + rng.exponential(10.0, (n, 1))
        noise = rng.standard_normal(t.shape) * np.sqrt(df / rng.chisquare(np.broadcast_to(df, t.shape)))
        return np.asarray(sd * np.clip(noise, -8, 8))

    def _means(self, t: Floats, awake: Doubles, rng: np.random.Generator) -> Doubles:
        n = len(t)
        low = rng.random((n, 1)) < self.low_start
        start = np.where(low, rng.beta(1.0, 3.0, (n, 1)), rng.beta(*self.start, (n, 1)))
        first, second = self.headroom
        first = first + self.low_gain * np.clip(1 - 2 * start, 0, 1) + self.high_gain * np.clip(4 * start - 3, 0, 1)
        share = rng.beta(first, second)
        share = np.where(rng.random((n, 1)) < self.perfect, 1.0, share)
        gain = (1 - start) * share
        kind = rng.random((n, 1))
        gain = np.where(kind < self.decline, -start * rng.beta(0.7, 3.0, (n, 1)), gain)
        gain = np.where(kind > 1 - self.flat, gain * rng.exponential(0.03, (n, 1)), gain)
        awake = awake * np.exp(rng.normal(*self.pace, size=(n, 1)))
        return np.asarray(start + gain * self._shape(awake, rng) + self._ills(t, gain, rng))

    def _shape(self, t: Doubles, rng: np.random.Generator) -> Doubles:
        """Mixture of saturating shapes: 0 at the first step, towards 1."""
        n = len(t)
        weights = rng.standard_gamma(self.dirichlet, (n, len(SHAPES))) + 1e-6
        weights /= weights.sum(axis=1, keepdims=True)
        total = np.zeros(t.shape)
        for j, shape in enumerate(SHAPES):
            used = np.flatnonzero(weights[:, j] > 0.01)
            if used.size:
                total[used] += weights[used, j : j + 1] * shape(t[used], rng)
        return total

    def _ills(self, t: Floats, gain: Doubles, rng: np.random.Generator) -> Doubles:
        """What is wrong with curves: dips, falls after a peak, jumps and late phases; 0 for most."""
        n = len(t)
        out = np.zeros(t.shape)
        end = t.max(axis=1, keepdims=True)
        kind = rng.random(n)
        edges = np.cumsum([self.dip, self.overfit, self.jump, self.late])
        for rows, ill in zip(np.split(np.argsort(kind), np.searchsorted(np.sort(kind), edges))[:4], ILLS, strict=True):
            if rows.size:
                out[rows] = ill(t[rows], end[rows], gain[rows], rng)
        return out

    def _drift(self, t: Floats, still: Doubles, rng: np.random.Generator) -> Doubles:
        n = len(t)
        step = np.exp(rng.normal(*self.drift, size=(n, 1))) * 2 ** (-rng.uniform(0, 0.3, (n, 1)) * t)
        dt = np.diff(t, axis=1, prepend=t[:, :1])
        shock = np.clip(rng.standard_t(3.0, t.shape), -8, 8)
        return np.cumsum(still * step * np.sqrt(np.maximum(dt, 0)) * shock, axis=1)


def _power(t: Doubles, rng: np.random.Generator) -> Doubles:
    n = (len(t), 1)
    offset = np.exp(rng.normal(0.5, 1.8, n))
    rate = np.exp(rng.normal(-0.6, 0.7, n))
    return np.asarray(1 - ((2**t + offset) / (1 + offset)) ** -rate)


def _stretched(t: Doubles, rng: np.random.Generator) -> Doubles:
    n = (len(t), 1)
    shape = np.exp(rng.normal(-0.8, 0.5, n))
    scale = np.exp(rng.normal(1.2, 1.3, n))
    return np.asarray(1 - np.exp(-np.minimum((2 ** (shape * t) - 1) / scale, 60)))


def _sigmoid(t: Floats | Doubles, middle: Doubles, width: Doubles) -> Doubles:
    """Logistic in log step (the MMF and Hill families), moved to start at 0."""
    at_start = 1 / (1 + np.exp(np.minimum(middle / width, 60)))
    return np.asarray((1 / (1 + np.exp(np.clip((middle - t) / width, -60, 60))) - at_start) / (1 - at_start))


def _hill(t: Doubles, rng: np.random.Generator) -> Doubles:
    n = (len(t), 1)
    return _sigmoid(t, rng.uniform(-4, 13, n), np.exp(rng.normal(0.7, 0.5, n)))


def _steep(t: Doubles, rng: np.random.Generator) -> Doubles:
    n = (len(t), 1)
    return _sigmoid(t, rng.uniform(0, 10, n), np.exp(rng.normal(-0.6, 0.5, n)))


def _inverse_log(t: Doubles, rng: np.random.Generator) -> Doubles:
    n = (len(t), 1)
    return np.asarray(1 - (1 + np.exp(rng.normal(-1.2, 0.9, n)) * t) ** -np.exp(rng.normal(0.0, 0.5, n)))


def _ramp(t: Doubles, rng: np.random.Generator) -> Doubles:
    """A straight line in log step that stops at a plateau, more or less abruptly."""
    n = (len(t), 1)
    length = rng.uniform(3, 22, n)
    bend = rng.uniform(2, 8, n)
    return np.asarray(t / length / (1 + (t / length) ** bend) ** (1 / bend))


def _dip(t: Floats, end: Floats, gain: Doubles, rng: np.random.Generator) -> Doubles:
    n = (len(t), 1)
    depth = rng.exponential(0.07, n)
    middle = rng.uniform(0, 1.1, n) * end
    return np.asarray(-depth * np.exp(-0.5 * ((t - middle) / np.exp(rng.normal(0, 0.5, n))) ** 2))


def _overfit(t: Floats, end: Floats, gain: Doubles, rng: np.random.Generator) -> Doubles:
    n = (len(t), 1)
    since = np.maximum(t - rng.uniform(0, 1, n) * end, 0)
    return np.asarray(-rng.exponential(0.02, n) * since)


def _jump(t: Floats, end: Floats, gain: Doubles, rng: np.random.Generator) -> Doubles:
    n = (len(t), 1)
    size = rng.standard_t(3.0, n) * np.where(rng.random(n) < 0.15, 0.2, 0.03)
    return np.asarray(np.where(t > rng.uniform(0, 1, n) * end, size, 0.0))


def _late(t: Floats, end: Floats, gain: Doubles, rng: np.random.Generator) -> Doubles:
    n = (len(t), 1)
    middle = rng.uniform(0.1, 1.3, n) * end + 0.5
    size = rng.beta(1.0, 2.0, n) * 0.5
    return size * _sigmoid(t, middle, np.exp(rng.normal(-0.2, 0.5, n)))


SHAPES: tuple[Callable[[Doubles, np.random.Generator], Doubles], ...] = (
    _power,
    _stretched,
    _hill,
    _steep,
    _inverse_log,
    _ramp,
)
ILLS = (_dip, _overfit, _jump, _late)


def _reflect(y: Doubles) -> Doubles:
    """Fold values back into [0, 1], so that no mass piles up at the ends."""
    y = np.abs(np.clip(y, -0.999, 1.999))
    return np.where(y > 1, 2 - y, y)


def _grids(n: int, n_targets: int, rng: np.random.Generator) -> tuple[Floats, Ints]:
    """Places of observed points and targets: anchors (70 %), epochs (15 %), irregular (15 %).

    Returns
    -------
    log_steps : (n, MAX_CONTEXT + n_targets), ascending in each row
    lengths : observed points of each row
    """
    width = MAX_CONTEXT + n_targets
    kind = rng.random(n)
    log_steps = np.zeros((n, width), dtype=np.float32)
    lengths = np.zeros(n, dtype=np.int64)
    for rows, grid in (
        (np.flatnonzero(kind < 0.7), _anchor_grid),
        (np.flatnonzero((kind >= 0.7) & (kind < 0.85)), _epoch_grid),
        (np.flatnonzero(kind >= 0.85), _irregular_grid),
    ):
        if rows.size:
            log_steps[rows], lengths[rows] = grid(rows.size, n_targets, rng)
    return np.minimum(log_steps, np.float32(FARTHEST)), lengths


def _cut(total: Ints, rng: np.random.Generator) -> Ints:
    """Observed points of curves of `total` points: half at the protocol's shares, half anywhere."""
    share = rng.choice(PROTOCOL_CUTOFFS, total.size)
    fixed = np.maximum(2, np.rint(share * total))
    anywhere = 1 + np.floor(rng.random(total.size) * (total - 1))
    return np.clip(np.where(rng.random(total.size) < 0.5, fixed, anywhere), 1, total - 1).astype(np.int64)


def _place(points: Doubles, total: Ints, cut: Ints, n_targets: int, rng: np.random.Generator) -> Floats:
    """Put the first `cut` points of each row, then `n_targets` of the rest with the last one always, in order."""
    n, width = len(points), MAX_CONTEXT + n_targets
    rows = np.arange(n)[:, None]
    at = np.minimum(np.arange(width)[None, :], np.maximum(cut, 1)[:, None] - 1)
    out = points[rows, at]
    share = np.sort(rng.random((n, n_targets)), axis=1)
    share[:, -1] = 1.0
    pick = cut[:, None] + np.floor(share * (total - cut)[:, None]).astype(np.int64)
    pick = np.minimum(pick, total[:, None] - 1)
    return _append(out, cut, points[rows, pick])


def _append(context: Doubles, lengths: Ints, targets: Doubles) -> Floats:
    out = context.copy()
    rows = np.arange(len(out))[:, None]
    m = targets.shape[1]
    out[rows, lengths[:, None] + np.arange(m)[None, :]] = targets
    beyond = np.arange(out.shape[1])[None, :] >= (lengths + m)[:, None]
    return np.where(beyond, targets[:, -1:], out).astype(np.float32)


def _anchor_grid(n: int, n_targets: int, rng: np.random.Generator) -> tuple[Floats, Ints]:
    """Geometric anchors, mostly half a doubling apart, with an end that falls between two of them."""
    total = np.clip(np.rint(np.exp(rng.normal(2.8, 0.38, n))), 4, MAX_CONTEXT + 4).astype(np.int64)
    usual = rng.random(n) < 0.75
    ratio = np.where(usual, 0.5, np.exp(rng.normal(-0.6, 0.8, n)))[:, None]
    points: Doubles = ratio * np.arange(MAX_CONTEXT + 4, dtype=np.float64)[None, :]
    jitter = np.where(usual, 0.0, 0.25 * (rng.random(n) < 0.5))[:, None] * ratio
    points = points + jitter * rng.uniform(-1, 1, points.shape)
    points = np.maximum(points - points[:, :1], 0)
    last = points[np.arange(n), total - 2] + ratio[:, 0] * rng.uniform(0.02, 2.0, n) ** 0.8
    points[np.arange(n), total - 1] = last
    cut = np.minimum(_cut(total, rng), MAX_CONTEXT)
    return _place(points, total, cut, n_targets, rng), cut


def _epoch_grid(n: int, n_targets: int, rng: np.random.Generator) -> tuple[Floats, Ints]:
    """Epochs 1, 2, ... up to thousands, thinned as at prediction."""
    total = np.clip(np.rint(10 ** rng.uniform(0.7, 3.0, n)), 4, 1000).astype(np.int64)
    cut = _cut(total, rng)
    share = np.linspace(0, 1, MAX_CONTEXT)[None, :]
    dense = np.rint(np.exp(share * np.log(cut)[:, None]))  # thinned geometrically; duplicates are pushed up
    steps = np.maximum(dense, np.arange(1, MAX_CONTEXT + 1)[None, :])
    lengths = np.minimum(cut, MAX_CONTEXT)
    steps = np.minimum(steps, cut[:, None])
    context = np.concatenate([np.log2(steps), np.zeros((n, n_targets))], axis=1)
    ahead = np.sort(rng.random((n, n_targets)), axis=1)
    ahead[:, -1] = 1.0
    targets = np.log2(cut[:, None] + np.maximum(np.rint(ahead * (total - cut)[:, None]), 1))
    return _append(context, lengths, targets), lengths


def _irregular_grid(n: int, n_targets: int, rng: np.random.Generator) -> tuple[Floats, Ints]:
    """Points anywhere on the log scale, or on the linear one."""
    total = rng.integers(4, MAX_CONTEXT + 4, n)
    span = rng.uniform(2, 16, n)[:, None]
    points = np.sort(
        np.where(np.arange(MAX_CONTEXT + 4)[None, :] < total[:, None], rng.random((n, MAX_CONTEXT + 4)), 2), 1
    )
    linear = np.log2(1 + points * (2**span - 1))
    points = np.where(rng.random((n, 1)) < 0.3, linear, points * span)
    points = np.minimum(points - points[:, :1], FARTHEST)
    cut = np.minimum(_cut(total, rng), MAX_CONTEXT)
    return _place(points, total, cut, n_targets, rng), cut
