"""LightGBM with the settings that this family shares."""

from typing import Any

import numpy as np

from ..arrays import Floats
from ..fitting.boosting import lightgbm_parameters, train_boosters

BOOSTING: dict[str, Any] = {
    "objective": "l1", "learning_rate": 0.05, "num_leaves": 31, "min_data_in_leaf": 100, "feature_fraction": 0.8,
    "bagging_fraction": 0.8, "num_threads": 1, "seed": 0,
}  # fmt: skip
FOREST: dict[str, Any] = {
    "boosting": "rf", "extra_trees": True, "objective": "l2", "bagging_fraction": 0.63, "lambda_l2": 0.0,
    "feature_fraction_bynode": 0.5, "num_leaves": 512, "min_data_in_leaf": 3, "min_data_in_bin": 1, "num_threads": 1,
    "seed": 0,
}  # fmt: skip
"""Extremely randomised trees (Geurts et al. 2006): few rows, many weak columns."""


def grow(columns: Floats, target: Floats, weight: Floats, settings: dict[str, Any], *, rounds: int) -> Any:
    """Booster (Ke et al. 2017, LightGBM) of `columns` (n_samples, n_columns), with as many trees as `rounds`."""
    few = max(1, min(settings["min_data_in_leaf"], len(target) // 10))
    parameters = lightgbm_parameters(**{**settings, "feature_pre_filter": False, "min_data_in_leaf": few})
    return train_boosters(columns, target, weight, None, [parameters], n_rounds=rounds)[0]


def predict_trees(booster: Any, columns: Floats) -> Floats:
    """Forecast of every row, shape (n_samples,)."""
    return np.asarray(booster.predict(columns, num_threads=1), dtype=np.float64)
