"""What the forecasters of this family share: a distribution on the unit scale, read in the metric's own unit."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from predictors.base import BasePredictor
from predictors.errors import InvalidInputError
from predictors.learning_curves.curves import CurveBatch, UnitScale, read_curves
from predictors.learning_curves.density import TruncatedT
from predictors.schemas.learning_curves import CurveRequests

__all__ = ["CurveForecast", "CurveForecaster"]

Floats: TypeAlias = NDArray[np.float64]
N_LEVELS = 200
DIVERGED_SCALE = 0.15
"""Least scale, as a share of the range, of the forecast of a curve with NaN or infinite points."""


@dataclass(frozen=True)
class CurveForecast:
    """Forecasts of n curves: distributions on the unit scale, and how to read them in the metric's unit.

    Attributes
    ----------
    unit : TruncatedT
    scale : UnitScale
    remaining : ndarray of shape (n,)
        Share of the asked budget that is still to come.
    index : Index
    """

    unit: TruncatedT
    scale: UnitScale
    remaining: Floats
    index: pd.Index

    @property
    def rising(self) -> NDArray[np.bool_]:
        """Whether higher is better, shape (n,)."""
        return np.asarray(self.scale.best > self.scale.worst)

    def quantiles(self, levels: Floats) -> pd.DataFrame:
        """Quantiles in the metric's unit, one column per level, non-decreasing from left to right."""
        rising = self.rising[:, None]
        levels = np.asarray(levels, dtype=np.float64)
        unit = np.where(rising, self.unit.quantiles(levels), self.unit.quantiles(1.0 - levels))
        values = np.maximum.accumulate(self.scale.from_unit(unit), axis=1)
        return pd.DataFrame(values, index=self.index, columns=pd.Index(levels.tolist(), name="level"))

    def log_density(self, y: pd.Series) -> pd.Series:
        """Log density at the outcomes, nats per unit of the metric; higher is better."""
        unit = self.scale.to_unit(y.to_numpy(dtype=np.float64))
        values = self.unit.log_density(unit) - np.log(self.scale.span)
        return pd.Series(values, index=self.index, name="log_density")

    def probability_above(self, target: float | pd.Series | Floats) -> pd.Series:
        """Probability of an outcome better than `target`, given in the metric's unit."""
        goal = np.broadcast_to(np.asarray(target, dtype=np.float64), (len(self.index),))
        values = 1.0 - self.unit.probability_below(self.scale.to_unit(goal))
        return pd.Series(values, index=self.index, name="probability")

    @classmethod
    def concat(cls, parts: Sequence[CurveForecast]) -> Self:
        """One table of forecasts after the other."""
        df = np.concatenate([np.broadcast_to(p.unit.df, len(p.index)) for p in parts])
        unit = TruncatedT(
            np.concatenate([p.unit.location for p in parts]), np.concatenate([p.unit.scale for p in parts]), df
        )
        scale = UnitScale(np.concatenate([p.scale.worst for p in parts]), np.concatenate([p.scale.best for p in parts]))
        index = pd.Index(np.concatenate([p.index.to_numpy() for p in parts]), name=parts[0].index.name)
        return cls(unit, scale, np.concatenate([p.remaining for p in parts]), index)

    def loc(self, index: pd.Index) -> Self:
        """The forecasts of `index`, in its order."""
        at = self.index.get_indexer(index)
        df = np.broadcast_to(self.unit.df, len(self.index))[at]
        unit = TruncatedT(self.unit.location[at], self.unit.scale[at], df)
        scale = UnitScale(self.scale.worst[at], self.scale.best[at])
        return type(self)(unit, scale, self.remaining[at], index)

    def expected_gain(self, target: Floats) -> Floats:
        """Mean improvement over `target` (n,), counting none where the run ends worse; metric's unit, >= 0."""
        levels = (np.arange(N_LEVELS) + 0.5) / N_LEVELS
        gain = np.maximum(self.unit.quantiles(levels) - self.scale.to_unit(target)[:, None], 0.0)
        return np.asarray(gain.mean(axis=1) * self.scale.span)


class CurveForecaster(BasePredictor):
    """A forecaster of the end of a curve whose distribution is a truncated Student t on the unit scale."""

    family: ClassVar[str] = "learning_curves"
    input_schema = CurveRequests

    @abstractmethod
    def _distribution(self, X: pd.DataFrame, batch: CurveBatch) -> TruncatedT:
        """Distribution of each row of valid requests, of which `batch` holds the curves."""

    def distribution(self, X: pd.DataFrame) -> CurveForecast:
        """Forecast distributions, from which quantiles, densities and probabilities are read without a second pass."""
        self._check_fitted()
        return self._forecast(self._validate(X))

    def _forecast(self, X: pd.DataFrame) -> CurveForecast:
        batch = read_curves(X)
        found = self._distribution(X, batch)
        scale = np.where(batch.diverged, np.maximum(3 * found.scale, DIVERGED_SCALE), found.scale)
        unit = TruncatedT(np.clip(found.location, 0.0, 1.0), scale, found.df)
        remaining = 1.0 - np.exp(batch.last_log_x - batch.target)
        return CurveForecast(unit, batch.scale, remaining, X.index)

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
        found = self.distribution(X)
        return found.log_density(self._aligned(y, X, "y"))

    def predict_probability_above(self, X: pd.DataFrame, target: float | pd.Series) -> pd.Series:
        """Probability that a run ends better than `target`, in the unit of the metric: above it, or below it where
        lower is better."""
        return self.distribution(X).probability_above(target)

    def _predict_quantiles(self, X: pd.DataFrame, levels: NDArray[np.float64]) -> NDArray[np.float64]:
        return self._forecast(X).quantiles(levels).to_numpy()

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
