"""The floor of every segment from parts is the floor of the segment."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foretell.assets.engine import Engine, Table
from foretell.assets.families.thinking_tokens.family import FAMILY
from foretell.assets.judging.floors import floor_table
from foretell.predictors import metrics
from foretell.predictors.errors import InvalidInputError


@pytest.fixture(scope="module")
def examples() -> pd.DataFrame:
    """300 queries on two models, two benchmarks (one is not named) and one effort; a quarter of them is repeated."""
    rng = np.random.default_rng(0)
    rows = []
    for query in range(300):
        for model in ("a", "b"):
            level = rng.normal(6, 1)
            for run in range(4 if query % 4 == 0 else 1):
                tokens = float(np.exp(level + 0.4 * rng.normal()))
                rows.append((f"{query}|{model}", str(query), run, tokens, model, "math" if query % 3 else None))
    names = ["cell_id", "query_id", "replicate", "value", "model", "benchmark"]
    table = pd.DataFrame(rows, columns=names).assign(reasoning_effort="high", split="train", repeat_prob=0.25)
    return table.assign(is_capped=table["query_id"].isin(["1", "8"]))


def of_segment(table: pd.DataFrame, segment: str) -> pd.DataFrame:
    rows = table[~table["is_capped"]]
    for term in segment.split(","):
        if "=" in term:
            name, value = term.split("=")
            rows = rows[rows[name].fillna("null") == value]
    if segment.endswith("replicated"):
        rows = rows[rows.groupby("cell_id")["cell_id"].transform("size") >= 2]
    return rows.drop(columns="split")


def test_every_row_is_the_floor_of_its_segment(examples: pd.DataFrame) -> None:
    table = floor_table(FAMILY, examples, dataset="made up")
    assert len(table) == 3 * 2 * 9  # all, two benchmarks, two models, benchmark x model; each whole and replicated
    for row in table.itertuples():
        estimator = getattr(metrics, f"{row.metric.upper()}_FLOOR")
        runs = metrics.group_replicates(of_segment(examples, row.segment), "log")
        expected = metrics.noise_floor(metrics.floor_sums(runs, estimator), estimator, row.metric)
        numbers = (row.noise_floor, row.floor_ci_lower, row.floor_ci_upper)
        np.testing.assert_allclose(numbers, (expected.value, expected.ci_lower, expected.ci_upper), rtol=1e-9)
        assert row.floor_source == expected.method
        assert (row.n_queries, row.n_replicates) == (expected.n_queries, expected.n_replicates)


def test_floors_have_the_segments_of_the_evaluation(examples: pd.DataFrame) -> None:
    # Runs of no named benchmark were left out of floors and reported by evaluations.
    runs = examples[~examples["is_capped"]]
    forecast = pd.DataFrame({0.5: 400.0}, index=runs["cell_id"].unique())
    names = {"predictor": "p", "family": "f", "dataset": "d", "split": "train"}
    judged = metrics.evaluate(
        runs, forecast, scale="log", metrics=["crps", "mae", "mse"], segments=["model", "benchmark"], **names
    )
    segments = floor_table(FAMILY, examples, dataset="made up")["segment"]
    assert "benchmark=null" in set(segments)
    assert set(judged["segment"]) == {name for name in segments if name.removesuffix(",replicated").count(",") == 0}


def test_a_column_of_one_value_makes_no_segment(examples: pd.DataFrame) -> None:
    table = floor_table(FAMILY, examples, dataset="made up")
    assert not table["segment"].str.contains("reasoning_effort").any()


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 999), n_parts=st.integers(1, 7), bytes_at_once=st.sampled_from([50_000, 10_000_000]))
def test_table_does_not_depend_on_how_rows_are_cut(examples, seed: int, n_parts: int, bytes_at_once: int) -> None:
    rng = np.random.default_rng(seed)
    shuffled = examples.sample(frac=1, random_state=seed)
    cut = Table(tuple(part for _, part in shuffled.groupby(rng.integers(0, n_parts, len(examples)))))
    found = floor_table(FAMILY, cut, dataset="made up", engine=Engine(bytes_at_once))
    pd.testing.assert_frame_equal(found, floor_table(FAMILY, examples, dataset="made up"), rtol=1e-12)


def test_nothing_but_cut_off_groups_is_told(examples: pd.DataFrame) -> None:
    with pytest.raises(InvalidInputError, match="mostly cut off"):
        floor_table(FAMILY, examples.assign(is_capped=True), dataset="made up")
