"""`foretell compute`: what more compute buys, and what it takes to see it."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from foretell.pipelines.cli.forecast.compute import compute_page
from foretell.predictors.downstream_scaling.decisions import plan_compute, points_of_compute, score_error
from foretell.predictors.downstream_scaling.predictor import DownstreamScalingPredictor
from foretell.predictors.errors import InvalidInputError

LADDERS = [
    {"benchmark": "arithmetic", "n_items": 1000, "ladder_scores": [7.0, 15.0, 28.0, 45.0]},
    {"benchmark": "mmlu", "chance_score": 25, "n_items": None, "ladder_scores": [25.5, 26.0, 29.0, 34.0]},
]


@pytest.fixture(scope="module")
def predictor() -> DownstreamScalingPredictor:
    return DownstreamScalingPredictor.with_defaults()


@pytest.fixture
def rows() -> pd.DataFrame:
    return pd.DataFrame([{**ladder, "ladder_flops": [1e18, 1e19, 1e20, 1e21]} for ladder in LADDERS])


def test_more_compute_buys_more_and_is_told_from_noise(predictor: DownstreamScalingPredictor, rows) -> None:
    plan = plan_compute(predictor, rows, 3.0)
    for task, points in plan.points.groupby("task"):
        assert points["gain"].is_monotonic_increasing, task
        assert (points["is_resolved"] == (points["gain_lower"] > points["noise_floor"])).all()
    needed = plan.tasks.set_index("task")["compute_needed"]
    farther = plan_compute(predictor, rows, 6.0).tasks.set_index("task")["compute_needed"]
    assert (farther > needed).all()
    # The compute that is named does buy the points with that probability.
    for place, task in enumerate(needed.index):
        if np.isfinite(needed[task]):
            asked = rows.loc[[place]].assign(target_flops=1e21 * needed[task])
            reached = predictor.predict_quantiles(asked, (0.2,)).iloc[0, 0]
            assert reached >= rows.loc[place, "ladder_scores"][-1] + 3.0 - 1e-6


def test_a_gain_counts_only_where_its_whole_interval_is_beyond_the_noise(predictor, rows) -> None:
    found = points_of_compute(predictor, rows.iloc[[0]], np.geomspace(1.01, 100, 80).tolist(), coverage=0.2)
    lower, floor = found["gain_lower"], found["noise_floor"]
    assert ((lower > 0) & (lower < floor)).any(), "some gains are above nothing and yet within the noise"
    assert found["is_resolved"].any()
    assert (found["is_resolved"] == (lower > floor)).all()


def test_the_items_named_show_the_difference_four_times_in_five(predictor: DownstreamScalingPredictor, rows) -> None:
    tasks = plan_compute(predictor, rows, 3.0).tasks.set_index("task")
    for task in tasks.index:
        error = score_error(
            tasks.loc[task, "score"] / 100, int(tasks.loc[task, "items"]), int(tasks.loc[task, "draws"])
        )
        power = norm.sf(norm.ppf(0.975) - 3.0 / (error * np.sqrt(2)))
        assert power == pytest.approx(0.8, abs=0.002)
    assert tasks.loc["arithmetic", "seen_now"] > 3.0, "a thousand items are too few, so more are asked for"
    assert tasks.loc["arithmetic", "items"] > 1000
    assert np.isnan(tasks.loc["mmlu", "seen_now"]), "the number of items is not known"


def test_dear_items_are_drawn_more_often(predictor: DownstreamScalingPredictor, rows) -> None:
    cheap, dear = (plan_compute(predictor, rows, 3.0, item_cost=cost).tasks for cost in (0.0, 50.0))
    assert (cheap["draws"] == 1).all()
    assert (dear["draws"] > 1).all()
    assert (dear["items"] < cheap["items"]).all()


def test_the_page_has_a_figure_per_task_and_escapes_names(predictor: DownstreamScalingPredictor, rows) -> None:
    plan = plan_compute(predictor, rows.assign(benchmark=["<b>", "mmlu"]), 3.0)
    page = compute_page(plan, "ladders.jsonl").html()
    assert len(re.findall("<svg ", page)) == 2
    assert "&lt;b&gt;" in page
    assert "<b>" not in page
    assert "3 points" in page


def test_two_ladders_of_one_benchmark_are_told_apart(predictor: DownstreamScalingPredictor, rows) -> None:
    # A second ladder of a benchmark, of another family of models, ended in a traceback.
    plan = plan_compute(predictor, rows.assign(benchmark="mmlu"), 3.0)
    assert plan.tasks["task"].tolist() == ["mmlu (row 1)", "mmlu (row 2)"]
    assert len(plan.rows()) == len(plan.points)


def test_what_cannot_be_planned_is_said(predictor: DownstreamScalingPredictor, rows) -> None:
    with pytest.raises(InvalidInputError, match="--wanted"):
        plan_compute(predictor, rows, 0.0)
    with pytest.raises(InvalidInputError, match="certainty"):
        plan_compute(predictor, rows, 3.0, certainty=1.0)
    with pytest.raises(InvalidInputError, match="`ladder_scores` is empty"):
        plan_compute(predictor, rows.assign(ladder_scores=[[], []], ladder_flops=[[], []]), 3.0)
