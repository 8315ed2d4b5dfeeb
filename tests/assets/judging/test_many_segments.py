"""Of many models floors and evaluations tell the same ones, however the table is cut."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from foretell.assets.engine import Engine, Table
from foretell.assets.families.success.family import FAMILY as SUCCESS
from foretell.assets.families.thinking_tokens.family import FAMILY
from foretell.assets.judging.floors import floor_table
from foretell.assets.judging.known_noise import add_noise_floors
from foretell.assets.judging.pipeline import fit_family
from foretell.assets.judging.splits import evaluate_family
from foretell.predictors.metrics import evaluate, segments
from foretell.predictors.splits import assign_split
from foretell.predictors.success.baselines import GlobalRate
from foretell.predictors.thinking_tokens.baselines import GlobalBaseline


@pytest.fixture(scope="module")
def examples() -> pd.DataFrame:
    """Queries on seven models, the more the earlier their name, each sent twice."""
    rng = np.random.default_rng(0)
    rows = [
        (f"{model}{query}", f"q{model}{query}", run, float(np.exp(rng.normal(5, 1))), model)
        for place, model in enumerate("abcdefg")
        for query in range(40 - 4 * place)
        for run in range(2)
    ]
    table = pd.DataFrame(rows, columns=["cell_id", "query_id", "replicate", "value", "model"])
    fixed = {"is_censored": False, "is_capped": False, "repeat_prob": 1.0, "reasoning_effort": "high"}
    return table.assign(**fixed, benchmark="chat", split=assign_split(table["query_id"]), run_score=1.0)


@pytest.fixture(autouse=True)
def three(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "MOST_SEGMENTS", 3)


def test_floors_and_evaluations_tell_the_same_models(examples: pd.DataFrame) -> None:
    cheap = replace(FAMILY, predictor=GlobalBaseline, baselines=lambda: {"model_benchmark": GlobalBaseline()})
    floors = floor_table(cheap, examples, dataset="made up")
    judged = evaluate_family(cheap, fit_family(cheap, examples), examples, dataset="made up", leave_out_vault=False)
    told = ["all", "model=a", "model=b", "model=c", "model: others"]
    assert list(floors["segment"].unique()) == told
    assert list(judged["segment"].unique()) == told
    one = floors[floors["metric"] == "mae"].set_index("segment")["n_queries"]
    assert one.drop("all").sum() == one["all"]


def test_floors_do_not_depend_on_how_rows_are_cut(examples: pd.DataFrame) -> None:
    parts = [part for _, part in examples.groupby(np.random.default_rng(1).integers(0, 5, len(examples)))]
    found = floor_table(FAMILY, Table(tuple(parts)), dataset="made up", engine=Engine(10_000))
    pd.testing.assert_frame_equal(found, floor_table(FAMILY, examples, dataset="made up"), rtol=1e-12)


def test_likelihoods_have_the_segments_of_the_errors(examples: pd.DataFrame) -> None:
    right = examples.assign(value=(examples["replicate"] == 0).astype(float)).drop_duplicates("cell_id")
    right.loc[right.index[::3], "value"] = 0.0
    cheap = replace(SUCCESS, predictor=GlobalRate, baselines=lambda: {"model_benchmark": GlobalRate()})
    from foretell.assets.judging.splits import held_out_splits, judge_splits

    splits = (replace(each, has_likelihood=True) for each in held_out_splits(cheap, right))
    table = judge_splits(cheap, splits, dataset="made up", examples=right)
    by_metric = {metric: set(rows["segment"]) for metric, rows in table.groupby("metric")}
    assert by_metric["log_likelihood"] == by_metric["crps"] == {"all", "model=a", "model=b", "model=c", "model: others"}


def test_known_noise_fills_the_floor_of_the_others(examples: pd.DataFrame) -> None:
    rows = examples.drop_duplicates("cell_id").assign(standard_error=lambda table: (table["model"] > "c") + 1.0)
    forecast = pd.DataFrame({0.5: 100.0}, index=rows["cell_id"])
    names = {"predictor": "p", "family": "f", "dataset": "d", "split": "s"}
    table = evaluate(rows.drop(columns="split"), forecast, metrics=("mae",), segments=["model"], **names)
    filled = add_noise_floors(table, rows, ("model",), segments.told_of(rows, ["model"])).set_index("segment")
    assert filled.loc["model: others", "noise_floor"] == pytest.approx(2 * np.sqrt(2 / np.pi))
    assert filled.loc["model=a", "noise_floor"] == pytest.approx(np.sqrt(2 / np.pi))
