"""The table that a consumer of a registered predictor gets back."""

import pandas as pd

from .base import LEVELS, BasePredictor

KNOWN_COLUMNS: tuple[str, ...] = ("known", "basis")
"""What a forecast knew, and what it rests on: the first columns of every answer."""

FORECAST_COLUMNS: tuple[str, ...] = ("mean", "median", "lower_50", "upper_50", "lower_90", "upper_90")


def forecast_frame(predictor: BasePredictor, X: pd.DataFrame) -> pd.DataFrame:
    """Forecast every row of `X`.

    Index of `X`; `KNOWN_COLUMNS` (`BasePredictor.known_of` and `basis_of`, texts, null where the predictor does not
    tell), `FORECAST_COLUMNS` in the unit of the target, then what the family adds (`BasePredictor.extra_columns`, such
    as dollars). InvalidInputError if `X` breaks its schema, or is surely not meant as it stands
    (`BasePredictor.check_request`).
    """
    quantiles, mean = predictor.predict_both(X, LEVELS)
    predictor.check_request(X)
    frame = quantiles.rename(
        columns={0.5: "median", 0.25: "lower_50", 0.75: "upper_50", 0.05: "lower_90", 0.95: "upper_90"}
    ).assign(mean=mean, **predictor.described(X))
    frame = frame[[*KNOWN_COLUMNS, *FORECAST_COLUMNS]]
    frame.columns.name = None
    return frame.join(predictor.extra_columns(X, frame[list(FORECAST_COLUMNS)]))
