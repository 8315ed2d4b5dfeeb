"""The curve prior: what it draws is valid, repeatable and covers the curves that people meet."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foretell.collect.curve_network_prior import SHAPES, CurvePrior, _reflect
from foretell.predictors.learning_curves.curves import MAX_POINTS as MAX_CONTEXT


@pytest.fixture(scope="module")
def draws():
    return CurvePrior().sample(4_000, np.random.default_rng(0))


def test_values_are_in_range_and_padded_with_zeros(draws):
    seen = np.arange(MAX_CONTEXT)[None, :] < draws.lengths[:, None]
    assert draws.values.min() >= 0
    assert draws.values.max() <= 1
    assert draws.targets.min() >= 0
    assert draws.targets.max() <= 1
    assert (draws.values[~seen] == 0).all()
    assert (draws.log_steps[~seen] == 0).all()


def test_steps_start_at_zero_ascend_and_targets_lie_beyond(draws):
    rows = np.arange(len(draws.lengths))
    last = draws.log_steps[rows, draws.lengths - 1]
    seen = np.arange(1, MAX_CONTEXT)[None, :] < draws.lengths[:, None]
    assert (draws.log_steps[:, 0] == 0).all()
    assert (np.diff(draws.log_steps, axis=1)[seen] >= 0).all()
    assert (np.diff(draws.target_log_steps, axis=1) >= 0).all()
    assert (draws.target_log_steps >= last[:, None]).all()


def test_every_number_of_observed_points_occurs(draws):
    assert set(draws.lengths) == set(range(1, MAX_CONTEXT + 1))


def test_same_seed_same_draws():
    first, second, other = (CurvePrior().sample(200, np.random.default_rng(seed)) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.values, second.values)
    np.testing.assert_array_equal(first.targets, second.targets)
    assert not np.array_equal(first.targets, other.targets)


def test_prior_covers_rising_flat_declining_and_dipping_curves():
    t = np.tile(np.arange(16, dtype=np.float32) / 2, (6_000, 1))
    curves = CurvePrior().curves(t, np.random.default_rng(1))
    gain = curves[:, -1] - curves[:, 0]
    fall = np.minimum.accumulate(curves[:, ::-1], axis=1)[:, ::-1][:, 1:] - curves[:, :-1]
    dips = (fall.min(axis=1) < -0.03) & (gain > 0.02)
    assert (gain > 0.05).mean() > 0.4
    assert (np.abs(gain) < 0.02).mean() > 0.1
    assert 0.02 < (gain < -0.02).mean() < 0.2
    assert 0.02 < dips.mean() < 0.3


@pytest.mark.parametrize("shape", SHAPES)
@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_shapes_rise_from_zero_towards_one(shape, seed):
    t = np.tile(np.linspace(0, 30, 61, dtype=np.float32), (20, 1))
    values = shape(t, np.random.default_rng(seed))
    np.testing.assert_allclose(values[:, 0], 0, atol=1e-9)
    assert (np.diff(values, axis=1) >= -1e-9).all()
    assert values.max() <= 1 + 1e-9


def test_reflection_folds_back_and_keeps_what_is_inside():
    np.testing.assert_allclose(_reflect(np.array([-0.2, 0.0, 0.4, 1.0, 1.3])), [0.2, 0.0, 0.4, 1.0, 0.7])


def test_noise_free_prior_without_ills_is_monotone_for_rising_curves():
    """Second definition: switch off all that disturbs, and what is left is the mixture of shapes."""
    nothing = dict.fromkeys(("decline", "flat", "dip", "overfit", "jump", "late", "outliers", "end_outliers"), 0.0)
    quiet = CurvePrior(log_noise=(-30, 0), drift=(-30, 0), **nothing)
    t = np.tile(np.linspace(0, 12, 25, dtype=np.float32), (500, 1))
    curves = quiet.curves(t, np.random.default_rng(2)).astype(float)
    assert (np.diff(curves, axis=1) >= -1e-6).all()
