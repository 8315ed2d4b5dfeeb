"""Batched Levenberg-Marquardt: thousands of small least-squares problems at once, in NumPy.

Each row is a problem of its own with the same model, its own data, prior, damping and stopping. Rows that have
converged leave the batch. A row whose model overflows or whose data are not usable keeps its start: the solver
raises nothing for what it is given.

References
----------
Marquardt (1963), An Algorithm for Least-Squares Estimation of Nonlinear Parameters; Nielsen (1999) for the damping.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["LeastSquaresFit", "fit_least_squares"]

Floats: TypeAlias = NDArray[np.float64]
Model: TypeAlias = Callable[[Floats, Floats], tuple[Floats, Floats]]
"""(params (n, p), inputs (n, k)) -> values (n, k) and their derivatives (p, n, k)."""

DAMPING = 1e-2
CHUNK = 2048
MOST_DAMPING = 1e8
STEP_LIMIT = 2.0
"""Longest step of one parameter in one iteration: parameters are logarithms and logits."""


@dataclass(frozen=True)
class LeastSquaresFit:
    """Solutions of n problems.

    Attributes
    ----------
    params : ndarray of shape (n, p)
    cost : ndarray of shape (n,)
        Half the weighted sum of squared residuals plus half the squared distance from the prior; lower is better.
    hessian : ndarray of shape (n, p, p)
        Gauss-Newton curvature of `cost` at the solution: the posterior precision of `params` where weights are
        inverse standard deviations.
    """

    params: Floats
    cost: Floats
    hessian: Floats


def fit_least_squares(
    model: Model,
    inputs: Floats,
    values: Floats,
    weights: Floats,
    start: Floats,
    prior_mean: Floats,
    prior_precision: Floats,
    *,
    n_iterations: int = 30,
    tolerance: float = 1e-5,
) -> LeastSquaresFit:
    """Minimise ``1/2 |w (f(x; p) - y)|^2 + 1/2 (p - m)' P (p - m)`` for every row.

    Parameters
    ----------
    model : callable
        See `Model`.
    inputs, values : ndarrays of shape (n, k)
        Finite everywhere; points that are not there have weight 0.
    weights : ndarray of shape (n, k)
        Inverse standard deviations.
    start : ndarray of shape (n, p)
        First guess.
    prior_mean : ndarray of shape (n, p) or (p,)
    prior_precision : ndarray of shape (n, p, p) or (p, p)
        Positive definite; it keeps problems with fewer points than parameters well posed.
    n_iterations : int, optional
    tolerance : float, optional
        A row stops when an accepted step lowers its cost by less than this share.

    Returns
    -------
    LeastSquaresFit
    """
    n, p = start.shape
    mean = np.broadcast_to(prior_mean, (n, p))
    precision = np.broadcast_to(prior_precision, (n, p, p))
    out = LeastSquaresFit(np.array(start, dtype=np.float64), np.full(n, np.inf), np.array(precision, dtype=np.float64))
    # Rows of like length together: less padding, and arrays that stay in the processor's cache.
    last = weights.shape[1] - np.argmax(weights[:, ::-1] > 0, axis=1) if n else np.empty(0)
    order = np.argsort(last, kind="stable")
    for begin in range(0, n, CHUNK):
        rows = order[begin : begin + CHUNK]
        k = int(last[rows].max())
        problem = _Problem(model, inputs[rows, :k], values[rows, :k], weights[rows, :k], mean[rows], precision[rows])
        found = _minimise(problem, out.params[rows], n_iterations, tolerance)
        for whole, part in zip((out.params, out.cost, out.hessian), found, strict=True):
            whole[rows] = part
    return out


def _minimise(problem: _Problem, params: Floats, n_iterations: int, tolerance: float) -> tuple[Floats, Floats, Floats]:
    """Parameters, cost and Hessian of the rows of one chunk."""
    n = len(params)
    damping = np.full(n, DAMPING)
    with np.errstate(all="ignore"):
        cost, gradient, hessian = problem.evaluate(params, np.arange(n))
        active = np.flatnonzero(np.isfinite(cost))
        for _ in range(n_iterations):
            if not active.size:
                break
            trial = params[active] + _steps(hessian[active], gradient[active], damping[active])
            new_cost, new_gradient, new_hessian = problem.evaluate(trial, active)
            better = new_cost <= cost[active]
            at = active[better]
            gain = (cost[at] - new_cost[better]) / (np.abs(cost[at]) + 1e-12)
            params[at], cost[at] = trial[better], new_cost[better]
            gradient[at], hessian[at] = new_gradient[better], new_hessian[better]
            damping[at] = np.maximum(damping[at] * 0.2, 1e-9)
            damping[active[~better]] *= 6.0
            stop = np.zeros(active.size, dtype=bool)
            stop[np.flatnonzero(better)[gain < tolerance]] = True
            stop |= damping[active] > MOST_DAMPING
            active = active[~stop]
    return params, cost, hessian


@dataclass(frozen=True)
class _Problem:
    model: Model
    inputs: Floats
    values: Floats
    weights: Floats
    mean: Floats
    precision: Floats

    def evaluate(self, params: Floats, rows: NDArray[np.intp]) -> tuple[Floats, Floats, Floats]:
        """Cost, gradient and Gauss-Newton Hessian of some rows; infinite cost where the model overflows."""
        fitted, slopes = self.model(params, self.inputs[rows])
        w = self.weights[rows]
        residual = w * (fitted - self.values[rows])
        jacobian = np.moveaxis(slopes * w, 0, 1)
        offset = params - self.mean[rows]
        pull = np.einsum("nij,nj->ni", self.precision[rows], offset)
        cost = 0.5 * (np.einsum("nk,nk->n", residual, residual) + np.einsum("ni,ni->n", offset, pull))
        gradient = np.matmul(jacobian, residual[:, :, None])[:, :, 0] + pull
        hessian = np.matmul(jacobian, np.swapaxes(jacobian, 1, 2)) + self.precision[rows]
        usable = np.isfinite(cost) & np.isfinite(gradient).all(axis=1) & np.isfinite(hessian).all(axis=(1, 2))
        cost = np.where(usable, cost, np.inf)
        return cost, gradient, hessian


def _steps(hessian: Floats, gradient: Floats, damping: Floats) -> Floats:
    diagonal = np.einsum("nii->ni", hessian)
    lifted = hessian + damping[:, None, None] * (diagonal[:, :, None] * np.eye(hessian.shape[1]))
    return np.asarray(np.clip(-np.linalg.solve(lifted, gradient[:, :, None])[:, :, 0], -STEP_LIMIT, STEP_LIMIT))
