"""Decisions whose answer is known: when a forecast has settled, whether to stop, when a target is reached."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from foretell.predictors.errors import InvalidInputError
from foretell.predictors.learning_curves.baselines import LastValueBaseline
from foretell.predictors.learning_curves.decisions import PROXIMITY, advise, settled_steps, steps_to_target
from foretell.predictors.learning_curves.forecaster import CurveForecaster
from foretell.predictors.learning_curves.pfn.predictor import PfnPredictor
from tests.predictors.learning_curves.synthetic_curves import INPUTS, make_curves

NO_FLOOR = float("nan")


@pytest.fixture(scope="module")
def as_it_is() -> CurveForecaster:
    """A forecaster whose median is the last value, so that forecasts settle where the curve does."""
    curves = make_curves(80, 0)
    return LastValueBaseline().fit(curves[INPUTS], curves["value"])


def settled(predictor: CurveForecaster, *curves: list[float], floor: float = NO_FLOOR) -> list[float]:
    rows = {
        "steps": [list(range(10, 10 + len(c))) for c in curves],
        "values": list(curves),
        "target_step": 100.0 + max(map(len, curves)),
    }
    X = pd.DataFrame({**rows, "lower_bound": 0.0, "upper_bound": 1.0, "standard_errors": None})
    return settled_steps(predictor, X, pd.Series(floor, index=X.index)).tolist()


def test_a_forecast_has_settled_where_all_later_ones_agree_with_it(as_it_is: CurveForecaster) -> None:
    flat, back = [0.2, 0.3, 0.4, 0.5, 0.5, 0.5, 0.5], [0.5, 0.5, 0.5, 0.5, 0.7, 0.5, 0.5, 0.5]
    near, far = ([0.2, 0.4, 0.5, 0.5 + share * PROXIMITY, 0.5] for share in (0.9, 1.1))
    assert settled(as_it_is, flat, back, near) == [13.0, 15.0, 12.0]
    assert np.isnan(settled(as_it_is, far, [0.1 * i for i in range(10)])).all(), "the newest ones still move"


def test_forecasts_need_not_agree_better_than_the_noise_floor(as_it_is: CurveForecaster) -> None:
    noisy = [0.2, 0.4, 0.5, 0.52, 0.5, 0.52]
    assert np.isnan(settled(as_it_is, noisy)).all()
    assert settled(as_it_is, noisy, floor=0.021) == [12.0]
    assert settled(as_it_is, [0.2, 0.4, 0.5, 0.502, 0.5], floor=1e-6) == [12.0], "a floor of none is no demand"


@pytest.mark.parametrize("values", [[0.5], [0.5, 0.5], [0.4, 0.5, np.nan, np.nan, np.inf], [np.nan, 0.5, np.nan, 0.5]])
def test_less_than_three_finite_points_never_settle(as_it_is: CurveForecaster, values: list[float]) -> None:
    assert np.isnan(settled(as_it_is, values)).all()


def test_a_long_log_is_read_at_evenly_spaced_beginnings(as_it_is: CurveForecaster) -> None:
    rising, flat = np.linspace(0.1, 0.5, 5_001).tolist(), [0.5] * 4_999
    assert settled(as_it_is, rising + flat)[0] == pytest.approx(5_000, abs=10_000 / 11)


def test_a_curve_is_judged_as_if_it_were_alone(as_it_is: CurveForecaster) -> None:
    curves = [[0.2, 0.5, 0.5, 0.5], [0.3], [0.5] * 40, [0.4, np.nan, 0.4, 0.4]]
    alone = [settled(as_it_is, curve)[0] for curve in curves]
    np.testing.assert_array_equal(settled(as_it_is, *curves), alone)


def test_every_beginning_is_forecast_as_if_nothing_came_after() -> None:
    network, steps = PfnPredictor.zero_shot(), 2.0 ** np.arange(12)
    values = 0.8 - 0.6 * steps**-1.0
    X = pd.DataFrame({"steps": [steps.tolist()], "values": [values.tolist()], "target_step": [2.0**15]})
    begun = [X.assign(steps=[steps[:k].tolist()], values=[values[:k].tolist()]) for k in range(1, 15)]
    medians = np.array([network.predict(rows).iloc[0] for rows in begun])
    for floor in (0.003, 0.01, 0.05):
        within = max(floor, PROXIMITY)
        first = next(k for k in range(12) if np.ptp(medians[k:]) <= within)
        assert 0 < first < 12
        assert settled_steps(network, X, pd.Series([floor])).iloc[0] == steps[first]


def test_advice_follows_the_incumbent() -> None:
    curves = make_curves(80, 0)
    model = LastValueBaseline().fit(curves[INPUTS], curves["value"])
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
    model = PfnPredictor.zero_shot()
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


def test_rows_of_one_name_are_asked_each_for_itself(as_it_is: CurveForecaster) -> None:
    X = make_curves(6, 2)[INPUTS]
    named = X.set_axis(["run", "run", "other", "run", "other", "last"])
    told = steps_to_target(as_it_is, named, 0.8)
    assert told.index.tolist() == named.index.tolist()
    np.testing.assert_array_equal(told, steps_to_target(as_it_is, X, 0.8))


def test_a_finished_run_is_not_stopped() -> None:
    curves = make_curves(40, 2)
    model = LastValueBaseline().fit(curves[INPUTS], curves["value"])
    X = curves[INPUTS].assign(target_step=[s[-1] for s in curves["steps"]])
    told = advise(model, X, incumbent=pd.Series(0.999, index=X.index))
    assert not told["stop"].any()
    assert np.isinf(told["gain_per_budget"]).all()


@pytest.mark.parametrize("bad", [{"least_probability": 1.0}, {"margin": -0.1}, {"incumbent": np.nan}])
def test_bad_decisions_are_refused(bad: dict[str, float]) -> None:
    curves = make_curves(40, 2)
    model = LastValueBaseline().fit(curves[INPUTS], curves["value"])
    with pytest.raises(InvalidInputError):
        advise(model, curves[INPUTS], **{"incumbent": 0.5, **bad})
