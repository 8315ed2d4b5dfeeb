"""Trees walked here say what LightGBM says, to the bit."""

from __future__ import annotations

from typing import Any

import lightgbm as lgb
import numpy as np
import pytest
from numpy.typing import NDArray

from foretell.predictors.fitting.trees import MAX_ROWS, SavedBooster, Trees, predict_saved


def columns_of(n: int, *, seed: int, odd: float = 0.2) -> NDArray[np.float64]:
    """Two columns of categories and four of numbers, with gaps, zeros and categories that were never seen."""
    rng = np.random.default_rng(seed)
    columns = np.column_stack([rng.integers(0, 40, (n, 2)), 3 * rng.normal(size=(n, 4))]).astype(np.float64)
    columns[rng.random(columns.shape) < odd / 2] = np.nan
    columns[rng.random(columns.shape) < odd / 2] = 0.0
    columns[rng.random(columns.shape) < odd / 10] = -1.0
    columns[rng.random(columns.shape) < odd / 10] = 77.0
    return columns


def trained(n_rounds: int = 12, **changes: Any) -> lgb.Booster:
    settings = {"objective": "quantile", "alpha": 0.7, "num_leaves": 9, "min_data_in_leaf": 5, "verbosity": -1,
                "min_data_per_group": 5, "cat_smooth": 1.0, "num_threads": 1} | changes  # fmt: skip
    columns = columns_of(600, seed=0)
    target = np.nan_to_num(columns[:, 0] % 7 + columns[:, 2]) + np.random.default_rng(1).normal(size=600)
    data = lgb.Dataset(columns, target, categorical_feature=[0, 1], params=settings)
    return lgb.train(settings, data, n_rounds)


@pytest.mark.parametrize(
    "changes",
    [{}, {"objective": "l2"}, {"zero_as_missing": True}, {"use_missing": False}, {"objective": "l1", "num_leaves": 64},
     {"min_data_in_leaf": 590}, {"objective": "poisson"},
     {"boosting": "rf", "bagging_fraction": 0.6, "bagging_freq": 1}],
    ids=lambda changes: " ".join(map(str, changes.values())) or "plain",
)  # fmt: skip
def test_a_saved_booster_answers_as_lightgbm_does(changes: dict[str, Any]) -> None:
    if changes.get("objective") == "poisson":
        target = np.random.default_rng(0).poisson(3.0, 600)
        booster = lgb.train({"objective": "poisson", "verbosity": -1}, lgb.Dataset(columns_of(600, seed=0), target), 5)
    else:
        booster = trained(**changes)
    saved = SavedBooster(booster.model_to_string())
    for n in (1, MAX_ROWS, MAX_ROWS + 1):
        asked = columns_of(n, seed=n, odd=0.5)
        np.testing.assert_array_equal(saved.predict(asked), booster.predict(asked, num_threads=1))
    assert saved.model_to_string() == booster.model_to_string()


def test_boosters_are_asked_together_and_may_differ_in_their_number_of_trees() -> None:
    boosters = [trained(alpha=alpha) for alpha in (0.1, 0.5, 0.9)]
    saved = [SavedBooster(booster.model_to_string()) for booster in boosters]
    asked = columns_of(7, seed=3)
    expected = np.column_stack([booster.predict(asked) for booster in boosters])
    np.testing.assert_array_equal(predict_saved(saved, asked), expected)
    np.testing.assert_array_equal(predict_saved([saved[0], *boosters[1:]], asked), expected)
    longer = SavedBooster(trained(20).model_to_string())
    assert Trees.parsed([saved[0].model_to_string(), longer.model_to_string()]) is None
    np.testing.assert_array_equal(predict_saved([saved[0], longer], asked)[:, 1], longer.predict(asked))
