"""The benchmark-score predictor: one two-way model, calibrated over leak groups, bounded to 0-100."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from ..arrays import Codes, Floats, Mask, load_arrays, names_of, save_arrays
from ..base import BasePredictor, known_words
from ..errors import InvalidInputError
from ..fitting.trees import SavedBooster
from ..schemas.descriptions import ScoreRequests
from .calibration import ResidualCurve, ResidualScale
from .description.features import BenchmarkFeatures, benchmark_rows, model_matrix
from .description.leakage import assign_folds
from .known_scores.evidence import KnownScores, counts_of, known_sets, own_sets, refuse_shares, simulate_evidence
from .known_scores.slopes import ResidualSlopes
from .rows import Rows, group_weights
from .scale import checked_scores, from_logit, to_logit
from .strangeness import COUNTED_FROM_MIDDLE, Own, bases, kinds_of, strange_curves, strange_rounds
from .two_way import Forecast, TwoWay

SHARES: Floats = np.linspace(0, 1, 11)
"""Of the forest's forecast of a benchmark's level that training may choose."""
DIRECTED = ":directed"
"""Ends the saved name of a curve of errors that are counted from the middle; before decision 1611 none was."""


@dataclass(kw_only=True, eq=False, repr=False)
class BenchmarkScorePredictor(BasePredictor):
    """Forecasts scores (0-100 points) of models on benchmarks that are described in words.

    1. *Location*: a Gaussian two-way model with dates; as far as that lowers the error on leak groups left out, a
       forest on the structure of benchmarks speaks with it (`two_way`).
    2. *Spread*: scale of the out-of-fold residuals (`calibration.ResidualScale`) and their conformal quantiles over
       leak groups, all on the logit scale: no forecast leaves 0-100.
    3. *Known scores*: those of other models move and narrow the forecast by what the residuals of a benchmark share
       (`known_scores.slopes`), with a calibration of its own; those of the asked model on other benchmarks place it.
    4. *Strangeness*: what was never seen has calibrations apart (`strangeness`), where release dates are known.

    A benchmark of which nothing is known, or of a new metric or answer format, gets the spread of all.

    `n_folds` are folds, by leak group, of the out-of-fold forecasts. The scale of residuals has `scale_rounds` trees
    and follows them rather than a constant by the share `scale_damping`.
    """

    family: ClassVar[str] = "benchmark_scores"
    scope_columns: ClassVar[tuple[str, ...]] = ("model",)
    input_schema = ScoreRequests

    n_folds: int = 4
    scale_damping: float = 0.7
    scale_rounds: int = 60
    num_threads: int = 1
    random_state: int | None = 0

    # -- fitting -------------------------------------------------------------------------------------
    def _fit(self, X: pd.DataFrame, y: pd.Series, groups: pd.Series, is_censored: pd.Series) -> None:
        score = checked_scores(y)
        if is_censored.any():
            raise InvalidInputError("`is_censored` must be False: a benchmark score is no lower bound")
        if groups.nunique() < 3:
            raise InvalidInputError(f"`groups` must name 3 leak groups or more, got {groups.nunique()}")
        labels = groups.astype("str")
        rows = self._training_rows(X, labels)
        z = to_logit(score)
        weight = group_weights(rows.groups)[rows.benchmark]
        n = max(2, min(self.n_folds, labels.nunique()))
        folds = assign_folds(labels, n, salt=f"inner:{self.random_state}").to_numpy()
        self.two_way_ = self._new(rows).fit(rows, z)
        parts = self._out_of_fold(rows, z, folds)
        errors = [weight @ np.abs(from_logit(parts.location + share * parts.forest) - score) for share in SHARES]
        self.share_ = float(SHARES[np.argmin(errors)])
        if self.share_ == 0:  # nobody asks it, and a forecast starts without LightGBM
            self.two_way_.forest = None
        residuals = z - self._location(parts)
        self._fit_spread(rows, parts, residuals, folds, weight)
        record = z - self.two_way_.predict(rows.undescribed()).location
        self.blank_curve_ = ResidualCurve.fit(record, rows.weights())
        self._fit_known(rows, parts, residuals, folds)
        self.last_year_ = float(rows.benchmarks["published_year"].max())
        rounds = strange_rounds(rows, z, folds, seed=self.random_state or 0)
        self.directed_ = COUNTED_FROM_MIDDLE
        self.curves_ = strange_curves((each[0], self._strange_residuals(rows, z, *each)) for each in rounds)

    def _strange_residuals(
        self, rows: Rows, z: Floats, kind: str, train: Mask, asked: Codes, own: Own
    ) -> tuple[Floats, Floats]:
        """Standardised residuals of the asked rows from a fit to `train`, and their weights."""
        fitted = self._new(rows.take(train)).fit(rows.take(train), z[train], variances_from=self.two_way_)
        place = fitted.places(rows.benchmarks)
        rest = rows.take(asked)
        parts = fitted.predict(rest, {row: (place[rows.benchmark[at]], z[at]) for row, at in own.items()})
        scale = self.scale_.predict(self._scale_columns(rest, parts))
        location = self._location(parts)
        direction = np.where((kind in self.directed_) & (location < 0), -1.0, 1.0)
        return direction * (z[asked] - location) / scale, rest.weights()

    def _location(self, parts: Forecast) -> Floats:
        return parts.location + self.share_ * parts.forest

    def _training_rows(self, X: pd.DataFrame, labels: pd.Series) -> Rows:
        """Rows as arrays; two groups that describe a benchmark in the same words are two benchmarks."""
        described = X.assign(**{"_group": labels})
        benchmarks, codes = benchmark_rows(described, ["_group"])
        groups = pd.factorize(benchmarks["_group"])[0]
        models, unique = pd.factorize(names_of(X, "model"))
        self.models_ = unique.tolist()
        features = model_matrix(X)
        self.metadata_ = features[np.unique(models, return_index=True)[1]].copy()
        titles = names_of(X, "benchmark").tolist()
        self.benchmarks_ = [titles[i] for i in np.unique(codes, return_index=True)[1]]
        return Rows(benchmarks, groups, self.metadata_, codes, models, features)

    def _new(self, rows: Rows) -> TwoWay:
        return TwoWay(BenchmarkFeatures().fit(rows.benchmarks.iloc[np.unique(rows.benchmark)]))

    def _out_of_fold(self, rows: Rows, z: Floats, folds: Codes) -> Forecast:
        """Forecast of each training row from a fit that has not seen its leak group."""
        columns = np.empty((3, len(z)))
        for fold in np.unique(folds):
            out = folds == fold
            fitted = self._new(rows.take(~out)).fit(rows.take(~out), z[~out], variances_from=self.two_way_)
            parts = fitted.predict(rows.take(out))
            columns[:, out] = parts.location, parts.forest, parts.model
        return Forecast(*columns)

    def _fit_spread(self, rows: Rows, parts: Forecast, residuals: Floats, folds: Codes, weight: Floats) -> None:
        columns = self._scale_columns(rows, parts)
        scale = np.empty(len(residuals))
        for fold in np.unique(folds):  # a scale that has seen a residual would flatter it
            out = folds == fold
            scale[out] = self._new_scale(columns[~out], residuals[~out], weight[~out]).predict(columns[out])
        self.scale_ = self._new_scale(columns, residuals, weight)
        self.curve_ = ResidualCurve.fit(residuals / scale, rows.weights())

    def _new_scale(self, columns: Floats, residuals: Floats, weight: Floats) -> ResidualScale:
        return ResidualScale.fit(
            columns, residuals, weight, damping=self.scale_damping, rounds=self.scale_rounds,
            num_threads=self.num_threads, seed=self.random_state,
        )  # fmt: skip

    def _scale_columns(self, rows: Rows, parts: Forecast) -> Floats:
        structure = self.two_way_.features.matrix(rows.benchmarks)[rows.benchmark]
        gap = self.share_ * np.abs(parts.forest)
        return np.column_stack([self._location(parts), gap, parts.model, structure, rows.features])

    def _fit_known(self, rows: Rows, parts: Forecast, residuals: Floats, folds: Codes) -> None:
        weights = group_weights(rows.groups)

        def fit(at: Mask | slice) -> ResidualSlopes:
            return ResidualSlopes.fit(residuals[at], rows.benchmark[at], parts.model[at], rows.features[at], weights)

        informed, chosen = [], []
        for fold in np.unique(folds):
            at = np.flatnonzero(folds == fold)
            values, positions = simulate_evidence(
                fit(folds != fold), residuals[at], rows.benchmark[at], parts.model[at], rows.features[at],
                seed=self.random_state,
            )  # fmt: skip
            informed.append(values)
            chosen.append(at[positions])
        self.slopes_ = fit(slice(None))
        weight = rows.take(np.concatenate(chosen)).weights()
        self.evidence_curve_ = ResidualCurve.fit(np.concatenate(informed), weight) if len(weight) else self.curve_

    # -- forecasts -----------------------------------------------------------------------------------
    def _predict_quantiles(self, X: pd.DataFrame, levels: Floats) -> Floats:
        rows = self._request_rows(X)
        own = own_sets(X, self.benchmarks_)
        location, scale, skill, is_blank = self._located(rows, own)
        offsets = np.where(is_blank[:, None], self.blank_curve_.at(levels), self.curve_.at(levels))
        is_known = self.two_way_.places(rows.benchmarks)[rows.benchmark] >= 0
        is_later = rows.benchmarks["published_year"].to_numpy(dtype=np.float64)[rows.benchmark] > self.last_year_
        strange = kinds_of(self._runs_of_model(rows) > 0, counts_of(own, len(X)) > 0, is_known, is_later)
        is_uncalibrated = (rows.model < 0) & ~np.isin(strange, list(self.curves_))
        scale = np.where(is_uncalibrated, np.hypot(scale, self.two_way_.model_deviation), scale)
        for kind, of_kind in self.curves_.items():
            at = (strange == kind) & ~is_blank
            is_directed = kind in self.directed_
            offsets[at] = of_kind.away_from_middle(levels, location[at]) if is_directed else of_kind.at(levels)
        z = location[:, None] + scale[:, None] * offsets
        evidence_sets = list(known_sets(X, rows.benchmark, self.models_))
        if evidence_sets:
            curve = self.evidence_curve_.at(levels)
            for at, shift, deviation in self._shifts(rows, skill, evidence_sets):
                z[at] = (location[at] + shift)[:, None] + deviation[:, None] * curve
        return from_logit(z)

    def _request_rows(self, X: pd.DataFrame) -> Rows:
        benchmarks, codes = benchmark_rows(X)
        place = {name: i for i, name in enumerate(self.models_)}
        models = np.array([place.get(name, -1) for name in names_of(X, "model")], dtype=np.intp)
        return Rows(benchmarks, np.arange(len(benchmarks)), self.metadata_, codes, models, model_matrix(X))

    def _located(
        self, rows: Rows, own: dict[int, tuple[Codes, Floats]] | None = None
    ) -> tuple[Floats, Floats, Floats, Mask]:
        """Location, scale, the model's part and whether nothing is known of the benchmark, of every row."""
        parts = self.two_way_.predict(rows, own)
        location, scale = self._location(parts), self.scale_.predict(self._scale_columns(rows, parts))
        is_blank = self.two_way_.is_blank(rows.benchmarks)[rows.benchmark]
        if is_blank.any():
            location = np.where(is_blank, self.two_way_.predict(rows.undescribed(), own).location, location)
            scale = np.where(is_blank, 1.0, scale)
        return location, scale, parts.model, is_blank

    def _shifts(
        self, rows: Rows, skill: Floats, evidence_sets: list[KnownScores]
    ) -> Iterator[tuple[Codes, Floats, Floats]]:
        """Rows, shift and deviation that each set of known scores gives the other rows of its benchmark."""
        models = np.concatenate([k.models for k in evidence_sets])
        benchmarks = np.repeat([k.benchmark for k in evidence_sets], [len(k.models) for k in evidence_sets])
        others = Rows(rows.benchmarks, rows.groups, self.metadata_, benchmarks, models, self.metadata_[models])
        expected, _, skill_of_others, _ = self._located(others)
        residuals = to_logit(np.concatenate([k.scores for k in evidence_sets])) - expected
        start = 0
        for k in evidence_sets:
            n = len(k.models)
            at = slice(start, start + n)
            loadings = self.slopes_.loadings(
                np.concatenate([skill_of_others[at], skill[k.rows]]),
                np.vstack([others.features[at], rows.features[k.rows]]),
            )
            shift, deviation = self.slopes_.update(loadings, np.arange(n), residuals[at])
            yield k.rows, shift[n:], deviation[n:]
            start += n

    # -- what a forecast rests on ----------------------------------------------------------------------
    def _described(self, X: pd.DataFrame) -> tuple[Any, Any]:
        """Known are a model that was trained on and a benchmark whose description was, or of which scores are given."""
        rows, two_way = self._request_rows(X), self.two_way_
        n_runs = self._runs_of_model(rows) + counts_of(own_sets(X, self.benchmarks_), len(X))
        n_scores = np.zeros(len(X), dtype=np.intp)
        for evidence in known_sets(X, rows.benchmark, self.models_):
            n_scores[evidence.rows] = len(evidence.models)
        is_known = two_way.places(rows.benchmarks)[rows.benchmark] >= 0
        is_blank = two_way.is_blank(rows.benchmarks)[rows.benchmark]
        likeness = two_way.nearest(rows.benchmarks)[rows.benchmark]
        return known_words(n_runs > 0, is_known | (n_scores > 0)), bases(is_blank, likeness, n_scores, n_runs)

    def _runs_of_model(self, rows: Rows) -> Codes:
        """Scores of each row's model that were learnt from; 0 where none is named or it was not there."""
        runs = np.append(np.where(np.array(self.models_) == "", 0, self.two_way_.runs_of_models(len(self.models_))), 0)
        return np.asarray(runs[rows.model], dtype=np.intp)

    def check_request(self, X: pd.DataFrame) -> None:
        refuse_shares(X)

    def score_covariance(self, X: pd.DataFrame) -> Floats:
        """Covariance of the scores of all rows on the logit scale, shape (n_samples, n_samples).

        What is unexplained of two models on one benchmark covaries through the slopes; across benchmarks,
        as far as their descriptions are alike. For `information.value_of_information`.
        """
        self._check_fitted()
        rows = self._request_rows(self._validate(X))
        loadings = self.slopes_.loadings(self.two_way_.predict(rows).model, rows.features)
        alike = self.two_way_.likeness(rows.benchmarks)[np.ix_(rows.benchmark, rows.benchmark)]
        return np.asarray(alike * (loadings @ loadings.T) + self.slopes_.noise * np.eye(len(rows.model)))

    # -- persistence ---------------------------------------------------------------------------------
    def _save(self, path: Path) -> dict[str, Any]:
        two_way = self.two_way_
        features, feature_arrays = two_way.features.state()
        arrays = {f"two_way.{name}": a for name, a in two_way.arrays.items()} | feature_arrays
        arrays |= {f"slopes.{name}": np.atleast_1d(a) for name, a in vars(self.slopes_).items()}
        curves = {name: getattr(self, f"{name}_").offsets for name in ("curve", "evidence_curve", "blank_curve")}
        called = {kind: kind + DIRECTED * (kind in self.directed_) for kind in sorted(self.curves_)}
        curves |= {f"strange.{name}": self.curves_[kind].offsets for kind, name in called.items()}
        arrays |= curves | {"metadata": self.metadata_}
        save_arrays(path / "arrays.safetensors", arrays)
        (path / "forest.txt").write_text(two_way.forest.model_to_string() if two_way.forest else "", "utf-8")
        (path / "scale.txt").write_text(self.scale_.booster.model_to_string(), "utf-8")
        return {
            "two_way": {name: vars(two_way)[name] for name in ("keys", "noise", "affinity")}
            | {"variances": two_way.variances.tolist()},
            "features": features,
            "scale": {"centre": self.scale_.centre, "damping": self.scale_.damping},
            "share": self.share_,
            "last_year": None if np.isnan(self.last_year_) else self.last_year_,
            "models": self.models_,
            "benchmarks": self.benchmarks_,
            "strange": list(called.values()),
        }

    def _load(self, path: Path, state: dict[str, Any]) -> None:
        arrays = load_arrays(path / "arrays.safetensors")
        self.scale_ = ResidualScale(SavedBooster((path / "scale.txt").read_text("utf-8")), **state["scale"])
        self.two_way_ = TwoWay(BenchmarkFeatures.from_state(state["features"], arrays), **state["two_way"])
        self.two_way_.variances = np.array(state["two_way"]["variances"])
        self.two_way_.arrays = {name[8:]: a for name, a in arrays.items() if name.startswith("two_way.")}
        forest = (path / "forest.txt").read_text("utf-8")
        self.two_way_.forest = SavedBooster(forest) if forest else None
        self.share_ = state["share"]
        self.last_year_ = float("nan") if state["last_year"] is None else state["last_year"]
        slopes: dict[str, Any] = {k[7:]: a for k, a in arrays.items() if k.startswith("slopes.")}
        self.slopes_ = ResidualSlopes(**slopes | {"noise": slopes["noise"].item()})
        self.curve_, self.evidence_curve_, self.blank_curve_ = (
            ResidualCurve(arrays[name]) for name in ("curve", "evidence_curve", "blank_curve")
        )
        self.models_, self.metadata_ = state["models"], arrays["metadata"]
        self.benchmarks_ = state["benchmarks"]
        self.curves_ = {n.removesuffix(DIRECTED): ResidualCurve(arrays[f"strange.{n}"]) for n in state["strange"]}
        self.directed_ = tuple(name.removesuffix(DIRECTED) for name in state["strange"] if name.endswith(DIRECTED))
