"""Paired comparisons: the detectable effect and the sign-flip test."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from foretell.predictors.metrics import mean_estimate, sign_flip_p_value
from foretell.predictors.metrics.deciding.comparison import detectable_effect


def test_minimum_detectable_effect_is_detected_with_its_power() -> None:
    # 2,000 comparisons of 40 queries; 4 binomial sd are .036, and the effect is set from the true spread.
    rng = np.random.default_rng(5)
    unit = mean_estimate(np.repeat([-1.0, 1.0], 20) * np.sqrt(39 / 40), np.arange(40), 40)
    effect = detectable_effect(unit)
    assert effect == pytest.approx((stats.t.ppf(0.975, 39) + stats.t.ppf(0.8, 39)) / np.sqrt(40))
    lower = [mean_estimate(d, np.arange(40), 40).interval()[0] for d in rng.normal(effect, 1, (2000, 40))]
    assert np.mean(np.array(lower) > 0) == pytest.approx(0.8, abs=0.036)


def test_sign_flip_enumerates_small_cases_and_has_its_size() -> None:
    assert sign_flip_p_value(np.array([1.0, 2.0, 3.0])) == 2 / 8
    rng = np.random.default_rng(6)
    p = [sign_flip_p_value(rng.standard_t(3, 12), n_flips=4095) for _ in range(300)]
    assert np.mean(np.array(p) <= 0.05) <= 0.05 + 4 * np.sqrt(0.05 * 0.95 / 300)
    many = rng.normal(0.1, 1, 5000)
    assert sign_flip_p_value(many) == pytest.approx(1e-4)
    assert np.isnan(sign_flip_p_value(np.array([1.0])))
