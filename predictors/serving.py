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
    values = {"mean": mean, "median": quantiles[0.5], "lower_50": quantiles[0.25], "upper_50": quantiles[0.75],
              "lower_90": quantiles[0.05], "upper_90": quantiles[0.95]}  # fmt: skip
    frame = pd.DataFrame({**described, **{name: values[name] for name in FORECAST_COLUMNS}}, index=X.index)
    return frame.join(predictor.extra_columns(X, frame[list(FORECAST_COLUMNS)]))
