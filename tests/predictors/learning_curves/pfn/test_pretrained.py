"""The trained network as a forecaster: symmetries, calibration on its own prior, odd input."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import trapezoid

from foretell.collect.curve_network_prior import CurvePrior
from foretell.predictors.errors import DatasetError
from foretell.predictors.learning_curves.curves import read_curves
from foretell.predictors.learning_curves.forecaster import CurveForecast
from foretell.predictors.learning_curves.pfn import Mixture, PriorFittedNetwork, weights_file

STEPS = np.array([16.0, 23, 32, 46, 64, 91])
VALUES = np.array([0.41, 0.47, 0.55, 0.58, 0.62, 0.64])


@pytest.fixture(scope="module")
def network() -> PriorFittedNetwork:
    return PriorFittedNetwork.load_pretrained()


def forecast(network, steps, values, target_steps, **metric) -> Mixture:
    """The network's own answer, on the unit scale."""
    return in_its_unit(network, steps, values, target_steps, **metric).distribution


def in_its_unit(network, steps, values, target_steps, *, lower=0.0, upper=1.0, higher_is_better=True) -> CurveForecast:
    """The network's answer for curves in any unit."""
    X = pd.DataFrame({"steps": list(steps), "values": list(values), "target_step": np.asarray(target_steps, float)})
    X["lower_bound"], X["upper_bound"] = lower, upper
    X["higher_is_better"] = pd.array([higher_is_better] * len(X), "boolean")
    batch = read_curves(X)
    return CurveForecast(network.forecast(batch), batch.scale, np.ones(len(batch)), X.index)


def _same(first: Mixture, second: Mixture, rtol=2e-4):
    np.testing.assert_allclose(first.means, second.means, rtol=rtol, atol=1e-4)
    np.testing.assert_allclose(first.sds, second.sds, rtol=1e-3)
    np.testing.assert_allclose(first.weights, second.weights, atol=1e-3)


# -- symmetries ------------------------------------------------------------------------------------
@given(unit=st.floats(1e-6, 1e9))
@settings(max_examples=15, deadline=None)
def test_unit_of_steps_cancels(network, unit):
    _same(
        forecast(network, [STEPS], [VALUES], [1000]),
        forecast(network, [STEPS * unit], [VALUES], [1000 * unit]),
    )


@given(scale=st.floats(0.01, 1e4), shift=st.floats(-100, 100))
@settings(max_examples=15, deadline=None)
def test_affine_change_of_a_bounded_metric_moves_the_forecast_along(network, scale, shift):
    plain = in_its_unit(network, [STEPS], [VALUES], [1000])
    moved = in_its_unit(network, [STEPS], [shift + scale * VALUES], [1000], lower=shift, upper=shift + scale)
    levels = (0.05, 0.5, 0.95)
    np.testing.assert_allclose((moved.quantiles(levels) - shift) / scale, plain.quantiles(levels), atol=1e-3)
    np.testing.assert_allclose(moved.distribution.mean(), plain.distribution.mean(), atol=1e-3)


def test_error_rate_is_accuracy_upside_down(network):
    accuracy = in_its_unit(network, [STEPS], [VALUES], [1000])
    error = in_its_unit(network, [STEPS], [1 - VALUES], [1000], higher_is_better=False)
    levels = np.array([0.05, 0.5, 0.95])
    np.testing.assert_allclose(1 - error.quantiles(levels).to_numpy()[:, ::-1], accuracy.quantiles(levels))
    at = [forecast.log_density(pd.Series([y])) for forecast, y in ((error, 0.3), (accuracy, 0.7))]
    np.testing.assert_allclose(*at, atol=1e-6)


@pytest.mark.parametrize("better", [True, False])
@pytest.mark.parametrize("bounds", [(-np.inf, np.inf), (0.0, np.inf)])
def test_unit_of_an_unbounded_metric_cancels(network, better, bounds):
    """A loss in nats and in bits is one loss."""
    loss = np.array([4.1, 3.6, 3.3, 3.0, 2.9, 2.85])
    one, other = (
        in_its_unit(
            network, [STEPS], [loss * unit], [1000], lower=bounds[0], upper=bounds[1], higher_is_better=better
        ).quantiles((0.05, 0.5, 0.95))
        / unit
        for unit in (1.0, 1 / np.log(2))
    )
    np.testing.assert_allclose(one, other, rtol=1e-3)


def test_curves_of_a_batch_do_not_see_each_other(network):
    rng = np.random.default_rng(0)
    lengths = [1, 2, 3, 7, 20, 32, 32, 5]
    steps = [np.sort(rng.uniform(1, 1000, n)) for n in lengths]
    values = [rng.uniform(0.2, 0.9, n) for n in lengths]
    together = forecast(network, steps, values, np.full(8, 5000.0))
    for i in range(8):
        alone = forecast(network, [steps[i]], [values[i]], [5000.0])
        np.testing.assert_allclose(together.means[i], alone.means[0], atol=2e-4)


def test_targets_do_not_see_each_other(network):
    rng = np.random.default_rng(0)
    inputs = rng.random((3, 6)).cumsum(axis=1), rng.random((3, 6)), np.array([2, 6, 4])
    targets = inputs[0][:, -1:] + np.array([[0.5, 2.0, 4.0]])
    together = network.network(*inputs, targets)
    alone = network.network(*inputs, targets[:, 1:2])
    for a, b in zip(together, alone, strict=True):
        np.testing.assert_allclose(a[:, 1:2], b, atol=1e-9, rtol=1e-9)


# -- what the forecast says --------------------------------------------------------------------------
def test_intervals_hold_their_share_of_fresh_prior_curves(network):
    """A network that has learnt its prior is calibrated on it: 90 % within 0.03 (binomial sd 0.005, and bias)."""
    draws = CurvePrior().sample(3_000, np.random.default_rng(99))
    steps = [2.0 ** draws.log_steps[i, : draws.lengths[i]] for i in range(3_000)]
    values = [draws.values[i, : draws.lengths[i]] for i in range(3_000)]
    end = 2.0 ** draws.target_log_steps[:, -1].astype(float)
    usable = np.array([e > s[-1] and (np.diff(s) > 0).all() for e, s in zip(end, steps, strict=True)])
    rows = np.flatnonzero(usable)
    mixture = forecast(network, [steps[i] for i in rows], [values[i] for i in rows], end[rows])
    place = mixture.probability_below(draws.targets[rows, -1])
    assert 0.87 < ((place > 0.05) & (place < 0.95)).mean() < 0.93
    last = np.array([values[i][-1] for i in rows])
    error, baseline = (np.abs(draws.targets[rows, -1] - f).mean() for f in (mixture.mean(), last))
    assert error < 0.8 * baseline


def test_farther_is_less_certain(network):
    widths = [
        np.ptp(forecast(network, [STEPS], [VALUES], [target]).quantiles((0.05, 0.95))) for target in (100, 400, 6400)
    ]
    assert widths[0] < widths[1] < widths[2]


def test_quantiles_ascend_within_the_bounds_and_invert_the_cdf(network):
    levels = np.linspace(0.01, 0.99, 99)
    mixture = forecast(network, [STEPS, STEPS[:1]], [VALUES, [0.99]], [1000, 1000])
    quantiles = mixture.quantiles(levels)
    assert (np.diff(quantiles, axis=1) >= 0).all()
    assert quantiles.min() >= 0
    assert quantiles.max() <= 1
    inside = (quantiles > 0) & (quantiles < 1)
    assert inside[0].all()
    below = np.column_stack([mixture.probability_below(column) for column in quantiles.T])
    np.testing.assert_allclose(below[inside], np.tile(levels, (2, 1))[inside], atol=1e-6)


def test_a_quantile_next_to_a_bound_is_the_bound():
    """Accuracy is exactly 1 in 3 % of real curves; an interval that ends at 0.9999 would miss it."""
    two = np.ones((2, 1))
    mixture = Mixture(two, np.array([[0.9995], [0.995]]), 1e-4 * two)
    np.testing.assert_allclose(mixture.quantiles((0.5,))[:, 0], [1.0, 0.995])


def test_density_integrates_to_one_and_the_mean_is_its_centre(network):
    mixture = forecast(network, [STEPS], [VALUES], [1000])
    grid = np.linspace(0, 1, 20_001)
    density = np.exp([mixture.log_density([y])[0] for y in grid[::4]])
    assert trapezoid(density, grid[::4]) == pytest.approx(1, abs=1e-3)
    assert trapezoid(density * grid[::4], grid[::4]) == pytest.approx(mixture.mean()[0], abs=1e-3)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_truncated_mean_matches_its_own_quantiles(seed):
    rng = np.random.default_rng(seed)
    mixture = Mixture(
        rng.dirichlet(np.ones(3), 2),
        rng.normal(0.5, 0.6, (2, 3)),
        rng.uniform(0.01, 0.6, (2, 3)),
    )
    levels = (np.arange(2000) + 0.5) / 2000
    np.testing.assert_allclose(mixture.quantiles(levels).mean(axis=1), mixture.mean(), atol=3e-3)


# -- odd input -----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("steps", "values"),
    [
        ([10.0], [0.5]),
        ([10.0, 20.0], [0.5, 0.5]),
        (np.arange(1, 10_001), np.full(10_000, 0.3)),
        (np.arange(0, 50), np.linspace(0, 1, 50)),
        ([1e-9, 1e9], [0.2, 0.3]),
        ([1, 2, 3, 4], [0.9, 0.8, 0.1, 0.0]),
        ([0.0], [0.2]),
    ],
    ids=["one", "two", "constant 10,000", "from step 0", "far apart", "diverged", "only step 0"],
)
def test_any_valid_prefix_has_a_finite_forecast(network, steps, values):
    mixture = forecast(network, [steps], [values], [float(np.max(steps)) * 4 + 1])
    quantiles = mixture.quantiles((0.05, 0.5, 0.95))
    assert np.isfinite(quantiles).all()
    assert (np.diff(quantiles) > 0).all()
    assert np.isfinite(mixture.mean()).all()


def test_constant_loss_without_bounds_has_a_finite_forecast(network):
    mixture = forecast(network, [[1, 2]], [[0.0, 0.0]], [9], lower=-np.inf, upper=np.inf)
    assert np.isfinite(mixture.quantiles((0.05, 0.95))).all()


def test_no_curve_no_forecast(network):
    assert len(forecast(network, [], [], [])) == 0


def test_card_says_how_the_weights_were_made():
    card = json.loads(weights_file().with_suffix(".json").read_text("utf-8"))
    assert card["curves"] > 100_000
    assert card["cpu_seconds"] > 10


@pytest.mark.parametrize("content", [b"", b"no weights"])
def test_other_files_are_refused(tmp_path, content):
    file = tmp_path / "weights.safetensors"
    file.write_bytes(content)
    with pytest.raises(DatasetError, match=r"weights\.safetensors"):
        PriorFittedNetwork.load_pretrained(file)
    with pytest.raises(DatasetError):
        PriorFittedNetwork.load_pretrained(tmp_path / "none.safetensors")
