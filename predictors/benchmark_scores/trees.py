"""LightGBM with the settings that this family shares."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..fitting.boosting import lightgbm_parameters, train_booster

Floats = NDArray[np.float64]


def boost(
    columns: Floats, target: Floats, weight: Floats, *, rounds: int, num_threads: int = 1, seed: int | None = 0,
    **parameters: Any,
) -> Any:  # fmt: skip
    """Gradient boosting (Ke et al. 2017, LightGBM).

    Parameters
    ----------
    columns : ndarray of shape (n_samples, n_columns)
    target, weight : ndarray of shape (n_samples,)
    rounds : int
        Trees.
    """
    settings: dict[str, Any] = {
        "objective": "l1", "learning_rate": 0.05, "num_leaves": 31, "min_data_in_leaf": 100, "feature_fraction": 0.8,
        "bagging_fraction": 0.8, **parameters,
    }  # fmt: skip
    return _train(settings, columns, target, weight, rounds, num_threads, seed)


def grow_forest(columns: Floats, target: Floats, weight: Floats, *, rounds: int) -> Any:
    """Extremely randomised trees (Geurts et al. 2006): few rows, many weak columns. Arguments as of `boost`."""
    settings = {
        "boosting": "rf", "extra_trees": True, "objective": "l2", "bagging_fraction": 0.63, "lambda_l2": 0.0,
        "feature_fraction_bynode": 0.5, "num_leaves": 512, "min_data_in_leaf": 3, "min_data_in_bin": 1,
    }  # fmt: skip
    return _train(settings, columns, target, weight, rounds, 1, 0)


def predict_trees(booster: Any, columns: Floats) -> Floats:
    """Forecast of every row, shape (n_samples,)."""
    return np.asarray(booster.predict(columns, num_threads=1), dtype=np.float64)


def _train(
    settings: dict[str, Any], columns: Floats, target: Floats, weight: Floats, rounds: int, num_threads: int,
    seed: int | None,
) -> Any:  # fmt: skip
    few = max(1, min(settings["min_data_in_leaf"], len(target) // 10))
    changes = {**settings, "feature_pre_filter": False, "min_data_in_leaf": few}
    parameters = lightgbm_parameters(num_threads=num_threads, seed=seed, **changes)
    return train_booster(parameters, columns, target, weight=weight, n_rounds=rounds)
