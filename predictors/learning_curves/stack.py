"""One head of the stack: LightGBM for the end of the curve and for how far it may be off, calibrated out of fold."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from ..arrays import Codes, Floats
from ..fitting.boosting import lightgbm_parameters, train_boosters
from ..fitting.trees import SavedBooster
from .density import ScaleModel, TruncatedT

LEAST_ROUNDS, ROWS_PER_ROUND = 40, 20
"""Few rows get few trees: so many, and one more for so many rows."""
FEW_CURVES = 500
"""Curves below which the trees start from a linear combination of point forecasts."""
LEAST_TREES, CURVES_PER_TREE = 5, 8
"""So many trees, and one more for so many curves, where curves are few: cuts of one curve are no new evidence."""
BOOST_DF = 4.0
"""Degrees of freedom while the scale is learnt; they are fitted afterwards."""


@dataclass(frozen=True)
class StackHead:
    """Location, relative to the last observed value, and scale of the forecast distribution, unit scale.

    Where curves are few, the trees learn what a linear combination of point forecasts (`linear`, least absolute
    deviations) leaves; where they are many, they do better from the last value on.
    """

    location: Any
    linear: tuple[float, ...]
    scale: Any
    start: float
    calibration: ScaleModel

    @classmethod
    def fit(
        cls, columns: Floats, last: Floats, points: Floats, spans: Floats, outcome: Floats, weight: Floats,
        folds: Codes, *,
        n_categorical: int = 0, spread_weight: Floats | None = None,
        location_rounds: int, scale_rounds: int, seed: int | None, num_threads: int = 1,
    ) -> Self:  # fmt: skip
        """Learn from rows whose folds keep groups apart.

        `columns` (n, p): the first `n_categorical` are codes, NaN where unknown. `last`, `outcome` (n,): last observed
        and final value, unit scale, which outcomes of runs may leave. `points` (n, m): point forecasts, relative to the
        last observed value. `spans`: as of a `CurveBatch`. Residuals of a fold come from fits on the other `folds`, so
        that the scale is an honest one. Where the location's weights follow from the outcome, `spread_weight` (n,) does
        not: the scale is learnt with it, for either side, and widened for folds that differ, and the trees start from
        the linear combination however many curves there are.
        """
        common: dict[str, Any] = {"seed": seed, "num_threads": num_threads, "n_categorical": n_categorical}
        inside = np.clip(outcome, 0.0, 1.0)
        target = inside - last
        most = LEAST_ROUNDS + len(target) // ROWS_PER_ROUND
        terms = _linear_terms(points, spans)
        is_linear = spread_weight is not None
        if weight.sum() < FEW_CURVES:
            is_linear, most = True, min(most, LEAST_TREES + int(weight.sum()) // CURVES_PER_TREE)
        location_rounds, scale_rounds = min(location_rounds, most), min(scale_rounds, most)
        expected = np.empty(len(target))
        for fold in np.unique(folds):
            out = folds == fold
            line = _fit_linear(terms[~out], target[~out], weight[~out], is_linear)
            rest = target[~out] - terms[~out] @ line
            part = _train(columns[~out], rest, weight[~out], location_rounds, **common)
            expected[out] = terms[out] @ line + part.predict(columns[out], num_threads=num_threads)
        residual, even = target - expected, weight if spread_weight is None else spread_weight
        extended = np.column_stack([columns, expected])
        log_scale = np.empty(len(target))
        for fold in np.unique(folds):
            out = folds == fold
            part, start = _train_scale(extended[~out], residual[~out], even[~out], scale_rounds, **common)
            log_scale[out] = start + part.predict(extended[out], num_threads=num_threads)
        read = _scale_columns(log_scale, spans), last + expected
        calibration = ScaleModel.fit(*read, inside, even, is_skewed=spread_weight is not None)
        if spread_weight is not None:
            calibration = calibration.widened(*read, outcome, folds)
        line = _fit_linear(terms, target, weight, is_linear)
        location = _train(columns, target - terms @ line, weight, location_rounds, **common)
        scale, start = _train_scale(extended, residual, even, scale_rounds, **common)
        return cls(location, tuple(float(x) for x in line), scale, start, calibration)

    def predict(
        self, columns: Floats, last: Floats, points: Floats, spans: Floats, *, num_threads: int = 1
    ) -> TruncatedT:
        """Distribution of each row, unit scale; arguments of shape (n, ...) as of `fit`."""
        expected = np.asarray(self.location.predict(columns, num_threads=num_threads), dtype=np.float64)
        expected = expected + _linear_terms(points, spans) @ np.asarray(self.linear)
        log_scale = self.scale.predict(np.column_stack([columns, expected]), num_threads=num_threads) + self.start
        return self.calibration.at(_scale_columns(log_scale, spans), np.clip(last + expected, 0.0, 1.0))

    def save(self, path: Path, name: str) -> dict[str, Any]:
        """Write the trees as text beside the manifest; return the rest as JSON."""
        for part, booster in (("location", self.location), ("scale", self.scale)):
            (path / f"{name}_{part}.txt").write_text(booster.model_to_string(), "utf-8")
        return {"calibration": self.calibration.state(), "start": self.start, "linear": list(self.linear)}

    @classmethod
    def load(cls, path: Path, name: str, state: dict[str, Any]) -> Self:
        """Read what `save` wrote."""
        texts = [(path / f"{name}_{part}.txt").read_text("utf-8") for part in ("location", "scale")]
        location, scale = map(SavedBooster, texts)
        calibration = ScaleModel.from_state(state["calibration"])
        return cls(location, tuple(state["linear"]), scale, state["start"], calibration)


def group_folds(groups: Codes, most: int, rng: np.random.Generator) -> Codes:
    """A fold for every group, as even as can be, of `groups` (n,) as codes; at most so many."""
    n_groups = int(groups.max()) + 1
    return np.asarray((rng.permutation(n_groups) % min(most, n_groups))[groups], dtype=np.intp)


def _settings(n: int, **changes: Any) -> dict[str, Any]:
    leaf = {"min_data_in_leaf": max(2, min(200, n // 50)), "feature_pre_filter": False}
    trees = {"learning_rate": 0.07, "num_leaves": 31, "feature_fraction": 0.5, "extra_trees": True}
    return lightgbm_parameters(**{**trees, **leaf, **changes})


def _train(columns: Floats, target: Floats, weight: Floats, rounds: int, *, n_categorical: int, **common: Any) -> Any:
    settings = _settings(len(target), objective="l1", **common)
    return train_boosters(columns, target, weight, None, [settings], n_rounds=rounds, n_categorical=n_categorical)[0]


def _train_scale(
    columns: Floats, residual: Floats, weight: Floats, rounds: int, *, n_categorical: int, **common: Any
) -> tuple[Any, float]:
    """Boost the log scale of a Student t of which the residuals are draws (maximum likelihood), around a constant."""
    start = float(np.log(np.average(np.abs(residual), weights=weight) + 1e-4))
    squares = residual**2

    def objective(raw: Floats, _: Any) -> tuple[Floats, Floats]:
        variance = BOOST_DF * np.exp(2 * (raw + start))
        share = squares / (variance + squares)
        gradient = 1.0 - (BOOST_DF + 1) * share
        curvature = 2 * (BOOST_DF + 1) * share * (1 - share) + 0.05
        return gradient * weight, curvature * weight

    settings = _settings(len(residual), objective=objective, **{**common, "num_leaves": 15})
    (booster,) = train_boosters(columns, residual, None, None, [settings], n_rounds=rounds, n_categorical=n_categorical)
    return booster, start


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


def _scale_columns(log_scale: Floats, spans: Floats) -> Floats:
    """Constant, `log_scale` (n,), horizon and number of points (logarithms, roughly centred) of `spans` (n, 2)."""
    horizon, points = spans.T
    return np.column_stack([np.ones(len(spans)), log_scale, np.log(horizon + 0.1) - 0.7, np.log(points) - 1.5])
