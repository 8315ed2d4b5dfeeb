"""Robust summaries of many tasks."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from foretell.predictors.errors import InvalidInputError
from foretell.predictors.metrics import interquartile_mean


def test_aggregates_against_scipy_and_by_hand() -> None:
    rng = np.random.default_rng(7)
    scores = rng.normal(size=(5, 12))
    value, lower, upper = interquartile_mean(scores)
    assert value == pytest.approx(stats.trim_mean(scores.ravel(), 0.25))
    assert lower < value < upper
    assert interquartile_mean(scores) == (value, lower, upper)
    assert np.isnan(interquartile_mean(scores[:1])[1])
    with pytest.raises(InvalidInputError, match="finite matrix"):
        interquartile_mean(scores[0])
