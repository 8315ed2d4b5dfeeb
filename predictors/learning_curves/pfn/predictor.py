"""The network alone under the contract of all predictors: zero-shot, the reference for what real curves add."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd

from ...arrays import Floats
from ..curves import CurveBatch, read_curves
from ..forecaster import DIVERGED_SCALE, CurveForecaster
from .mixture import Mixture
from .pretrained import PriorFittedNetwork


class PfnPredictor(CurveForecaster):
    """Forecasts of the prior-data fitted network that the project ships; `fit` learns nothing."""

    learnt_from = "and made-up curves: the network that the project ships has seen no real one"

    @classmethod
    def zero_shot(cls) -> Self:
        """The shipped network, ready without any curve to fit."""
        predictor = cls()
        predictor.network_ = PriorFittedNetwork.load_pretrained()
        predictor.n_samples_ = 0
        return predictor

    def _fit(self, X: pd.DataFrame, y: pd.Series, groups: pd.Series, is_censored: pd.Series) -> None:
        self._refuse_censored(is_censored)
        self.network_ = PriorFittedNetwork.load_pretrained()

    def _predict_mean(self, X: pd.DataFrame) -> Floats:
        batch = read_curves(X)
        return batch.scale.from_unit(self._distribution(X, batch).mean())

    def _distribution(self, X: pd.DataFrame, batch: CurveBatch) -> Mixture:
        mixture = self.network_.forecast(batch)
        wide = np.maximum(3 * mixture.sds, DIVERGED_SCALE)
        return replace(mixture, sds=np.where(batch.diverged[:, None], wide, mixture.sds))

    def _save(self, path: Path) -> dict[str, Any]:
        self.network_.save(path)
        return {}

    def _load(self, path: Path, state: dict[str, Any]) -> None:
        self.network_ = PriorFittedNetwork.load_pretrained(path)
