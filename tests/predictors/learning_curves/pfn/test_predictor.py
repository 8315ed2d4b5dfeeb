"""The network alone under the predictor contract."""

import numpy as np
import pandas as pd
import pytest

from foretell.collect.curve_network_prior import CurvePrior
from foretell.predictors.base import load_predictor
from foretell.predictors.errors import InvalidInputError
from foretell.predictors.learning_curves.curves import read_curves
from foretell.predictors.learning_curves.pfn import PriorFittedNetwork
from foretell.predictors.learning_curves.pfn.predictor import PfnPredictor

LEVELS = (0.05, 0.5, 0.95)


@pytest.fixture(scope="module")
def curves() -> tuple[pd.DataFrame, pd.Series]:
    """300 prior curves on half doublings, the first 6 of 16 points observed."""
    t = np.tile(np.arange(16, dtype=np.float32) / 2, (300, 1))
    values = CurvePrior().curves(t, np.random.default_rng(5)).astype(float)
    steps = 16 * 2.0 ** t[0].astype(float)
    X = pd.DataFrame({"steps": [steps[:6]] * 300, "values": list(values[:, :6]), "target_step": steps[-1]})
    X["lower_bound"], X["upper_bound"] = 0.0, 1.0
    return X, pd.Series(values[:, -1])


def test_without_calibration_it_is_the_network(curves):
    X, y = curves
    forecast = PfnPredictor().fit(X, y).predict_quantiles(X, LEVELS)
    network = PriorFittedNetwork.load_pretrained()
    mixture = network.forecast(read_curves(X))
    np.testing.assert_allclose(forecast.to_numpy(), mixture.quantiles(LEVELS), atol=1e-4)
    np.testing.assert_allclose(PfnPredictor().fit(X, y).predict_mean(X), mixture.mean(), atol=1e-4)


def test_error_rates_and_percentages_give_the_same_forecast(curves):
    X, y = curves
    predictor = PfnPredictor().fit(X, y)
    errors = X.assign(
        values=[100 * (1 - v) for v in X["values"]],
        upper_bound=100.0,
        higher_is_better=pd.array([False] * len(X), "boolean"),
    )
    plain, flipped = predictor.predict_quantiles(X, LEVELS), predictor.predict_quantiles(errors, LEVELS)
    np.testing.assert_allclose(100 - flipped.to_numpy()[:, ::-1], 100 * plain.to_numpy(), atol=0.02)
    np.testing.assert_allclose(
        predictor.distribution(errors).log_density(100 * (1 - y)) + np.log(100),
        predictor.distribution(X).log_density(y),
        atol=0.02,
    )


def test_saved_predictor_answers_the_same(curves, tmp_path):
    X, y = curves
    predictor = PfnPredictor().fit(X, y)
    predictor.save(tmp_path / "model")
    loaded = load_predictor(tmp_path / "model")
    pd.testing.assert_frame_equal(loaded.predict_quantiles(X), predictor.predict_quantiles(X))


def test_diverged_curve_is_less_certain(curves):
    X, y = curves
    predictor = PfnPredictor().fit(X, y)
    broken = X.head(20).copy()
    broken["values"] = [np.append(v[:-1], np.nan) for v in broken["values"]]
    widths, before = (predictor.predict_interval(frame, 0.9) for frame in (broken, X.head(20)))
    assert (widths["upper"] - widths["lower"]).mean() > 1.5 * (before["upper"] - before["lower"]).mean()


def test_ten_thousand_points_and_a_single_one_are_forecast(curves):
    X, y = curves
    predictor = PfnPredictor().fit(X, y)
    long = np.arange(1.0, 10_001)
    odd = pd.DataFrame(
        {"steps": [long, [3.0]], "values": [np.full(10_000, 0.4), [0.2]], "target_step": [20_000.0, 3.0]}, index=[7, 9]
    )
    forecast = predictor.predict_quantiles(odd, LEVELS)
    assert list(forecast.index) == [7, 9]
    assert np.isfinite(forecast.to_numpy()).all()


def test_censored_ends_are_refused(curves):
    X, y = curves
    censored = pd.Series(False, index=X.index)
    censored.iloc[0] = True
    with pytest.raises(InvalidInputError, match="no lower bound"):
        PfnPredictor().fit(X, y, is_censored=censored)


def test_forecasts_can_be_picked_and_asked_for_a_target(curves):
    X, y = curves
    predictor = PfnPredictor().fit(X, y)
    whole = predictor.distribution(X)
    picked, apart = whole.loc(X.index[7:9]), predictor.distribution(X.iloc[7:9])
    np.testing.assert_allclose(picked.quantiles(np.array(LEVELS)), apart.quantiles(np.array(LEVELS)), atol=1e-4)
    median = predictor.predict(X)
    inside = (median > 0) & (median < 1)
    np.testing.assert_allclose(whole.probability_better(median)[inside], 0.5, atol=1e-6)
    falling = X.assign(higher_is_better=pd.array([False] * len(X), "boolean"))
    target = 0.6
    above = predictor.distribution(X).probability_better(target)
    mirrored = predictor.distribution(falling.assign(values=[1 - v for v in X["values"]])).probability_better(
        1 - target
    )
    np.testing.assert_allclose(above, mirrored, atol=1e-3)


def test_zero_shot_is_the_fitted_network_without_a_curve(curves):
    X, y = curves
    ready = PfnPredictor.zero_shot()
    assert ready.n_samples_ == 0
    pd.testing.assert_frame_equal(
        ready.predict_quantiles(X, LEVELS), PfnPredictor().fit(X, y).predict_quantiles(X, LEVELS)
    )


def test_expected_gain_is_the_integral_of_the_chance_of_more(curves):
    """E max(v - t, 0) = integral of P(v > s) over s above t, a second definition; and its mirror image."""
    X = curves[0].head(30)
    found = PfnPredictor.zero_shot().distribution(X)
    target = 0.6
    above = np.linspace(target, 1.0, 2_001)
    chance = np.array([found.probability_better(float(s)).to_numpy() for s in above])
    np.testing.assert_allclose(found.expected_gain(target), np.trapezoid(chance, above, axis=0), atol=2e-3)
    falling = X.assign(higher_is_better=pd.array([False] * 30, "boolean"), values=[1 - v for v in X["values"]])
    mirrored = PfnPredictor.zero_shot().distribution(falling)
    np.testing.assert_allclose(mirrored.expected_gain(1 - target), found.expected_gain(target), atol=1e-3)
