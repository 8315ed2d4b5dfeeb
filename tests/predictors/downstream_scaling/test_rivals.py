"""Observational scaling, pass@k, the mixture law, and decisions on compute and measurement."""

from __future__ import annotations

from math import comb

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from predictors.downstream_scaling.decisions import (
    plan_measurement,
    points_of_compute,
    score_error,
    smallest_worthwhile_compute,
)
from predictors.downstream_scaling.mixture_law import MixtureLaw
from predictors.downstream_scaling.observational import ObservationalLaw
from predictors.downstream_scaling.pass_at_k import BetaPassRates, CoverageLaw, pass_at_k
from predictors.downstream_scaling.predictor import DownstreamScalingPredictor
from predictors.errors import InvalidInputError


def test_low_rank_scores_of_families_are_forecast() -> None:
    rng = np.random.default_rng(0)
    families = np.repeat(["a", "b", "c", "d"], 6)
    log_flops = np.tile(np.linspace(0, 6, 6), 4) + rng.normal(size=24)
    efficiency = {"a": 0.0, "b": 0.5, "c": -0.4, "d": 0.2}
    ability = 0.6 * (log_flops - 3) + np.array([efficiency[f] for f in families])
    loadings = rng.uniform(0.5, 1.5, 8)
    shares = expit(ability[:, None] * loadings - 0.5 + 0.02 * rng.normal(size=(24, 8)))
    shares[rng.random(shares.shape) < 0.1] = np.nan
    law = ObservationalLaw.fit(shares, log_flops, families, n_components=1)
    truth = expit((0.6 * (8.0 - 3) + 0.5) * loadings[0] - 0.5)
    assert law.forecast(shares[:, 0], "b", 8.0) == pytest.approx(truth, abs=0.06)


def test_observational_scaling_names_what_is_missing() -> None:
    with pytest.raises(InvalidInputError, match="more than 3"):
        ObservationalLaw.fit(np.full((3, 3), 0.5), np.zeros(3), np.array(["a"] * 3))
    shares = np.random.default_rng(0).random((8, 6))
    law = ObservationalLaw.fit(shares, np.arange(8.0), np.array(["a"] * 8))
    assert np.isnan(law.forecast(np.full(8, np.nan), "a", 9.0))
    with pytest.raises(InvalidInputError, match="no model of known compute"):
        law.forecast(shares[:, 0], "z", 9.0)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 30).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))))
def test_pass_at_k_is_its_binomial_formula(case: tuple[int, int, int]) -> None:
    n, c, k = case
    assert pass_at_k([c], [n], k)[0] == pytest.approx(1 - comb(n - c, k) / comb(n, k), abs=1e-9)


def test_pass_at_k_refuses_more_draws_than_there_are() -> None:
    with pytest.raises(InvalidInputError, match="n_draws"):
        pass_at_k([1], [2], 3)


def test_a_law_of_coverage_is_recovered() -> None:
    k = np.array([1, 2, 4, 8, 16, 32, 64])
    law = CoverageLaw.fit(k, np.exp(-1.7 * k**-0.4))
    assert law(1000) == pytest.approx(np.exp(-1.7 * 1000**-0.4), abs=1e-4)
    with pytest.raises(InvalidInputError, match="3 values"):
        CoverageLaw.fit([1, 2], [0.1, 0.2])


def test_beta_pass_rates_are_recovered_and_their_coverage_is_the_integral() -> None:
    rng = np.random.default_rng(0)
    rate = rng.beta(0.4, 2.0, 4000)
    found = BetaPassRates.fit(rng.binomial(50, rate), np.full(4000, 50))
    assert found.alpha == pytest.approx(0.4, rel=0.1)
    assert found.coverage(10) == pytest.approx(1 - ((1 - rate) ** 10).mean(), abs=0.02)
    assert found.coverage(1) == pytest.approx(found.alpha / (found.alpha + found.beta))
    with pytest.raises(InvalidInputError, match="all draws fail"):
        BetaPassRates.fit([0, 0], [10, 10])


def test_a_mixture_law_is_recovered() -> None:
    rng = np.random.default_rng(0)
    n = np.exp(rng.uniform(np.log(1e8), np.log(4e9), 60))
    d = np.exp(rng.uniform(np.log(1e9), np.log(2e10), 60))
    r = rng.uniform(0.05, 1.0, 60)

    def truth(n: np.ndarray, d: np.ndarray, r: np.ndarray) -> np.ndarray:
        return 1.2 + 300 / n**0.35 + 60 * r**0.3 / d**0.25 + 0.2 / (r + 0.1) ** 0.4

    law = MixtureLaw.fit(n, d, r, truth(n, d, r))
    new = np.array([7e9]), np.array([3e10]), np.array([0.5])
    assert law(*new)[0] == pytest.approx(truth(*new)[0], rel=0.02)
    with pytest.raises(InvalidInputError, match="9 runs"):
        MixtureLaw.fit(n[:5], d[:5], r[:5], truth(n, d, r)[:5])


# -- decisions -----------------------------------------------------------------------------------------
ROW = pd.DataFrame([{
    "target_flops": 1e22, "n_items": 2000.0, "ladder_flops": [1e18, 1e19, 1e20, 1e21],
    "ladder_scores": [10.0, 20.0, 32.0, 45.0], "ladder_errors": [1.0, 1.0, 1.0, 1.0],
}])  # fmt: skip


def test_more_compute_buys_more_points_beside_the_floor() -> None:
    table = points_of_compute(DownstreamScalingPredictor.with_defaults(), ROW)
    assert table["gain"].is_monotonic_increasing
    assert (table["gain_lower"] <= table["gain"]).all()
    # Two measurements of one model with a standard error of 1 differ by 2 / sqrt(pi) on average.
    np.testing.assert_allclose(table["noise_floor"], 2 / np.sqrt(np.pi))
    assert table["is_resolved"].equals(table["gain_lower"] > table["noise_floor"])


def test_the_smallest_compute_that_pays_is_found_or_infinite() -> None:
    predictor = DownstreamScalingPredictor.with_defaults()
    some, more = (smallest_worthwhile_compute(predictor, ROW, p) for p in (3.0, 10.0))
    assert 1 < some < more < 1000
    assert smallest_worthwhile_compute(predictor, ROW, 54.9) == np.inf
    assert smallest_worthwhile_compute(predictor, ROW, 5.0, certainty=0.9) >= some
    with pytest.raises(InvalidInputError, match="one forecast"):
        points_of_compute(predictor, pd.concat([ROW, ROW]))


def test_the_error_of_a_score_is_what_simulation_finds() -> None:
    rng = np.random.default_rng(0)
    a, b = 0.8, 1.2
    spread = np.sqrt(a * b / (a + b) ** 2 / (a + b + 1))
    means = [rng.binomial(5, rng.beta(a, b, 80)).mean() / 5 for _ in range(4000)]
    # 4,000 repeats: a standard deviation is known to 1.1 %; four of these.
    assert score_error(0.4, 80, 5, item_sd=float(spread)) == pytest.approx(100 * np.std(means), rel=0.045)


def test_a_plan_reaches_its_precision_at_the_least_cost() -> None:
    plan = plan_measurement(1.0, 0.4, item_sd=0.3, item_cost=20.0, draw_cost=1.0)
    assert plan.standard_error <= 1.0
    costs = {}
    for draws in range(1, 60):
        items = next(i for i in range(1, 20_000) if score_error(0.4, i, draws, item_sd=0.3) <= 1.0 + 1e-9)
        costs[draws] = items * (20 + draws)
    assert plan.cost == pytest.approx(min(costs.values()), rel=1e-6)
    assert plan_measurement(1.0, 0.4, same_items=True).n_items == plan_measurement(1.0, 0.4, same_items=True).cost / (
        1 + plan_measurement(1.0, 0.4, same_items=True).n_draws
    )


@pytest.mark.parametrize("arguments", [(1.5, 10, 1), (0.5, 0, 1), (0.5, 10, 0)])
def test_impossible_measurements_are_refused(arguments: tuple[float, int, int]) -> None:
    with pytest.raises(InvalidInputError):
        score_error(*arguments)
    with pytest.raises(InvalidInputError, match="item_sd"):
        score_error(0.5, 10, 10, item_sd=0.9)
