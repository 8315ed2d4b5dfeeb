"""A short way through validation for tables that are plainly valid, so that one forecast takes milliseconds."""

from __future__ import annotations

import numpy as np
import pandas as pd

from predictors.schemas.descriptions import ScoreRequests

__all__ = ["plainly_valid"]

_NUMBERS: dict[str, tuple[float, float]] = {
    "n_classes": (np.nextafter(0, 1), np.inf),
    "n_items": (np.nextafter(0, 1), np.inf),
    "n_shot": (0, np.inf),
    "n_params": (0, np.inf),
    "embed_dim": (np.nextafter(0, 1), np.inf),
    "context_tokens": (np.nextafter(0, 1), np.inf),
    "n_languages": (0, np.inf),
    "release_year": (1950, 2100),
}
"""Bounds of the numeric columns of `ScoreRequests`, which the tests hold against it."""
_FLAGS = ("uses_instructions", "open_weights")
_LISTS = ("known_models", "known_scores")


def plainly_valid(X: pd.DataFrame) -> pd.DataFrame | None:
    """The known columns of `X`, if their types and values are already those of `ScoreRequests`; else None."""
    if not isinstance(X, pd.DataFrame) or not X.columns.is_unique or any(name in X.columns for name in _LISTS):
        return None
    known = [name for name in X.columns if name in _COLUMNS]
    for name in known:
        column = X[name]
        if name in _NUMBERS or name in _FLAGS:
            if column.dtype != np.float64:
                return None
            values = column.to_numpy()
            lower, upper = _NUMBERS.get(name, (0, 1))
            ok = np.isnan(values) | ((values >= lower) & (values <= upper))
            if not ok.all() or (name in _FLAGS and not np.isin(values[~np.isnan(values)], (0.0, 1.0)).all()):
                return None
        elif column.dtype != "str":
            return None
    return X[known]


_COLUMNS = frozenset(ScoreRequests.to_schema().columns)
