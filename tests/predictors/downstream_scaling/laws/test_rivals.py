"""pass@k, and decisions on compute and measurement."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from foretell.predictors.downstream_scaling.decisions import (
    plan_measurement,
    points_of_compute,
    score_error,
    smallest_worthwhile_compute,
)
from foretell.predictors.downstream_scaling.laws.pass_at_k import PassRates
from foretell.predictors.downstream_scaling.predictor import DownstreamScalingPredictor
from foretell.predictors.errors import InvalidInputError

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
    a, b = 1.2, 1.8  # rates of mean .4 that differ by half of the largest possible
    means = [rng.binomial(5, rng.beta(a, b, 80)).mean() / 5 for _ in range(4000)]
    # 4,000 repeats: a standard deviation is known to 1.1 %; four of these.
    assert score_error(0.4, 80, 5) == pytest.approx(100 * np.std(means), rel=0.045)


def test_a_plan_reaches_its_precision_at_the_least_cost() -> None:
    plan = plan_measurement(1.0, 0.4, item_cost=20.0)
    assert plan.standard_error <= 1.0
    costs = {}
    for draws in range(1, 60):
        items = next(i for i in range(1, 20_000) if score_error(0.4, i, draws) <= 1.0 + 1e-9)
        costs[draws] = items * (20 + draws)
    assert plan.cost == pytest.approx(min(costs.values()), rel=1e-6)


@pytest.mark.parametrize("arguments", [(1.5, 10, 1), (0.5, 0, 1), (0.5, 10, 0)])
def test_impossible_measurements_are_refused(arguments: tuple[float, int, int]) -> None:
    with pytest.raises(InvalidInputError):
        score_error(*arguments)


def test_pass_rates_of_known_worlds_are_found_and_used() -> None:
    covered = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        rate = rng.beta(0.25, 0.6, 300)
        fitted = PassRates.fit(rng.binomial(10, rate), np.full(300, 10))
        row = fitted.coverage([10, 100]).set_index("k")
        covered += row.loc[100, "lower"] <= 1 - ((1 - rate) ** 100).mean() <= row.loc[100, "upper"]
    assert row.loc[10, "is_measured"]
    assert not row.loc[100, "is_measured"]
    assert covered >= 15, "90 % intervals: the spread is that of real ladders, not of made-up worlds"
    vote = (rng.binomial(5, np.repeat(rate, 50)) > 2).mean()
    assert fitted.majority(5) == pytest.approx(vote, abs=0.03)
    assert fitted.majority(1) == pytest.approx(rate.mean(), abs=0.03)


def test_best_of_n_with_a_verifier_is_its_simulation() -> None:
    rng = np.random.default_rng(1)
    fitted = PassRates.fit([20] * 50, [100] * 50)  # every item is right once in five
    rate = float(fitted.majority(1))
    right = rng.random((40_000, 4)) < rate
    accepted = np.where(right, rng.random(right.shape) < 0.9, rng.random(right.shape) < 0.2)
    first = np.where(accepted.any(axis=1), accepted.argmax(axis=1), 3)
    share, draws = fitted.best_of(4, false_positive_rate=0.2, true_positive_rate=0.9)
    assert share == pytest.approx(right[np.arange(40_000), first].mean(), abs=0.015)
    assert draws == pytest.approx((first + 1).mean(), abs=0.05)
    perfect, _ = fitted.best_of(4, false_positive_rate=0.0)
    assert perfect == pytest.approx(1 - (1 - rate) ** 4, abs=0.02)


def test_items_with_other_numbers_of_draws_and_nothing_solved() -> None:
    fitted = PassRates.fit([0, 1, 2], [2, 4, 8])
    assert fitted.coverage([2])["is_measured"].all()
    later = fitted.coverage([50]).iloc[0]
    assert 2 / 3 <= later["pass_at_k"] <= 1
    nothing = PassRates.fit([0] * 40, [10] * 40).coverage([100]).iloc[0]
    assert nothing["lower"] == 0
    assert nothing["upper"] > 0
    with pytest.raises(InvalidInputError, match="a draw"):
        PassRates.fit([1], [0])


@pytest.mark.parametrize("rates", [np.r_[np.zeros(150), np.ones(150)], np.full(300, 0.5), np.linspace(0, 1, 300)])
def test_one_draw_of_an_item_leaves_all_spreads_of_rates_possible(rates: np.ndarray) -> None:
    drawn = np.random.default_rng(0).binomial(1, rates)
    table = PassRates.fit(drawn, 1).coverage([1, 2, 10])
    assert table["is_measured"].tolist() == [True, False, False]
    to_come = [float(np.mean(1 - (1 - rates) ** k)) for k in (2, 10)]
    assert (table["lower"].iloc[1:] <= to_come).all()
    assert (to_come <= table["upper"].iloc[1:]).all()
