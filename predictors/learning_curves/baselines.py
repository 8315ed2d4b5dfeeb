"""What a stacked forecast must beat: the last value and parametric fits, each with a calibrated spread."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from predictors.learning_curves.curves import CurveBatch
from predictors.learning_curves.density import ScaleModel, TruncatedT
from predictors.learning_curves.ensemble import ALL_FAMILIES, forecast_families
from predictors.learning_curves.forecaster import CurveForecaster

__all__ = ["BestFitBaseline", "LastValueBaseline", "MapEnsembleBaseline", "MapMmfBaseline"]

Floats: TypeAlias = NDArray[np.float64]


class _PointBaseline(CurveForecaster):
    """A point forecast with a Student t around it, whose scale follows the method's own spread and the horizon."""

    @abstractmethod
    def _locate(self, batch: CurveBatch) -> tuple[Floats, Floats]:
        """Point forecast and own spread of each curve, unit scale."""

    def _fit(self, X: pd.DataFrame, y: pd.Series, groups: pd.Series, is_censored: pd.Series) -> None:
        from predictors.learning_curves.curves import read_curves

        batch = read_curves(X)
        outcome = self._unit_outcomes(y, batch, is_censored)
        location, spread = self._locate(batch)
        weight = np.ones(len(outcome))
        self.scale_ = ScaleModel.fit(_columns(batch, spread), location, outcome, weight)

    def _distribution(self, X: pd.DataFrame, batch: CurveBatch) -> TruncatedT:
        location, spread = self._locate(batch)
        return self.scale_.at(_columns(batch, spread), location)

    def _save(self, path: Path) -> dict[str, Any]:
        return {"scale": self.scale_.state()}

    def _load(self, path: Path, state: dict[str, Any]) -> None:
        self.scale_ = ScaleModel.from_state(state["scale"])


class LastValueBaseline(_PointBaseline):
    """The curve ends where it is."""

    def _locate(self, batch: CurveBatch) -> tuple[Floats, Floats]:
        before = batch.values[np.arange(len(batch)), np.maximum(batch.lengths - 2, 0)]
        return batch.last, np.abs(batch.last - before)


class BestFitBaseline(_PointBaseline):
    """The family with the least squared error over the observed points."""

    def _locate(self, batch: CurveBatch) -> tuple[Floats, Floats]:
        return forecast_families(batch).best()


class MapMmfBaseline(_PointBaseline):
    """The Morgan-Mercer-Flodin family alone, the best single one in LCDB's own comparison."""

    def _locate(self, batch: CurveBatch) -> tuple[Floats, Floats]:
        found = forecast_families(batch, ("mmf4",))
        return found.value[:, 0], found.deviation[:, 0]


class MapEnsembleBaseline(_PointBaseline):
    """All families, weighted by evidence and by the error of their fit.

    Parameters
    ----------
    families : tuple of str
        Names in `parametric.FAMILIES`.
    weights : {"evidence", "error", "both"}
        See `FamilyForecasts.weights`.
    """

    def __init__(self, *, families: tuple[str, ...] = ALL_FAMILIES, weights: str = "both") -> None:
        self.families = families
        self.weights = weights

    def _locate(self, batch: CurveBatch) -> tuple[Floats, Floats]:
        return forecast_families(batch, self.families).ensemble(self.weights)


def _columns(batch: CurveBatch, spread: Floats) -> Floats:
    horizon = np.maximum(batch.target - batch.last_log_x, 0.0)
    last = np.clip(batch.last, 0.005, 0.995)
    return np.column_stack([
        np.ones(len(batch)), np.log(spread + 0.003), np.log(horizon + 0.1), horizon, np.log(batch.lengths),
        np.log(last * (1 - last)),
    ])  # fmt: skip
