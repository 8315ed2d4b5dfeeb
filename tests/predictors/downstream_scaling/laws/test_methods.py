"""Curves, direct laws and loss laws: known answers, slow second definitions, bounds."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import curve_fit
from scipy.special import expit, logit
from sklearn.isotonic import IsotonicRegression

from foretell.predictors.downstream_scaling.ladder import Ladder, LadderRequests, read_ladders
from foretell.predictors.downstream_scaling.laws.curves import EXPONENTIAL, EXPONENTIAL_FREE_FLOOR, Law
from foretell.predictors.downstream_scaling.laws.methods import METHODS, SLOPES, forecast_shares, match_reach
from foretell.predictors.fitting.least_squares import NormalPrior
from tests.predictors.downstream_scaling.synthetic_ladders import INPUTS, make_ladders


def ladders(n: int = 20, seed: int = 0, **changes: float) -> list[Ladder]:
    table = make_ladders(n, seed, **changes)  # type: ignore[arg-type]
    return read_ladders(LadderRequests.validate(table[INPUTS]))


@pytest.mark.parametrize(
    ("law", "truth"), [(EXPONENTIAL, [0.3, -1.0, -3.0]), (EXPONENTIAL_FREE_FLOOR, [0.3, -1.0, -3.0, -2.0])]
)
def test_batched_fits_are_scipys_one_by_one(law: Law, truth: list[float]) -> None:
    rng = np.random.default_rng(3)
    n = len(truth)
    law = replace(law, prior=NormalPrior.independent(np.zeros(n), np.full(n, np.inf)))
    x = np.repeat(np.linspace(-7, 0, 9)[:, None], 6, axis=1)
    y = law.curve(np.array(truth)[:, None] + 0.2 * rng.normal(size=(n, 6)), x) + 0.005 * rng.normal(size=x.shape)
    theta = law.fit(x, y, np.full_like(x, 0.01))
    losses = (((law.curve(theta, x) - y) / 0.01) ** 2).sum(axis=0)
    for k in range(6):

        def slow(at: np.ndarray, *theta: float) -> np.ndarray:
            with np.errstate(over="ignore"):
                return law.curve(np.array(theta)[:, None], at[:, None])[:, 0]

        scipys = []
        for start in law.starts:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    scipys_theta, _ = curve_fit(slow, x[:, k], y[:, k], p0=start, maxfev=4000)
                except (RuntimeError, ValueError):
                    continue
            scipys.append(float((((slow(x[:, k], *scipys_theta) - y[:, k]) / 0.01) ** 2).sum()))
        assert losses[k] <= min(scipys) * 1.01 + 1e-6


def test_an_exact_exponential_is_recovered_and_extrapolated() -> None:
    flops = np.geomspace(1e18, 1e21, 8)

    def law(c: np.ndarray) -> np.ndarray:
        return np.exp(-12.0 * (c / 1e18) ** -0.35 - 0.1)

    row = pd.DataFrame([{"target_flops": 3e22, "ladder_flops": flops.tolist(),
                         "ladder_scores": (100 * law(flops)).tolist(), "n_items": 10_000.0}])  # fmt: skip
    share = forecast_shares(read_ladders(row), ["exponential"])[0, 0]
    # No curve is taken for exact: a scatter of 2 % is assumed, and 30 times the compute lies beyond the ladder.
    assert share == pytest.approx(float(law(np.array([3e22]))[0]), abs=0.03)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=2, max_size=8))
def test_the_isotonic_last_share_is_scikit_learns(values: list[float]) -> None:
    y = np.array(values)
    errors = np.linspace(1, 3, len(y))
    row = pd.DataFrame([{"target_flops": 1e30, "ladder_flops": np.geomspace(1e18, 1e22, len(y)).tolist(),
                         "ladder_scores": (100 * y).tolist(), "ladder_errors": errors.tolist(),
                         "upper_score": 100.0}])  # fmt: skip
    weights = 1 / ((errors / 100) ** 2 + 0.02**2)
    expected = IsotonicRegression().fit_transform(np.arange(len(y)), y, sample_weight=weights)[-1]
    assert forecast_shares(read_ladders(row), ["isotonic_last"])[0, 0] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("scale", ["logit", "log_log"])
def test_a_line_on_its_own_scale_is_followed_and_few_models_are_pulled_to_the_slope_of_others(scale: str) -> None:
    flops = np.geomspace(1e17, 1e22, 12)
    inverse = expit if scale == "logit" else lambda z: np.exp(-np.exp(-z))

    def scores(pace: float, compute: np.ndarray) -> np.ndarray:
        return np.asarray(100 * inverse(pace * np.log(compute / 1e21)))

    def asked(pace: float, used: np.ndarray) -> float:
        row = pd.DataFrame([{"target_flops": 1e23, "n_items": 1e5, "ladder_flops": used.tolist(),
                             "ladder_scores": scores(pace, used).tolist()}])  # fmt: skip
        return float(forecast_shares(read_ladders(row), [f"{scale}_line"])[0, 0])

    for pace in (0.1, 0.3):
        assert asked(pace, flops) == pytest.approx(float(scores(pace, np.array([1e23]))[0]) / 100, abs=0.06)
    one = asked(0.1, flops[-1:])
    z = logit(one) if scale == "logit" else -np.log(-np.log(one))
    start = scores(0.1, flops[-1:])[0] / 100
    z -= logit(start) if scale == "logit" else -np.log(-np.log(start))
    assert z == pytest.approx(SLOPES[scale] * np.log(10), rel=1e-6)


def test_size_and_data_apart_are_recovered() -> None:
    rng = np.random.default_rng(0)
    params = np.exp(rng.uniform(np.log(1e8), np.log(2e9), 24))
    tokens = params * rng.choice([20, 40, 100, 200], 24)

    def law(n: np.ndarray, d: np.ndarray) -> np.ndarray:
        return 100 * np.exp(-(0.1 + 300 * n**-0.3 + 400.0 * d**-0.3))

    row = pd.DataFrame([{
        "target_params": 7e9, "target_tokens": 2e12, "ladder_params": params.tolist(), "ladder_tokens": tokens.tolist(),
        "ladder_scores": law(params, tokens).tolist(), "n_items": 1e5,
    }])  # fmt: skip
    share = forecast_shares(read_ladders(row), ["exponential_nd"])[0, 0]
    assert share == pytest.approx(float(law(np.array([7e9]), np.array([2e12]))[0]) / 100, abs=0.03)


def test_laws_without_what_they_need_say_so() -> None:
    row = pd.DataFrame([{"target_flops": 1e22, "ladder_flops": [1e18, 1e19, 1e20, 1e21],
                         "ladder_scores": [10.0, 20.0, 30.0, 40.0]}])  # fmt: skip
    found = dict(zip(METHODS, forecast_shares(read_ladders(row), list(METHODS))[0], strict=True))
    assert np.isnan(found["exponential_nd"])
    assert all(np.isfinite(found[name]) for name in METHODS if name != "exponential_nd")


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
            assert len(part.levels) >= 2
