"""Floors by closed form, by their definition, and by simulation with a stated tolerance."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from predictors.metrics import crps_floor, evaluate, mae_floor, mean_estimate, mse_floor, pinball_floor
from predictors.metrics.noise_floor import pinball_minimum_replicates


def replicates(values: np.ndarray) -> pd.DataFrame:
    """Long table of `values`, shape (n_queries, R)."""
    n, r = values.shape
    return pd.DataFrame({"query_id": np.repeat(np.arange(n), r), "value": values.ravel()})


def normal(seed: int, n: int, r: int) -> pd.DataFrame:
    return replicates(np.random.default_rng(seed).normal(size=(n, r)))


@pytest.mark.parametrize("r", [2, 3, 8])
def test_unbiased_floors_at_normal_outcomes(r: int) -> None:
    # 20,000 queries: 4 standard errors are below 4 % for the variance at R = 2, 2.2 % for Gini.
    table = normal(1, 20_000, r)
    assert mse_floor(table).value == pytest.approx(1, abs=4 * np.sqrt(2 / (r - 1) / 20_000))
    assert crps_floor(table).value == pytest.approx(1 / np.sqrt(np.pi), rel=0.022)


def test_two_runs_on_paper() -> None:
    table = replicates(np.array([[1.0, 3.0], [2.0, 2.0]]))
    floor = mse_floor(table)
    assert (floor.value, floor.n_queries, floor.n_replicates) == (1.0, 2, 4)
    assert floor.method == "repeats: unbiased variance"
    assert crps_floor(table).value == 0.5


def test_bernoulli_variance_is_the_brier_floor() -> None:
    runs = np.array([[0, 1, 1], [1, 1, 1]])
    p = runs.mean(axis=1)
    assert mse_floor(replicates(runs)).value == pytest.approx(np.mean(p * (1 - p) * 3 / 2))


@pytest.mark.parametrize(("level", "truth"), [(0.5, 0.3989), (0.9, 0.1755)])
def test_bracket_holds_the_pinball_floor_and_the_combination_is_close(level: float, truth: float) -> None:
    # E pinball at the true normal quantile is the density there.
    r = pinball_minimum_replicates(level)
    floor = pinball_floor(normal(2, 20_000, r), level)
    assert floor.bracket_lower < truth < floor.bracket_upper
    assert floor.value == pytest.approx(truth, rel=0.03)
    if level == 0.5:
        assert mae_floor(normal(2, 20_000, r)).value == pytest.approx(2 * floor.value)


@pytest.mark.parametrize("level", [0.05, 0.3, 0.5, 0.9])
def test_pinball_bracket_by_brute_force(level: float) -> None:
    rng = np.random.default_rng(3)
    r = pinball_minimum_replicates(level) + 1
    values = rng.exponential(size=(7, r))

    def loss(y: np.ndarray, c: np.ndarray) -> np.ndarray:
        return np.maximum(level * (y - c), (level - 1) * (y - c))

    inside = [min(loss(row, c).mean() for c in row) for row in values]
    floor = pinball_floor(replicates(values), level)
    assert floor.bracket_lower == pytest.approx(np.mean(inside))
    outside = []
    for row in values:
        for i in range(r):
            rest = np.sort(np.delete(row, i))
            risks = np.array([loss(rest, c).mean() for c in rest])
            best = rest[np.flatnonzero(risks <= risks.min() + 1e-12)]
            outside.append(float(loss(row[i], (best.min() + best.max()) / 2)))
    assert floor.bracket_upper == pytest.approx(np.mean(outside))


@settings(max_examples=30, deadline=None)
@given(st.floats(-1e6, 1e6), st.integers(1, 6), st.integers(2, 9))
def test_constant_target_has_floor_zero_from_two_runs_and_none_with_one(value: float, n: int, r: int) -> None:
    table = replicates(np.full((n, r), value))
    assert mse_floor(table).value == 0
    assert crps_floor(table).value == 0
    single = mse_floor(replicates(np.full((n, 1), value)))
    assert np.isnan(single.value)
    assert single.method == "none: one run per query"


def test_excess_of_the_true_conditional_mean_has_mean_zero() -> None:
    # 200 data sets of 100 queries x 3 runs as segments of one table; 4 standard errors of their mean.
    rng, n = np.random.default_rng(4), 20_000
    means = rng.normal(size=n)
    values = means[:, None] + np.exp(rng.normal(0, 0.3, (n, 1))) * rng.normal(size=(n, 3))
    table = replicates(values).assign(cell_id=lambda t: t["query_id"], study=lambda t: t["query_id"] % 200)
    names = {"predictor": "p", "family": "f", "dataset": "d", "split": "s"}
    rows = evaluate(table, pd.DataFrame({0.5: means}), metrics=["mse"], segments=["study"], **names)
    excesses = rows.loc[rows["segment"] != "all", "excess_error"]
    assert len(excesses) == 200
    assert abs(excesses.mean()) < 4 * excesses.std() / np.sqrt(200)
    assert excesses.min() < 0  # never clipped


def test_interval_of_one_query_is_nan_not_zero() -> None:
    floor = mse_floor(replicates(np.array([[1.0, 2.0, 4.0]])))
    assert np.isfinite(floor.value)
    assert np.isnan(floor.ci_lower)
    assert np.isnan(floor.ci_upper)


def test_mse_floor_interval_covers_where_the_plain_t_interval_does_not() -> None:
    # 30 queries x 3 runs, log sigma spread .5; 2,000 data sets, so 4 binomial sd are .02.
    rng, truth, n = np.random.default_rng(5), float(np.exp(2 * 0.5**2)), 30
    s2 = (np.exp(rng.normal(0, 0.5, (2000, n, 1))) * rng.normal(size=(2000, n, 3))).var(axis=2, ddof=1)
    found = [mean_estimate(row, np.arange(n), n) for row in s2]
    corrected = np.array([estimate.interval(skew_corrected=True) for estimate in found])
    plain = np.array([estimate.interval() for estimate in found])

    def coverage(ends: np.ndarray) -> float:
        return float(np.mean((ends[:, 0] <= truth) & (truth <= ends[:, 1])))

    assert coverage(plain) == pytest.approx(0.83, abs=0.04)
    assert coverage(corrected) == pytest.approx(0.94, abs=0.03)
    values = s2.mean(axis=1)
    assert np.all((corrected[:, 0] <= values) & (values <= corrected[:, 1]))
