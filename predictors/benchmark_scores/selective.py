"""Selective forecasting: which forecasts to act on, the narrowest intervals first."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from predictors.errors import InvalidInputError

__all__ = ["abstain", "risk_order"]


def risk_order(interval: pd.DataFrame) -> NDArray[np.intp]:
    """Positions of the forecasts from the most to the least confident.

    Parameters
    ----------
    interval : DataFrame of shape (n_samples, 2)
        Columns `lower` and `upper`, points, as `predict_interval` gives.

    Returns
    -------
    ndarray of shape (n_samples,)
        Ascending width, ties in the order of rows: errors cumulated in this order are the risk-coverage curve.
    """
    return np.argsort(_width(interval), kind="stable")


def abstain(interval: pd.DataFrame, *, share: float | None = None, max_width: float | None = None) -> pd.Series:
    """Whether to abstain from each forecast: it is not among the narrowest `share`, or wider than `max_width`.

    Raises
    ------
    InvalidInputError
        Unless exactly one of `share` (in [0, 1]) and `max_width` (points) is given.
    """
    if (share is None) == (max_width is None):
        raise InvalidInputError("give one of `share` and `max_width`")
    width = _width(interval)
    if max_width is not None:
        return pd.Series(width > max_width, index=interval.index, name="abstains")
    if not 0 <= (share or 0.0) <= 1:
        raise InvalidInputError(f"`share` must be in [0, 1], got {share}")
    kept = np.zeros(len(width), dtype=bool)
    kept[risk_order(interval)[: round((share or 0.0) * len(width))]] = True
    return pd.Series(~kept, index=interval.index, name="abstains")


def _width(interval: pd.DataFrame) -> NDArray[np.float64]:
    missing = sorted({"lower", "upper"} - set(interval.columns))
    if missing:
        raise InvalidInputError(f"`interval` lacks the columns {missing}")
    return np.asarray((interval["upper"] - interval["lower"]).to_numpy(), dtype=np.float64)
