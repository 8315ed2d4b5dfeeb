"""The table that a consumer of a registered predictor gets back."""

import numpy as np
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
    quantiles, mean, *described = predictor.answer(X)
    predictor.check_request(X)
    by_level = dict(zip(LEVELS, quantiles.T, strict=True))
    numbers = np.column_stack([mean, *(by_level[level] for level in (0.5, 0.25, 0.75, 0.05, 0.95))])
    texts = {n: pd.Series(of, index=X.index, dtype="str") for n, of in zip(KNOWN_COLUMNS, described, strict=True)}
    frame = pd.DataFrame(numbers, index=X.index, columns=list(FORECAST_COLUMNS))
    return pd.concat([pd.DataFrame(texts), frame, predictor.extra_columns(X, frame)], axis=1)
