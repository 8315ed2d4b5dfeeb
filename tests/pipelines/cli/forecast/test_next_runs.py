"""`foretell next-runs`: cheap runs that tell much come first, and the budget holds."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pandas as pd
import pytest

from foretell.assets.registry.tracking import CHAMPION, Fit
from foretell.pipelines.cli.forecast.next_runs import plan_runs
from foretell.pipelines.settings import Settings
from foretell.predictors.benchmark_scores.predictor import BenchmarkScorePredictor
from foretell.predictors.errors import InvalidInputError
from tests.predictors.benchmark_scores.synthetic_scores import INPUTS, make_scores


@pytest.fixture(scope="module")
def champion() -> BenchmarkScorePredictor:
    scores = make_scores(20, 6, seed=0)
    fast = BenchmarkScorePredictor(scale_rounds=20)
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


def foretell(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    from foretell.pipelines.cli.app import main

    monkeypatch.setattr(sys, "argv", ["foretell", *arguments])
    try:
        main()
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


def test_the_command_reads_costs_from_the_file_and_prints_the_plan(
    champion: BenchmarkScorePredictor, clean_environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    runs = make_scores(4, 6, seed=9)[INPUTS].reset_index(drop=True)
    runs["cost"] = [10.0, 20.0] * (len(runs) // 2)  # none is the default of 1
    file = tmp_path / "runs.parquet"
    runs.to_parquet(file)
    command = ("next-runs", str(file), "--budget", "50", "--json")
    assert foretell(monkeypatch, *command) == 0, "nothing is registered yet: what came with foretell answers"
    assert "the one that came with foretell answers" in capsys.readouterr().err
    head = pd.DataFrame([{"segment": "all", "split": "within", "metric": "crps", "value": 0.1, "predictor": "p"}])
    registry = Settings().open_registry()
    scores = make_scores(20, 6, seed=0)
    example = scores[INPUTS].head(2)
    version = registry.register(Fit("benchmark_scores", "d", "d", champion, head, scores, example, ""))
    registry.point("benchmark_scores", CHAMPION, str(version.version))
    assert foretell(monkeypatch, *command) == 0
    plan = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert 0 < sum(row["cost"] for row in plan) <= 50
    assert {row["cost"] for row in plan} <= {10.0, 20.0}
    left = [row["uncertainty_left"] for row in plan]
    assert left == sorted(left, reverse=True)
    assert foretell(monkeypatch, *command[:-1]) == 0
    printed = capsys.readouterr().out
    assert f"of {len(runs)} runs for" in printed
    assert all(f"{100 * share:.1f} %" in printed for share in left)
