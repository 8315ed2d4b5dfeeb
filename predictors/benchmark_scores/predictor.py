"""The benchmark-score predictor: experts stacked out of fold, calibrated over leak groups, bounded to 0-100."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from predictors.base import BasePredictor
from predictors.benchmark_scores.calibration import ResidualCurve, ResidualScale
from predictors.benchmark_scores.components import Components, Parts, Rows, group_weights
from predictors.benchmark_scores.evidence import KnownScores, known_sets, simulate_evidence
from predictors.benchmark_scores.factors import ResidualFactors
from predictors.benchmark_scores.features import MODEL_COLUMNS, BenchmarkFeatures, benchmark_rows, model_matrix
from predictors.benchmark_scores.leakage import assign_folds
from predictors.benchmark_scores.requests import plainly_valid
from predictors.benchmark_scores.scale import from_logit, to_logit
from predictors.benchmark_scores.stack import EXPERTS, Stack
from predictors.errors import InvalidInputError
from predictors.schemas.descriptions import ScoreRequests

__all__ = ["BenchmarkScorePredictor"]

Floats = NDArray[np.float64]
Codes = NDArray[np.intp]
WITHOUT_SHOTS = [i for i, name in enumerate(MODEL_COLUMNS) if name != "n_shot"]


class BenchmarkScorePredictor(BasePredictor):
    """Forecasts scores (0-100 points) of models on benchmarks that are described in words.

    1. *Experts*: three routes to a benchmark's effect plus model effects, and a direct LightGBM (`components`).
    2. *Stack*: weights by out-of-fold error over leak groups (`stack`).
    3. *Spread*: scale of the out-of-fold residuals (`calibration.ResidualScale`) and their conformal quantiles over
       leak groups, all on the logit scale: no forecast leaves 0-100.
    4. *Known scores*: where other models already ran on the benchmark, a low-rank factorisation of the residuals moves
       and narrows the forecast (`factors`), with a calibration of its own.

    A benchmark of which nothing is known (no text in a known word, no structure) or whose metric or answer format was
    never seen gets the spread of all benchmarks around the model's record.

    Parameters
    ----------
    experts : tuple of str
        Which of `stack.EXPERTS` may have weight.
    use_text : bool
        Use the words of the description; without them only the structure is used.
    use_counts : bool
        Use `n_items`, which redaction forbids: only to show what the rule costs.
    use_sentences : bool
        Use sentence embeddings of the description, which need the extra ``embeddings``.
    n_folds : int
        Folds, by leak group, of the out-of-fold forecasts.
    forest_rounds, response_rounds, direct_rounds : int
        Trees of each LightGBM.
    rank : int
        Factors of the residuals over models.
    scale_damping : float
        How far the scale of residuals follows LightGBM (1) rather than a constant (0).
    scale_rounds : int
        Trees of the scale of residuals.
    num_threads : int
        Threads of LightGBM.
    random_state : int, optional
        Seed of everything random.
    """

    family: ClassVar[str] = "benchmark_scores"
    input_schema = ScoreRequests

    def __init__(
        self,
        *,
        experts: tuple[str, ...] = EXPERTS,
        use_text: bool = True,
        use_counts: bool = False,
        use_sentences: bool = False,
        n_folds: int = 4,
        forest_rounds: int = 200,
        response_rounds: int = 100,
        direct_rounds: int = 200,
        rank: int = 4,
        scale_damping: float = 0.7,
        scale_rounds: int = 60,
        num_threads: int = 1,
        random_state: int | None = 0,
    ) -> None:
        self.experts = experts
        self.use_text = use_text
        self.use_counts = use_counts
        self.use_sentences = use_sentences
        self.n_folds = n_folds
        self.forest_rounds = forest_rounds
        self.response_rounds = response_rounds
        self.direct_rounds = direct_rounds
        self.rank = rank
        self.scale_damping = scale_damping
        self.scale_rounds = scale_rounds
        self.num_threads = num_threads
        self.random_state = random_state

    # -- fitting -------------------------------------------------------------------------------------
    def _fit(self, X: pd.DataFrame, y: pd.Series, groups: pd.Series, is_censored: pd.Series) -> None:
        score = self._checked(y, groups, is_censored)
        labels = groups.astype("str")
        rows = self._training_rows(X, labels)
        z = to_logit(score)
        weight = group_weights(rows.groups)[rows.benchmark]
        folds = self._folds(labels)
        self.components_ = self._new(rows).fit(rows, z)
        parts = self._out_of_fold(rows, z, folds)
        self.stack_ = Stack.fit(parts, score, weight, self.experts)
        location = self.stack_.location(parts)
        residuals = z - location
        self._fit_spread(rows, parts, location, residuals, folds, weight)
        record = z - parts.mean - parts.model
        self.blank_curve_ = ResidualCurve.fit(record, _per_group(rows))
        gap = self.components_.model_effects - self.components_.prior_effects(rows.metadata)
        self.unseen_model_deviation_ = float(np.sqrt(np.average(gap**2, weights=self.components_.model_runs)))
        self._fit_factors(rows, residuals, folds)

    def _checked(self, y: pd.Series, groups: pd.Series, is_censored: pd.Series) -> Floats:
        score = y.to_numpy(dtype=np.float64)
        outside = (score < 0) | (score > 100)
        if outside.any():
            raise InvalidInputError(f"`y` must be scores in [0, 100] points, got {float(score[outside][0])}")
        if is_censored.any():
            raise InvalidInputError("`is_censored` must be False: a benchmark score is no lower bound")
        unknown = sorted(set(self.experts) - set(EXPERTS))
        if unknown or not self.experts:
            raise InvalidInputError(f"`experts` must be some of {list(EXPERTS)}, got {list(self.experts)}")
        if groups.nunique() < 3:
            raise InvalidInputError(f"`groups` must name 3 leak groups or more, got {groups.nunique()}")
        return score

    def _training_rows(self, X: pd.DataFrame, labels: pd.Series) -> Rows:
        """Rows as arrays; two groups that describe a benchmark in the same words are two benchmarks."""
        described = X.assign(**{"_group": labels})
        benchmarks, codes = benchmark_rows(described, ["_group", "n_items"])
        groups = pd.factorize(benchmarks["_group"])[0]
        names = X["model"].fillna("").astype("str") if "model" in X else pd.Series("", index=X.index)
        models, unique = pd.factorize(names)
        self.models_ = [str(name) for name in unique]
        features = model_matrix(X)
        self.metadata_ = features[np.unique(models, return_index=True)[1]].copy()
        return Rows(benchmarks, groups, self.metadata_, codes, models, features)

    def _folds(self, labels: pd.Series) -> Codes:
        n = max(2, min(self.n_folds, labels.nunique()))
        return assign_folds(labels, n, salt=f"inner:{self.random_state}").to_numpy()

    def _new(self, rows: Rows) -> Components:
        known = rows.benchmarks.iloc[np.unique(rows.benchmark)]
        features = BenchmarkFeatures(
            use_text=self.use_text, use_counts=self.use_counts, use_sentences=self.use_sentences
        ).fit(known)
        return Components(
            features, with_routes=set(self.experts) != {"direct"}, forest_rounds=self.forest_rounds,
            response_rounds=self.response_rounds,
            direct_rounds=self.direct_rounds, num_threads=self.num_threads, seed=self.random_state,
        )  # fmt: skip

    def _out_of_fold(self, rows: Rows, z: Floats, folds: Codes) -> Parts:
        """Forecast parts of each training row from a fit that has not seen its leak group."""
        columns: Floats | None = None
        for fold in np.unique(folds):
            out = folds == fold
            some = self._new(rows.take(~out)).fit(rows.take(~out), z[~out], kernel_from=self.components_)
            found = some.predict(rows.take(out)).stacked()
            if columns is None:
                columns = np.empty((len(z), found.shape[1]))
            columns[out] = found
        assert columns is not None
        return Parts.from_columns(columns)

    def _fit_spread(
        self, rows: Rows, parts: Parts, location: Floats, residuals: Floats, folds: Codes, weight: Floats
    ) -> None:
        columns = self._scale_columns(rows, parts, location, self.components_)
        scale = np.empty(len(residuals))
        for fold in np.unique(folds):  # a scale that has seen a residual would flatter it
            out = folds == fold
            scale[out] = self._new_scale(columns[~out], residuals[~out], weight[~out]).predict(columns[out])
        self.scale_ = self._new_scale(columns, residuals, weight)
        self.curve_ = ResidualCurve.fit(residuals / scale, _per_group(rows))

    def _new_scale(self, columns: Floats, residuals: Floats, weight: Floats) -> ResidualScale:
        return ResidualScale.fit(
            columns, residuals, weight, damping=self.scale_damping, rounds=self.scale_rounds,
            num_threads=self.num_threads, seed=self.random_state,
        )  # fmt: skip

    def _scale_columns(self, rows: Rows, parts: Parts, location: Floats, components: Components) -> Floats:
        structure = components.features.matrix(rows.benchmarks)[rows.benchmark]
        return np.column_stack(
            [location, parts.deviation, self.stack_.disagreement(parts), parts.model, structure, rows.features]
        )

    def _fit_factors(self, rows: Rows, residuals: Floats, folds: Codes) -> None:
        metadata = rows.metadata[:, WITHOUT_SHOTS]
        weights = group_weights(rows.groups)
        settings: dict[str, Any] = {"rank": self.rank, "weights": weights}
        standardised, where = [], []
        for fold in np.unique(folds):
            out = folds == fold
            factors = ResidualFactors.fit(residuals[~out], rows.benchmark[~out], rows.model[~out], metadata, **settings)
            at = np.flatnonzero(out)
            found, positions = simulate_evidence(factors, residuals[at], rows.benchmark[at], rows.model[at],
                                                 seed=self.random_state)  # fmt: skip
            standardised.append(found)
            where.append(at[positions])
        self.factors_ = ResidualFactors.fit(residuals, rows.benchmark, rows.model, metadata, **settings)
        told, chosen = np.concatenate(standardised), np.concatenate(where)
        self.evidence_curve_ = ResidualCurve.fit(told, _per_group(rows.take(chosen))) if len(told) else self.curve_

    def _validate(self, X: pd.DataFrame) -> pd.DataFrame:
        plain = plainly_valid(X)
        return super()._validate(X) if plain is None else plain

    # -- forecasts -----------------------------------------------------------------------------------
    def _predict_quantiles(self, X: pd.DataFrame, levels: NDArray[np.float64]) -> NDArray[np.float64]:
        rows = self._request_rows(X)
        location, scale, is_blank = self._located(rows)
        offsets = np.where(is_blank[:, None], self.blank_curve_.at(levels), self.curve_.at(levels))
        z = location[:, None] + scale[:, None] * offsets
        known = list(known_sets(X, rows.benchmark, self.models_))
        if known:
            curve = self.evidence_curve_.at(levels)
            for at, shift, deviation in self._told(rows, known):
                z[at] = (location[at] + shift)[:, None] + deviation[:, None] * curve
        return from_logit(z)

    def _request_rows(self, X: pd.DataFrame) -> Rows:
        benchmarks, codes = benchmark_rows(X, ["n_items"])
        place = {name: i for i, name in enumerate(self.models_)}
        names = X["model"].fillna("").astype("str") if "model" in X else pd.Series("", index=X.index)
        models = np.array([place.get(name, -1) for name in names], dtype=np.intp)
        return Rows(benchmarks, np.arange(len(benchmarks)), self.metadata_, codes, models, model_matrix(X))

    def _located(self, rows: Rows) -> tuple[Floats, Floats, NDArray[np.bool_]]:
        """Location, scale and whether nothing is known of the benchmark, of every row."""
        parts = self.components_.predict(rows)
        location = self.stack_.location(parts)
        scale = self.scale_.predict(self._scale_columns(rows, parts, location, self.components_))
        is_blank = self.components_.is_blank(rows.benchmarks)[rows.benchmark]
        location = np.where(is_blank, parts.mean + parts.model, location)
        scale = np.where(is_blank, 1.0, scale)
        unseen = rows.model < 0
        return location, np.where(unseen, np.hypot(scale, self.unseen_model_deviation_), scale), is_blank

    def _told(self, rows: Rows, known: list[KnownScores]) -> Iterator[tuple[Codes, Floats, Floats]]:
        """Rows, shift and deviation that each set of known scores gives the other rows of its benchmark."""
        models = np.concatenate([k.models for k in known])
        benchmarks = np.repeat([k.benchmark for k in known], [len(k.models) for k in known])
        others = Rows(rows.benchmarks, rows.groups, self.metadata_, benchmarks, models, self.metadata_[models])
        residuals = to_logit(np.concatenate([k.scores for k in known])) - self._located(others)[0]
        start = 0
        for k in known:
            n = len(k.models)
            codes = np.concatenate([k.models, rows.model[k.rows]])
            metadata = np.vstack([self.metadata_[k.models], rows.features[k.rows]])[:, WITHOUT_SHOTS]
            loadings, variance = self.factors_.of_models(codes, metadata)
            shift, deviation = ResidualFactors.update(loadings, variance, np.arange(n), residuals[start : start + n])
            yield k.rows, shift[n:], deviation[n:]
            start += n

    def score_covariance(self, X: pd.DataFrame) -> Floats:
        """Covariance of the scores of all rows on the logit scale, shape (n_samples, n_samples).

        What is unexplained of two models on one benchmark covaries through their factors; across benchmarks,
        as far as the process finds their descriptions alike. For `information.value_of_information`.
        """
        self._check_fitted()
        rows = self._request_rows(self._validate(X))
        loadings, variance = self.factors_.of_models(rows.model, rows.features[:, WITHOUT_SHOTS])
        alike = np.eye(len(rows.benchmarks))
        if self.components_.with_routes:
            alike = self.components_.process.covariance(rows.benchmarks, rows.groups)
            deviation = np.sqrt(np.diag(alike))
            alike = alike / deviation[:, None] / deviation
        shared = alike[np.ix_(rows.benchmark, rows.benchmark)] * (loadings @ loadings.T)
        return np.asarray(shared + np.diag(variance))

    # -- persistence ---------------------------------------------------------------------------------
    def _save(self, path: Path) -> dict[str, Any]:
        from safetensors.numpy import save_file

        components, arrays, texts = self.components_.state()
        features, feature_arrays = self.components_.features.state()
        scale, texts["scale"] = self.scale_.state()
        arrays |= feature_arrays | {f"factors.{name}": a for name, a in self.factors_.arrays().items()}
        curves = {name: getattr(self, f"{name}_").offsets for name in ("curve", "evidence_curve", "blank_curve")}
        arrays |= curves | {"metadata": self.metadata_}
        save_file({name: np.ascontiguousarray(a) for name, a in arrays.items()}, path / "arrays.safetensors")
        for name, text in texts.items():
            (path / f"{name}.txt").write_text(text, "utf-8")
        return {
            "components": components,
            "features": features,
            "scale": scale,
            "stack": self.stack_.state(),
            "models": self.models_,
            "trees": sorted(set(texts) - {"scale"}),
            "unseen_model_deviation": self.unseen_model_deviation_,
            "typical_variance": self.factors_.typical_variance,
        }

    def _load(self, path: Path, state: dict[str, Any]) -> None:
        from safetensors.numpy import load_file

        arrays = load_file(path / "arrays.safetensors")
        texts = {name: (path / f"{name}.txt").read_text("utf-8") for name in (*state["trees"], "scale")}
        features = BenchmarkFeatures.from_state(state["features"], arrays)
        self.scale_ = ResidualScale.from_state(state["scale"], texts.pop("scale"))
        self.components_ = Components.from_state(features, state["components"], arrays, texts)
        self.stack_ = Stack.from_state(state["stack"])
        own = {name[8:]: a for name, a in arrays.items() if name.startswith("factors.")}
        self.factors_ = ResidualFactors.from_state({"typical_variance": state["typical_variance"]}, own)
        self.curve_, self.evidence_curve_, self.blank_curve_ = (
            ResidualCurve(arrays[name]) for name in ("curve", "evidence_curve", "blank_curve")
        )
        self.models_, self.metadata_ = state["models"], arrays["metadata"]
        self.unseen_model_deviation_ = state["unseen_model_deviation"]


def _per_group(rows: Rows) -> Floats:
    """Weight of each row for calibration: the inverse square root of its leak group's number of rows."""
    group = rows.groups[rows.benchmark]
    return np.asarray(np.bincount(group)[group] ** -0.5, dtype=np.float64)
