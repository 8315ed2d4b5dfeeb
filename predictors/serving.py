"""The table that a consumer of a registered predictor gets back."""

from __future__ import annotations

import pandas as pd

from predictors.base import LEVELS, BasePredictor

__all__ = ["FORECAST_COLUMNS", "forecast_frame"]

FORECAST_COLUMNS: tuple[str, ...] = ("mean", "median", "lower_50", "upper_50", "lower_90", "upper_90")


def forecast_frame(predictor: BasePredictor, X: pd.DataFrame) -> pd.DataFrame:
    """Forecast every row of `X`.

    Returns
    -------
    DataFrame of shape (n_samples, 6 or more)
        Index of `X`; `FORECAST_COLUMNS` in the unit of the target, then what the family adds
        (`BasePredictor.extra_columns`, such as dollars).
    """
    quantiles, mean = predictor.predict_both(X, LEVELS)
    frame = quantiles.rename(
        columns={0.5: "median", 0.25: "lower_50", 0.75: "upper_50", 0.05: "lower_90", 0.95: "upper_90"}
    )
    frame.insert(0, "mean", mean)
    frame = frame[list(FORECAST_COLUMNS)]
    frame.columns.name = None
    return frame.join(predictor.extra_columns(X, frame))
