"""`foretell next-runs`: cheap runs that tell much come first, and the budget holds."""

from __future__ import annotations

import pandas as pd
import pytest

from pipelines.next_runs import plan_runs
from predictors.benchmark_scores.predictor import BenchmarkScorePredictor
from predictors.errors import InvalidInputError
from tests.predictors.benchmark_scores.synthetic_scores import INPUTS, make_scores


@pytest.fixture(scope="module")
def champion() -> BenchmarkScorePredictor:
    scores = make_scores(20, 6, seed=0)
    fast = BenchmarkScorePredictor(forest_rounds=20, response_rounds=20, direct_rounds=20)
    return fast.fit(scores[INPUTS], scores["value"], groups=scores["leak_group"])


@pytest.fixture
def inputs() -> pd.DataFrame:
    rows = make_scores(4, 6, seed=9)[INPUTS].reset_index(drop=True)
    return rows.set_axis(range(1, len(rows) + 1))


def test_the_budget_holds_and_uncertainty_falls(champion: BenchmarkScorePredictor, inputs: pd.DataFrame) -> None:
    asked = pd.DataFrame({"cost": 1.0 + inputs["model"].str[1:].astype(float)}, index=inputs.index)
    plan = plan_runs(champion, inputs, asked, budget=6.0)
    assert plan["cost"].sum() <= 6.0
    assert plan["uncertainty_left"].is_monotonic_decreasing
    assert plan["uncertainty_left"].between(0, 1).all()
    assert not plan.index.has_duplicates


def test_only_wanted_scores_count(champion: BenchmarkScorePredictor, inputs: pd.DataFrame) -> None:
    wanted = inputs["benchmark"] == "B2"
    plan = plan_runs(champion, inputs, pd.DataFrame({"wanted": wanted}), budget=1.0)
    assert plan["benchmark"].tolist() == ["B2"]


def test_what_cannot_be_planned_is_said(champion: BenchmarkScorePredictor, inputs: pd.DataFrame) -> None:
    with pytest.raises(InvalidInputError, match="buys no run: the cheapest costs 1"):
        plan_runs(champion, inputs, pd.DataFrame(index=inputs.index), budget=0.5)
    with pytest.raises(InvalidInputError, match="must be > 0"):
        plan_runs(champion, inputs, pd.DataFrame({"cost": 0.0}, index=inputs.index), budget=0.5)
    with pytest.raises(InvalidInputError, match="`wanted` is false"):
        plan_runs(champion, inputs, pd.DataFrame({"wanted": False}, index=inputs.index), budget=5)
