"""Rankings under noise: the published cells of the Price Reversal paper, closed forms, simulation."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from foretell.predictors.errors import InvalidInputError
from foretell.predictors.metrics import ReversalReport, frontier_membership, query_cost_of_pass, rank_reversals
from tests.conftest import ROOT

GOLDEN = json.loads((ROOT / "tests" / "golden" / "price_reversal_v1.json").read_text("utf-8"))


def golden_cells() -> pd.DataFrame:
    prices = GOLDEN["listed_price_usd_per_mtok"]
    rows = [
        {"dataset": dataset, "model": model, "listed_price": price, "cost": cost, "thinking": thinking / 100}
        for dataset, cells in GOLDEN["cells"].items()
        for (model, price), cost, thinking in zip(
            prices.items(), cells["total_cost_usd"], cells["thinking_share_pct"], strict=True
        )
    ]
    return pd.DataFrame(rows)


def test_published_cells_of_the_price_reversal_paper() -> None:
    cells = golden_cells()
    assert len(cells) == 72
    expected = GOLDEN["expected"]
    with_thinking = [reversals_of(part, "cost") for _, part in cells.groupby("dataset")]
    pairs = pd.concat([report.pairs.assign(dataset=name) for name, report in with_thinking])
    assert len(pairs) == expected["pairs"] == 252
    assert (pairs["log_ratio"] > 0).sum() == expected["reversals"] == 55
    assert round(100 * 55 / 252, 1) == expected["reversal_share_pct"] == 21.8
    cells["other_cost"] = cells["cost"] * (1 - cells["thinking"])
    without = [reversals_of(part, "other_cost") for _, part in cells.groupby("dataset")]
    n_without = sum((report.pairs["log_ratio"] > 0).sum() for _, report in without)
    assert n_without == expected["reversals_without_thinking"] == 16
    assert round(100 * (16 - 55) / 55, 1) == expected["change_pct"] == -70.9
    tau, tau_without = (np.mean([report.tau for _, report in reports]) for reports in (with_thinking, without))
    assert tau == pytest.approx(expected["mean_kendall_tau"], abs=5e-4)
    assert tau_without == pytest.approx(expected["mean_kendall_tau_without_thinking"], abs=5e-4)
    largest = pairs.loc[pairs["log_ratio"] == pairs["log_ratio"].max()].iloc[0]
    assert largest["dataset"] == "mmlupro"
    assert round(np.exp(largest["log_ratio"]), 1) == expected["largest_reversal"] == 28.0
    per_task = {name: int((report.pairs["log_ratio"] > 0).sum()) for name, report in with_thinking}
    assert per_task == expected["reversals_per_dataset"]


def reversals_of(cells: pd.DataFrame, cost: str) -> tuple[str, ReversalReport]:
    """Data set and reversals of its published totals: one query that is there twice, so that nothing varies."""
    totals = pd.DataFrame([cells[cost].to_numpy()] * 2, columns=cells["model"])
    return cells["dataset"].iloc[0], rank_reversals(totals, cells.set_index("model")["listed_price"], n_bootstrap=2)


def costs_of(means: np.ndarray, n: int, seed: int, noise: float = 0.5) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    y = means * np.exp(rng.normal(0, 1, (n, 1)) + rng.normal(0, noise, (n, means.size)))
    return pd.DataFrame(y, columns=[f"m{k}" for k in range(means.size)])


def test_clear_reversals_are_confirmed_and_tau_follows() -> None:
    costs = costs_of(np.array([8.0, 1.0, 2.0]), 300, 1)
    report = rank_reversals(costs, pd.Series({"m0": 1.0, "m1": 2.0, "m2": 3.0}))
    assert report.raw_share == report.confirmed_share == pytest.approx(2 / 3)
    assert report.unresolved_share == 0
    assert report.posterior_share == pytest.approx(2 / 3, abs=1e-6)
    assert report.tau == pytest.approx(-1 / 3)
    assert set(report.pairs.loc[report.pairs["status"] == "reversed", "cheaper"]) == {"m0"}
    assert report.tau_ci_lower <= report.tau <= report.tau_ci_upper


def test_equal_costs_are_seldom_confirmed_either_way() -> None:
    prices = pd.Series({f"m{k}": 1.0 + k for k in range(6)})
    reports = [rank_reversals(costs_of(np.ones(6), 60, seed), prices, n_bootstrap=10) for seed in range(100)]
    # Under BH at 5 % a family of nulls has any discovery in about 5 % of the tables; 4 binomial sd above is 14 %.
    assert np.mean([report.unresolved_share < 1 for report in reports]) <= 0.14
    assert np.mean([report.posterior_share for report in reports]) == pytest.approx(0.5, abs=0.06)


def test_benjamini_hochberg_against_scipy() -> None:
    costs = costs_of(np.exp(np.linspace(0, 0.3, 8)), 80, 3)
    report = rank_reversals(costs, pd.Series({f"m{k}": float(8 - k) for k in range(8)}))
    adjusted = stats.false_discovery_control(report.pairs["p_value"])
    np.testing.assert_array_equal(report.pairs["status"] != "unresolved", adjusted <= 0.05)


def test_queries_that_a_model_missed_are_left_out_for_all() -> None:
    costs = costs_of(np.array([1.0, 2.0]), 50, 4)
    costs.loc[3, "m0"] = np.nan
    prices = pd.Series({"m0": 1.0, "m1": 2.0})
    assert rank_reversals(costs, prices).n_queries == 49
    with pytest.raises(InvalidInputError, match=r"lacks the models \['m1'\]"):
        rank_reversals(costs, prices.drop("m1"))
    with pytest.raises(InvalidInputError, match="2 queries"):
        rank_reversals(costs.iloc[:1], prices)


def test_cost_of_pass_on_paper_and_without_any_pass() -> None:
    cost, passed = np.array([2.0, 2.0]), np.array([0.5, 0.0])
    found = query_cost_of_pass(cost, passed)
    assert found.value == 2.0 / 0.25
    # x / cost - s / rate is -1 and +1: standard error 1 on the log scale.
    assert found.ci_upper / found.value == pytest.approx(np.exp(stats.norm.ppf(0.975)))
    nothing = query_cost_of_pass(cost, 0 * passed)
    assert (nothing.value, nothing.ci_upper) == (np.inf, np.inf)
    assert nothing.ci_lower == pytest.approx(2.0 / (1 - 0.025**0.5))
    assert np.isnan(query_cost_of_pass(cost[:1], passed[:1]).ci_lower)


def test_what_differs_in_the_last_digits_alone_is_a_tie() -> None:
    # Sums of the same numbers in another order: as long a list of days in another order makes them.
    rng = np.random.default_rng(0)
    costs = pd.DataFrame({"a": rng.uniform(1, 2, 40)}).assign(b=lambda c: c["a"], c=3.0)
    scores = pd.DataFrame({"a": rng.integers(0, 2, 40).astype(float)}).assign(b=lambda s: s["a"], c=0.0)
    prices = pd.Series({"a": 1.0, "b": 2.0, "c": 3.0})
    for noise in (costs, scores):
        rounded = 1 + np.finfo(float).eps * rng.choice([-1, 0, 1], noise.shape)
        shaken = noise * rounded
        pair = (shaken, scores) if noise is costs else (costs, shaken)
        expected, found = frontier_membership(costs, scores), frontier_membership(*pair)
        pd.testing.assert_series_equal(found["probability"], expected["probability"], rtol=0, atol=0)
        plain, again = rank_reversals(costs, prices), rank_reversals(pair[0], prices)
        assert (again.raw_share, again.ci_lower, again.ci_upper) == (plain.raw_share, plain.ci_lower, plain.ci_upper)
        assert again.pairs["status"].tolist() == plain.pairs["status"].tolist()


def test_frontier_membership_of_clear_and_tied_models() -> None:
    rng = np.random.default_rng(5)
    costs = pd.DataFrame(np.array([1.0, 2.0, 2.5, 1.0]) * np.exp(rng.normal(0, 0.1, (200, 4))), columns=list("abcd"))
    scores = pd.DataFrame(rng.random((200, 4)) < np.array([0.3, 0.9, 0.4, 0.3]), columns=list("abcd")).astype(float)
    found = frontier_membership(costs, scores).set_index("model")
    assert found.loc["b", "verdict"] == "on frontier"
    assert found.loc["c", "verdict"] == "off frontier"
    assert found.loc[["a", "d"], "probability"].max() > 0.1
    again = frontier_membership(costs, scores).set_index("model")
    pd.testing.assert_frame_equal(found, again)
