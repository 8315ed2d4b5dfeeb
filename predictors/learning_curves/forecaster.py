"""What the forecasters of this family share: a distribution of the end of each curve, and how it is read."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self

import numpy as np
import pandas as pd

from ..arrays import Codes, Floats, Mask
from ..base import BasePredictor
from ..errors import InvalidInputError
from ..schemas.learning_curves import CurveRequests, as_points
from .curves import CurveBatch, UnitScale, read_curves
from .density import TruncatedT

DIVERGED_SCALE = 0.15
"""Least scale, as a share of the range, of the forecast of a curve with NaN or infinite points."""
GAIN_LEVELS = 200
"""Quantiles that an expected gain is the mean over."""


class UnitDistribution(Protocol):
    """Distributions of n outcomes on the unit scale of their curves.

    `quantiles` gives shape (n, n_levels); `log_density` and `probability_below` take outcomes (n,), of which those
    outside [0, 1] count as its ends, and give shape (n,); `take` chooses rows.
    """

    def quantiles(self, levels: Floats, /) -> Floats: ...
    def log_density(self, unit: Floats, /) -> Floats: ...
    def probability_below(self, unit: Floats, /) -> Floats: ...
    def take(self, rows: Codes, /) -> Self: ...


@dataclass(frozen=True)
class CurveForecast:
    """Forecasts of n curves, each read in the unit of its metric and within its range.

    Attributes
    ----------
    distribution : UnitDistribution
        Of n outcomes.
    scale : UnitScale
        Of their metrics.
    remaining : ndarray of shape (n,)
        Share of the asked budget that is still to come.
    index : Index
    """

    distribution: UnitDistribution
    scale: UnitScale
    remaining: Floats
    index: pd.Index

    @property
    def rising(self) -> Mask:
        """Whether higher is better, shape (n,)."""
        return np.asarray(self.scale.sign > 0)

    def quantiles(self, levels: Floats) -> pd.DataFrame:
        """Quantiles in the metric's unit, shape (n, n_levels), non-decreasing from left to right."""
        levels = np.asarray(levels, dtype=np.float64)
        rising = self.rising[:, None]
        unit = np.where(rising, self.distribution.quantiles(levels), self.distribution.quantiles(1.0 - levels))
        values = np.maximum.accumulate(self.scale.from_unit(unit), axis=1)
        return pd.DataFrame(values, index=self.index, columns=pd.Index(levels.tolist(), name="level"))

    def log_density(self, y: pd.Series) -> pd.Series:
        """Log density at the outcomes, nats per unit of the metric; higher is better. Beyond the range: its end."""
        unit = self.scale.to_unit(y.to_numpy(dtype=np.float64))
        density = self.distribution.log_density(unit) - np.log(self.scale.span)
        return pd.Series(density, index=self.index, name="log_density")

    def probability_better(self, target: float | pd.Series | Floats) -> pd.Series:
        """Probability of an outcome better than `target`, given in the metric's unit, shape (n,)."""
        better = 1.0 - self.distribution.probability_below(self.scale.to_unit(self._goal(target)))
        return pd.Series(better, index=self.index, name="probability")

    def expected_gain(self, target: float | pd.Series | Floats) -> Floats:
        """Mean improvement over `target`, counting none where the run ends worse; metric's unit, >= 0, shape (n,)."""
        outcomes = self.quantiles((np.arange(GAIN_LEVELS) + 0.5) / GAIN_LEVELS).to_numpy()
        gain = self.scale.sign[:, None] * (outcomes - self._goal(target)[:, None])
        return np.asarray(np.maximum(gain, 0.0).mean(axis=1))

    def loc(self, index: pd.Index) -> Self:
        """The forecasts of `index`, in its order."""
        rows = self.index.get_indexer(index)
        return type(self)(self.distribution.take(rows), self.scale.take(rows), self.remaining[rows], index)

    def _goal(self, target: float | pd.Series | Floats) -> Floats:
        return np.broadcast_to(np.asarray(target, dtype=np.float64), (len(self.index),))


def observed_points(X: pd.DataFrame) -> list[str]:
    """How much of each curve was observed, as `CurveForecaster.basis_of` says it."""
    counts = [int(np.isfinite(as_points(values)).sum()) for values in X["values"]]
    return [f"{n} observed {'point' if n == 1 else 'points'}" for n in counts]


class CurveForecaster(BasePredictor):
    """A forecaster of the end of a curve."""

    family: ClassVar[str] = "learning_curves"
    scope_columns: ClassVar[tuple[str, ...]] = ("learner",)
    input_schema = CurveRequests
    learnt_from: ClassVar[str] = "no other curve"
    """What a forecast rests on beside the observed points, as `basis_of` says it."""

    @abstractmethod
    def _distribution(self, X: pd.DataFrame, batch: CurveBatch) -> UnitDistribution:
        """Distribution of each row of valid requests, of which `batch` holds the curves."""

    def answers(self, X: pd.DataFrame) -> Mask:
        """Which valid requests are of a kind of curve that it was made for, shape (n,)."""
        return np.ones(len(X), dtype=bool)

    def _described(self, X: pd.DataFrame) -> tuple[Any, Any]:
        """``neither``, and how much of each curve was observed; more where more than the curve is read."""
        return ["neither"] * len(X), [f"{points}, {self.learnt_from}" for points in observed_points(X)]

    def distribution(self, X: pd.DataFrame) -> CurveForecast:
        """Forecast distributions, from which quantiles, densities and probabilities are read without a second pass."""
        self._check_fitted()
        return self._forecast(self._validate(X))

    def _forecast(self, X: pd.DataFrame) -> CurveForecast:
        batch = read_curves(X)
        remaining = 1.0 - np.exp(np.minimum(batch.last_log_x - batch.target, 0.0))
        return CurveForecast(self._distribution(X, batch), batch.scale, remaining, X.index)

    def _predict_quantiles(self, X: pd.DataFrame, levels: Floats) -> Floats:
        return self._forecast(X).quantiles(levels).to_numpy()

    @staticmethod
    def _refuse_censored(is_censored: pd.Series) -> None:
        if is_censored.any():
            raise InvalidInputError("`is_censored` must be False: the end of a curve is no lower bound")


class UnitScaleForecaster(CurveForecaster):
    """A forecaster whose distribution is a truncated Student t on the unit scale."""

    @abstractmethod
    def _unit_distribution(self, X: pd.DataFrame, batch: CurveBatch) -> TruncatedT:
        """Distribution of each row on the unit scale of its curve."""

    def _distribution(self, X: pd.DataFrame, batch: CurveBatch) -> TruncatedT:
        unit = self._unit_distribution(X, batch)
        scale = np.where(batch.diverged, np.maximum(3 * unit.scale, DIVERGED_SCALE), unit.scale)
        skew = np.where(batch.diverged, 0.0, unit.skew)
        return TruncatedT(np.clip(unit.location, 0.0, 1.0), scale, unit.df, skew)
