"""A family is judged in parts: whole queries travel, sums come back, and the table does not depend on the cut."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from foretell.assets.engine import Engine, open_engine
from foretell.assets.families.thinking_tokens.family import FAMILY
from foretell.assets.judging import parts as judging
from foretell.assets.judging.pipeline import FittedFamily, fit_family, forecasts_by_cell
from foretell.assets.judging.splits import evaluate_family
from foretell.predictors.errors import InvalidInputError
from foretell.predictors.metrics import evaluate
from foretell.predictors.splits import assign_split
from foretell.predictors.thinking_tokens.baselines import GlobalBaseline, ModelBaseline, ModelBenchmarkBaseline

CHEAP = replace(
    FAMILY,
    predictor=lambda: ModelBenchmarkBaseline(),
    baselines=lambda: {"model": ModelBaseline(), "global": GlobalBaseline()},
    reference="global",
    segments=("benchmark", ("model", "benchmark"), "reasoning_effort"),
)


class WatchedEngine(Engine):
    """Works in this process and remembers what travelled there and back."""

    n_workers = 3

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[list[Any]] = []
        self.returned: list[Any] = []

    def map(self, function: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        self.sent.append(list(items))

        def work(item: Any) -> Any:
            self.returned.append(function(item))
            return self.returned[-1]

        return super().map(work, items)


def make_examples(n_queries: int = 200) -> pd.DataFrame:
    """Queries on two models, a benchmark that is not always named; a third of the queries is repeated."""
    rng = np.random.default_rng(0)
    rows = []
    for query in range(n_queries):
        for model in ("a", "b"):
            level = rng.normal(6, 1)
            for run in range(12 if query % 3 == 0 else 1):
                tokens = float(np.exp(level + 0.4 * rng.normal()))
                rows.append((f"{query}|{model}", f"q{query}", run, tokens, model, "math" if query % 4 else None))
    names = ["cell_id", "query_id", "replicate", "value", "model", "benchmark"]
    table = pd.DataFrame(rows, columns=names).assign(
        provider="p", prompt_text="Add one and one.", reasoning_effort="high", repeat_prob=1 / 3, is_censored=False
    )
    table["is_capped"] = table["query_id"].str.endswith("7")
    return table.assign(split=assign_split(table["query_id"], fractions={"train": 0.5, "test": 0.5}))


@pytest.fixture(scope="module")
def examples() -> pd.DataFrame:
    return make_examples()


@pytest.fixture(scope="module")
def fitted(examples: pd.DataFrame) -> FittedFamily:
    return fit_family(CHEAP, examples)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> WatchedEngine:
    """The current engine, to which every table goes, in parts of about 30 cells."""
    engine = WatchedEngine()
    monkeypatch.setattr(judging, "current_engine", lambda: engine)
    monkeypatch.setattr(judging, "CELLS_IN_PARTS", 1)
    monkeypatch.setattr(judging, "CELLS_AT_ONCE", 30)
    return engine


@pytest.mark.parametrize("with_noise", [False, True])
def test_parts_give_the_table_of_one_part(
    examples: pd.DataFrame, fitted: FittedFamily, monkeypatch: pytest.MonkeyPatch, with_noise: bool
) -> None:
    if with_noise:
        examples = examples[examples["replicate"] == 0].assign(standard_error=0.1)
    whole = evaluate_family(CHEAP, fitted, examples, dataset="d", leave_out_vault=False)
    for cells in (19, 60):
        engine = WatchedEngine()
        monkeypatch.setattr(judging, "current_engine", lambda engine=engine: engine)
        monkeypatch.setattr(judging, "CELLS_IN_PARTS", 1)
        monkeypatch.setattr(judging, "CELLS_AT_ONCE", cells)
        found = evaluate_family(CHEAP, fitted, examples, dataset="d", leave_out_vault=False)
        pd.testing.assert_frame_equal(found, whole, check_exact=True)
        assert len(engine.sent[0]) > 2
    assert set(whole["split"]) == {"within", "within_capped"}
    assert set(whole["predictor"]) == {"ModelBenchmarkBaseline", "model"}
    mae = whole[(whole["metric"] == "mae") & (whole["segment"] == "all")]
    assert (mae["floor_source"] == ("model" if with_noise else "repeats")).all()


def test_parts_give_what_evaluate_gives(examples: pd.DataFrame, fitted: FittedFamily, engine: WatchedEngine) -> None:
    table = evaluate_family(CHEAP, fitted, examples, dataset="d", leave_out_vault=False)
    rows = examples[(examples["split"] == "test") & ~examples["is_capped"]].drop(columns="split")
    forecasts = forecasts_by_cell(CHEAP, {"": fitted.predictor, **fitted.baselines}, rows)
    names = {"family": CHEAP.name, "dataset": "d", "split": "within", "baseline_name": "global", "scale": "log"}
    for name, predictor, segments in (
        ("", "ModelBenchmarkBaseline", ["benchmark", ("model", "benchmark")]),  # effort has one value
        ("model", "model", []),
    ):
        expected = evaluate(
            rows, forecasts[name], predictor=predictor, baseline=forecasts["global"], segments=segments, **names
        )
        found = table[(table["predictor"] == predictor) & (table["split"] == "within")].reset_index(drop=True)
        pd.testing.assert_frame_equal(found, expected, rtol=1e-9, atol=1e-12)
    assert table["segment"].str.contains("benchmark=null").any()
    assert table["segment"].str.endswith(",replicated").any()


def test_whole_queries_travel_with_each_prompt_once(
    examples: pd.DataFrame, fitted: FittedFamily, engine: WatchedEngine
) -> None:
    evaluate_family(CHEAP, fitted, examples, dataset="d", leave_out_vault=False)
    test = examples[(examples["split"] == "test") & ~examples["is_capped"]]
    parts = engine.sent[0]
    assert len(parts) == -(-test["cell_id"].nunique() // 30)
    queries = pd.concat([part.runs["query_id"].drop_duplicates() for part in parts])
    assert queries.is_unique
    assert set(queries) == set(test["query_id"])
    assert sum(len(part.runs) for part in parts) == len(test)
    for part in parts:
        assert part.inputs.index.is_unique
        assert set(part.inputs.index) == set(part.runs["cell_id"])
        assert "prompt_text" not in part.runs
        assert len(part.inputs) <= 2 * 30


def test_what_comes_back_does_not_grow_with_the_runs(
    examples: pd.DataFrame, fitted: FittedFamily, engine: WatchedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judging, "CELLS_AT_ONCE", 10**6)
    sizes = []
    for rows in (examples, make_examples(800)):
        evaluate_family(CHEAP, fitted, rows, dataset="d", leave_out_vault=False)
        found = engine.returned.pop(0)
        sizes.append(len(pickle.dumps(found)))
        engine.returned.clear()
    assert sizes[1] < 1.1 * sizes[0]  # four times the rows; a sum has a few more digits


@pytest.mark.slow
def test_a_cluster_gives_the_table_of_this_process(
    examples: pd.DataFrame, fitted: FittedFamily, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr(judging, "CELLS_IN_PARTS", 1)
    monkeypatch.setattr(judging, "CELLS_AT_ONCE", 40)
    here = evaluate_family(CHEAP, fitted, examples, dataset="d", leave_out_vault=False)
    with open_engine("dask"):
        there = evaluate_family(CHEAP, fitted, examples, dataset="d", leave_out_vault=False)
    pd.testing.assert_frame_equal(there, here, check_exact=True)


def test_few_cells_stay_in_this_process(
    examples: pd.DataFrame, fitted: FittedFamily, engine: WatchedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judging, "CELLS_IN_PARTS", 10**6)
    evaluate_family(CHEAP, fitted, examples, dataset="d", leave_out_vault=False)
    assert engine.sent == []


def test_what_lies_in_two_parts_is_refused(examples: pd.DataFrame, fitted: FittedFamily, engine: WatchedEngine) -> None:
    test = examples[(examples["split"] == "test") & ~examples["is_capped"]]
    first, last = test["cell_id"].iloc[0], test["cell_id"].iloc[-1]
    moved = examples.replace({"cell_id": {last: first}}).assign(replicate=range(len(examples)))
    with pytest.raises(InvalidInputError, match="`query_id` must be the same in all runs of a cell"):
        evaluate_family(CHEAP, fitted, moved, dataset="d", leave_out_vault=False)
    ids = pd.Series([f"r{i}" for i in range(len(examples))], index=examples.index)
    ids[test.index[-1]] = ids[test.index[0]]
    with pytest.raises(InvalidInputError, match="1 runs twice"):
        evaluate_family(CHEAP, fitted, examples.assign(response_id=ids), dataset="d", leave_out_vault=False)
