"""Curves of any metric and any input: scale, direction, bounds, and what is refused."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate

from foretell.predictors.errors import InvalidInputError
from foretell.predictors.learning_curves.baselines import LastValueBaseline
from foretell.predictors.learning_curves.curves import MAX_POINTS, read_curves
from foretell.predictors.learning_curves.density import ScaleModel, TruncatedT
from foretell.predictors.learning_curves.forecaster import CurveForecaster
from foretell.predictors.learning_curves.predictor import LearningCurvePredictor
from tests.predictors.learning_curves.synthetic_curves import INPUTS, make_curves


@pytest.fixture(scope="module")
def fitted() -> CurveForecaster:
    curves = make_curves(80, 0)
    small = LearningCurvePredictor(n_prefixes=4, location_rounds=60, scale_rounds=20)
    return small.fit(curves[INPUTS], curves["value"], groups=curves["dataset"])


def request(steps: list[float], values: list[float], target: float = 1000.0, **more: object) -> pd.DataFrame:
    return pd.DataFrame(
        {"steps": [steps], "values": [values], "target_step": [target], **{k: [v] for k, v in more.items()}}
    )


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (request([1, 2, 2], [0.1, 0.2, 0.3]), "increasing"),
        (request([2, 1], [0.1, 0.2]), "increasing"),
        (request([1, 2], [0.1]), "equal length"),
        (request([], []), "one point or more"),
        (request([1, np.nan], [0.1, 0.2]), "finite"),
        (request([-1, 2], [0.1, 0.2]), "not negative"),
        (request([1, 2], [np.nan, np.nan]), "finite"),
        (request([1, 2], [0.1, 0.2], target=1.5), "before the last"),
        (request([1, 2], [0.1, 1.2], lower_bound=0.0, upper_bound=1.0), "bound"),
        (request([1, 2], [0.1, 0.2], lower_bound=1.0, upper_bound=0.0), "lower_bound below upper_bound"),
        (request([1, 2], [0.1, 0.2], standard_errors=[0.1, -0.1]), "not negative"),
        (request([1, 2], [0.1, 0.2], standard_errors=[0.1]), "as many as steps"),
        (request([1, 2], ["a", "b"]), "numbers"),  # type: ignore[list-item]
        (
            request([1, 2], [0.1, 0.2], sibling_learners=["x"], sibling_steps=[[1.0]], sibling_values=[[0.1, 0.2]]),
            "equal",
        ),
        (request([1, 2], [0.1, 0.2], sibling_learners=["x"]), "together"),
    ],
)
def test_what_is_no_curve_is_refused_with_the_reason(fitted: CurveForecaster, bad: pd.DataFrame, said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        fitted.predict_quantiles(bad)


@pytest.mark.parametrize(
    "good",
    [
        request([10], [0.5]),
        request([10, 20], [0.5, 0.6]),
        request([0, 1, 2], [0.1, 0.2, 0.3]),
        request([1, 2, 3, 4], [0.7] * 4),
        request([1, 2, 3], [0.0, 0.0, 0.0]),
        request([1, 2, 3], [1.0, 1.0, 1.0]),
        request([1, 2, 3], [0.9, 0.5, 0.2], target=3.0),
        request([0], [0.5], target=10.0),
    ],
)
def test_short_and_flat_curves_get_a_forecast_in_range(fitted: CurveForecaster, good: pd.DataFrame) -> None:
    quantiles = fitted.predict_quantiles(good, (0.01, 0.5, 0.99)).to_numpy()
    assert np.isfinite(quantiles).all()
    assert ((quantiles >= 0) & (quantiles <= 1)).all()


def test_fewer_points_mean_a_wider_forecast(fitted: CurveForecaster) -> None:
    steps, values = (2.0 ** np.arange(8)).tolist(), (0.9 - 0.5 * 2.0 ** (-0.5 * np.arange(8))).tolist()
    width = [
        np.diff(fitted.predict_interval(request(steps[:k], values[:k], 1024.0)).to_numpy()[0])[0] for k in (1, 4, 8)
    ]
    assert width[0] > width[1] > width[2]


def test_a_diverged_curve_is_forecast_widely_from_its_finite_points(fitted: CurveForecaster) -> None:
    kept = fitted.predict_interval(request([1, 2, 4, 8], [0.4, 0.5, 0.55, 0.58], 16.0)).diff(axis=1)["upper"].iloc[0]
    for lost in (np.nan, np.inf):
        told = request([1, 2, 4, 8, 9], [0.4, 0.5, 0.55, 0.58, lost], 16.0)
        wide = fitted.predict_interval(told).diff(axis=1)["upper"].iloc[0]
        assert wide > max(1.5 * kept, 0.3)


def test_ten_thousand_points_are_averaged_not_refused(fitted: CurveForecaster) -> None:
    steps = np.arange(1.0, 10_001)
    values = 0.9 - 0.5 * steps**-0.3 + np.random.default_rng(0).normal(0, 0.02, steps.size)
    told = request(steps.tolist(), values.tolist(), 20_000.0)
    assert read_curves(told).log_x.shape[1] <= MAX_POINTS
    median = fitted.predict(told).iloc[0]
    assert abs(median - (0.9 - 0.5 * 20_000**-0.3)) < 0.02


def test_direction_and_unit_of_the_metric_do_not_matter(fitted: CurveForecaster) -> None:
    """An error rate in per cent is the same curve as accuracy, upside down and a hundred times as large."""
    steps, values = [1.0, 2.0, 4.0, 8.0], [0.4, 0.5, 0.57, 0.6]
    accuracy = fitted.predict_quantiles(request(steps, values, 64.0, lower_bound=0.0, upper_bound=1.0), (0.1, 0.5, 0.9))
    percent = [100 * (1 - v) for v in values]
    error = request(steps, percent, 64.0, lower_bound=0.0, upper_bound=100.0, higher_is_better=False)
    turned = 1 - fitted.predict_quantiles(error, (0.1, 0.5, 0.9)).to_numpy() / 100
    np.testing.assert_allclose(turned[0, ::-1], accuracy.to_numpy()[0], atol=1e-9)


def test_the_unit_of_the_budget_does_not_matter(fitted: CurveForecaster) -> None:
    steps, values = np.array([1.0, 2.0, 4.0, 8.0]), [0.4, 0.5, 0.57, 0.6]
    one, other = (fitted.predict(request((steps * u).tolist(), values, 64.0 * u)).iloc[0] for u in (1.0, 512.0))
    assert one == pytest.approx(other, rel=1e-9)


def test_an_unbounded_loss_is_forecast_below_its_last_value(fitted: CurveForecaster) -> None:
    told = request([100, 200, 400, 800], [7.1, 5.2, 4.1, 3.5], 6400.0, metric="val_loss")
    quantiles = fitted.predict_quantiles(told, (0.05, 0.5, 0.95)).iloc[0]
    assert 0 < quantiles[0.05] < quantiles[0.5] < 3.5
    assert fitted.distribution(told).probability_better(3.5).iloc[0] > 0.9, "better is lower"


def test_last_value_is_the_median_of_its_baseline() -> None:
    curves = make_curves(60, 1)
    model = LastValueBaseline().fit(curves[INPUTS], curves["value"])
    last = np.array([v[-1] for v in curves["values"]])
    np.testing.assert_allclose(model.predict(curves[INPUTS]), last, atol=0.02)


def test_baselines_refuse_censored_ends() -> None:
    curves = make_curves(40, 1)
    some = pd.Series(np.arange(40) < 3, index=curves.index)
    with pytest.raises(InvalidInputError, match="is_censored"):
        LastValueBaseline().fit(curves[INPUTS], curves["value"], is_censored=some)


@settings(max_examples=30, deadline=None)
@given(location=st.floats(0, 1), scale=st.floats(2e-3, 3.0), df=st.floats(1.5, 30), skew=st.floats(-2, 2))
def test_the_density_integrates_to_one_and_its_quantiles_to_its_probabilities(
    location: float, scale: float, df: float, skew: float
) -> None:
    t = TruncatedT(np.array([location]), np.array([scale]), np.array([df]), np.array([skew]))
    levels = np.array([0.02, 0.3, 0.5, 0.8, 0.99])
    quantiles = t.quantiles(levels)[0]
    assert ((quantiles >= 0) & (quantiles <= 1)).all()
    np.testing.assert_allclose([t.probability_below(np.array([q]))[0] for q in quantiles], levels, atol=1e-6)
    middle = float(t.median[0])
    below, above = scale * np.exp(-skew), scale * np.exp(skew)
    pieces = [0.0, max(middle - below, 0), middle, min(middle + above, 1), 1.0]
    mass = sum(
        integrate.quad(lambda u: np.exp(t.log_density(np.array([u]))[0]), a, b, epsabs=1e-9)[0]
        for a, b in itertools.pairwise(pieces)
        if b > a
    )
    assert mass == pytest.approx(1.0, abs=1e-4)


def test_both_sides_of_a_skewed_forecast_are_those_of_two_symmetric_ones() -> None:
    middle, df = np.array([0.4]), np.array([5.0])
    skewed = TruncatedT(middle, np.array([0.02]), df, np.log([2.0]))
    narrow, wide = (TruncatedT(middle, np.array([scale]), df, np.zeros(1)) for scale in (0.01, 0.04))
    lower, upper = np.array([0.05, 0.25, 0.5]), np.array([0.5, 0.75, 0.95])
    np.testing.assert_array_equal(skewed.quantiles(lower), narrow.quantiles(lower))
    np.testing.assert_array_equal(skewed.quantiles(upper), wide.quantiles(upper))
    for at, side in ((0.37, narrow), (0.55, wide)):
        unit = np.array([at])
        assert skewed.log_density(unit) == side.log_density(unit)
        assert skewed.probability_below(unit) == side.probability_below(unit)


def test_the_scales_of_both_sides_are_found_again() -> None:
    rng = np.random.default_rng(0)
    n = 3000
    log_scale = rng.uniform(-4, -2, n)
    skew = 0.5 + 0.2 * (log_scale + 3.0)
    away = np.abs(rng.standard_t(6, n)) * np.exp(log_scale)
    outcome = 0.5 + np.where(rng.random(n) < 0.5, away * np.exp(skew), -away * np.exp(-skew))
    columns = np.column_stack([np.ones(n), log_scale])
    model = ScaleModel.fit(columns, np.full(n, 0.5), outcome, np.ones(n), is_skewed=True)
    np.testing.assert_allclose(model.skew, [0.5, 0.2], atol=0.06)
    np.testing.assert_allclose(model.coefficients, [0.0, 1.0], atol=0.15)
    assert ScaleModel.from_state(model.state()).skew.tolist() == model.skew.tolist()
    assert ScaleModel.fit(columns, np.full(n, 0.5), outcome, np.ones(n)).skew.size == 0
