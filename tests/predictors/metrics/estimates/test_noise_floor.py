"""Floors by closed form, by their definition, and by simulation with a stated tolerance."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from foretell.predictors.errors import InvalidInputError
from foretell.predictors.metrics import (
    CRPS_FLOOR,
    MAE_FLOOR,
    MSE_FLOOR,
    NoiseFloor,
    Replicates,
    evaluate,
    floor_sums,
    group_replicates,
    mean_estimate,
    noise_floor,
)
from foretell.predictors.metrics.estimates.noise_floor import (
    LOG_LOSS_FLOOR,
    FloorEstimator,
    pinball_estimator,
    pinball_floor_per_cell,
    pinball_minimum_replicates,
)


def floor_of(table: pd.DataFrame, estimator: FloorEstimator, loss: str) -> NoiseFloor:
    """The floor of a whole table, of which each query is a cell unless it says otherwise."""
    table = table if "cell_id" in table else table.assign(cell_id=table["query_id"])
    return noise_floor(floor_sums(group_replicates(table), estimator), estimator, loss)


def mse_floor(table: pd.DataFrame) -> NoiseFloor:
    return floor_of(table, MSE_FLOOR, "mse")


def crps_floor(table: pd.DataFrame) -> NoiseFloor:
    return floor_of(table, CRPS_FLOOR, "crps")


def mae_floor(table: pd.DataFrame) -> NoiseFloor:
    return floor_of(table, MAE_FLOOR, "mae")


def pinball_floor(table: pd.DataFrame, level: float) -> NoiseFloor:
    return floor_of(table, pinball_estimator(level), f"the pinball loss at {level:g}")


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


def cells(table: pd.DataFrame) -> Replicates:
    """Every query is a cell."""
    return group_replicates(table.assign(cell_id=table["query_id"]))


@pytest.mark.parametrize(("level", "truth"), [(0.5, 0.3989), (0.9, 0.1755)])
def test_the_combination_of_ends_that_hold_the_pinball_floor_is_close(level: float, truth: float) -> None:
    # E pinball at the true normal quantile is the density there.
    r = pinball_minimum_replicates(level)
    inside, outside, _ = pinball_floor_per_cell(cells(normal(2, 20_000, r)), level)
    assert inside.mean() < truth < outside.mean()
    floor = pinball_floor(normal(2, 20_000, r), level)
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
    found = pinball_floor_per_cell(cells(replicates(values)), level)
    assert found[0].mean() == pytest.approx(np.mean(inside))
    outside = []
    for row in values:
        for i in range(r):
            rest = np.sort(np.delete(row, i))
            risks = np.array([loss(rest, c).mean() for c in rest])
            best = rest[np.flatnonzero(risks <= risks.min() + 1e-12)]
            outside.append(float(loss(row[i], (best.min() + best.max()) / 2)))
    assert found[1].mean() == pytest.approx(np.mean(outside))


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


def test_log_loss_floor_is_the_jackknife_by_its_definition() -> None:
    rng = np.random.default_rng(0)
    y = (rng.random((30, 5)) < rng.random((30, 1))).astype(float)

    def entropy(row: np.ndarray) -> float:
        p = row.mean()
        return float(stats.entropy([p, 1 - p]))

    def floor(values: np.ndarray) -> NoiseFloor:
        runs = group_replicates(replicates(values).assign(cell_id=lambda t: t["query_id"]))
        return noise_floor(floor_sums(runs, LOG_LOSS_FLOOR), LOG_LOSS_FLOOR, "log_loss")

    slow = [5 * entropy(row) - 4 * np.mean([entropy(np.delete(row, i)) for i in range(5)]) for row in y]
    assert floor(y).value == pytest.approx(np.mean(slow))
    few = floor(y[:, :3])
    assert np.isnan(few.value)
    assert few.method.startswith("none: log_loss needs 4 runs")
    with pytest.raises(InvalidInputError, match="0 or 1"):
        floor(y + 0.5)


def test_true_probabilities_are_at_the_floor_of_brier_and_log_loss() -> None:
    rng = np.random.default_rng(1)
    p = np.clip(rng.beta(1, 1, 3000), 0.02, 0.98)
    outcomes = replicates((rng.random((3000, 4)) < p[:, None]).astype(float)).assign(cell_id=lambda t: t["query_id"])
    table = evaluate(
        outcomes,
        pd.DataFrame({0.5: p}),
        predictor="p",
        family="f",
        dataset="d",
        split="s",
        metrics=["brier", "log_loss"],
    ).set_index("metric")
    # The true probabilities are at the floor: the excess is 0 within 4 standard errors (log-loss: bias below 5 %).
    for metric, allowance in (("brier", 0.0), ("log_loss", 0.05)):
        row = table.loc[metric]
        error = (row["excess_ci_upper"] - row["excess_ci_lower"]) / 3.92
        assert abs(row["excess_error"]) < 4 * error + allowance * row["noise_floor"]
        assert row["floor_source"] == "repeats"
