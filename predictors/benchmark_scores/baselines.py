"""What a score forecast must beat: the empirical distribution of scores, overall or by what is plain to see."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from ..arrays import Codes, Floats, load_arrays, names_of, numbers_of, save_arrays
from ..base import BasePredictor
from ..fitting.trees import SavedBooster
from ..schemas.descriptions import ScoreRequests
from .calibration import ResidualCurve
from .description.features import BenchmarkFeatures, benchmark_rows, model_matrix
from .description.leakage import assign_folds
from .rows import group_weights
from .scale import checked_scores, from_logit, to_logit
from .trees import BOOSTING, grow, predict_trees

GRID: Floats = np.concatenate([[0.005, 0.01], np.arange(1, 80) / 80, [0.99, 0.995]])
FOLDS, N_TREES = 4, 200
SIZE_EDGES: Floats = np.log([3e7, 1e8, 2e8, 4e8, 8e8, 2e9, 5e9, 2e10])


class _EmpiricalBaseline(BasePredictor):
    """Weighted empirical quantiles of the scores of a cell; those of its parent where the cell is small or unseen.

    Leak groups weigh by the square root of their number of runs, as in the predictor; `least` runs a cell must have to
    speak for itself.
    """

    family: ClassVar[str] = "benchmark_scores"
    scope_columns: ClassVar[tuple[str, ...]] = ("model",)
    input_schema = ScoreRequests
    keys: ClassVar[tuple[str, ...]] = ()

    def __init__(self, *, least: int = 20) -> None:
        self.least = least

    def _fit(self, X: pd.DataFrame, y: pd.Series, groups: pd.Series, is_censored: pd.Series) -> None:
        score = checked_scores(y)
        weight = group_weights(pd.factorize(groups)[0])
        self.curves_: dict[str, Floats] = {"": _quantiles(score, weight)}
        for cell, rows in self._cells(X):
            if len(rows) >= self.least:
                self.curves_[cell] = _quantiles(score[rows], weight[rows])

    def _predict_quantiles(self, X: pd.DataFrame, levels: Floats) -> Floats:
        out = np.tile(np.interp(levels, GRID, self.curves_[""]), (len(X), 1))
        for cell, rows in self._cells(X):
            if cell in self.curves_:
                out[rows] = np.interp(levels, GRID, self.curves_[cell])
        return out

    def _cells(self, X: pd.DataFrame) -> Iterator[tuple[str, Codes]]:
        """Name and rows of the cells of the first key, then of the first two, and so on."""
        parts = [_key(X, name) for name in self.keys]
        for depth in range(1, len(parts) + 1):
            cells = pd.Series(["|".join((str(depth), *values)) for values in zip(*parts[:depth], strict=True)])
            yield from ((str(cell), np.asarray(rows, np.intp)) for cell, rows in cells.groupby(cells).indices.items())

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
    """LightGBM on structure and metadata, without a word of the description: what text must beat."""

    family: ClassVar[str] = "benchmark_scores"
    scope_columns: ClassVar[tuple[str, ...]] = ("model",)
    input_schema = ScoreRequests

    def _fit(self, X: pd.DataFrame, y: pd.Series, groups: pd.Series, is_censored: pd.Series) -> None:
        z = to_logit(checked_scores(y))
        self.features_ = BenchmarkFeatures().fit(benchmark_rows(X)[0])
        weight = group_weights(pd.factorize(groups)[0])
        folds = assign_folds(groups.astype("str"), max(2, min(FOLDS, groups.nunique()))).to_numpy()
        residuals = np.empty(len(z))
        for fold in np.unique(folds):
            out = folds == fold
            record, booster = self._learn(X[~out], z[~out], weight[~out])
            residuals[out] = z[out] - predict_trees(booster, self._columns(X[out], record))
        self.curve_ = ResidualCurve.fit(residuals, weight)
        self.record_, self.booster_ = self._learn(X, z, weight)

    def _learn(self, X: pd.DataFrame, z: Floats, weight: Floats) -> tuple[dict[str, float], Any]:
        """What each model scored beyond the mean of each benchmark, shrunk by three runs, and the trees."""
        beyond = z - pd.Series(z).groupby(benchmark_rows(X)[1]).transform("mean").to_numpy()
        runs = pd.Series(beyond).groupby(_key(X, "model"))
        record = {str(name): float(value) for name, value in (runs.sum() / (runs.size() + 3)).items()}
        booster = grow(self._columns(X, record), z, weight, BOOSTING | {"feature_fraction": 0.4}, rounds=N_TREES)
        return record, booster

    def _columns(self, X: pd.DataFrame, record: dict[str, float]) -> Floats:
        benchmarks, codes = benchmark_rows(X)
        models = [record.get(name, 0.0) for name in _key(X, "model")]
        return np.column_stack([self.features_.matrix(benchmarks)[codes], model_matrix(X), models])

    def _predict_quantiles(self, X: pd.DataFrame, levels: Floats) -> Floats:
        location = predict_trees(self.booster_, self._columns(X, self.record_))
        return from_logit(location[:, None] + self.curve_.at(levels))

    def _save(self, path: Path) -> dict[str, Any]:
        features, arrays = self.features_.state()
        save_arrays(path / "arrays.safetensors", {**arrays, "curve": self.curve_.offsets})
        (path / "trees.txt").write_text(self.booster_.model_to_string(), "utf-8")
        return {"features": features, "record": self.record_}

    def _load(self, path: Path, state: dict[str, Any]) -> None:
        arrays = load_arrays(path / "arrays.safetensors")
        self.features_ = BenchmarkFeatures.from_state(state["features"], arrays)
        self.curve_, self.record_ = ResidualCurve(arrays["curve"]), state["record"]
        self.booster_ = SavedBooster((path / "trees.txt").read_text("utf-8"))


def _key(X: pd.DataFrame, name: str) -> list[str]:
    if name == "size":
        sizes = numbers_of(X, "n_params").tolist()
        return ["" if np.isnan(s) else str(np.searchsorted(SIZE_EDGES, np.log(max(s, 1.0)))) for s in sizes]
    return list(names_of(X, name))


def _quantiles(score: Floats, weight: Floats) -> Floats:
    order = np.argsort(score, kind="stable")
    w = weight[order]
    return np.interp(GRID, (w.cumsum() - 0.5 * w) / w.sum(), score[order])
