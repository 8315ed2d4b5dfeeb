"""Conformal calibration: ranks on paper, coverage by simulation, groups, drift."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foretell.predictors.errors import InvalidInputError
from foretell.predictors.fitting.conformal import (
    conformal_quantile,
    level_offsets,
)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-100, 100), min_size=1, max_size=60), st.sampled_from([0.5, 0.8, 0.9, 0.95]))
def test_quantile_is_the_rank_of_the_definition(scores: list[float], coverage: float) -> None:
    rank = int(np.ceil(round((len(scores) + 1) * coverage, 9)))
    expected = sorted(scores)[rank - 1] if rank <= len(scores) else np.inf
    assert conformal_quantile(scores, coverage) == expected


def test_nine_scores_are_the_fewest_for_ninety_per_cent() -> None:
    assert conformal_quantile(range(8), 0.9) == np.inf
    assert conformal_quantile(range(9), 0.9) == 8


def test_weights_of_one_over_r_make_copies_count_once() -> None:
    scores = np.random.default_rng(0).normal(size=40)
    repeated, weights = np.repeat(scores, 5), np.full(200, 0.2)
    assert conformal_quantile(repeated, 0.9, weights) == conformal_quantile(scores, 0.9)


def test_level_offsets_repair_biased_quantiles() -> None:
    rng = np.random.default_rng(3)
    levels = np.array([0.001, 0.1, 0.5, 0.9])
    y = rng.uniform(size=999)
    offsets = level_offsets(y, np.tile(levels, (999, 1)) - 0.3, levels)
    np.testing.assert_allclose(offsets[1:], 0.3, atol=4 * np.sqrt(0.25 / 999))
    few = level_offsets(y[:20], np.tile(levels, (20, 1)), levels)
    assert few[0] == few[1]
    assert np.isfinite(few).all()
    with pytest.raises(InvalidInputError, match="too few"):
        level_offsets([0.5], [[0.05]], [0.05])


@pytest.mark.parametrize(
    ("scores", "weights", "match"),
    [([np.nan], None, "`scores` must be finite"), ([1.0], [-1.0], "not negative"), ([1.0], [1.0, 2.0], "as many")],
)
def test_bad_input(scores: list[float], weights: list[float] | None, match: str) -> None:
    with pytest.raises(InvalidInputError, match=match):
        conformal_quantile(scores, 0.9, weights)
