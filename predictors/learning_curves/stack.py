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
LEAST_ROUNDS, ROWS_PER_ROUND = 40, 20
"""Few rows get few trees: so many, and one more for so many rows."""
MOST_ROWS = 6000
PENALTY = 0.01
FEW_CURVES = 500
"""Curves below which the trees start from a linear combination of point forecasts."""
LEAST_TREES, CURVES_PER_TREE = 5, 8
"""So many trees, and one more for so many curves, where curves are few: cuts of one curve are no new evidence."""
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
    """Location, relative to the last observed value, and scale of the forecast distribution, unit scale.

    Where curves are few, the trees learn what a linear combination of point forecasts (`linear`, least absolute
    deviations) leaves; where they are many, they do better from the last value on.
    """

    location: Any
    linear: tuple[float, ...]
    scale: ScaleTrees
    factor: tuple[float, ...]
    df: float

    @classmethod
    def fit(
        cls, columns: Floats, last: Floats, points: Floats, spans: Floats, outcome: Floats, weight: Floats,
        folds: Codes, *,
        n_categorical: int = 0,
        location_rounds: int, scale_rounds: int, seed: int | None, num_threads: int = 1,
    ) -> Self:  # fmt: skip
        """Learn from rows whose folds keep groups apart.

        Parameters
        ----------
        columns : ndarray of shape (n, p)
            The first `n_categorical` are codes, NaN where unknown.
        last, outcome : ndarrays of shape (n,)
            Last observed and final value, unit scale.
        points : ndarray of shape (n, m)
            Point forecasts, relative to the last observed value.
        spans : ndarray of shape (n, 2)
            Horizon (log of the asked over the last observed budget) and number of points of each case.
        weight : ndarray of shape (n,)
        folds : ndarray of int of shape (n,)
            Residuals of a fold come from fits on the other folds, so that the scale is an honest one.
        """
        common: dict[str, Any] = {"seed": seed, "num_threads": num_threads, "n_categorical": n_categorical}
        target = outcome - last
        few = LEAST_ROUNDS + len(target) // ROWS_PER_ROUND
        location_rounds, scale_rounds = min(location_rounds, few), min(scale_rounds, few)
        terms = _linear_terms(points, spans)
        few_curves = bool(weight.sum() < FEW_CURVES)
        if few_curves:
            few = LEAST_TREES + int(weight.sum()) // CURVES_PER_TREE
            location_rounds, scale_rounds = min(location_rounds, few), min(scale_rounds, few)
        expected = np.empty(len(target))
        for fold in np.unique(folds):
            out = folds == fold
            line = _fit_linear(terms[~out], target[~out], weight[~out], few_curves)
            rest = target[~out] - terms[~out] @ line
            part = _train(columns[~out], rest, weight[~out], location_rounds, **common)
            expected[out] = terms[out] @ line + part.predict(columns[out], num_threads=num_threads)
        residual = target - expected
        extended = np.column_stack([columns, expected])
        log_scale = np.empty(len(target))
        for fold in np.unique(folds):
            out = folds == fold
            part = _train_scale(extended[~out], residual[~out], weight[~out], scale_rounds, **common)
            log_scale[out] = part.predict(extended[out], num_threads)
        factor, df = _calibrate(last + expected, np.exp(log_scale), spans, outcome, weight)
        line = _fit_linear(terms, target, weight, few_curves)
        location = _train(columns, target - terms @ line, weight, location_rounds, **common)
        scale = _train_scale(extended, residual, weight, scale_rounds, **common)
        return cls(location, tuple(float(x) for x in line), scale, factor, df)

    def predict(
        self, columns: Floats, last: Floats, points: Floats, spans: Floats, *, num_threads: int = 1
    ) -> TruncatedT:
        """Distribution of each row."""
        expected = np.asarray(self.location.predict(columns, num_threads=num_threads), dtype=np.float64)
        expected = expected + _linear_terms(points, spans) @ np.asarray(self.linear)
        log_scale = self.scale.predict(np.column_stack([columns, expected]), num_threads)
        widened = log_scale + _factor_columns(spans) @ np.asarray(self.factor)
        scale = np.maximum(np.exp(widened), LEAST_SCALE)
        return TruncatedT(np.clip(last + expected, 0.0, 1.0), scale, self.df)

    def save(self, path: Path, name: str) -> dict[str, Any]:
        """Write the trees as text beside the manifest; return the rest as JSON."""
        for part, booster in (("location", self.location), ("scale", self.scale.booster)):
            (path / f"{name}_{part}.txt").write_text(booster.model_to_string(), "utf-8")
        return {"factor": list(self.factor), "df": self.df, "start": self.scale.start, "linear": list(self.linear)}

    @classmethod
    def load(cls, path: Path, name: str, state: dict[str, Any]) -> Self:
        """Read what `save` wrote."""
        import lightgbm as lgb

        texts = [(path / f"{name}_{part}.txt").read_text("utf-8") for part in ("location", "scale")]
        location, scale = (lgb.Booster(model_str=text) for text in texts)
        return cls(
            location, tuple(state["linear"]), ScaleTrees(scale, state["start"]), tuple(state["factor"]), state["df"]
        )


def _settings(n: int, seed: int | None, num_threads: int) -> dict[str, Any]:
    return {
        "learning_rate": 0.07, "num_leaves": 31, "min_data_in_leaf": max(2, min(200, n // 50)), "max_bin": 63,
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


def _linear_terms(points: Floats, spans: Floats) -> Floats:
    """Point forecasts, and again times the horizon."""
    horizon = np.minimum(spans[:, :1], 6.0) / 3.0
    return np.column_stack([points, points * (horizon - 1.0)])


def _fit_linear(terms: Floats, target: Floats, weight: Floats, wanted: bool) -> Floats:
    """Coefficients of least absolute deviations, slightly shrunk towards the last value; zeros where not `wanted`."""
    if not wanted:
        return np.zeros(terms.shape[1])
    from scipy.optimize import minimize

    share = weight / weight.sum()
    size = terms.std(axis=0) + 1e-6
    scaled = terms / size

    def loss(v: Floats) -> tuple[float, Floats]:
        rest = target - scaled @ v
        smooth = np.sqrt(rest**2 + 1e-6)
        return float(share @ smooth + 1e-4 * v @ v), scaled.T @ (-share * rest / smooth) + 2e-4 * v

    return np.asarray(minimize(loss, np.zeros(terms.shape[1]), jac=True, method="L-BFGS-B").x / size)


def _calibrate(
    location: Floats, scale: Floats, spans: Floats, outcome: Floats, weight: Floats
) -> tuple[tuple[float, ...], float]:
    """Coefficients of the log factor of all scales and degrees of freedom, by maximum likelihood out of fold."""
    from scipy.optimize import minimize

    step = max(1, len(outcome) // MOST_ROWS)
    location, scale, outcome, weight = (a[::step] for a in (location, scale, outcome, weight))
    columns = _factor_columns(spans[::step])
    share = weight / weight.sum()

    def loss(v: Floats) -> float:
        widened = np.maximum(scale * np.exp(columns @ v[:-1]), LEAST_SCALE)
        t = TruncatedT(location, widened, 1.5 + np.exp(np.clip(v[-1], -4, 4)))
        return float(-(share * t.log_density(outcome)).sum() + PENALTY * (v[1:-1] ** 2).sum())

    start = np.r_[np.zeros(columns.shape[1]), np.log(2.5)]
    found = minimize(loss, start, method="L-BFGS-B", options={"maxiter": 60}).x
    return tuple(float(x) for x in found[:-1]), float(1.5 + np.exp(np.clip(found[-1], -4, 4)))


def _factor_columns(spans: Floats) -> Floats:
    """Constant, horizon and number of points (in logarithms, roughly centred), from `spans` (n, 2)."""
    horizon, points = spans.T
    return np.column_stack([np.ones(len(spans)), np.log(horizon + 0.1) - 0.7, np.log(points) - 1.5])
