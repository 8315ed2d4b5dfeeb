"""One head of the stack: LightGBM for the end of the curve and for how far it may be off, calibrated out of fold."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from predictors.learning_curves.density import LEAST_SCALE, TruncatedT

__all__ = ["ScaleTrees", "StackHead"]

Floats: TypeAlias = NDArray[np.float64]
Codes: TypeAlias = NDArray[np.intp]
BOOST_DF = 4.0
"""Degrees of freedom while the scale is learnt; they are fitted afterwards."""


@dataclass(frozen=True)
class ScaleTrees:
    """Boosted log scale: trees around the constant `start`."""

    booster: Any
    start: float

    def predict(self, columns: Floats, num_threads: int) -> Floats:
        """Log scale of each row."""
        return np.asarray(self.booster.predict(columns, num_threads=num_threads), dtype=np.float64) + self.start


@dataclass(frozen=True)
class StackHead:
    """Location, relative to the last observed value, and scale of the forecast distribution, unit scale."""

    location: Any
    scale: ScaleTrees
    factor: float
    df: float

    @classmethod
    def fit(
        cls, columns: Floats, last: Floats, outcome: Floats, weight: Floats, folds: Codes, *, n_categorical: int = 0,
        location_rounds: int, scale_rounds: int, seed: int | None, num_threads: int = 1,
    ) -> Self:  # fmt: skip
        """Learn from rows whose folds keep groups apart.

        Parameters
        ----------
        columns : ndarray of shape (n, p)
            The first `n_categorical` are codes, NaN where unknown.
        last, outcome : ndarrays of shape (n,)
            Last observed and final value, unit scale.
        weight : ndarray of shape (n,)
        folds : ndarray of int of shape (n,)
            Residuals of a fold come from fits on the other folds, so that the scale is an honest one.
        """
        common: dict[str, Any] = {"seed": seed, "num_threads": num_threads, "n_categorical": n_categorical}
        target = outcome - last
        expected = np.empty(len(target))
        for fold in np.unique(folds):
            out = folds == fold
            part = _train(columns[~out], target[~out], weight[~out], location_rounds, **common)
            expected[out] = part.predict(columns[out], num_threads=num_threads)
        residual = target - expected
        extended = np.column_stack([columns, expected])
        log_scale = np.empty(len(target))
        for fold in np.unique(folds):
            out = folds == fold
            part = _train_scale(extended[~out], residual[~out], weight[~out], scale_rounds, **common)
            log_scale[out] = part.predict(extended[out], num_threads)
        factor, df = _calibrate(last + expected, np.exp(log_scale), outcome, weight)
        location = _train(columns, target, weight, location_rounds, **common)
        scale = _train_scale(extended, residual, weight, scale_rounds, **common)
        return cls(location, scale, factor, df)

    def predict(self, columns: Floats, last: Floats, *, num_threads: int = 1) -> TruncatedT:
        """Distribution of each row."""
        expected = np.asarray(self.location.predict(columns, num_threads=num_threads), dtype=np.float64)
        log_scale = self.scale.predict(np.column_stack([columns, expected]), num_threads)
        scale = np.maximum(self.factor * np.exp(log_scale), LEAST_SCALE)
        return TruncatedT(np.clip(last + expected, 0.0, 1.0), scale, self.df)

    def save(self, path: Path, name: str) -> dict[str, Any]:
        """Write the trees as text beside the manifest; return the rest as JSON."""
        for part, booster in (("location", self.location), ("scale", self.scale.booster)):
            (path / f"{name}_{part}.txt").write_text(booster.model_to_string(), "utf-8")
        return {"factor": self.factor, "df": self.df, "start": self.scale.start}

    @classmethod
    def load(cls, path: Path, name: str, state: dict[str, Any]) -> Self:
        """Read what `save` wrote."""
        import lightgbm as lgb

        texts = [(path / f"{name}_{part}.txt").read_text("utf-8") for part in ("location", "scale")]
        location, scale = (lgb.Booster(model_str=text) for text in texts)
        return cls(location, ScaleTrees(scale, state["start"]), state["factor"], state["df"])


def _settings(n: int, seed: int | None, num_threads: int) -> dict[str, Any]:
    return {
        "learning_rate": 0.06, "num_leaves": 31, "min_data_in_leaf": max(2, min(40, n // 20)), "max_bin": 63,
        "feature_fraction": 0.5, "bagging_fraction": 0.7, "bagging_freq": 1, "lambda_l2": 1.0, "extra_trees": True,
        "seed": seed, "num_threads": num_threads, "deterministic": True, "force_row_wise": True, "verbosity": -1,
        "feature_pre_filter": False,
    }  # fmt: skip


def _train(
    columns: Floats, target: Floats, weight: Floats, rounds: int, *, seed: int | None, num_threads: int,
    n_categorical: int,
) -> Any:  # fmt: skip
    import lightgbm as lgb

    settings = {**_settings(len(target), seed, num_threads), "objective": "l1"}
    data = lgb.Dataset(columns, target, weight=weight, params=settings, categorical_feature=list(range(n_categorical)))
    return lgb.train(settings, data, rounds)


def _train_scale(
    columns: Floats, residual: Floats, weight: Floats, rounds: int, *, seed: int | None, num_threads: int,
    n_categorical: int,
) -> ScaleTrees:  # fmt: skip
    """Boost the log scale of a Student t of which the residuals are draws (maximum likelihood)."""
    import lightgbm as lgb

    start = float(np.log(np.average(np.abs(residual), weights=weight) + 1e-4))
    squares = residual**2

    def objective(raw: Floats, _: Any) -> tuple[Floats, Floats]:
        variance = BOOST_DF * np.exp(2 * (raw + start))
        share = squares / (variance + squares)
        gradient = 1.0 - (BOOST_DF + 1) * share
        curvature = 2 * (BOOST_DF + 1) * share * (1 - share) + 0.05
        return gradient * weight, curvature * weight

    settings = {**_settings(len(residual), seed, num_threads), "objective": objective, "num_leaves": 15}
    data = lgb.Dataset(columns, residual, params=settings, categorical_feature=list(range(n_categorical)))
    return ScaleTrees(lgb.train(settings, data, rounds), start)


def _calibrate(location: Floats, scale: Floats, outcome: Floats, weight: Floats) -> tuple[float, float]:
    """Factor of all scales and degrees of freedom by maximum likelihood out of fold."""
    from scipy.optimize import minimize

    share = weight / weight.sum()
    step = max(1, len(outcome) // 20_000)

    def loss(v: Floats) -> float:
        t = TruncatedT(location[::step], np.maximum(scale[::step] * np.exp(v[0]), LEAST_SCALE), 1.5 + np.exp(v[1]))
        return float(-(share[::step] * t.log_density(outcome[::step])).sum())

    found = minimize(loss, np.array([0.0, np.log(2.5)]), method="Nelder-Mead", options={"maxiter": 120}).x
    return float(np.exp(found[0])), float(1.5 + np.exp(np.clip(found[1], -4, 4)))
