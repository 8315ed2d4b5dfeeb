"""The table that a consumer of a registered predictor gets back."""

import pandas as pd

from .base import BasePredictor

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
    quantiles, mean, described = predictor.answer(X)
    predictor.check_request(X)
    columns = [mean, *(quantiles[level] for level in (0.5, 0.25, 0.75, 0.05, 0.95))]
    frame = pd.DataFrame({**described, **dict(zip(FORECAST_COLUMNS, columns, strict=True))}, index=X.index)
    return frame.join(predictor.extra_columns(X, frame[list(FORECAST_COLUMNS)]))
