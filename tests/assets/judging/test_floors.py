"""Outcomes that bring a standard error of their own need no repeats: it is the floor under their errors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from foretell.assets.families.thinking_tokens.family import FAMILY
from foretell.assets.judging.floors import floor_table
from foretell.assets.judging.pipeline import fit_family
from foretell.assets.judging.splits import evaluate_family
from foretell.predictors.splits import assign_split
from foretell.predictors.thinking_tokens.baselines import GlobalBaseline, ModelBaseline

N = 600
CHEAP = replace(
    FAMILY,
    predictor=lambda: ModelBaseline(),
    baselines=lambda: {"global": GlobalBaseline()},
    reference="global",
    scale="identity",
    segments=("model",),
)


@pytest.fixture(scope="module")
def examples() -> pd.DataFrame:
    """One run of each query, with noise of a known size that differs between two models."""
    rng = np.random.default_rng(0)
    model = np.where(np.arange(N) % 2 == 0, "steady", "noisy")
    sigma = np.where(model == "steady", 1.0, 5.0)
    frame = pd.DataFrame(
        {
            "query_id": [f"q{i}" for i in range(N)],
            "model": model,
            "replicate": 0,
            "is_censored": False,
            "is_capped": False,
            "repeat_prob": 1.0,
            "value": np.where(model == "steady", 40.0, 60.0) + sigma * rng.normal(size=N),
            "standard_error": sigma,
        }
    )
    return frame.assign(cell_id=frame["query_id"], split=assign_split(frame["query_id"]))


def mae(table: pd.DataFrame, segment: str) -> pd.Series:
    return table[(table["metric"] == "mae") & (table["segment"] == segment)].iloc[0]


def test_evaluation_has_the_floor_of_normal_noise_in_every_segment(examples: pd.DataFrame) -> None:
    table = evaluate_family(CHEAP, fit_family(CHEAP, examples), examples, dataset="made up", leave_out_vault=False)
    test = examples[examples["split"] == "test"]
    for segment, rows in {"all": test, **{f"model={m}": part for m, part in test.groupby("model")}}.items():
        row = mae(table, segment)
        assert row["noise_floor"] == pytest.approx(rows["standard_error"].mean() * np.sqrt(2 / np.pi))
        assert row["floor_source"] == "model"
        assert row["excess_error"] == pytest.approx(row["value"] - row["noise_floor"])
        # The forecast knows all there is to know, so nothing but noise is left.
        assert row["excess_ci_lower"] < 0 < row["excess_ci_upper"]


def test_without_standard_errors_one_run_has_no_floor(examples: pd.DataFrame) -> None:
    plain = examples.drop(columns="standard_error")
    row = mae(evaluate_family(CHEAP, fit_family(CHEAP, plain), plain, dataset="made up", leave_out_vault=False), "all")
    assert np.isnan(row["noise_floor"])
    assert "one run per query" in row["floor_source"]


def test_one_unknown_standard_error_leaves_its_segments_without_a_floor(examples: pd.DataFrame) -> None:
    gap = examples.copy()
    first = gap.index[(gap["split"] == "test") & (gap["model"] == "noisy")][0]
    gap.loc[first, "standard_error"] = np.nan
    table = evaluate_family(CHEAP, fit_family(CHEAP, gap), gap, dataset="made up", leave_out_vault=False)
    assert np.isnan(mae(table, "all")["noise_floor"])
    assert np.isnan(mae(table, "model=noisy")["noise_floor"])
    assert mae(table, "model=steady")["noise_floor"] == pytest.approx(np.sqrt(2 / np.pi))


def test_the_floor_alone_uses_them_too(examples: pd.DataFrame) -> None:
    row = mae(floor_table(CHEAP, examples, dataset="made up"), "all")
    assert row["noise_floor"] == pytest.approx(examples["standard_error"].mean() * np.sqrt(2 / np.pi))
