"""Routing under a budget: exact on small cases, bounded on large ones, better than chance on held-out queries."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_traces import make_traces, price_file

from assets.reports.routing import fit_router, routing_report, usable_models
from predictors.errors import DatasetError, InvalidInputError
from predictors.thinking_tokens.routing import Cascade, SuccessForecaster, assign_models, cascade


def _best_by_trying_all(success: np.ndarray, cost: np.ndarray, budget: float) -> float:
    rows = np.arange(len(success))
    picks = (np.array(pick) for pick in product(range(success.shape[1]), repeat=len(success)))
    return max(success[rows, pick].sum() for pick in picks if cost[rows, pick].sum() <= budget)


@given(seed=st.integers(0, 10_000), share=st.floats(0, 1))
@settings(max_examples=25, deadline=None)
def test_assignment_is_within_one_success_of_the_best_and_below_its_bound(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    success, cost = rng.random((5, 3)), rng.random((5, 3))
    budget = cost.min(axis=1).sum() + share * (cost.max(axis=1).sum() - cost.min(axis=1).sum()) + 1e-9
    found = assign_models(success, cost, budget)
    best = _best_by_trying_all(success, cost, budget)
    assert found.cost_usd <= budget + 1e-9
    assert best <= found.bound + 1e-7
    assert found.success >= best - 1.0
    rows = np.arange(5)
    assert found.success == pytest.approx(success[rows, found.choice].sum())


def test_without_a_budget_to_speak_of_everybody_gets_the_best_or_the_cheapest() -> None:
    rng = np.random.default_rng(0)
    success, cost = rng.random((200, 4)), rng.random((200, 4))
    np.testing.assert_array_equal(assign_models(success, cost, 1e6).choice, success.argmax(axis=1))
    least = float(cost.min(axis=1).sum())
    np.testing.assert_array_equal(assign_models(success, cost, least * (1 + 1e-12)).choice, cost.argmin(axis=1))
    with pytest.raises(InvalidInputError, match="at least"):
        assign_models(success, cost, 0.9 * least)


def test_cascade_keeps_the_first_model_that_is_trusted() -> None:
    success = np.array([[0.9, 0.95], [0.2, 0.8], [0.5, 0.4]])
    assert Cascade((0, 1), 0.5).choose(success).tolist() == [0, 1, 0]
    cost = np.tile([1.0, 10.0], (3, 1))
    found = cascade(success, cost, 12.0)
    rows = np.arange(3)
    choice = found.choose(success)
    assert cost[rows, choice].sum() <= 12.0
    assert choice.tolist() == [0, 1, 0]
    with pytest.raises(InvalidInputError, match="below the cost"):
        cascade(success, cost, 0.5)


@pytest.mark.parametrize(
    ("success", "cost", "message"),
    [
        (np.ones((2, 2)), np.ones((2, 3)), "one shape"),
        (np.full((2, 2), 1.2), np.ones((2, 2)), r"\[0, 1\]"),
        (np.full((2, 2), np.nan), np.ones((2, 2)), r"\[0, 1\]"),
        (np.ones((2, 2)), np.full((2, 2), -1.0), ">= 0"),
        (np.empty((0, 2)), np.empty((0, 2)), "one shape"),
    ],
)
def test_what_cannot_be_assigned_is_refused(success: np.ndarray, cost: np.ndarray, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        assign_models(success, cost, 10.0)


def test_success_follows_benchmark_and_text() -> None:
    rng = np.random.default_rng(0)
    n = 800
    hard = rng.random(n) < 0.5
    X = pd.DataFrame(
        {
            "model": "a", "benchmark": np.where(np.arange(n) % 2, "x", "y"),
            "prompt_text": [f"{'prove the theorem' if h else 'name the colour'} {i}" for i, h in enumerate(hard)],
        }
    )  # fmt: skip
    passed = pd.Series((rng.random(n) < np.where(hard, 0.2, 0.8)).astype(int))
    forecast = SuccessForecaster().fit(X, passed).predict(X)
    assert forecast[hard].mean() == pytest.approx(0.2, abs=0.08)
    assert forecast[~hard].mean() == pytest.approx(0.8, abs=0.08)
    unseen = SuccessForecaster().fit(X, passed).predict(X.head(3).assign(model="new"))
    assert unseen.tolist() == pytest.approx([passed.mean()] * 3, abs=0.01)
    with pytest.raises(InvalidInputError, match="0 or 1"):
        SuccessForecaster().fit(X, passed + 0.5)


def test_a_model_that_always_passes_is_forecast_by_its_rate() -> None:
    X = pd.DataFrame({"model": ["a"] * 8, "prompt_text": ["text"] * 8})
    assert SuccessForecaster().fit(X, pd.Series([1] * 8)).predict(X.head(1)).iloc[0] == pytest.approx(0.9)


def test_routing_beats_chance_at_the_same_cost_on_held_out_queries(tmp_path: Path) -> None:
    traces = make_traces(500)
    # The cheap model that is listed high is right about easy queries, the dear one about hard ones.
    hard = traces["prompt_text"].str.contains("many")
    traces["score"] = (hard == (traces["model"] == "dear")).astype(float)
    report = routing_report(traces, price_file(tmp_path))
    table = report.table
    random = table[table["policy"] == "random"].iloc[0]
    routed = table[(table["policy"] == "router") & (table["usd_per_query"] <= 1.2 * random["usd_per_query"])]
    assert routed["quality"].max() > 0.95
    assert random["quality"] < 0.6
    best = table[table["policy"].str.contains("best")].iloc[0]
    assert best["money_saved"] == pytest.approx(0.0)
    assert (table["quality_lower"] <= table["quality"]).all()
    assert (table["quality"] <= table["quality_upper"]).all()
    assert report.findings


def test_models_without_runs_everywhere_and_cut_ones_are_not_chosen_from() -> None:
    traces = make_traces(40)
    traces = traces[~((traces["model"] == "dear") & (traces["query_id"] > "q2"))]
    traces["is_censored"] = traces["model"] == "listed-low"
    models, reasons = usable_models(traces)
    assert models == ["listed-high"]
    assert any("dear" in reason for reason in reasons)
    assert any("cut off" in reason for reason in reasons)


def test_routing_needs_prompts() -> None:
    with pytest.raises(DatasetError, match="text"):
        fit_router(make_traces(5).assign(prompt_text=None, passed=1.0), ["dear"])
