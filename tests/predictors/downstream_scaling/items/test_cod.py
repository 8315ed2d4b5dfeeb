"""Clustering on difficulty: known clusters, known laws, every reason to abstain."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foretell.predictors.downstream_scaling.baselines import CodBaseline
from foretell.predictors.downstream_scaling.items.cod import forecast_cod, monotone_map, unit_of_ladder
from foretell.predictors.downstream_scaling.items.difficulty import (
    cluster_difficulty,
    estimate_bandwidth,
    mean_shift,
)
from foretell.predictors.errors import InvalidInputError

FLOPS = np.geomspace(2e19, 1e23, 8)
TARGET = 3e24


def rates(n_items: int = 600, share_noise: float = 0.15, seed: int = 0) -> tuple[np.ndarray, float]:
    """Pass rates over 100 draws of items of five difficulties, some of them noise, and the target's true mean."""
    rng = np.random.default_rng(seed)
    middle = rng.choice([20.0, 21.0, 22.0, 23.0, 24.0], n_items) + 0.1 * rng.normal(size=n_items)
    scales = rng.random(n_items) >= share_noise
    level = rng.random((9, n_items))

    def law(k: int, flops: float) -> np.ndarray:
        return np.where(scales, np.exp(-np.exp(-1.2 * (np.log10(flops) - middle))), level[k])

    table = np.stack([rng.binomial(100, law(k, c)) / 100 for k, c in enumerate(FLOPS)])
    return table, float(law(8, TARGET).mean())


def test_well_parted_groups_are_found_and_never_mixed() -> None:
    rng = np.random.default_rng(0)
    centres = np.array([[0.1, 0.2, 0.3], [0.2, 0.6, 0.9], [0.8, 0.9, 0.95]])
    points = np.clip(np.repeat(centres, 30, axis=0) + 0.01 * rng.normal(size=(90, 3)), 0, 1)
    labels = cluster_difficulty(points.T)[0]
    found = [set(labels[30 * k : 30 * (k + 1)]) - {-1} for k in range(3)]
    assert sorted(map(len, found)) == [1, 1, 1]
    assert set.union(*found) == {0, 1, 2}
    # The radius follows the nearest tenth of the items, so the rim of a group is left out.
    assert (labels >= 0).mean() > 0.4


def test_small_groups_and_strays_are_outliers_and_unsolved_items_apart() -> None:
    rng = np.random.default_rng(1)
    crowd = np.clip(0.5 + 0.01 * rng.normal(size=(40, 4)), 0, 1)
    few = np.clip(0.9 + 0.01 * rng.normal(size=(5, 4)), 0, 1)
    points = np.vstack([crowd, few, [[0.05, 0.9, 0.05, 0.9]], np.zeros((3, 4))])
    labels = cluster_difficulty(points.T)[0]
    assert set(labels[:40]) <= {0, -1}
    assert (labels[:40] == 0).mean() > 0.4
    assert (labels[40:46] == -1).all()
    assert (labels[46:] == -2).all()


def test_items_in_any_order_give_the_same_clusters() -> None:
    table, _ = rates(300)
    order = np.random.default_rng(0).permutation(300)
    a, b = cluster_difficulty(table)[0][order], cluster_difficulty(table[:, order])[0]
    assert pd.crosstab(a, b).gt(0).sum(axis=1).max() == 1


def test_bandwidth_by_its_definition() -> None:
    points = np.random.default_rng(0).random((40, 3))
    nearest = [np.sort(np.sqrt(((points - p) ** 2).sum(axis=1)))[3] for p in points]
    assert estimate_bandwidth(points) == pytest.approx(np.mean(nearest))


def test_mean_shift_centres_are_means_of_their_neighbourhood() -> None:
    points = np.random.default_rng(0).random((200, 2))
    labels = mean_shift(points, 0.15)
    assert labels.min() == 0
    assert np.bincount(labels)[0] >= np.bincount(labels)[-1]


def test_every_cluster_is_tight_and_populous() -> None:
    table, _ = rates(600)
    labels, radius = cluster_difficulty(table)
    assert labels.max() > 0
    for k in range(labels.max() + 1):
        rows = labels == k
        points = table.T[rows]
        assert rows.sum() >= 10
        assert np.sqrt(((points - points.mean(axis=0)) ** 2).sum(axis=1)).max() <= radius * 1.01
    assert radius <= np.sqrt(8) / 10 + 1e-12


def test_a_benchmark_that_scales_is_forecast() -> None:
    table, truth = rates(share_noise=0.05)
    report = forecast_cod(table, FLOPS, TARGET)
    assert not report.reason
    # Thirty times the compute of the largest model: the middles of the hardest cluster decide.
    assert report.score == pytest.approx(truth, abs=0.06)
    assert 0.6 < report.predictable_ratio < 1


def test_the_threshold_on_a_depends_on_the_unit_and_toy_ladders_have_their_own() -> None:
    table, truth = rates(share_noise=0.05)
    toy = FLOPS * 1e-10
    assert forecast_cod(table, toy, TARGET * 1e-10).reason
    relative = forecast_cod(table, toy, TARGET * 1e-10, unit_flops=unit_of_ladder(toy))
    assert not relative.reason
    assert relative.score == pytest.approx(truth, abs=0.06)
    assert unit_of_ladder(FLOPS) * 40 == pytest.approx(FLOPS.min())


@pytest.mark.parametrize(
    ("table", "flops", "words"),
    [
        (rates()[0][:3], FLOPS[:3], "3 models"),
        (np.zeros((8, 50)), FLOPS, "nothing to extrapolate"),
        (np.full((8, 50), 0.4), FLOPS, "no cluster's law scales"),
        (np.random.default_rng(0).random((8, 60)), FLOPS, "alike"),
        (np.tile(np.linspace(0.9, 0.1, 8)[:, None], (1, 50)), FLOPS, "no cluster's law scales"),
    ],
)
def test_reasons_to_abstain(table: np.ndarray, flops: np.ndarray, words: str) -> None:
    report = forecast_cod(table, flops, TARGET)
    assert report.reason
    assert words in report.reason
    assert np.isnan(report.score)


@pytest.mark.parametrize(
    ("table", "flops", "words"),
    [
        (np.full((8, 20), 2.0), FLOPS, "0-1"),
        (np.full((7, 20), 0.5), FLOPS, "8 models"),
        (np.full((8, 20), 0.5), FLOPS[::-1], "ascending"),
        (np.full((8, 20), 0.5), -FLOPS, "int64"),
    ],
)
def test_bad_tables_are_refused(table: np.ndarray, flops: np.ndarray, words: str) -> None:
    with pytest.raises(InvalidInputError, match=words):
        forecast_cod(table, flops, TARGET)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=9))
def test_the_map_is_monotone_through_both_corners(points: list[tuple[float, float]]) -> None:
    x, y = np.array(points).T
    mapped = monotone_map(x, y, np.linspace(0, 1, 101))
    assert (np.diff(mapped) >= -1e-9).all()
    assert mapped[0] == pytest.approx(0, abs=1e-6)
    assert mapped[-1] == pytest.approx(1, abs=1e-6)


def test_the_map_follows_a_monotone_sample() -> None:
    x = np.array([0.05, 0.1, 0.2, 0.35, 0.5, 0.7])
    y = x**1.5
    np.testing.assert_allclose(monotone_map(x, y, x), y, atol=0.01)


def test_rows_with_items_are_answered_and_others_fall_back() -> None:
    table, truth = rates(300, share_noise=0.05)
    row = {"target_flops": TARGET, "ladder_flops": FLOPS.tolist(), "ladder_scores": (100 * table.mean(axis=1)).tolist()}
    X = pd.DataFrame([{**row, "item_pass_rates": table.tolist()}, {**row, "item_pass_rates": None}])
    baseline = CodBaseline().fit(X, pd.Series([100 * truth] * 2))
    assert baseline.predict(X)[0] == pytest.approx(100 * truth, abs=6)
