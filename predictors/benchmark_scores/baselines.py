"""What a score forecast must beat: the empirical distribution of scores, overall or by what is plain to see."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from predictors.base import BasePredictor
from predictors.benchmark_scores.components import group_weights
from predictors.benchmark_scores.predictor import BenchmarkScorePredictor
from predictors.errors import InvalidInputError
from predictors.schemas.descriptions import ScoreRequests

__all__ = ["GlobalBaseline", "ModelBaseline", "StructuredBaseline", "TypeBaseline", "TypeSizeBaseline"]

Floats = NDArray[np.float64]
GRID: Floats = np.concatenate([[0.005, 0.01], np.arange(1, 80) / 80, [0.99, 0.995]])
SIZE_EDGES: Floats = np.log([3e7, 1e8, 2e8, 4e8, 8e8, 2e9, 5e9, 2e10])


class _EmpiricalBaseline(BasePredictor):
    """Weighted empirical quantiles of the scores of a cell; those of its parent where the cell is small or unseen.

    Leak groups weigh by the square root of their number of runs, as in the predictor.

    Parameters
    ----------
    least : int
        Runs that a cell must have to speak for itself.
    """

    family: ClassVar[str] = "benchmark_scores"
    input_schema = ScoreRequests
    keys: ClassVar[tuple[str, ...]] = ()

    def __init__(self, *, least: int = 20) -> None:
        self.least = least

    def _fit(self, X: pd.DataFrame, y: pd.Series, groups: pd.Series, is_censored: pd.Series) -> None:
        score = y.to_numpy(dtype=np.float64)
        if ((score < 0) | (score > 100)).any():
            raise InvalidInputError(f"`y` must be scores in [0, 100] points, got {score.min()} to {score.max()}")
        weight = group_weights(pd.factorize(groups)[0])
        self.curves_: dict[str, Floats] = {"": _quantiles(score, weight)}
        for depth in range(1, len(self.keys) + 1):
            cells = self._cells(X, depth)
            for cell, rows in cells.groupby(cells).indices.items():
                if len(rows) >= self.least:
                    self.curves_[str(cell)] = _quantiles(score[rows], weight[rows])

    def _predict_quantiles(self, X: pd.DataFrame, levels: NDArray[np.float64]) -> NDArray[np.float64]:
        out = np.tile(np.interp(levels, GRID, self.curves_[""]), (len(X), 1))
        for depth in range(1, len(self.keys) + 1):
            cells = self._cells(X, depth)
            for cell, rows in cells.groupby(cells).indices.items():
                if str(cell) in self.curves_:
                    out[rows] = np.interp(levels, GRID, self.curves_[str(cell)])
        return out

    def _cells(self, X: pd.DataFrame, depth: int) -> pd.Series:
        """Name of each row's cell of the first `depth` keys."""
        parts = [_key(X, name) for name in self.keys[:depth]]
        return pd.Series(["|".join((str(depth), *values)) for values in zip(*parts, strict=True)])

    def _save(self, path: Path) -> dict[str, Any]:
        return {"curves": {cell: curve.tolist() for cell, curve in self.curves_.items()}}

    def _load(self, path: Path, state: dict[str, Any]) -> None:
        self.curves_ = {cell: np.array(curve) for cell, curve in state["curves"].items()}


class GlobalBaseline(_EmpiricalBaseline):
    """One distribution for every score: the no-information forecast and interval."""


class TypeBaseline(_EmpiricalBaseline):
    """One distribution per answer format."""

    keys = ("answer_format",)


class ModelBaseline(_EmpiricalBaseline):
    """One distribution per model."""

    keys = ("model",)


class TypeSizeBaseline(_EmpiricalBaseline):
    """One distribution per answer format and band of model size."""

    keys = ("answer_format", "size")


class StructuredBaseline(BasePredictor):
    """LightGBM on structure and metadata, without a word of the description: what text must beat.

    Parameters
    ----------
    num_threads : int
        Threads of LightGBM.
    random_state : int, optional
        Seed of everything random.
    """

    family: ClassVar[str] = "benchmark_scores"
    input_schema = ScoreRequests

    def __init__(self, *, num_threads: int = 1, random_state: int | None = 0) -> None:
        self.num_threads = num_threads
        self.random_state = random_state

    def _fit(self, X: pd.DataFrame, y: pd.Series, groups: pd.Series, is_censored: pd.Series) -> None:
        self.predictor_ = BenchmarkScorePredictor(
            experts=("direct",), use_text=False, num_threads=self.num_threads, random_state=self.random_state
        ).fit(X, y, groups=groups, is_censored=is_censored)

    def _predict_quantiles(self, X: pd.DataFrame, levels: NDArray[np.float64]) -> NDArray[np.float64]:
        return self.predictor_._predict_quantiles(X, levels)

    def _save(self, path: Path) -> dict[str, Any]:
        self.predictor_.save(path / "structured")
        return {}

    def _load(self, path: Path, state: dict[str, Any]) -> None:
        self.predictor_ = BenchmarkScorePredictor.load(path / "structured")


def _key(X: pd.DataFrame, name: str) -> list[str]:
    values: list[Hashable]
    if name == "size":
        sizes = X["n_params"].to_numpy(dtype=np.float64) if "n_params" in X else np.full(len(X), np.nan)
        return ["" if np.isnan(s) else str(np.searchsorted(SIZE_EDGES, np.log(max(s, 1.0)))) for s in sizes]
    values = X[name].astype("object").where(X[name].notna(), "").tolist() if name in X else [""] * len(X)
    return [str(value) for value in values]


def _quantiles(score: Floats, weight: Floats) -> Floats:
    order = np.argsort(score, kind="stable")
    w = weight[order]
    return np.interp(GRID, (w.cumsum() - 0.5 * w) / w.sum(), score[order])
