"""What a stacked forecast must beat: the last value, with a calibrated spread."""

from abc import abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..arrays import Floats
from .curves import CurveBatch, read_curves
from .density import ScaleModel, TruncatedT
from .forecaster import UnitScaleForecaster


class PointBaseline(UnitScaleForecaster):
    """A point forecast with a Student t around it, whose scale follows the method's own spread and the horizon."""

    @abstractmethod
    def _locate(self, batch: CurveBatch) -> tuple[Floats, Floats]:
        """Point forecast and own spread of each curve, unit scale."""

    def _fit(self, X: pd.DataFrame, y: pd.Series, groups: pd.Series, is_censored: pd.Series) -> None:
        self._refuse_censored(is_censored)
        batch = read_curves(X)
        outcome = np.clip(batch.scale.to_unit(y.to_numpy(dtype=np.float64)), 0.0, 1.0)
        location, spread = self._locate(batch)
        self.scale_ = ScaleModel.fit(spread_columns(batch, spread), location, outcome, np.ones(len(outcome)))

    def _unit_distribution(self, X: pd.DataFrame, batch: CurveBatch) -> TruncatedT:
        location, spread = self._locate(batch)
        return self.scale_.at(spread_columns(batch, spread), location)

    def _save(self, path: Path) -> dict[str, Any]:
        return {"scale": self.scale_.state()}

    def _load(self, path: Path, state: dict[str, Any]) -> None:
        self.scale_ = ScaleModel.from_state(state["scale"])


class LastValueBaseline(PointBaseline):
    """The curve ends where it is."""

    def _locate(self, batch: CurveBatch) -> tuple[Floats, Floats]:
        return batch.last, np.abs(batch.last - batch.from_end(batch.values, 1))


def spread_columns(batch: CurveBatch, spread: Floats) -> Floats:
    """What the scale of a baseline follows, shape (n, 6)."""
    horizon = np.maximum(batch.target - batch.last_log_x, 0.0)
    last = np.clip(batch.last, 0.005, 0.995)
    return np.column_stack([
        np.ones(len(batch)), np.log(spread + 0.003), np.log(horizon + 0.1), horizon, np.log(batch.lengths),
        np.log(last * (1 - last)),
    ])  # fmt: skip
