"""Routing under a budget: exact on small cases, bounded on large ones, better than chance on held-out queries."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foretell.assets.reports.routing import ROUTED, fit_router, lack_of_evidence, routing_report, usable_models
from foretell.assets.reports.runs import scored_runs
from foretell.predictors.errors import DatasetError, InvalidInputError
from foretell.predictors.thinking_tokens.bill.routing import assign_models
from tests.assets.report_traces import make_traces, price_file


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


def test_a_promise_needs_as_many_queries_as_the_report(tmp_path: Path) -> None:
    # `foretell route` promised 47.5 passes from 40 scored queries; the report said that 50 test queries are needed.
    few, many = make_traces(40).assign(passed=1.0), make_traces(500)
    models = sorted(set(few["model"]))
    reason = routing_report(few, price_file(tmp_path)).reasons[-1]
    assert "50 are needed" in reason
    runs, _ = scored_runs(few, price_file(tmp_path), more=ROUTED)
    assert lack_of_evidence(runs, models) == reason
    assert lack_of_evidence(scored_runs(many, price_file(tmp_path), more=ROUTED)[0], models) is None


def test_routing_needs_prompts() -> None:
    with pytest.raises(DatasetError, match="text"):
        fit_router(make_traces(5).assign(prompt_text=None, passed=1.0), ["dear"])
