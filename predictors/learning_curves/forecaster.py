"""What the forecasters of this family share: a distribution on the unit scale, read in the metric's own unit."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from predictors.base import BasePredictor
from predictors.errors import InvalidInputError
from predictors.learning_curves.curves import CurveBatch, UnitScale, read_curves
from predictors.learning_curves.density import TruncatedT
from predictors.schemas.learning_curves import CurveRequests

__all__ = ["CurveForecaster"]

Floats: TypeAlias = NDArray[np.float64]
DIVERGED_SCALE = 0.15
"""Least scale, as a share of the range, of the forecast of a curve with NaN or infinite points."""


class CurveForecaster(BasePredictor):
    """A forecaster of the end of a curve whose distribution is a truncated Student t on the unit scale."""

    family: ClassVar[str] = "learning_curves"
    input_schema = CurveRequests

    @abstractmethod
    def _distribution(self, X: pd.DataFrame, batch: CurveBatch) -> TruncatedT:
        """Distribution of each row of valid requests, of which `batch` holds the curves."""

    def distribution(self, X: pd.DataFrame) -> tuple[TruncatedT, UnitScale]:
        """Forecast distributions on the unit scale, and how to come back to the metric's unit."""
        self._check_fitted()
        return self._distribution_of_valid(self._validate(X))

    def _distribution_of_valid(self, X: pd.DataFrame) -> tuple[TruncatedT, UnitScale]:
        batch = read_curves(X)
        found = self._distribution(X, batch)
        scale = np.where(batch.diverged, np.maximum(3 * found.scale, DIVERGED_SCALE), found.scale)
        # A budget that was observed already is asked about again: the answer is the last value.
        return TruncatedT(np.clip(found.location, 0.0, 1.0), scale, found.df), batch.scale

    def predict_log_density(self, X: pd.DataFrame, y: pd.Series) -> pd.Series:
        """Natural log of the forecast density at the outcomes, per unit of the metric; higher is better.

        Parameters
        ----------
        X : DataFrame of shape (n_samples, n_columns)
        y : Series of shape (n_samples,)
            Outcomes in the unit of the metric, index of `X`.

        Returns
        -------
        Series of shape (n_samples,)
            In nats. Outcomes beyond the range of the metric count as its end.
        """
        self._check_fitted()
        X = self._validate(X)
        y = self._aligned(y, X, "y")
        found, scale = self._distribution_of_valid(X)
        unit = scale.to_unit(y.to_numpy(dtype=np.float64))
        return pd.Series(found.log_density(unit) - np.log(scale.span), index=X.index, name="log_density")

    def predict_probability_above(self, X: pd.DataFrame, target: float | pd.Series) -> pd.Series:
        """Probability that a run ends better than `target` (in the unit of the metric): above it, or below it
        where lower is better."""
        self._check_fitted()
        X = self._validate(X)
        found, scale = self._distribution_of_valid(X)
        goal = np.broadcast_to(np.asarray(target, dtype=np.float64), (len(X),))
        return pd.Series(1.0 - found.probability_below(scale.to_unit(goal)), index=X.index, name="probability")

    def _predict_quantiles(self, X: pd.DataFrame, levels: NDArray[np.float64]) -> NDArray[np.float64]:
        found, scale = self._distribution_of_valid(X)
        rising = scale.best > scale.worst
        unit = np.where(rising[:, None], found.quantiles(levels), found.quantiles(1.0 - levels))
        return scale.from_unit(unit)

    @staticmethod
    def _unit_outcomes(y: pd.Series, batch: CurveBatch, is_censored: pd.Series) -> Floats:
        """Outcomes on the unit scale of their curves.

        Raises
        ------
        InvalidInputError
            If some are censored: the end of a curve is no lower bound.
        """
        if is_censored.any():
            raise InvalidInputError("`is_censored` must be False: the end of a curve is no lower bound")
        return np.clip(batch.scale.to_unit(y.to_numpy(dtype=np.float64)), 0.0, 1.0)
