"""The network alone under the contract of all predictors: zero-shot, the reference for what real curves add."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from predictors.base import BasePredictor
from predictors.errors import InvalidInputError
from predictors.learning_curves.curves import CurveBatch, read_curves
from predictors.learning_curves.pfn.mixture import Mixture
from predictors.learning_curves.pfn.pretrained import WEIGHTS, PriorFittedNetwork
from predictors.learning_curves.pfn.prior import FARTHEST, MAX_CONTEXT
from predictors.learning_curves.pfn.scaling import Prefixes, thin
from predictors.schemas.learning_curves import CurveRequests

__all__ = ["MixtureForecast", "PfnPredictor", "mixture_of_batch"]

Floats = NDArray[np.float64]
WEIGHTS_NAME = "network.safetensors"
N_LEVELS = 100
DIVERGED_SD = 0.15
"""Least standard deviation of a component, as a share of the range, once a curve had NaN or infinite points."""


@dataclass(frozen=True)
class MixtureForecast:
    """Forecasts of n curves as mixtures, with the readings of `predictors.learning_curves.forecaster.CurveForecast`.

    Attributes
    ----------
    mixture : Mixture
        n rows, in the unit of each metric.
    rising : ndarray of bool of shape (n,)
        Whether higher is better.
    remaining : ndarray of shape (n,)
        Share of the asked budget that is still to come.
    index : Index
    """

    mixture: Mixture
    rising: NDArray[np.bool_]
    remaining: Floats
    index: pd.Index

    def quantiles(self, levels: Floats) -> pd.DataFrame:
        """Quantiles in the metric's unit, one column per level, non-decreasing from left to right."""
        names = [float(level) for level in levels]
        return pd.DataFrame(self.mixture.quantile(names), index=self.index, columns=pd.Index(names, name="level"))

    def log_density(self, y: pd.Series) -> pd.Series:
        """Log density at the outcomes, nats per unit of the metric; higher is better. Beyond the range: its end."""
        outcomes = np.clip(y.to_numpy(dtype=np.float64), self.mixture.lower, self.mixture.upper)
        return pd.Series(self.mixture.log_density(outcomes), index=self.index, name="log_density")

    def probability_above(self, target: float | pd.Series | Floats) -> pd.Series:
        """Probability of an outcome better than `target`, given in the metric's unit."""
        goal = np.broadcast_to(np.asarray(target, dtype=np.float64), (len(self.index),))
        below = self.mixture.cdf(goal)
        return pd.Series(np.where(self.rising, 1 - below, below), index=self.index, name="probability")

    def expected_gain(self, target: float | pd.Series | Floats) -> Floats:
        """Mean improvement over `target`, counting none where the run ends worse; metric's unit, >= 0, shape (n,)."""
        goal = np.broadcast_to(np.asarray(target, dtype=np.float64), (len(self.index),))[:, None]
        levels = [float(level) for level in (np.arange(N_LEVELS) + 0.5) / N_LEVELS]
        ahead = np.where(self.rising[:, None], 1.0, -1.0) * (self.mixture.quantile(levels) - goal)
        return np.asarray(np.maximum(ahead, 0.0).mean(axis=1))

    @classmethod
    def concat(cls, parts: Sequence[MixtureForecast]) -> MixtureForecast:
        """One table of forecasts after the other."""
        names = [field.name for field in fields(Mixture)]
        mixture = Mixture(*(np.concatenate([getattr(p.mixture, name) for p in parts]) for name in names))
        index = pd.Index(np.concatenate([p.index.to_numpy() for p in parts]), name=parts[0].index.name)
        rising, remaining = (np.concatenate([getattr(p, name) for p in parts]) for name in ("rising", "remaining"))
        return cls(mixture, rising, remaining, index)

    def loc(self, index: pd.Index) -> MixtureForecast:
        """The forecasts of `index`, in its order."""
        at = self.index.get_indexer(index)
        mixture = Mixture(*(getattr(self.mixture, field.name)[at] for field in fields(Mixture)))
        return MixtureForecast(mixture, self.rising[at], self.remaining[at], index)


class PfnPredictor(BasePredictor):
    """Forecasts of the prior-data fitted network that the project ships.

    Parameters
    ----------
    calibrate : bool
        True lets `fit` learn one factor on the width of the forecasts. False, the default, learns nothing: `fit` only
        marks the predictor as fitted, and the forecast is the network's own.
    """

    family: ClassVar[str] = "learning_curves"
    input_schema = CurveRequests

    def __init__(self, *, calibrate: bool = False) -> None:
        self.calibrate = calibrate

    @classmethod
    def zero_shot(cls) -> Self:
        """The shipped network, ready without any curve to fit."""
        predictor = cls()
        predictor._take_shipped_weights()
        predictor.n_samples_ = 0
        return predictor

    def _take_shipped_weights(self) -> None:
        self.weights_file_ = WEIGHTS
        self.network_ = PriorFittedNetwork.load_pretrained(WEIGHTS)
        self.width_ = 1.0

    def _fit(self, X: pd.DataFrame, y: pd.Series, groups: pd.Series, is_censored: pd.Series) -> None:
        if is_censored.any():
            raise InvalidInputError("`is_censored` must be False: the end of a curve is no lower bound")
        self._take_shipped_weights()
        if self.calibrate:
            self.width_ = _best_width(self._forecast(X).mixture, y.to_numpy(dtype=np.float64))

    def distribution(self, X: pd.DataFrame) -> MixtureForecast:
        """Forecast distributions, from which quantiles, densities and probabilities are read without a second pass."""
        self._check_fitted()
        return self._forecast(self._validate(X))

    def predict_log_density(self, X: pd.DataFrame, y: pd.Series) -> pd.Series:
        """Natural log of the forecast density at the outcomes `y`, per unit of the metric; higher is better.

        Outcomes beyond the range of the metric count as its end.
        """
        return self.distribution(X).log_density(self._aligned(y, X, "y"))

    def predict_probability_above(self, X: pd.DataFrame, target: float | pd.Series) -> pd.Series:
        """Probability that a run ends better than `target`: above it, or below it where lower is better."""
        return self.distribution(X).probability_above(target)

    def _predict_quantiles(self, X: pd.DataFrame, levels: Floats) -> Floats:
        return self._forecast(X).quantiles(levels).to_numpy()

    def _predict_mean(self, X: pd.DataFrame) -> Floats:
        return self._forecast(X).mixture.mean()

    def _forecast(self, X: pd.DataFrame) -> MixtureForecast:
        batch = read_curves(X)
        mixture = mixture_of_batch(self.network_, batch)
        wide = np.maximum(3 * mixture.sds, DIVERGED_SD * batch.scale.span[:, None])
        mixture = replace(mixture, sds=np.where(batch.diverged[:, None], wide, mixture.sds))
        remaining = 1.0 - np.exp(np.minimum(batch.last_log_x - batch.target, 0.0))
        rising = np.asarray(batch.scale.best > batch.scale.worst)
        return MixtureForecast(_widened(mixture, self.width_), rising, remaining, X.index)

    def _save(self, path: Path) -> dict[str, Any]:
        shutil.copyfile(self.weights_file_, path / WEIGHTS_NAME)
        return {"width": self.width_}

    def _load(self, path: Path, state: dict[str, Any]) -> None:
        self.weights_file_ = path / WEIGHTS_NAME
        self.network_ = PriorFittedNetwork.load_pretrained(self.weights_file_)
        self.width_ = float(state["width"])


def mixture_of_batch(network: PriorFittedNetwork, batch: CurveBatch) -> Mixture:
    """Forecasts for curves that `read_curves` read: n rows, in the unit of each metric, truncated to its range."""
    n = len(batch)
    doublings = np.maximum(batch.target, batch.last_log_x) / np.log(2)
    squeeze = np.minimum(1.0, FARTHEST / np.maximum(doublings, 1e-9))
    log_steps, values = np.zeros((n, MAX_CONTEXT)), np.zeros((n, MAX_CONTEXT))
    lengths = np.minimum(batch.lengths, MAX_CONTEXT).astype(np.int64)
    short = np.minimum(batch.log_x.shape[1], MAX_CONTEXT)
    log_steps[:, :short] = batch.log_x[:, :short] / np.log(2) * squeeze[:, None]
    values[:, :short] = batch.values[:, :short]
    for i in np.flatnonzero(batch.lengths > MAX_CONTEXT):
        k = batch.lengths[i]
        t, y = thin(batch.log_x[i, :k] / np.log(2) * squeeze[i], batch.values[i, :k])
        lengths[i] = t.size
        log_steps[i, : t.size], values[i, : t.size] = t, y
    seen = np.arange(MAX_CONTEXT)[None, :] < lengths[:, None]
    slope = batch.scale.best - batch.scale.worst
    lower, upper = np.minimum(batch.scale.worst, batch.scale.best), np.maximum(batch.scale.worst, batch.scale.best)
    padded = np.where(seen, log_steps, 0.0), np.where(seen, values, 0.0)
    return network.forecast(Prefixes(*padded, lengths, doublings * squeeze, batch.scale.worst, slope, lower, upper))


def _widened(mixture: Mixture, width: float) -> Mixture:
    """The same forecast, `width` times as wide about its centre."""
    if width == 1.0:
        return mixture
    centre = (mixture.weights * mixture.means).sum(axis=1, keepdims=True)
    return replace(mixture, means=centre + width * (mixture.means - centre), sds=width * mixture.sds)


def _best_width(mixture: Mixture, y: Floats) -> float:
    """The width under which the outcomes are most likely."""
    outcomes = np.clip(y, mixture.lower, mixture.upper)

    def loss(log_width: float) -> float:
        return -float(_widened(mixture, float(np.exp(log_width))).log_density(outcomes).mean())

    return float(np.exp(minimize_scalar(loss, bounds=(-1.0, 1.5), method="bounded").x))
