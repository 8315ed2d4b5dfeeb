"""The family of success in the lake: which runs count, what is known in the warm split, the bundled evaluation."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from foretell.assets.engine import Table
from foretell.assets.families.success.evaluation import _warm
from foretell.assets.families.success.examples import lake_examples, scored
from foretell.assets.families.success.family import FAMILY
from foretell.assets.families.thinking_tokens.examples import traces_of_dataset
from foretell.assets.judging.splits import evaluate_dataset
from foretell.pipelines.settings import Settings


def test_a_part_of_the_points_is_no_right_answer_and_unscored_runs_are_left_out() -> None:
    runs = pd.DataFrame({"run_score": [1.0, 0.5, 0.0, None], "value": 9.0, "is_censored": True, "is_capped": True})
    rows = scored(runs)
    assert rows["value"].tolist() == [1.0, 0.0, 0.0]
    assert not rows[["is_censored", "is_capped"]].any().any()


def test_warm_inputs_hold_the_outcomes_of_other_models_alone() -> None:
    inputs = pd.DataFrame(
        {"query_id": ["q", "q", "r"], "model": ["a", "b", "a"]}, index=pd.Index(["1", "2", "3"], name="cell_id")
    )
    outcomes = pd.DataFrame(
        {"query_id": ["q", "q", "q", "r"], "model": ["a", "b", "b", "a"], "value": [1.0, 0.0, 1.0, 1.0]}
    )
    warm = _warm(inputs, outcomes)
    assert warm.loc["1", "context_models"] == ["b", "b"]
    assert warm.loc["1", "context_scores"] == [0.0, 1.0]
    assert warm.loc["2", "context_scores"] == [1.0]
    assert warm["context_models"].isna().tolist() == [False, False, True]


@pytest.mark.slow
def test_a_lake_without_scores_learns_from_the_bundled_runs(tmp_path: Path) -> None:
    sources = Settings(home=tmp_path).sources
    traces = traces_of_dataset("starter", sources)
    scores = traces["score"].where(pd.Series(range(len(traces)), index=traces.index) % 2 == 0)
    assert 0 < len(lake_examples(Table((traces.assign(score=scores),)), sources, None)) < 1320
    bundled = lake_examples(Table((traces.assign(score=float("nan")),)), sources, None)
    assert len(bundled) == 1320


@pytest.mark.slow
def test_the_brier_score_of_the_bundled_runs_stands_next_to_its_floor(tmp_path: Path) -> None:
    table = evaluate_dataset(FAMILY, "starter", Settings(home=tmp_path).sources, leave_out_vault=False)
    rows = table[table["segment"] == "all"].set_index(["predictor", "split", "metric"])
    brier = rows.loc[("SuccessPredictor", "within", "crps")]
    assert brier["floor_source"].startswith("repeats")
    assert 0 < brier["noise_floor"] < brier["value"] < 0.25
    assert rows.loc[("SuccessPredictor", "within", "log_likelihood"), "value"] > -0.7
