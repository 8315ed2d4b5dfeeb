"""The functional strategy on traces with a known limit, and decisions whose answer is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.typing import ArrayLike

from foretell.predictors.errors import InvalidInputError
from foretell.predictors.learning_curves.baselines import MapEnsembleBaseline
from foretell.predictors.learning_curves.decisions import advise, steps_to_target
from foretell.predictors.learning_curves.fits.functional import LearningTrace, learning_trace
from foretell.predictors.schemas.learning_curves import CurveRequests
from tests.predictors.learning_curves.synthetic_curves import INPUTS, make_curves

STEPS = 5_000.0 * np.arange(1, 41)


def power_law(asymptote: float, b: float = 0.4) -> np.ndarray:
    return asymptote - 0.3 * (STEPS / STEPS[0]) ** -b


def trace_of(steps: ArrayLike, values: ArrayLike, *, target_step: float, proximity: float = 0.005) -> LearningTrace:
    row = {"steps": [list(steps)], "values": [list(values)], "target_step": [target_step], "higher_is_better": [True]}
    return learning_trace(CurveRequests.validate(pd.DataFrame(row)), proximity=proximity)


@pytest.mark.parametrize("asymptote", [0.7, 0.85, 0.95])
def test_the_trace_of_a_power_law_converges_to_its_limit(asymptote: float) -> None:
    trace = trace_of(STEPS, power_law(asymptote), target_step=1e6)
    assert trace.working_level is not None
    assert trace.stop_level is not None
    assert trace.working_level <= trace.stop_level
    gaps = np.abs(trace.asymptotes - asymptote)
    assert gaps[-1] < 0.01
    assert gaps[-1] < gaps[2]
    assert abs(trace.forecasts[-1] - (asymptote - 0.3 * (1e6 / STEPS[0]) ** -0.4)) < 0.003


def test_from_the_stop_level_on_less_than_a_few_thresholds_is_still_to_come() -> None:
    rng = np.random.default_rng(0)
    for asymptote in (0.75, 0.9):
        trace = trace_of(STEPS, power_law(asymptote) + rng.normal(0, 0.001, 40), target_step=2e5, proximity=0.01)
        assert trace.stop_level is not None
        forecasts = trace.forecasts[trace.stop_level :]
        assert np.abs(forecasts - forecasts[-1]).max() < 0.03


def test_a_looser_threshold_stops_no_later() -> None:
    values = power_law(0.9) + np.random.default_rng(1).normal(0, 0.002, 40)
    stops = [trace_of(STEPS, values, target_step=2e5, proximity=p).stop_step for p in (0.003, 0.01, 0.03)]
    reached = [np.inf if s is None else s for s in stops]
    assert reached[0] >= reached[1] >= reached[2]
    assert np.isfinite(reached[2])


def test_a_line_without_a_limit_does_not_stop_early() -> None:
    trace = trace_of(STEPS[:12], np.linspace(0.1, 0.6, 12), target_step=1e6, proximity=0.001)
    assert trace.stop_level is None


@pytest.mark.parametrize("values", [[0.1], [0.1, 0.2], [0.1, float("nan"), 0.3, 2.0], [0.1, 2.0, 3.0]])
def test_few_or_odd_observations_have_a_trace_and_no_stop(values: list[float]) -> None:
    trace = trace_of(range(1, len(values) + 1), values, target_step=10.0)
    assert np.isfinite(trace.asymptotes).all()
    assert trace.stop_step is None


def test_advice_follows_the_incumbent() -> None:
    curves = make_curves(80, 0)
    model = MapEnsembleBaseline().fit(curves[INPUTS], curves["value"])
    X = curves[INPUTS]
    easy, hard = (advise(model, X, incumbent=goal) for goal in (0.05, 0.999))
    assert (easy["probability_better"] > hard["probability_better"]).all()
    assert not easy["stop"].any()
    assert hard["stop"].mean() > 0.5
    assert (easy["expected_gain"] >= hard["expected_gain"]).all()
    assert (hard["expected_gain"] >= 0).all()
    assert easy["remaining_share"].between(0, 1).all()
    mean = model.predict_mean(X)
    np.testing.assert_allclose(easy["expected_gain"], mean - 0.05, atol=0.01)


def test_steps_to_a_target_are_those_of_the_curve_and_may_never_come() -> None:
    curves = make_curves(80, 0)
    model = MapEnsembleBaseline().fit(curves[INPUTS], curves["value"])
    steps = np.geomspace(10, 1000, 14)
    values = 0.9 - 0.8 * (steps / 10) ** -0.6
    X = pd.DataFrame({"steps": [steps.tolist()] * 3, "values": [values.tolist()] * 3, "target_step": 1e5})
    goal = pd.Series([values[3], 0.89, 0.9999])
    told = steps_to_target(model, X, goal)
    assert told.loc[0].tolist() == [steps[3]] * 3 + [1.0], "it was reached before: that is known"
    truth = 10 * (0.8 / 0.01) ** (1 / 0.6)
    assert told.loc[1, "reach_step_05"] <= truth <= told.loc[1, "reach_step_95"]
    assert told.loc[1, "reach_step_50"] < np.inf
    assert told.loc[2, "reach_step_50"] == np.inf
    assert told.loc[2, "probability_reached"] < 0.2
    easier = steps_to_target(model, X, goal - 0.002)
    assert (easier["probability_reached"] >= told["probability_reached"]).all()


def test_a_finished_run_is_not_stopped() -> None:
    curves = make_curves(40, 2)
    model = MapEnsembleBaseline().fit(curves[INPUTS], curves["value"])
    X = curves[INPUTS].assign(target_step=[s[-1] for s in curves["steps"]])
    told = advise(model, X, incumbent=pd.Series(0.999, index=X.index))
    assert not told["stop"].any()
    assert np.isinf(told["gain_per_budget"]).all()


@pytest.mark.parametrize("bad", [{"least_probability": 1.0}, {"margin": -0.1}, {"incumbent": np.nan}])
def test_bad_decisions_are_refused(bad: dict[str, float]) -> None:
    curves = make_curves(40, 2)
    model = MapEnsembleBaseline().fit(curves[INPUTS], curves["value"])
    with pytest.raises(InvalidInputError):
        advise(model, curves[INPUTS], **{"incumbent": 0.5, **bad})
