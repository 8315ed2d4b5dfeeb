"""The batched fitter and the families: derivatives, closed forms, priors, and inputs that are hard to fit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.curves_parametric import FAMILIES, fit_family

X = np.log(2.0 ** (np.arange(12) / 2))


@pytest.mark.parametrize("name", FAMILIES)
def test_derivatives_are_those_of_finite_differences(name: str) -> None:
    family = FAMILIES[name]
    rng = np.random.default_rng(0)
    params = family.prior.mean + rng.normal(0, 0.5, (5, family.n_params))
    log_x = np.tile(X, (5, 1))
    slopes = family(params, log_x)[1]
    for j in range(family.n_params):
        step = np.zeros(family.n_params)
        step[j] = 1e-6
        numeric = (family(params + step, log_x)[0] - family(params - step, log_x)[0]) / 2e-6
        np.testing.assert_allclose(slopes[j], numeric, atol=1e-7, rtol=1e-5)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_curve_of_the_family_is_found_again(name: str) -> None:
    family = FAMILIES[name]
    rng = np.random.default_rng(1)
    truth = family.prior.mean + rng.normal(0, 0.3, (20, family.n_params))
    log_x = np.tile(X, (20, 1))
    values = family(truth, log_x)[0]
    fit = fit_family(family, log_x, values, np.full(values.shape, 1e3), prior=family.weak_prior(10))
    assert np.sqrt(fit.mean_squared_error).max() < 2e-3
    ahead = np.full(20, X[-1] + 1.0)
    np.testing.assert_allclose(fit.predict(ahead)[0], family(truth, ahead[:, None])[0][:, 0], atol=0.02)


def test_each_curve_is_fitted_as_if_it_were_alone() -> None:
    rng = np.random.default_rng(3)
    log_x, values = np.tile(X, (6, 1)), np.clip(rng.uniform(0.2, 0.9, (6, 1)) + rng.normal(0, 0.02, (6, 12)), 0, 1)
    weights = np.full(values.shape, 50.0)
    many = fit_family(FAMILIES["mmf4"], log_x, values, weights)
    for i in range(6):
        one = fit_family(FAMILIES["mmf4"], log_x[i : i + 1], values[i : i + 1], weights[i : i + 1])
        np.testing.assert_allclose(one.params, many.params[i : i + 1], rtol=1e-9)


@settings(max_examples=40, deadline=None)
@given(
    values=st.lists(st.floats(0, 1), min_size=1, max_size=8),
    span=st.floats(0.01, 12),
    name=st.sampled_from(sorted(FAMILIES)),
)
def test_any_points_give_a_forecast_within_the_range(values: list[float], span: float, name: str) -> None:
    k = len(values)
    log_x = np.linspace(0, span, k)[None, :] if k > 1 else np.zeros((1, 1))
    fit = fit_family(FAMILIES[name], log_x, np.array([values]), np.full((1, k), 100.0))
    value, deviation = fit.predict(np.array([span * 2]))
    assert 0 <= value[0] <= 1
    assert 0 <= deviation[0] <= 1
    assert np.isfinite(fit.log_evidence[0])
