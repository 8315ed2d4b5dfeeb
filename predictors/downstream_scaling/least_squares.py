"""Many small nonlinear least-squares problems at once, each as if it were alone.

Arrays have the problems on their last axis and every step is elementwise along it: a problem's answer does not
depend on which others stand beside it, and the number of steps is bounded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Fit", "Floats", "fit_curves", "solve_positive_definite"]

Floats: TypeAlias = NDArray[np.float64]
Abscissae: TypeAlias = NDArray[Any]
"""Real, or complex where a curve has two variables: the second is the imaginary part."""
Curve: TypeAlias = Callable[[Floats, Abscissae], Floats]
"""Parameters of shape (p, B) and abscissae of shape (n, B) -> values of shape (n, B)."""

STEP = 1e-6
MAX_STEPS = 60
TOLERANCE = 1e-9
KEPT_STARTS = 3
MAX_PROBLEMS = 4096


@dataclass(frozen=True)
class Fit:
    """Fits of B problems with p parameters.

    Attributes
    ----------
    parameters : ndarray of shape (p, B)
    covariance : ndarray of shape (p, p, B)
        Inverse of the Gauss-Newton matrix: the parameters' covariance where residuals were in units of their
        standard deviation.
    loss : ndarray of shape (B,)
        Weighted sum of squares with the prior's part. Lower is better.
    """

    parameters: Floats
    covariance: Floats
    loss: Floats


def fit_curves(
    curve: Curve, x: Abscissae, y: Floats, scale: Floats, starts: Floats, prior_mean: Floats, prior_scale: Floats
) -> Fit:
    """Least squares by Levenberg-Marquardt from the best of a grid of starts.

    Minimises ``sum(((y - curve(theta, x)) / scale) ** 2) + sum(((theta - prior_mean) / prior_scale) ** 2)``.

    Parameters
    ----------
    curve : callable
        See `Curve`.
    x, y, scale : ndarray of shape (n, B)
        Abscissae, values and the standard deviation of a residual (infinite: the point does not count).
    starts : ndarray of shape (n_starts, p)
        Tried for every problem; the `KEPT_STARTS` with the least loss are followed.
    prior_mean, prior_scale : ndarray of shape (p,)
        A normal prior on each parameter; an infinite scale is no prior.
    """
    total = x.shape[1]
    width = max(2, total)  # one lone column would be summed in another order
    x, y, scale = (np.concatenate([a, np.repeat(a[:, -1:], width - total, axis=1)], axis=1) for a in (x, y, scale))
    parts = [
        _fit_chunk(curve, x[:, a:b], y[:, a:b], 1.0 / scale[:, a:b], starts, prior_mean, 1.0 / prior_scale)
        for a, b in _chunks(width)
    ]
    return Fit(
        np.concatenate([part.parameters for part in parts], axis=1)[:, :total],
        np.concatenate([part.covariance for part in parts], axis=2)[:, :, :total],
        np.concatenate([part.loss for part in parts])[:total],
    )


def _chunks(total: int) -> list[tuple[int, int]]:
    edges = list(range(0, total, MAX_PROBLEMS))
    if len(edges) > 1 and total - edges[-1] < 2:
        edges.pop()
    return list(zip(edges, [*edges[1:], total], strict=True))


def _fit_chunk(
    curve: Curve, x: Abscissae, y: Floats, weight: Floats, starts: Floats, prior_mean: Floats, prior_weight: Floats
) -> Fit:
    p, count = starts.shape[1], x.shape[1]
    mean, precision = prior_mean[:, None], prior_weight[:, None]

    def residuals(theta: Floats, at: Abscissae, target: Floats, w: Floats) -> Floats:
        with np.errstate(all="ignore"):
            data = (curve(theta, at) - target) * w
            found = np.concatenate([data, (theta - mean) * precision])
        return np.where(np.isfinite(found), found, 1e6)

    losses = np.stack([
        _square(residuals(np.repeat(start[:, None], count, axis=1), x, y, weight)) for start in starts
    ])  # fmt: skip
    kept = np.argsort(losses, axis=0, kind="stable")[: min(KEPT_STARTS, len(starts))]
    repeat = len(kept)
    theta = np.concatenate([starts[row].T for row in kept], axis=1)
    many = tuple(np.tile(a, (1, repeat)) for a in (x, y, weight))
    theta, gram, loss = _descend(lambda t, rows: residuals(t, *(a[:, rows] for a in many)), theta)
    best = np.argmin(loss.reshape(repeat, count), axis=0)
    at = best * count + np.arange(count)
    matrix = gram[:, :, at] + 1e-9 * np.eye(p)[:, :, None]
    inverse = np.stack(
        [solve_positive_definite(matrix, np.repeat(e[:, None], count, axis=1)) for e in np.eye(p)], axis=1
    )
    return Fit(theta[:, at], inverse, loss[at])


def _descend(residuals: Callable[[Floats, NDArray[np.intp]], Floats], theta: Floats) -> tuple[Floats, Floats, Floats]:
    """Levenberg-Marquardt in every column until it stands still."""
    p, count = theta.shape
    theta = theta.copy()
    everyone = np.arange(count)
    current = residuals(theta, everyone)
    loss = _square(current)
    damping = np.full(count, 1e-2)
    gram = np.zeros((p, p, count))
    active = everyone
    for _ in range(MAX_STEPS):
        r = current[:, active]
        columns = _jacobian(residuals, theta[:, active], r, active)
        products = np.empty((p, p, active.size))
        for i in range(p):
            for j in range(i + 1):
                products[i, j] = products[j, i] = (columns[i] * columns[j]).sum(axis=0)
        gradient = np.stack([(columns[i] * r).sum(axis=0) for i in range(p)])
        gram[:, :, active] = products
        damped = products.copy()
        for i in range(p):
            damped[i, i] += damping[active] * (products[i, i] + 1e-8)
        trial = theta[:, active] - np.clip(solve_positive_definite(damped, gradient), -3.0, 3.0)
        found = residuals(trial, active)
        new = _square(found)
        better = new < loss[active]
        gain = loss[active] - new
        went = active[better]
        theta[:, went] = trial[:, better]
        current[:, went] = found[:, better]
        still = np.where(better, gain > TOLERANCE * (loss[active] + TOLERANCE), damping[active] < 1e8)
        loss[went] = new[better]
        damping[active] = np.where(better, damping[active] * 0.3, damping[active] * 8.0)
        active = _padded(active[still])
        if not active.size:
            break
    return theta, gram, loss


def _padded(active: NDArray[np.intp]) -> NDArray[np.intp]:
    """Two columns at least: the same one twice changes nothing, and no sum is taken in another order."""
    return np.repeat(active, 2) if active.size == 1 else active


def _jacobian(
    residuals: Callable[[Floats, NDArray[np.intp]], Floats], theta: Floats, r: Floats, rows: NDArray[np.intp]
) -> list[Floats]:
    columns = []
    for i in range(len(theta)):
        moved = theta.copy()
        step = STEP * (1.0 + np.abs(theta[i]))
        moved[i] += step
        columns.append((residuals(moved, rows) - r) / step)
    return columns


def _square(residual: Floats) -> Floats:
    return np.asarray((residual * residual).sum(axis=0))


def solve_positive_definite(matrix: Floats, vector: Floats) -> Floats:
    """Solve B systems of p equations, ``matrix`` (p, p, B) and ``vector`` (p, B), by Cholesky."""
    p = len(vector)
    lower = np.zeros_like(matrix)
    for i in range(p):
        for j in range(i + 1):
            total = matrix[i, j].copy()
            for k in range(j):
                total -= lower[i, k] * lower[j, k]
            lower[i, j] = np.sqrt(np.maximum(total, 1e-12)) if i == j else total / lower[j, j]
    forward = np.zeros_like(vector)
    for i in range(p):
        total = vector[i].copy()
        for k in range(i):
            total -= lower[i, k] * forward[k]
        forward[i] = total / lower[i, i]
    out = np.zeros_like(vector)
    for i in reversed(range(p)):
        total = forward[i].copy()
        for k in range(i + 1, p):
            total -= lower[k, i] * out[k]
        out[i] = total / lower[i, i]
    return out
