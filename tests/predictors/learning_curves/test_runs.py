"""Runs that go on: one grid for all logs, equivariance, and a head that learns from them beside the others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from foretell.predictors.base import load_predictor
from foretell.predictors.errors import InvalidInputError
from foretell.predictors.learning_curves import density
from foretell.predictors.learning_curves.curves import STRIDE, read_curves
from foretell.predictors.learning_curves.density import ScaleModel
from foretell.predictors.learning_curves.pfn.predictor import PfnPredictor
from foretell.predictors.learning_curves.predictor import LearningCurvePredictor
from foretell.predictors.learning_curves.runs import RunColumns
from tests.predictors.learning_curves.synthetic_curves import INPUTS, make_curves

SMALL = {"location_rounds": 30, "scale_rounds": 15, "n_prefixes": 3}
END = 1000.0


def make_runs(n: int, seed: int) -> pd.DataFrame:
    """Losses of n runs with forty evenly spaced points, cut at 40 %."""
    rng = np.random.default_rng(seed)
    steps = np.linspace(25, END, 40)
    rows = []
    for i in range(n):
        low, high, rate = rng.uniform(0.1, 1), rng.uniform(2, 6), rng.uniform(0.3, 1.2)
        loss = low + high * (steps / 25) ** -rate + rng.normal(0, 0.005, 40)
        rows.append({"steps": steps[:16].tolist(), "values": loss[:16].tolist(), "target_step": END, "value": loss[-1],
                     "metric": "validation loss", "resource_unit": "steps", "query_id": f"w{i % 5}"})  # fmt: skip
    return pd.DataFrame(rows)


RUN_INPUTS = ["steps", "values", "target_step", "metric", "resource_unit"]


@pytest.fixture(scope="module")
def fitted() -> LearningCurvePredictor:
    runs = make_runs(80, 0)
    return LearningCurvePredictor(**SMALL).fit(runs[RUN_INPUTS], runs["value"], groups=runs["query_id"])


def test_a_curve_is_the_same_however_densely_it_was_logged() -> None:
    # At double density the 90 % interval covered .73 to .83: what was read counted points.
    dense = np.geomspace(10, 1000, 400)
    curve = 0.9 - 0.7 * (dense / 10) ** -0.5
    some = [np.unique(np.r_[np.arange(399, -1, -every), 0]) for every in (1, 4, 16, 60)]
    X = pd.DataFrame({
        "steps": [dense[at].tolist() for at in some], "values": [curve[at].tolist() for at in some],
        "target_step": 5000.0, "lower_bound": 0.0, "upper_bound": 1.0,
    })  # fmt: skip
    batch = read_curves(X)
    assert np.ptp(batch.lengths) <= 1
    for i in range(4):
        seen = batch.lengths[i]
        true = 0.9 - 0.7 * (batch.first_step[i] / 10 * np.exp(batch.log_x[i, :seen])) ** -0.5
        np.testing.assert_allclose(batch.values[i, :seen], true, atol=0.02)
    forecasts = PfnPredictor.zero_shot().predict_quantiles(X, (0.05, 0.5, 0.95)).to_numpy()
    assert np.ptp(forecasts[:, 1]) < 0.02
    assert np.ptp(forecasts[:, 2] - forecasts[:, 0]) < 0.4 * (forecasts[0, 2] - forecasts[0, 0])


def test_half_doublings_are_read_as_they_stand_and_wide_gaps_are_not_filled() -> None:
    steps = [16.0, 23.0, 32.0, 45.0, 64.0, 91.0]
    X = pd.DataFrame({"steps": [steps, [1.0, 1000.0, 1400.0]], "values": [[0.1, 0.3, 0.4, 0.45, 0.5, 0.52],
                      [9.0, 2.0, 1.5]], "target_step": 2000.0, "metric": ["accuracy", "loss"]})  # fmt: skip
    batch = read_curves(X)
    assert batch.lengths.tolist() == [6, 3]
    np.testing.assert_allclose(np.exp(batch.log_x[0, :6]) * 16, steps)
    assert batch.log_x[1, 1] > 10 * STRIDE
    # The first loss of a run, which may be of any height, no longer makes the scale.
    steps = [1.0, *np.linspace(500, 1900, 12)]
    wild = X.iloc[[1]].assign(steps=[steps], values=[[1e26, *np.linspace(2, 1.4, 12)]])
    assert read_curves(wild).scale.span[0] < 100


def test_forecasts_of_runs_go_with_the_scale_of_the_metric_and_of_the_budget(fitted: LearningCurvePredictor) -> None:
    X = make_runs(10, 3)[RUN_INPUTS]
    scaled = X.assign(
        values=[[7 * v for v in values] for values in X["values"]],
        steps=[[3 * s for s in steps] for steps in X["steps"]], target_step=3 * END,
    )  # fmt: skip
    a, b = (fitted.predict_quantiles(part, (0.05, 0.5, 0.95)).to_numpy() for part in (X, scaled))
    np.testing.assert_allclose(7 * a, b, rtol=1e-6)


def test_the_head_for_runs_beats_the_last_value_on_new_workloads(fitted: LearningCurvePredictor) -> None:
    new = make_runs(40, 7)
    last = np.array([values[-1] for values in new["values"]])
    error = (fitted.predict(new[RUN_INPUTS]) - new["value"]).abs().mean()
    assert error < 0.5 * np.abs(last - new["value"]).mean()
    interval = fitted.predict_interval(new[RUN_INPUTS])
    assert ((interval["lower"] <= new["value"]) & (new["value"] <= interval["upper"])).mean() >= 0.8
    assert fitted.basis_of(new[RUN_INPUTS]).iloc[0] == "16 observed points, other training runs and the network"


def test_one_fit_serves_both_kinds_of_curves(tmp_path: Path) -> None:
    sizes = make_curves(60, 0)
    sizes["query_id"], sizes["resource_unit"] = sizes["dataset"], "items"
    runs = make_runs(40, 0)
    both = pd.concat([sizes[[*INPUTS, "resource_unit", "query_id", "value"]], runs], ignore_index=True)
    asked = both.drop(columns=["query_id", "value"])
    model = LearningCurvePredictor(**SMALL).fit(asked, both["value"], groups=both["query_id"])
    alone = LearningCurvePredictor(**SMALL).fit(sizes[INPUTS], sizes["value"], groups=sizes["dataset"])
    assert not alone.answers(runs[RUN_INPUTS]).any()
    assert model.answers(asked).all()
    np.testing.assert_allclose(model.predict(asked)[:60], alone.predict(sizes[INPUTS]), rtol=1e-9)
    saved = load_predictor(model.save(tmp_path / "model"))
    np.testing.assert_allclose(saved.predict(asked), model.predict(asked))
    one = runs.assign(query_id="w")
    with pytest.raises(InvalidInputError, match="2 groups"):
        LearningCurvePredictor(**SMALL).fit(one[RUN_INPUTS], one["value"], groups=one["query_id"])


def test_the_head_for_runs_starts_from_what_the_network_says() -> None:
    runs = make_runs(40, 1)
    columns = RunColumns.read(runs[RUN_INPUTS], read_curves(runs[RUN_INPUTS]), PfnPredictor.zero_shot().network_)
    median = columns.last - columns.points[:, 0] * columns.spread  # losses fall: to move up is to fall
    outcome = runs["value"].to_numpy()
    assert np.abs(median - outcome).mean() < 0.7 * np.abs(columns.last - outcome).mean()
    own, in_range = columns.columns[:, 3:8], columns.columns[:, 8:]
    assert (np.diff(own, axis=1) >= 0).all()
    assert (np.diff(in_range, axis=1) >= 0).all()
    np.testing.assert_array_equal(own[:, 2], columns.points[:, 0])


def jumping(n: int, groups: int, seed: int) -> pd.DataFrame:
    """Scores that lie flat up to the cut, of which three tenths then jump."""
    rng = np.random.default_rng(seed)
    steps = np.linspace(100, END, 10)
    rows = []
    for i in range(n):
        end = rng.uniform(0.3, 0.9) if rng.random() < 0.3 else 0.05
        rows.append({
            "steps": steps[:5].tolist(), "values": (0.05 + rng.normal(0, 0.01, 5)).tolist(), "target_step": END,
            "value": end + rng.normal(0, 0.01), "metric": "accuracy", "lower_bound": 0.0, "upper_bound": 1.0,
            "resource_unit": "steps", "query_id": f"w{i % groups}",
        })  # fmt: skip
    return pd.DataFrame(rows)


def test_intervals_know_of_jumps_that_no_beginning_announces() -> None:
    # Errors count as shares of what a curve moves, so curves that jump hardly counted where the spread is learnt.
    runs, new = jumping(150, 5, 0), jumping(150, 1, 1)
    columns = [*RUN_INPUTS, "lower_bound", "upper_bound"]
    model = LearningCurvePredictor(**SMALL).fit(runs[columns], runs["value"], groups=runs["query_id"])
    interval = model.predict_interval(new[columns], 0.9)
    assert ((interval["lower"] <= new["value"]) & (new["value"] <= interval["upper"])).mean() >= 0.85


def test_intervals_of_runs_are_as_wide_as_new_groups_are_said_to_differ(
    fitted: LearningCurvePredictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = make_runs(80, 0)
    asked = runs[RUN_INPUTS]
    monkeypatch.setattr(density, "BETWEEN", density.BETWEEN + 2.0)
    wider = LearningCurvePredictor(**SMALL).fit(asked, runs["value"], groups=runs["query_id"])
    ends = [model.predict_interval(asked, 0.9) for model in (fitted, wider)]
    usual, wide = ((end["upper"] - end["lower"]).mean() for end in ends)
    assert wide > 1.05 * usual


def test_the_scale_is_widened_for_what_differs_between_groups() -> None:
    rng = np.random.default_rng(0)

    def drawn(groups: int) -> tuple[Any, Any]:
        spread = np.repeat(np.exp(rng.normal(np.log(0.02), 0.4, groups)), 200)
        return 0.5 + spread * rng.normal(size=len(spread)), np.repeat(np.arange(groups), 200)

    def covers(model: ScaleModel, outcome: Any) -> float:
        n = len(outcome)
        low, high = model.at(np.ones((n, 1)), np.full(n, 0.5)).quantiles(np.array([0.05, 0.95])).T
        return float(((low <= outcome) & (outcome <= high)).mean())

    outcome, folds = drawn(8)
    read = np.ones((len(folds), 1)), np.full(len(folds), 0.5), outcome
    half = ScaleModel(np.log([0.01]), 30.0, np.empty(0))  # half as wide as what is usual
    assert covers(half, outcome) < 0.7
    assert covers(half.widened(*read, rng.permutation(folds)), outcome) == pytest.approx(0.9, abs=0.02)
    assert 0.88 < covers(half.widened(*read, folds), drawn(200)[0]) < 0.96
