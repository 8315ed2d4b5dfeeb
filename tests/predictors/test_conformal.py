"""Conformal calibration: ranks on paper, coverage by simulation, groups, drift."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from predictors.conformal import (
    AdaptiveConformal,
    conformal_quantile,
    cqr_offset,
    cqr_offsets_by_group,
    level_offsets,
    offsets_by_group,
    one_run_per_group,
)
from predictors.errors import InvalidInputError


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


def test_cqr_covers_new_outcomes_between_its_two_bounds() -> None:
    # Coverage of split conformal is Beta distributed with mean 45 / 49 here: (n + 1) .9 rounded up over n + 1.
    rng = np.random.default_rng(1)
    y = rng.normal(size=(4000, 48))
    offsets = np.array([cqr_offset(row, np.full(48, -0.5), np.full(48, 0.7), 0.9) for row in y])
    new = rng.normal(size=4000)
    covered = np.mean((new >= -0.5 - offsets) & (new <= 0.7 + offsets))
    assert covered == pytest.approx(45 / 49, abs=4 * np.sqrt(0.08 / 4000))


def test_group_offsets_shrink_towards_the_global_one() -> None:
    rng = np.random.default_rng(2)
    groups = pd.Series(["big"] * 5000 + ["mid"] * 50 + ["tiny"] * 3)
    scores = np.r_[rng.normal(size=5000), rng.normal(5, 1, 50), rng.normal(size=3)]
    plain = offsets_by_group(scores, groups, 0.9, shrinkage=0)
    shrunk = offsets_by_group(scores, groups, 0.9)
    assert plain.by_group["tiny"] == np.inf
    assert shrunk.by_group["tiny"] == shrunk.overall
    assert shrunk.by_group["mid"] == pytest.approx((plain.by_group["mid"] + shrunk.overall) / 2)
    assert shrunk.by_group["big"] == pytest.approx(plain.by_group["big"], abs=0.02)
    asked = pd.Series(["mid", "unseen", None], index=[7, 8, 9])
    np.testing.assert_array_equal(shrunk.at(asked), [shrunk.by_group["mid"], shrunk.overall, shrunk.overall])
    same = cqr_offsets_by_group(scores, np.full(5053, -99.0), np.zeros(5053), groups, 0.9)
    assert same.overall == shrunk.overall


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


def test_one_run_per_group_is_random_seeded_and_complete() -> None:
    groups = np.repeat(["a", "b", "c"], 4)
    picks = [one_run_per_group(groups, np.random.default_rng(seed)) for seed in range(40)]
    assert all((groups[p] == ["a", "b", "c"]).all() for p in picks)
    assert {int(p[0]) for p in picks} == {0, 1, 2, 3}
    np.testing.assert_array_equal(picks[5], one_run_per_group(groups, np.random.default_rng(5)))


def test_adaptive_recovers_after_a_jump_where_a_fixed_offset_does_not() -> None:
    rng = np.random.default_rng(4)
    adaptive = AdaptiveConformal()
    covered = []
    for night in range(300):
        covered.append(adaptive.update(np.abs(rng.normal(0, 1 if night < 100 else 2, 50))))
    static = 1.645  # covers 90 % before the jump and 59 % after
    assert np.mean(np.abs(rng.normal(0, 2, 10_000)) < static) == pytest.approx(0.59, abs=0.03)
    assert np.mean(covered[30:100]) == pytest.approx(0.9, abs=0.02)
    assert np.mean(covered[150:]) == pytest.approx(0.9, abs=0.02)
    assert adaptive.min_miss <= adaptive.miss <= adaptive.max_miss
    again = AdaptiveConformal.from_state(json.loads(json.dumps(adaptive.state())))
    assert again.offset() == adaptive.offset()
    assert again.update([1.0, 3.0]) == adaptive.update([1.0, 3.0])
    assert again.miss == adaptive.miss


@pytest.mark.parametrize(
    ("scores", "weights", "match"),
    [([np.nan], None, "`scores` must be finite"), ([1.0], [-1.0], "not negative"), ([1.0], [1.0, 2.0], "as many")],
)
def test_bad_input(scores: list[float], weights: list[float] | None, match: str) -> None:
    with pytest.raises(InvalidInputError, match=match):
        conformal_quantile(scores, 0.9, weights)
