"""The learning-curve predictor: a stack over what the prefix, parametric fits, the learner and its siblings say."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from predictors.errors import InvalidInputError
from predictors.learning_curves.curves import CurveBatch, read_curves
from predictors.learning_curves.density import TruncatedT
from predictors.learning_curves.ensemble import ALL_FAMILIES, forecast_families
from predictors.learning_curves.features import (
    Siblings,
    family_columns,
    point_forecasts,
    prefix_columns,
    read_siblings,
    sibling_columns,
    train_columns,
)
from predictors.learning_curves.forecaster import CurveForecaster
from predictors.learning_curves.hierarchy import LearnerPriors, WholeCurves
from predictors.learning_curves.prefixes import TrainingPrefixes, training_prefixes
from predictors.learning_curves.stack import StackHead

__all__ = ["HEADS", "LearningCurvePredictor"]

Floats: TypeAlias = NDArray[np.float64]
HEADS: tuple[str, ...] = ("plain", "learner", "siblings")
"""What a head reads beside the observed beginning; each request goes to the last of them that it can feed.

``siblings`` reads the learner too, and has been trained with names left out.
"""
UNNAMED = 0.25
"""Share of the cases of which ``siblings`` does not get to know the learner."""


class LearningCurvePredictor(CurveForecaster):
    """Forecasts the value of a learning curve at a budget that was not reached yet.

    1. *Prefixes*: every training curve is cut at many places, each cut a case of its own (`prefixes`).
    2. *Columns*: the points themselves, maximum a posteriori fits of 13 parametric families with the measured noise
       (`parametric`, `ensemble`), fits under what the learner's other curves were like (`hierarchy`), the learner's
       name, and sibling curves where they are known (`features`).
    3. *Heads*: LightGBM for the median, then for the scale of a Student t by maximum likelihood of out-of-fold
       residuals over groups (`stack`), calibrated out of fold. There is a head for requests with and without a known
       learner, and with and without siblings; the forecast never leaves the range of the metric.

    Parameters
    ----------
    families : tuple of str
        Names in `parametric.FAMILIES`.
    use_siblings : bool
        Learn to read siblings, where the training data hold several learners of a data set.
    use_train_values : bool
        Read `train_values`, the learner's scores on its own training data.
    n_prefixes : int
        Cuts of each training curve at most.
    n_folds : int
        Folds, by group, of the out-of-fold forecasts.
    location_rounds, scale_rounds : int
        Trees of each LightGBM.
    least_curves : int
        Training curves that a learner must have to count as known.
    num_threads : int
        Threads of LightGBM.
    random_state : int, optional
        Seed of everything random.
    """

    def __init__(
        self,
        *,
        families: tuple[str, ...] = ALL_FAMILIES,
        use_siblings: bool = True,
        use_train_values: bool = False,
        n_prefixes: int = 10,
        n_folds: int = 3,
        location_rounds: int = 400,
        scale_rounds: int = 120,
        least_curves: int = 5,
        num_threads: int = 1,
        random_state: int | None = 0,
    ) -> None:
        self.families = families
        self.use_siblings = use_siblings
        self.use_train_values = use_train_values
        self.n_prefixes = n_prefixes
        self.n_folds = n_folds
        self.location_rounds = location_rounds
        self.scale_rounds = scale_rounds
        self.least_curves = least_curves
        self.num_threads = num_threads
        self.random_state = random_state

    # -- fitting -------------------------------------------------------------------------------------
    def _fit(self, X: pd.DataFrame, y: pd.Series, groups: pd.Series, is_censored: pd.Series) -> None:
        if groups.nunique() < 2:
            raise InvalidInputError(f"`groups` must name 2 groups (data sets) or more, got {groups.nunique()}")
        rng = np.random.default_rng(self.random_state)
        batch = read_curves(X)
        outcome = self._unit_outcomes(y, batch, is_censored)
        names = X["learner"].astype("object") if "learner" in X else pd.Series(None, index=X.index, dtype=object)
        self.learners_ = self._known_learners(X, names)
        cases = training_prefixes(X, batch, outcome, groups, n_prefixes=self.n_prefixes, rng=rng)
        self.heads_ = self._fit_heads(X, cases, rng)

    def _known_learners(self, X: pd.DataFrame, names: pd.Series) -> list[str]:
        where = X["dataset"] if "dataset" in X else pd.Series(np.arange(len(X)), index=X.index)
        counts = pd.DataFrame({"name": names, "where": where}).dropna().drop_duplicates()["name"].value_counts()
        return sorted(str(name) for name in counts.index[counts >= self.least_curves])

    def _fit_heads(self, X: pd.DataFrame, cases: TrainingPrefixes, rng: np.random.Generator) -> dict[str, StackHead]:
        train = cases.train_columns(X) if self.use_train_values else None
        base, points = self._base_columns(cases.batch, train)
        folds = _folds(cases.group, self.n_folds, rng)
        codes = self._codes(X)[cases.source]
        near = None
        if self.use_siblings and cases.has_siblings:
            near = sibling_columns(cases.batch, cases.siblings(rng), self.learners_)
        named = np.column_stack([codes, base, self._own_columns(X, cases, codes, folds)])
        heads = {}
        for head in HEADS:
            if (head == "siblings" and near is None) or (head == "learner" and not self.learners_):
                continue
            columns = base if head == "plain" else named
            if head == "siblings" and near is not None:
                unnamed = rng.random(len(codes)) < UNNAMED
                columns = np.column_stack([named, near])
                columns[unnamed, 0] = np.nan
            heads[head] = StackHead.fit(
                columns, cases.batch.last, points, cases.batch.spans, cases.outcome, cases.weight, folds,
                n_categorical=int(head != "plain"),
                location_rounds=self.location_rounds, scale_rounds=self.scale_rounds, seed=self.random_state,
                num_threads=self.num_threads,
            )  # fmt: skip
        return heads

    def _own_columns(self, X: pd.DataFrame, cases: TrainingPrefixes, codes: Floats, folds: NDArray[np.intp]) -> Floats:
        """Fits under the learners' priors; those of a fold come from the curves of the others."""
        at = np.zeros(len(cases.curves), dtype=np.intp)
        at[cases.curve] = np.arange(len(cases.curve))
        whole = WholeCurves.fit(cases.curves, cases.final, _as_codes(codes[at]), len(self.learners_))
        self.priors_ = whole.priors(np.ones(len(at), dtype=bool))
        out = np.empty((0, 0))
        for fold in np.unique(folds):
            rows = np.flatnonzero(folds == fold)
            part = whole.priors(folds[at] != fold).columns(cases.batch.take(rows), _as_codes(codes[rows]))
            out = out if out.size else np.empty((len(codes), part.shape[1]))
            out[rows] = part
        return out

    def _base_columns(self, batch: CurveBatch, train: Floats | None) -> tuple[Floats, Floats]:
        """What every head reads, and the point forecasts among it."""
        forecasts = forecast_families(batch, self.families)
        points = point_forecasts(batch, forecasts)
        parts = [prefix_columns(batch), family_columns(batch, forecasts), points]
        return np.column_stack(parts if train is None else [*parts, train]), points

    def _codes(self, X: pd.DataFrame) -> Floats:
        """Position of each row's learner among those known, NaN for others."""
        place = {name: float(j) for j, name in enumerate(self.learners_)}
        if "learner" not in X:
            return np.full(len(X), np.nan)
        return np.array([place.get(str(name), np.nan) for name in X["learner"]], dtype=np.float64)

    # -- forecasts -----------------------------------------------------------------------------------
    def _distribution(self, X: pd.DataFrame, batch: CurveBatch) -> TruncatedT:
        base, points = self._base_columns(batch, train_columns(X, batch) if self.use_train_values else None)
        codes = self._codes(X)
        siblings = read_siblings(X, batch)
        chosen = self._choose(codes, siblings)
        location, scale, df = np.empty(len(X)), np.empty(len(X)), np.empty(len(X))
        for head, model in self.heads_.items():
            rows = np.flatnonzero(chosen == head)
            if not rows.size:
                continue
            part, columns = batch.take(rows), base[rows]
            if head != "plain":
                columns = np.column_stack([codes[rows], columns, self.priors_.columns(part, _as_codes(codes[rows]))])
            if head == "siblings":
                near = sibling_columns(part, [siblings[i] for i in rows], self.learners_)
                columns = np.column_stack([columns, near])
            found = model.predict(columns, part.last, points[rows], part.spans, num_threads=self.num_threads)
            location[rows], scale[rows], df[rows] = found.location, found.scale, found.df
        return TruncatedT(location, scale, df)

    def _choose(self, codes: Floats, siblings: Sequence[Siblings]) -> NDArray[np.object_]:
        """Name of the richest head that each request can feed."""
        is_known = ~np.isnan(codes)
        has_siblings = np.array([bool(s.learners) for s in siblings], dtype=bool) & ("siblings" in self.heads_)
        named = np.where(is_known & ("learner" in self.heads_), "learner", "plain")
        return np.where(has_siblings, "siblings", named).astype(object)

    # -- persistence ---------------------------------------------------------------------------------
    def _save(self, path: Path) -> dict[str, Any]:
        heads = {name: head.save(path, name) for name, head in self.heads_.items()}
        return {"heads": heads, "learners": self.learners_, "priors": self.priors_.state()}

    def _load(self, path: Path, state: dict[str, Any]) -> None:
        self.learners_ = list(state["learners"])
        self.priors_ = LearnerPriors.from_state(state["priors"])
        self.heads_ = {name: StackHead.load(path, name, part) for name, part in state["heads"].items()}


def _as_codes(codes: Floats) -> NDArray[np.intp]:
    return np.where(np.isnan(codes), -1, codes).astype(np.intp)


def _folds(groups: NDArray[np.intp], n: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """A fold for every group, as even as can be."""
    n_groups = int(groups.max()) + 1
    return np.asarray((rng.permutation(n_groups) % min(n, n_groups))[groups], dtype=np.intp)
