"""Calibration measures, power, robust aggregates and drift."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from predictors.base import EVALUATION_LEVELS
from predictors.errors import InsufficientReplicatesError, InvalidInputError
from predictors.metrics import crps_quantiles, mean_estimate, sign_flip_p_value
from predictors.metrics.aggregates import interquartile_mean, probability_of_improvement
from predictors.metrics.calibration import (
    coverage_by_group,
    pit_histogram,
    pit_values,
    probability_reliability,
    quantile_reliability,
    width_ratio,
)
from predictors.metrics.comparison import detectable_effect
from predictors.metrics.drift import AdwinMonitor, CusumMonitor, DriftMonitor, night_statistics
from predictors.metrics.power import DifferenceVariance, difference_variance, power_table, required_queries

Z = stats.norm.ppf(EVALUATION_LEVELS)


def world(seed: int, n: int = 600, r: int = 3, widen: float = 1.0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Normal outcomes and a forecast that is ideal for widen = 1."""
    rng = np.random.default_rng(seed)
    mu, sigma = rng.normal(size=n), np.exp(0.3 * rng.normal(size=n))
    values = mu[:, None] + sigma[:, None] * rng.normal(size=(n, r))
    ids = [f"c{i}" for i in range(n)]
    outcomes = pd.DataFrame({"cell_id": np.repeat(ids, r), "query_id": np.repeat(ids, r), "value": values.ravel()})
    outcomes["model"] = np.where(np.repeat(np.arange(n), r) % 3 == 0, "a", "b")
    forecast = pd.DataFrame(mu[:, None] + widen * sigma[:, None] * Z, index=ids, columns=list(EVALUATION_LEVELS))
    return outcomes, forecast


def test_ideal_forecast_is_calibrated_by_every_measure() -> None:
    outcomes, forecast = world(0)
    pit = pit_histogram(outcomes, forecast)
    assert pit.p_value > 0.001
    assert pit.histogram["share"].sum() == pytest.approx(1)
    assert ((pit.histogram["ci_lower"] < 0.1) & (pit.histogram["ci_upper"] > 0.1)).sum() >= 8
    reliable = quantile_reliability(outcomes, forecast, (0.05, 0.5, 0.95))
    assert np.all(np.abs(reliable["share"] - reliable["level"]) < 4 * np.sqrt(0.25 / 1800))
    groups = coverage_by_group(outcomes, forecast, "model").set_index("group")
    assert list(groups.index) == ["all", "a", "b"]
    assert (groups["ci_lower"] < 0.9).all()
    assert (groups["ci_upper"] > 0.9).all()
    ratio = width_ratio(outcomes, forecast)
    assert ratio.ci_lower < 1 < ratio.ci_upper


def test_narrow_forecast_is_found_out() -> None:
    outcomes, forecast = world(1, widen=0.5)
    assert pit_histogram(outcomes, forecast).p_value < 1e-6
    assert coverage_by_group(outcomes, forecast, "model")["ci_upper"].max() < 0.7
    assert width_ratio(outcomes, forecast).ratio == pytest.approx(0.5, abs=0.05)
    assert width_ratio(outcomes.drop_duplicates("cell_id"), forecast).method == "none: one run per query"


def test_pit_of_a_binary_forecast_is_uniform() -> None:
    rng = np.random.default_rng(2)
    p = rng.random(4000)
    levels = (np.arange(50) + 0.5) / 50
    p = np.round(p * 50) / 50  # so that the 50 atoms hold the probability exactly
    outcomes = pd.DataFrame({"cell_id": np.arange(4000), "value": (rng.random(4000) < p).astype(float)})
    outcomes["query_id"] = outcomes["cell_id"]
    forecast = pd.DataFrame((levels > 1 - p[:, None]).astype(float), columns=list(levels))
    values, _ = pit_values(outcomes, forecast)
    assert stats.kstest(values, "uniform").pvalue > 0.001
    again, _ = pit_values(outcomes, forecast, random_state=1)
    assert not np.array_equal(values, again)


def test_pit_test_counts_queries_not_runs() -> None:
    outcomes, forecast = world(3, n=60, r=1)
    copies = pd.concat([outcomes] * 40, ignore_index=True)  # 40 runs that agree say no more than one
    assert pit_histogram(copies, forecast).n_queries == 60
    assert pit_histogram(copies, forecast).p_value > 0.001


def test_probability_reliability_by_hand() -> None:
    table = probability_reliability([0, 0, 1, 1, 1, 0], [0.1, 0.1, 0.1, 0.9, 0.9, 0.9], list("abcdef"), n_bins=2)
    assert table["share"].tolist() == pytest.approx([1 / 3, 2 / 3])
    assert table["probability"].tolist() == pytest.approx([0.1, 0.9])
    assert table["n_queries"].tolist() == [3, 3]
    with pytest.raises(InvalidInputError):
        probability_reliability([2], [0.5], ["a"])


def test_difference_variance_and_required_queries() -> None:
    rng = np.random.default_rng(4)
    n, r = 3000, 4
    shift = rng.normal(0, 0.5, n)
    ids = np.arange(n)
    y = rng.normal(size=(n, r))
    outcomes = pd.DataFrame({"cell_id": np.repeat(ids, r), "query_id": np.repeat(ids, r), "value": y.ravel()})
    a, b = pd.DataFrame({0.5: np.zeros(n)}), pd.DataFrame({0.5: shift})
    found = difference_variance(outcomes, a, b, metric="mse")
    # a - b is 2 y s - s^2: Var of -s^2 is 2 (.25)^2 between, 4 E s^2 = 1 within.
    assert found.within == pytest.approx(1.0, rel=0.12)
    assert found.between == pytest.approx(0.125, abs=0.05)
    assert required_queries(0.1, found, 4) < required_queries(0.1, found, 1)
    planned = required_queries(0.05, DifferenceVariance(0.125, 1.0, 2, 4), r)
    z = stats.norm.ppf(0.975) + stats.norm.ppf(0.8)
    assert planned == int(np.ceil(z**2 * 0.375 / 0.0025))
    table = power_table([0.05, 0.1], found)
    assert len(table) == 10
    assert (table["n_runs"] == table["n_queries"] * table["replicates"]).all()
    with pytest.raises(InsufficientReplicatesError):
        difference_variance(outcomes.drop_duplicates("cell_id"), a, b, metric="mse")
    with pytest.raises(InvalidInputError):
        required_queries(0, found)


def test_minimum_detectable_effect_is_detected_with_its_power() -> None:
    # 2,000 comparisons of 40 queries; 4 binomial sd are .036, and the effect is set from the true spread.
    rng = np.random.default_rng(5)
    unit = mean_estimate(np.repeat([-1.0, 1.0], 20) * np.sqrt(39 / 40), np.arange(40), 40)
    effect = detectable_effect(unit)
    assert effect == pytest.approx((stats.t.ppf(0.975, 39) + stats.t.ppf(0.8, 39)) / np.sqrt(40))
    lower = [mean_estimate(d, np.arange(40), 40).interval()[0] for d in rng.normal(effect, 1, (2000, 40))]
    assert np.mean(np.array(lower) > 0) == pytest.approx(0.8, abs=0.036)


def test_sign_flip_enumerates_small_cases_and_has_its_size() -> None:
    assert sign_flip_p_value(np.array([1.0, 2.0, 3.0])) == 2 / 8
    rng = np.random.default_rng(6)
    p = [sign_flip_p_value(rng.standard_t(3, 12), n_flips=4095) for _ in range(300)]
    assert np.mean(np.array(p) <= 0.05) <= 0.05 + 4 * np.sqrt(0.05 * 0.95 / 300)
    many = rng.normal(0.1, 1, 5000)
    assert sign_flip_p_value(many) == pytest.approx(1e-4)
    assert np.isnan(sign_flip_p_value(np.array([1.0])))


def test_aggregates_against_scipy_and_by_hand() -> None:
    rng = np.random.default_rng(7)
    scores = rng.normal(size=(5, 12))
    found = interquartile_mean(scores)
    assert found.value == pytest.approx(stats.trim_mean(scores.ravel(), 0.25))
    assert found.ci_lower < found.value < found.ci_upper
    assert interquartile_mean(scores) == found
    assert interquartile_mean(scores, random_state=1) != found  # the seed is really used
    a, b = np.array([[1.0, 5.0], [3.0, 5.0]]), np.array([[2.0, 5.0]])
    assert probability_of_improvement(a, b).value == pytest.approx(0.5)
    assert probability_of_improvement(a + 9, b).value == 1.0
    assert np.isnan(probability_of_improvement(a[:1], b).ci_lower)
    with pytest.raises(InvalidInputError, match="same tasks"):
        probability_of_improvement(a, b[:, :1])


def test_crps_and_offsets_agree_with_public_libraries() -> None:
    scoringrules = pytest.importorskip("scoringrules")
    rng = np.random.default_rng(8)
    y, members = rng.normal(size=50), np.sort(rng.normal(size=(50, 20)), axis=1)
    ours = crps_quantiles(y, members, (np.arange(20) + 0.5) / 20)
    np.testing.assert_allclose(ours, scoringrules.crps_ensemble(y, members, estimator="nrg"), rtol=1e-10)


def nights(seed: int, n: int, excess: float = 0.1, sigma: float = 1.0) -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(n):
        truth = rng.normal(size=40)
        made.append((truth[:, None] + sigma * rng.normal(size=(40, 2)), truth + np.sqrt(excess) * rng.normal(size=40)))
    return made


def verdicts(monitor: DriftMonitor, data: list[tuple[np.ndarray, np.ndarray]]) -> list[str]:
    return [monitor.update(night_statistics(y, f)) for y, f in data]


def test_worse_forecast_and_moved_noise_are_told_apart() -> None:
    calm = verdicts(DriftMonitor(), nights(9, 60))
    assert calm.count("ok") >= 59
    drifted, noisy = DriftMonitor(), DriftMonitor()
    verdicts(drifted, nights(10, 30))
    after = verdicts(drifted, nights(11, 15, excess=2.0))
    assert "forecast drifted" in after
    verdicts(noisy, nights(12, 30))
    changed = verdicts(noisy, nights(13, 12, sigma=2.0))
    assert "noise moved" in changed
    assert "forecast drifted" not in changed
    blind = DriftMonitor()
    single = [(y[:, :1], f) for y, f in nights(14, 30) + nights(15, 20, excess=3.0)]
    assert "ambiguous" in verdicts(blind, single)


def test_monitors_survive_json_and_reset() -> None:
    monitor = DriftMonitor()
    verdicts(monitor, nights(16, 15))
    again = DriftMonitor.from_state(json.loads(json.dumps(monitor.state())))
    night = night_statistics(*nights(17, 1)[0])
    assert again.update(night) == monitor.update(night)
    assert again.state() == monitor.state()
    cusum = CusumMonitor(base_nights=2)
    assert [cusum.update(x, 1.0) for x in (0.0, 0.0, 4.0, 4.0, 4.0)] == [False, False, False, True, True]
    cusum.reset()
    assert not cusum.update(100.0, 1.0)
    with pytest.raises(InvalidInputError, match="finite"):
        cusum.update(np.nan, 1.0)
    with pytest.raises(InvalidInputError, match="disagree"):
        night_statistics(np.zeros((3, 2)), np.zeros(2))


def test_adwin_sees_a_rise_and_not_a_fall() -> None:
    rng = np.random.default_rng(18)
    monitor = AdwinMonitor()
    assert not any(monitor.update(rng.normal(size=40)) for _ in range(30))
    assert any(monitor.update(rng.normal(1.5, 1, 40)) for _ in range(10))
    falling = AdwinMonitor()
    for _ in range(30):
        falling.update(rng.normal(size=40))
    assert not any(falling.update(rng.normal(-1.5, 1, 40)) for _ in range(10))
