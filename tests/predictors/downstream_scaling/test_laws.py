"""Curves, direct laws and loss laws: known answers, slow second definitions, bounds."""

from __future__ import annotations

import time
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import curve_fit
from scipy.special import expit, logit
from sklearn.isotonic import IsotonicRegression

from predictors.downstream_scaling.curves import CURVES, fit_family
from predictors.downstream_scaling.direct import DIRECT, batch_of, isotonic
from predictors.downstream_scaling.ladder import Ladder, LadderRequests, read_ladders
from predictors.downstream_scaling.least_squares import solve_positive_definite
from predictors.downstream_scaling.methods import METHODS, forecast_shares, match_reach
from predictors.downstream_scaling.two_step import loss_of_compute, loss_of_size_and_data
from tests.predictors.downstream_scaling.synthetic_ladders import INPUTS, make_ladders


def ladders(n: int = 20, seed: int = 0, **changes: float) -> list[Ladder]:
    table = make_ladders(n, seed, **changes)  # type: ignore[arg-type]
    return read_ladders(LadderRequests.validate(table[INPUTS]))


def test_the_batched_solver_is_numpys() -> None:
    rng = np.random.default_rng(0)
    a = rng.normal(size=(7, 4, 4))
    matrix = a @ a.transpose(0, 2, 1) + np.eye(4)
    vector = rng.normal(size=(7, 4))
    found = solve_positive_definite(matrix.transpose(1, 2, 0).copy(), vector.T.copy())
    np.testing.assert_allclose(found.T, np.linalg.solve(matrix, vector[..., None])[..., 0], rtol=1e-9)


@pytest.mark.parametrize("name", ["exponential", "logistic", "power"])
def test_batched_fits_are_scipys_one_by_one(name: str) -> None:
    rng = np.random.default_rng(3)
    family = CURVES[name]
    x = np.repeat(np.linspace(-7, 0, 9)[:, None], 6, axis=1)
    truth = {"exponential": [0.3, -1.0, -3.0], "logistic": [-1.0, -0.4, 2.0], "power": [-1.5, -1.3, 2.5]}[name]
    y = family.curve(np.array(truth)[:, None] + 0.2 * rng.normal(size=(3, 6)), x) + 0.005 * rng.normal(size=x.shape)
    fit = fit_family(family, x, y, np.full_like(x, 0.01), with_prior=False)
    for k in range(6):

        def slow(at: np.ndarray, *theta: float) -> np.ndarray:
            return family.curve(np.array(theta)[:, None], at[:, None])[:, 0]

        losses = []
        for start in family.starts:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    theta, _ = curve_fit(slow, x[:, k], y[:, k], p0=start, maxfev=4000)
                except (RuntimeError, ValueError):
                    continue
            losses.append(float((((slow(x[:, k], *theta) - y[:, k]) / 0.01) ** 2).sum()))
        assert fit.loss[k] <= min(losses) * 1.01 + 1e-6


def test_an_exact_exponential_is_recovered_and_extrapolated() -> None:
    flops = np.geomspace(1e18, 1e21, 8)

    def law(c: np.ndarray) -> np.ndarray:
        return np.exp(-12.0 * (c / 1e18) ** -0.35 - 0.1)

    row = pd.DataFrame([{"target_flops": 3e22, "ladder_flops": flops.tolist(),
                         "ladder_scores": (100 * law(flops)).tolist(), "n_items": 10_000.0}])  # fmt: skip
    share = forecast_shares(read_ladders(row), ["exponential"])[0, 0]
    # No curve is taken for exact: a scatter of 2 % is assumed, and 30 times the compute lies beyond the ladder.
    assert share == pytest.approx(float(law(np.array([3e22]))[0]), abs=0.03)


def test_a_straight_line_of_logits_is_recovered() -> None:
    flops = np.geomspace(1e18, 1e21, 6)
    scores = 100 * expit(-1 + 0.4 * np.log(flops / 1e20))
    row = pd.DataFrame([{"target_flops": 1e22, "ladder_flops": flops.tolist(), "ladder_scores": scores.tolist()}])
    expected = expit(-1 + 0.4 * np.log(100))
    found = forecast_shares(read_ladders(row), ["logit_linear", "logit_linear_last3", "logit_linear_fading"])[0]
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_logit_linear_last3_is_polyfit() -> None:
    ladder = ladders(1)[0]
    z = logit(np.clip(ladder.shares[-3:], 0.005, 0.995))
    slope, level = np.polyfit(np.log(ladder.flops[-3:] / ladder.flops[-1]), z, 1)
    expected = expit(level + slope * np.log(ladder.target_flops / ladder.flops[-1]))
    found = forecast_shares([ladder], ["logit_linear_last3"])[0, 0]
    assert found == pytest.approx(expected, rel=0.02)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=2, max_size=8))
def test_isotonic_is_scikit_learns(values: list[float]) -> None:
    y = np.array(values)
    weights = np.linspace(1, 2, len(y))
    expected = IsotonicRegression().fit_transform(np.arange(len(y)), y, sample_weight=weights)
    np.testing.assert_allclose(isotonic(y[:, None], weights[:, None])[:, 0], expected, atol=1e-9)


def test_a_loss_law_in_size_and_data_is_recovered() -> None:
    rng = np.random.default_rng(0)
    params = np.exp(rng.uniform(np.log(1e8), np.log(2e9), 24))
    tokens = params * rng.choice([20, 40, 100, 200], 24)

    def law(n: np.ndarray, d: np.ndarray) -> np.ndarray:
        return 0.4 + 30.0 / n**0.3 + 200.0 / d**0.3

    row = pd.DataFrame([{
        "target_params": 7e9, "target_tokens": 2e12, "ladder_params": params.tolist(), "ladder_tokens": tokens.tolist(),
        "ladder_losses": law(params, tokens).tolist(), "ladder_scores": [50.0] * 24,
    }])  # fmt: skip
    batch = batch_of(read_ladders(row) * 2)
    expected = float(law(np.array([7e9]), np.array([2e12]))[0])
    assert loss_of_size_and_data(batch)[0] == pytest.approx(expected, rel=0.03)


def test_a_loss_law_in_compute_is_recovered() -> None:
    flops = np.geomspace(1e18, 1e21, 8)
    loss = 1.5 + 2.0 * (flops / 1e18) ** -0.2
    row = pd.DataFrame([{"target_flops": 1e22, "ladder_flops": flops.tolist(), "ladder_losses": loss.tolist(),
                         "ladder_scores": [50.0] * 8}])  # fmt: skip
    expected = 1.5 + 2.0 * 1e4**-0.2
    assert loss_of_compute(batch_of(read_ladders(row) * 2))[0] == pytest.approx(expected, rel=0.02)


def test_laws_without_what_they_need_say_so() -> None:
    row = pd.DataFrame([{"target_flops": 1e22, "ladder_flops": [1e18, 1e19, 1e20, 1e21],
                         "ladder_scores": [10.0, 20.0, 30.0, 40.0]}])  # fmt: skip
    found = dict(zip(METHODS, forecast_shares(read_ladders(row), list(METHODS))[0], strict=True))
    assert all(np.isnan(found[name]) for name in ("two_step_nd", "two_step_compute", "exponential_nd"))
    assert all(np.isfinite(found[name]) for name in DIRECT)


def test_filling_up_shorter_ladders_changes_no_bit() -> None:
    long, short = ladders(3, n_models=9), ladders(3, 1, n_models=5)
    names = list(METHODS)
    together = forecast_shares([*long, *short], names)
    apart = np.vstack([forecast_shares(long, names), forecast_shares(short, names)])
    np.testing.assert_allclose(together, apart, rtol=1e-12)
    np.testing.assert_allclose(forecast_shares(short[1:2], names), forecast_shares(short, names)[1:2], rtol=1e-12)


def test_every_forecast_is_a_share_or_unknown() -> None:
    found = forecast_shares(ladders(30, noise=6.0), list(METHODS))
    known = found[np.isfinite(found)]
    # The last value and the isotonic one repeat what was measured, which noise may carry below chance.
    assert known.min() > -0.3
    assert known.max() <= 1.0 + 1e-9


def test_backtests_lie_inside_the_ladder_and_never_see_their_target() -> None:
    for ladder in ladders(10, n_models=8):
        parts = match_reach(ladder, 3)
        assert len(parts) == 3
        for part, actual in parts:
            assert part.flops.max() < part.target_flops
            assert part.target_flops in ladder.flops
            assert actual == pytest.approx(float(ladder.shares[ladder.flops == part.target_flops][0]))
            assert len(part.levels) >= 3


@pytest.mark.slow
def test_a_thousand_fits_take_seconds() -> None:
    many = ladders(1000)
    start = time.process_time()
    forecast_shares(many, ["exponential", "logistic", "power", "bnsl"])
    assert time.process_time() - start < 30
