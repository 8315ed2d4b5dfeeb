"""The thinking-token predictor: pooled location, LightGBM quantile heads, conformal calibration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from predictors.splits import assign_split
from predictors.thinking_tokens.distribution import HEAD_LEVELS, PooledQuantiles, evaluate_curves
from predictors.thinking_tokens.features import TextEmbedding, settings_matrix
from predictors.thinking_tokens.hierarchy import CATEGORIES, PooledLocation
from predictors.thinking_tokens.log_quantiles import Floats, LogQuantilePredictor, complete_censored, save_arrays

__all__ = ["ThinkingTokensPredictor"]

SHAPE_LEVELS = (("model",), ("model", "benchmark"), ("model", "benchmark", "reasoning_effort"))
N_CATEGORIES = len(CATEGORIES)


class ThinkingTokensPredictor(LogQuantilePredictor):
    """Forecasts output tokens (reasoning included) of requests that were not sent yet.

    1. *Location*: intercepts and text slopes, pooled over model, benchmark and effort
       (`hierarchy.PooledLocation`), censored runs completed (`censoring`).
    2. *Heads*: for each of `HEAD_LEVELS`, LightGBM with the quantile objective, boosted from the
       out-of-fold location plus the cell's pooled residual quantile.
    3. *Calibration*: conformal offsets per level and cell on held-out queries, shrunk towards the overall
       ones (`predictors.conformal`); a factor per cell for the mean, so that bills add up.

    Parameters
    ----------
    n_estimators, learning_rate, num_leaves, min_child_samples : int, float
        LightGBM, of each head.
    n_components : int
        Dimensions of each of the two TF-IDF parts.
    slope_penalty, intercept_penalty : float
        See `PooledLocation`.
    n_folds : int
        Folds, by query, of the out-of-fold location.
    calibration_share : float
        Share of the queries held out for calibration.
    num_threads : int
        Threads of LightGBM.
    random_state : int, optional
        Seed of everything random.
    """

    def __init__(
        self,
        *,
        n_estimators: int = 80,
        learning_rate: float = 0.05,
        num_leaves: int = 8,
        min_child_samples: int = 40,
        n_components: int = 150,
        slope_penalty: float = 8.0,
        intercept_penalty: float = 2.0,
        n_folds: int = 5,
        calibration_share: float = 0.2,
        num_threads: int = 1,
        random_state: int | None = 0,
    ) -> None:
        self.n_estimators = n_estimators
        self.learning_rate = learning_rate
        self.num_leaves = num_leaves
        self.min_child_samples = min_child_samples
        self.n_components = n_components
        self.slope_penalty = slope_penalty
        self.intercept_penalty = intercept_penalty
        self.n_folds = n_folds
        self.calibration_share = calibration_share
        self.num_threads = num_threads
        self.random_state = random_state

    # -- fitting -------------------------------------------------------------------------------------
    def _fit_heads(
        self, X: pd.DataFrame, z: Floats, is_censored: NDArray[np.bool_], weight: Floats, groups: pd.Series
    ) -> None:
        texts = X["prompt_text"] if "prompt_text" in X else pd.Series(None, index=X.index, dtype=object)
        known = sorted(set(texts.dropna()))
        self.embedding_ = TextEmbedding(n_components=self.n_components, random_state=self.random_state).fit(known)
        embedded = self._embed(X)
        self.location_ = self._new_location().prepare(X, embedded, weight)
        expected, self.residuals_, _ = complete_censored(z, is_censored, self.location_, weight)
        self.location_.release()
        self.categories_ = {
            name: sorted(X[name].dropna().unique().tolist()) if name in X else [] for name in CATEGORIES
        }
        base, text = self._out_of_fold(X, embedded, expected, weight, groups)
        location = base + text
        whole = self._completed_at(location, z, is_censored)
        self.shapes_ = PooledQuantiles(SHAPE_LEVELS).fit(X, whole - location, weight)
        codes, curves = self.shapes_.lookup(X)
        starts = location[:, None] + evaluate_curves(curves, np.array(HEAD_LEVELS))[codes]
        self._boost(self._columns(X, embedded, base, text), whole, starts, weight)

    def _new_location(self) -> PooledLocation:
        return PooledLocation(intercept_penalty=self.intercept_penalty, slope_penalty=self.slope_penalty)

    def _completed_at(self, location: Floats, z: Floats, is_censored: NDArray[np.bool_]) -> Floats:
        if self.residuals_ is None:
            return z
        return np.where(is_censored, location + self.residuals_.draw_beyond(z - location, self.rng_draws_), z)

    def _out_of_fold(
        self, X: pd.DataFrame, embedded: Floats, z: Floats, weight: Floats, groups: pd.Series
    ) -> tuple[Floats, Floats]:
        """Intercept and text effect of each training row, from fits that have not seen its query."""
        fractions = {str(fold): 1 / self.n_folds for fold in range(self.n_folds)}
        folds = assign_split(groups, fractions=fractions, salt="fold").to_numpy()
        base, text = np.empty(len(X)), np.empty(len(X))
        for fold in np.unique(folds):
            out = folds == fold
            rest = ~out if (~out).any() else out
            location = self._new_location().prepare(X[rest], embedded[rest], weight[rest])
            location.fit(z[rest])
            base[out] = location.intercept(X[out])
            text[out] = location.text_effect(X[out], embedded[out])
        return base, text

    def _boost(self, columns: Floats, z: Floats, starts: Floats, weight: Floats) -> None:
        import lightgbm as lgb

        parameters = {
            "objective": "quantile",
            "learning_rate": self.learning_rate,
            "num_leaves": self.num_leaves,
            "min_child_samples": self.min_child_samples,
            "feature_fraction": 0.6,
            "bagging_fraction": 0.7,
            "bagging_freq": 1,
            "lambda_l2": 1.0,
            "num_threads": self.num_threads,
            "seed": self.random_state,
            "deterministic": True,
            "force_row_wise": True,
            "verbosity": -1,
        }
        data = lgb.Dataset(
            columns, z, weight=weight, categorical_feature=list(range(N_CATEGORIES)), free_raw_data=False,
            params=parameters,
        )  # fmt: skip
        self.boosters_ = []
        for level, start in zip(HEAD_LEVELS, starts.T, strict=True):
            data.set_init_score(np.ascontiguousarray(start))
            self.boosters_.append(lgb.train({**parameters, "alpha": level}, data, self.n_estimators))

    # -- forecasts -----------------------------------------------------------------------------------
    def _embed(self, X: pd.DataFrame) -> Floats:
        if "prompt_text" not in X:
            return np.zeros((len(X), self.embedding_.n_features))
        return self.embedding_.transform(X["prompt_text"].tolist())

    def _columns(self, X: pd.DataFrame, embedded: Floats, base: Floats, text: Floats) -> Floats:
        """Columns of the heads: categories first, then what is numeric."""
        codes = []
        for name in CATEGORIES:
            position = {value: float(i) for i, value in enumerate(self.categories_[name])}
            values = X[name].astype(object) if name in X else pd.Series(None, index=X.index, dtype=object)
            codes.append(np.array([position.get(value, np.nan) for value in values], dtype=np.float64))
        return np.column_stack([*codes, base, text, settings_matrix(X), embedded])

    def _location(self, X: pd.DataFrame) -> Floats:
        return self.location_.intercept(X) + self.location_.text_effect(X, self._embed(X))

    def _heads(self, X: pd.DataFrame) -> tuple[Floats, NDArray[np.intp], Floats]:
        embedded = self._embed(X)
        base, text = self.location_.intercept(X), self.location_.text_effect(X, embedded)
        codes, curves = self.shapes_.lookup(X)
        columns = self._columns(X, embedded, base, text)
        starts = (base + text)[:, None] + evaluate_curves(curves, np.array(HEAD_LEVELS))[codes]
        learnt = [np.asarray(b.predict(columns, num_threads=self.num_threads)) for b in self.boosters_]
        return starts + np.column_stack(learnt), codes, curves

    # -- persistence ---------------------------------------------------------------------------------
    def _save(self, path: Path) -> dict[str, Any]:
        location, arrays = self.location_.state()
        save_arrays(path / "location.safetensors", arrays)
        shapes, arrays = self.shapes_.state()
        save_arrays(path / "shapes.safetensors", arrays)
        for i, booster in enumerate(self.boosters_):
            (path / f"head_{i}.txt").write_text(booster.model_to_string(), "utf-8")
        return {
            "embedding": self.embedding_.save(path / "embedding.safetensors"),
            "location": location,
            "shapes": shapes,
            "categories": self.categories_,
            **self._calibration_state(),
        }

    def _load(self, path: Path, state: dict[str, Any]) -> None:
        import lightgbm as lgb
        from safetensors.numpy import load_file

        self.embedding_ = TextEmbedding.load(path / "embedding.safetensors", state["embedding"])
        self.location_ = PooledLocation.from_state(state["location"], load_file(path / "location.safetensors"))
        self.shapes_ = PooledQuantiles.from_state(state["shapes"], load_file(path / "shapes.safetensors"))
        texts = [(path / f"head_{i}.txt").read_text("utf-8") for i in range(len(HEAD_LEVELS))]
        self.boosters_ = [lgb.Booster(model_str=text) for text in texts]
        self.categories_ = state["categories"]
        self._load_calibration(state)
