"""LightGBM with the settings that this family shares: one thread, deterministic, saved as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["boost", "grow_forest", "load_trees", "predict_trees"]

Floats = NDArray[np.float64]


def boost(
    columns: Floats, target: Floats, weight: Floats, *, rounds: int, monotone: Sequence[int] | None = None,
    num_threads: int = 1, seed: int | None = 0, **parameters: Any,
) -> Any:  # fmt: skip
    """Gradient boosting; `monotone` has +1, -1 or 0 per column (Ke et al. 2017, LightGBM)."""
    settings: dict[str, Any] = {
        "objective": "l1", "learning_rate": 0.05, "num_leaves": 31, "min_data_in_leaf": 100, "feature_fraction": 0.8,
        "bagging_fraction": 0.8, "bagging_freq": 1, "lambda_l2": 1.0, "max_bin": 63, **parameters,
    }  # fmt: skip
    if monotone is not None:
        settings["monotone_constraints"] = list(monotone)
    return _train(settings, columns, target, weight, rounds, num_threads, seed)


def grow_forest(
    columns: Floats, target: Floats, weight: Floats, *, rounds: int, num_threads: int = 1, seed: int | None = 0
) -> Any:
    """Extremely randomised trees (Geurts et al. 2006): few rows, many weak columns."""
    settings = {
        "boosting": "rf", "extra_trees": True, "objective": "l2", "bagging_fraction": 0.63, "bagging_freq": 1,
        "feature_fraction_bynode": 0.5, "num_leaves": 512, "min_data_in_leaf": 3, "min_data_in_bin": 1, "max_bin": 63,
    }  # fmt: skip
    return _train(settings, columns, target, weight, rounds, num_threads, seed)


def predict_trees(booster: Any, columns: Floats) -> Floats:
    """Forecast of every row."""
    return np.asarray(booster.predict(columns, num_threads=1), dtype=np.float64)


def load_trees(text: str) -> Any:
    """Trees from the text of ``booster.model_to_string()``."""
    import lightgbm as lgb

    return lgb.Booster(model_str=text)


def _train(
    settings: dict[str, Any], columns: Floats, target: Floats, weight: Floats, rounds: int, num_threads: int,
    seed: int | None,
) -> Any:  # fmt: skip
    import lightgbm as lgb

    few = max(1, min(settings["min_data_in_leaf"], len(target) // 10))
    common = {
        "num_threads": num_threads, "seed": seed, "deterministic": True, "force_row_wise": True, "verbosity": -1,
        "feature_pre_filter": False, "min_data_in_leaf": few,
    }  # fmt: skip
    parameters = {**settings, **common}
    return lgb.train(parameters, lgb.Dataset(columns, target, weight=weight, params=parameters), rounds)
