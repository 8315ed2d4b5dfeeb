"""The trained network as a forecaster: symmetries, calibration on its own prior, odd input."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import trapezoid

from predictors.errors import DatasetError, InvalidInputError
from predictors.learning_curves.pfn import CurvePrior, Mixture, PriorFittedNetwork
from predictors.learning_curves.pfn.prior import MAX_CONTEXT
from predictors.learning_curves.pfn.scaling import read_prefixes

STEPS = np.array([16.0, 23, 32, 46, 64, 91])
VALUES = np.array([0.41, 0.47, 0.55, 0.58, 0.62, 0.64])


@pytest.fixture(scope="module")
def network() -> PriorFittedNetwork:
    torch.set_num_threads(1)
    return PriorFittedNetwork.load_pretrained()


def _same(first: Mixture, second: Mixture, rtol=2e-4):
    np.testing.assert_allclose(first.means, second.means, rtol=rtol, atol=1e-4)
    np.testing.assert_allclose(first.sds, second.sds, rtol=1e-3)
    np.testing.assert_allclose(first.weights, second.weights, atol=1e-3)


# -- symmetries ------------------------------------------------------------------------------------
@given(order=st.permutations(range(6)))
@settings(max_examples=10, deadline=None)
def test_order_of_points_does_not_matter(network, order):
    order = list(order)
    _same(
        network.predict_mixture([STEPS], [VALUES], [1000]),
        network.predict_mixture([STEPS[order]], [VALUES[order]], [1000]),
    )


@given(unit=st.floats(1e-6, 1e9))
@settings(max_examples=15, deadline=None)
def test_unit_of_steps_cancels(network, unit):
    _same(
        network.predict_mixture([STEPS], [VALUES], [1000]),
        network.predict_mixture([STEPS * unit], [VALUES], [1000 * unit]),
    )


@given(scale=st.floats(0.01, 1e4), shift=st.floats(-100, 100))
@settings(max_examples=15, deadline=None)
def test_affine_change_of_a_bounded_metric_moves_the_forecast_along(network, scale, shift):
    plain = network.predict_mixture([STEPS], [VALUES], [1000])
    moved = network.predict_mixture([STEPS], [shift + scale * VALUES], [1000], lower=shift, upper=shift + scale)
    levels = (0.05, 0.5, 0.95)
    np.testing.assert_allclose((moved.quantile(levels) - shift) / scale, plain.quantile(levels), atol=1e-3)
    np.testing.assert_allclose((moved.mean() - shift) / scale, plain.mean(), atol=1e-3)


def test_error_rate_is_accuracy_upside_down(network):
    accuracy = network.predict_mixture([STEPS], [VALUES], [1000])
    error = network.predict_mixture([STEPS], [1 - VALUES], [1000], higher_is_better=False)
    np.testing.assert_allclose(1 - error.quantile((0.05, 0.5, 0.95))[:, ::-1], accuracy.quantile((0.05, 0.5, 0.95)))
    np.testing.assert_allclose(error.log_density([0.3]), accuracy.log_density([0.7]), atol=1e-6)


@pytest.mark.parametrize("better", [True, False])
@pytest.mark.parametrize("bounds", [(-np.inf, np.inf), (0.0, np.inf)])
def test_unit_of_an_unbounded_metric_cancels(network, better, bounds):
    """A loss in nats and in bits is one loss."""
    loss = np.array([4.1, 3.6, 3.3, 3.0, 2.9, 2.85])
    one, other = (
        network.predict_mixture(
            [STEPS], [loss * unit], [1000], lower=bounds[0], upper=bounds[1], higher_is_better=better
        ).quantile((0.05, 0.5, 0.95))
        / unit
        for unit in (1.0, 1 / np.log(2))
    )
    np.testing.assert_allclose(one, other, rtol=1e-3)


def test_curves_of_a_batch_do_not_see_each_other(network):
    rng = np.random.default_rng(0)
    lengths = [1, 2, 3, 7, 20, 32, 32, 5]
    steps = [np.sort(rng.uniform(1, 1000, n)) for n in lengths]
    values = [rng.uniform(0.2, 0.9, n) for n in lengths]
    together = network.predict_mixture(steps, values, np.full(8, 5000.0))
    for i in range(8):
        alone = network.predict_mixture([steps[i]], [values[i]], [5000.0])
        np.testing.assert_allclose(together.means[i], alone.means[0], atol=2e-4)


def test_targets_do_not_see_each_other(network):
    inputs = [torch.rand(3, 6).double().cumsum(1), torch.rand(3, 6).double(), torch.tensor([2, 6, 4])]
    targets = inputs[0][:, -1:] + torch.tensor([[0.5, 2.0, 4.0]])
    with torch.no_grad():
        together = network.network(*inputs, targets)
        alone = network.network(*inputs, targets[:, 1:2])
    for a, b in zip(together, alone, strict=True):
        torch.testing.assert_close(a[:, 1:2], b, atol=1e-9, rtol=1e-9)


# -- what the forecast says --------------------------------------------------------------------------
def test_intervals_hold_their_share_of_fresh_prior_curves(network):
    """A network that has learnt its prior is calibrated on it: 90 % within 0.03 (binomial sd 0.005, and bias)."""
    draws = CurvePrior().sample(3_000, np.random.default_rng(99))
    steps = [2.0 ** draws.log_steps[i, : draws.lengths[i]] for i in range(3_000)]
    values = [draws.values[i, : draws.lengths[i]] for i in range(3_000)]
    end = 2.0 ** draws.target_log_steps[:, -1].astype(float)
    usable = np.array([e > s[-1] and (np.diff(s) > 0).all() for e, s in zip(end, steps, strict=True)])
    rows = np.flatnonzero(usable)
    mixture = network.predict_mixture([steps[i] for i in rows], [values[i] for i in rows], end[rows])
    place = mixture.cdf(draws.targets[rows, -1])
    assert 0.87 < ((place > 0.05) & (place < 0.95)).mean() < 0.93
    last = np.array([values[i][-1] for i in rows])
    error, baseline = (np.abs(draws.targets[rows, -1] - f).mean() for f in (mixture.mean(), last))
    assert error < 0.8 * baseline


def test_farther_is_less_certain(network):
    widths = [
        np.ptp(network.predict_mixture([STEPS], [VALUES], [target]).quantile((0.05, 0.95)))
        for target in (100, 400, 6400)
    ]
    assert widths[0] < widths[1] < widths[2]


def test_quantiles_ascend_within_the_bounds_and_invert_the_cdf(network):
    levels = np.linspace(0.01, 0.99, 99)
    mixture = network.predict_mixture([STEPS, STEPS[:1]], [VALUES, [0.99]], [1000, 1000])
    quantiles = mixture.quantile(levels)
    assert (np.diff(quantiles, axis=1) >= 0).all()
    assert quantiles.min() >= 0
    assert quantiles.max() <= 1
    inside = (quantiles > 0) & (quantiles < 1)
    assert inside[0].all()
    np.testing.assert_allclose(mixture.cdf(quantiles)[inside], np.tile(levels, (2, 1))[inside], atol=1e-6)


def test_a_quantile_next_to_a_bound_is_the_bound():
    """Accuracy is exactly 1 in 3 % of real curves; an interval that ends at 0.9999 would miss it."""
    two = np.ones((2, 1))
    mixture = Mixture(two, 0.9995 * two, 1e-4 * two, np.zeros(2), np.array([1.0, np.inf]))
    np.testing.assert_allclose(mixture.quantile((0.5,))[:, 0], [1.0, 0.9995])


def test_density_integrates_to_one_and_the_mean_is_its_centre(network):
    mixture = network.predict_mixture([STEPS], [VALUES], [1000])
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
        np.zeros(2),
        np.array([1.0, np.inf]),
    )
    levels = (np.arange(2000) + 0.5) / 2000
    np.testing.assert_allclose(mixture.quantile(levels).mean(axis=1), mixture.mean(), atol=3e-3)


# -- odd input -----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("steps", "values"),
    [
        ([10.0], [0.5]),
        ([10.0, 20.0], [0.5, 0.5]),
        (np.arange(1, 10_001), np.full(10_000, 0.3)),
        (np.arange(0, 50), np.linspace(0, 1, 50)),
        ([5, 5, 5, 7], [0.1, 0.2, 0.3, 0.2]),
        ([1e-9, 1e9], [0.2, 0.3]),
        ([1, 2, 3, 4], [0.9, 0.8, 0.1, 0.0]),
        ([0.0], [0.2]),
    ],
    ids=["one", "two", "constant 10,000", "from step 0", "repeats", "far apart", "diverged", "only step 0"],
)
def test_any_valid_prefix_has_a_finite_forecast(network, steps, values):
    mixture = network.predict_mixture([steps], [values], [float(np.max(steps)) * 4 + 1])
    quantiles = mixture.quantile((0.05, 0.5, 0.95))
    assert np.isfinite(quantiles).all()
    assert (np.diff(quantiles) > 0).all()
    assert np.isfinite(mixture.mean()).all()


def test_constant_loss_without_bounds_has_a_finite_forecast(network):
    mixture = network.predict_mixture([[1, 2]], [[0.0, 0.0]], [9], lower=-np.inf, upper=np.inf)
    assert np.isfinite(mixture.quantile((0.05, 0.95))).all()


@pytest.mark.parametrize(
    ("steps", "values", "target", "said"),
    [
        ([], [], 10, "at least 1"),
        ([1, 2], [0.5], 10, "as many steps as values"),
        ([1, 2], [0.5, np.nan], 10, "not finite"),
        ([-1, 2], [0.5, 0.6], 10, "not negative"),
        ([1, np.inf], [0.5, 0.6], 10, "must be finite"),
        ([1, 2], [0.5, 1.2], 10, r"leave the declared bounds \[0, 1\]"),
        ([1, 2], [0.5, 0.6], 1.9, "lies before the last observed step"),
        ([1, 2], [0.5, 0.6], np.nan, "lies before the last observed step"),
        ([0], [0.5], 0, "lies before the last observed step"),
    ],
)
def test_bad_curves_are_named(network, steps, values, target, said):
    with pytest.raises(InvalidInputError, match=f"curve 1: .*{said}"):
        network.predict_mixture([STEPS, steps], [VALUES, values], [1000, target])


def test_bad_arguments_are_named(network):
    with pytest.raises(InvalidInputError, match="one entry per curve"):
        network.predict_mixture([STEPS], [VALUES], [1000, 2000])
    with pytest.raises(InvalidInputError, match="`lower` must be below `upper`"):
        network.predict_mixture([STEPS], [VALUES], [1000], lower=1, upper=1)


def test_no_curve_no_forecast(network):
    assert len(network.predict_mixture([], [], [])) == 0


def test_long_curves_are_thinned_at_even_log_steps_and_keep_their_ends():
    x = np.arange(1, 10_001)
    y = 0.5 + 0.3 * np.sin(x)
    prefix = read_prefixes([x], [y], [20_000], lower=0, upper=1, higher_is_better=True)
    n = prefix.lengths[0]
    assert 20 <= n <= MAX_CONTEXT
    assert (prefix.log_steps[0, 0], prefix.values[0, 0]) == (0, y[0])
    np.testing.assert_allclose((prefix.log_steps[0, n - 1], prefix.values[0, n - 1]), (np.log2(10_000), y[-1]))
    assert (np.diff(prefix.log_steps[0, :n]) > 0).all()


def test_card_says_how_the_weights_were_made(network):
    assert network.card["curves"] > 100_000
    assert network.card["cpu_seconds"] > 10


@pytest.mark.parametrize("content", [b"", b"no weights"])
def test_other_files_are_refused(tmp_path, content):
    file = tmp_path / "weights.safetensors"
    file.write_bytes(content)
    with pytest.raises(DatasetError, match=r"weights\.safetensors"):
        PriorFittedNetwork.load_pretrained(file)
    with pytest.raises(DatasetError):
        PriorFittedNetwork.load_pretrained(tmp_path / "none.safetensors")
