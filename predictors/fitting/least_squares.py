"""Batched Levenberg-Marquardt: thousands of small least-squares problems at once, in NumPy.

Each row is a problem of its own with the same model, its own data, prior, damping and stopping. Rows that have
converged leave the batch. A row whose model overflows or whose data are not usable keeps its start: the solver
raises nothing for what it is given. Marquardt (1963), An Algorithm for Least-Squares Estimation of Nonlinear
Parameters; Nielsen (1999) for the damping.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self, TypeAlias

import numpy as np

from ..arrays import Codes, Floats

Model: TypeAlias = Callable[[Floats, Floats], tuple[Floats, Floats]]
"""(parameters (n, p), inputs (n, k) or (n, k, q)) -> values (n, k) and their derivatives (p, n, k)."""
Curve: TypeAlias = Callable[[Floats, Floats], Floats]
"""Elementwise: (parameters (p, ...), inputs (...) or (q, ...)) -> values (...), with shapes that broadcast."""

DAMPING = 1e-2
CHUNK = 2048
MOST_DAMPING = 1e8
STEP_LIMIT = 2.0
"""Longest step of one parameter in one iteration: parameters are logarithms and logits."""
DIFFERENCE = 1e-6
LEAST_CURVATURE = 1e-12


@dataclass(frozen=True)
class Points:
    """Data of n problems of at most k points: `inputs` (n, k), or (n, k, q) of q variables, `values`, `weights` (n, k).

    Weights are inverse standard deviations; a point that is not there has weight 0 and finite inputs and value.
    """

    inputs: Floats
    values: Floats
    weights: Floats


@dataclass(frozen=True)
class NormalPrior:
    """Normal prior of the parameters: `mean` of shape (p,) or (n, p), `precision` of shape (p, p) or (n, p, p)."""

    mean: Floats
    precision: Floats

    @classmethod
    def independent(cls, mean: Sequence[float] | Floats, sd: Sequence[float] | Floats) -> Self:
        """A prior without correlations, both of shape (p,); an infinite standard deviation is no prior."""
        return cls(np.asarray(mean, dtype=np.float64), np.diag(1.0 / np.asarray(sd, dtype=np.float64) ** 2))


@dataclass(frozen=True)
class LeastSquaresFit:
    """Solutions of n problems: `params` of shape (n, p), `cost` of shape (n,), `hessian` of shape (n, p, p).

    The cost is half the weighted sum of squared residuals plus half the squared distance from the prior, the Hessian
    its Gauss-Newton curvature: the posterior precision of `params` where weights are inverse standard deviations.
    """

    params: Floats
    cost: Floats
    hessian: Floats


def fit_least_squares(
    model: Model, points: Points, starts: Floats, prior: NormalPrior, *, n_iterations: int = 30, tolerance: float = 1e-5
) -> LeastSquaresFit:
    """Minimise ``1/2 |w (f(x; p) - y)|^2 + 1/2 (p - m)' P (p - m)`` for every row, from the best of several starts.

    `with_numeric_slopes` makes a model of a curve without derivatives. Each of the `starts` (n_starts, n, p) is
    followed; the prior keeps problems with fewer points than parameters well posed. A row stops when an accepted step
    lowers its cost by less than the share `tolerance`.
    """
    n_starts, n, p = starts.shape
    problem = _Problem(model, points, np.broadcast_to(prior.mean, (n, p)), np.broadcast_to(prior.precision, (n, p, p)))
    params = np.array(starts, dtype=np.float64).reshape(-1, p)
    cost, hessian = np.full(len(params), np.inf), np.empty((len(params), p, p))
    # Rows of like length together: less padding, and arrays that stay in the processor's cache.
    lengths = points.weights.shape[1] - np.argmax(points.weights[:, ::-1] > 0, axis=1) if n else np.empty(0, dtype=int)
    order = np.argsort(np.tile(lengths, n_starts), kind="stable")
    for begin in range(0, len(params), CHUNK):
        rows = order[begin : begin + CHUNK]
        part = problem.take(rows % n, int(lengths[rows % n].max()))
        params[rows], cost[rows], hessian[rows] = _minimise(part, params[rows], n_iterations, tolerance)
    best = np.argmin(cost.reshape(n_starts, n), axis=0) * n + np.arange(n)
    return LeastSquaresFit(params[best], cost[best], hessian[best])


def with_numeric_slopes(curve: Curve) -> Model:
    """A model whose derivatives are forward differences of `curve`."""

    def model(params: Floats, inputs: Floats) -> tuple[Floats, Floats]:
        x, columns = _variables(inputs), params.T[:, :, None]
        values = curve(columns, x)
        slopes = np.empty((len(columns), *values.shape))
        for j, column in enumerate(columns):
            step = DIFFERENCE * (1.0 + np.abs(column))
            moved = columns.copy()
            moved[j] += step
            slopes[j] = (curve(moved, x) - values) / step
        return values, slopes

    return model


def best_starts(curve: Curve, points: Points, starts: Floats, prior: NormalPrior, n_kept: int) -> Floats:
    """The `n_kept` of the `starts` (n_starts, p) with the least cost in each problem, shape (n_kept, n, p)."""
    n, x = len(points.values), _variables(points.inputs)
    costs = np.empty((len(starts), n))
    with np.errstate(all="ignore"):
        for row, start in zip(costs, starts, strict=True):
            residual = points.weights * (curve(start[:, None, None], x) - points.values)
            offset = start - prior.mean
            row[:] = (residual * residual).sum(axis=1) + np.einsum("...i,...ij,...j", offset, prior.precision, offset)
    kept = np.argsort(np.where(np.isfinite(costs), costs, np.inf), axis=0, kind="stable")[:n_kept]
    return np.asarray(starts[kept])


def _variables(inputs: Floats) -> Floats:
    """Inputs (n, k) as they are, inputs (n, k, q) with the variables first."""
    return inputs if inputs.ndim == 2 else np.moveaxis(inputs, 2, 0)


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
    points: Points
    mean: Floats
    precision: Floats

    def take(self, rows: Codes, k: int) -> _Problem:
        """The problems of these rows, of which no point after the first k counts."""
        points = Points(*(a[rows, :k] for a in (self.points.inputs, self.points.values, self.points.weights)))
        return _Problem(self.model, points, self.mean[rows], self.precision[rows])

    def evaluate(self, params: Floats, rows: Codes) -> tuple[Floats, Floats, Floats]:
        """Cost, gradient and Gauss-Newton Hessian of these rows; infinite cost where the model overflows."""
        fitted, slopes = self.model(params, self.points.inputs[rows])
        w = self.points.weights[rows]
        residual = w * (fitted - self.points.values[rows])
        jacobian = np.moveaxis(slopes * w, 0, 1)
        offset = params - self.mean[rows]
        pull = np.einsum("nij,nj->ni", self.precision[rows], offset)
        cost = 0.5 * (np.einsum("nk,nk->n", residual, residual) + np.einsum("ni,ni->n", offset, pull))
        gradient = np.matmul(jacobian, residual[:, :, None])[:, :, 0] + pull
        hessian = np.matmul(jacobian, np.swapaxes(jacobian, 1, 2)) + self.precision[rows]
        usable = np.isfinite(cost) & np.isfinite(gradient).all(axis=1) & np.isfinite(hessian).all(axis=(1, 2))
        return np.where(usable, cost, np.inf), gradient, hessian


def _steps(hessian: Floats, gradient: Floats, damping: Floats) -> Floats:
    # Without a prior a parameter may change nothing: a floor keeps the system solvable, and the parameter in place.
    diagonal = np.maximum(np.einsum("nii->ni", hessian), LEAST_CURVATURE)
    lifted = hessian + damping[:, None, None] * (diagonal[:, :, None] * np.eye(hessian.shape[1]))
    return np.asarray(np.clip(-np.linalg.solve(lifted, gradient[:, :, None])[:, :, 0], -STEP_LIMIT, STEP_LIMIT))
