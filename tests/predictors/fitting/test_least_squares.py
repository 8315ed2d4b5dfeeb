"""The batched solver: exact on linear problems, numeric slopes, starts, and problems that cannot be solved."""

from __future__ import annotations

import numpy as np
import pytest

from foretell.predictors.fitting.least_squares import (
    NormalPrior,
    Points,
    best_starts,
    fit_least_squares,
    with_numeric_slopes,
)


def line(params: np.ndarray, x: np.ndarray) -> np.ndarray:
    return params[0] + params[1] * x


def line_with_slopes(params: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return params[:, :1] + params[:, 1:] * x, np.stack([np.ones_like(x), x])


@pytest.mark.parametrize("model", [line_with_slopes, with_numeric_slopes(line)])
def test_a_linear_problem_has_the_posterior_of_ridge_regression(model) -> None:
    """With a linear model one step is exact: (J'WJ + P) p = J'Wy + P m."""
    rng = np.random.default_rng(2)
    inputs, values = rng.normal(size=(7, 9)), rng.normal(size=(7, 9))
    weights = rng.uniform(0.5, 2.0, (7, 9))
    prior = NormalPrior(np.array([0.3, -0.2]), np.array([[2.0, 0.5], [0.5, 1.0]]))
    fit = fit_least_squares(model, Points(inputs, values, weights), np.zeros((1, 7, 2)), prior, n_iterations=50)
    for i in range(7):
        J = np.column_stack([np.ones(9), inputs[i]])
        hessian = J.T @ np.diag(weights[i] ** 2) @ J + prior.precision
        expected = np.linalg.solve(hessian, J.T @ (weights[i] ** 2 * values[i]) + prior.precision @ prior.mean)
        np.testing.assert_allclose(fit.params[i], expected, atol=1e-5)
        np.testing.assert_allclose(fit.hessian[i], hessian, rtol=1e-6)


def test_points_without_weight_and_other_problems_change_nothing() -> None:
    rng = np.random.default_rng(4)
    inputs, values = rng.normal(size=(5, 6)), rng.normal(size=(5, 6))
    prior = NormalPrior.independent([0.0, 0.0], [3.0, 3.0])
    weights = np.ones((5, 6))
    alone = [
        fit_least_squares(line_with_slopes, Points(*(a[i : i + 1] for a in (inputs, values, weights))),
                          np.zeros((1, 1, 2)), prior).params[0]
        for i in range(5)
    ]  # fmt: skip
    wider = [
        np.column_stack([np.full((5, 3), filling), a]) for a, filling in ((inputs, 0.0), (values, 0.0), (weights, 0.0))
    ]
    together = fit_least_squares(line_with_slopes, Points(*wider), np.zeros((1, 5, 2)), prior)
    np.testing.assert_allclose(together.params, alone, rtol=1e-9)


def test_the_best_starts_are_those_of_least_cost_in_each_problem() -> None:
    inputs = np.tile(np.linspace(0, 1, 4), (2, 1))
    starts = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]])
    values = np.stack([line(starts[2], inputs[0]), line(starts[1], inputs[1])])
    prior = NormalPrior.independent([0.0, 0.0], [np.inf, np.inf])
    kept = best_starts(line, Points(inputs, values, np.ones((2, 4))), starts, prior, 1)
    np.testing.assert_array_equal(kept, starts[[[2, 1]]])


def test_a_curve_of_two_variables_is_recovered() -> None:
    def plane(params: np.ndarray, x: np.ndarray) -> np.ndarray:
        return params[0] + params[1] * x[0] + params[2] * x[1]

    rng = np.random.default_rng(5)
    truth, inputs = rng.normal(size=(3, 3)), rng.normal(size=(3, 8, 2))
    values = truth[:, :1] + (truth[:, None, 1:] * inputs).sum(axis=2)
    prior = NormalPrior.independent([0.0] * 3, [1e3] * 3)
    points = Points(inputs, values, np.ones((3, 8)))
    fit = fit_least_squares(with_numeric_slopes(plane), points, np.zeros((1, 3, 3)), prior, n_iterations=60)
    np.testing.assert_allclose(fit.params, truth, atol=1e-4)


def test_a_problem_whose_model_overflows_keeps_its_start() -> None:
    def steep(params: np.ndarray, x: np.ndarray) -> np.ndarray:
        return np.exp(params[0] * x)

    points = Points(np.full((2, 3), 1e3), np.ones((2, 3)), np.ones((2, 3)))
    starts = np.array([[[5.0], [0.0]]])
    fit = fit_least_squares(with_numeric_slopes(steep), points, starts, NormalPrior.independent([0.0], [1.0]))
    assert np.isinf(fit.cost[0])
    assert fit.params[0, 0] == 5.0
    assert fit.params[1, 0] == pytest.approx(0.0, abs=1e-6)


def test_a_parameter_that_changes_nothing_and_has_no_prior_stays_where_it_was() -> None:
    def level(params: np.ndarray, x: np.ndarray) -> np.ndarray:
        return params[0] + 0.0 * params[1] * x

    points = Points(np.ones((1, 4)), np.full((1, 4), 2.0), np.ones((1, 4)))
    prior = NormalPrior.independent([0.0, 0.0], [np.inf, np.inf])
    fit = fit_least_squares(with_numeric_slopes(level), points, np.array([[[0.0, 0.7]]]), prior)
    np.testing.assert_allclose(fit.params, [[2.0, 0.7]], atol=1e-4)
