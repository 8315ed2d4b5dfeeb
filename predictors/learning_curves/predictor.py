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
    prefix_columns,
    read_siblings,
    sibling_columns,
    train_columns,
)
from predictors.learning_curves.forecaster import CurveForecaster
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
       (`parametric`, `ensemble`), the learner's name, and sibling curves where they are known (`features`).
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
        n_prefixes: int = 12,
        n_folds: int = 3,
        location_rounds: int = 500,
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
        base = self._base_columns(cases.batch, self._train_gaps(X, cases))
        codes = self._codes(X)[cases.source]
        partly = np.where(rng.random(len(codes)) < UNNAMED, np.nan, codes)
        with_siblings = self.use_siblings and cases.has_siblings
        near = sibling_columns(cases.batch, cases.siblings(rng), self.learners_) if with_siblings else None
        folds = _folds(cases.group, self.n_folds, rng)
        heads = {}
        for head in HEADS:
            if (head == "siblings" and near is None) or (head == "learner" and not self.learners_):
                continue
            is_last = head == "siblings"
            columns = self._join(head, base, partly if is_last else codes, near if is_last else None)
            heads[head] = StackHead.fit(
                columns, cases.batch.last, cases.outcome, cases.weight, folds, n_categorical=int(head != "plain"),
                location_rounds=self.location_rounds, scale_rounds=self.scale_rounds, seed=self.random_state,
                num_threads=self.num_threads,
            )  # fmt: skip
        return heads

    def _train_gaps(self, X: pd.DataFrame, cases: TrainingPrefixes) -> Floats | None:
        return cases.train_columns(X) if self.use_train_values else None

    def _base_columns(self, batch: CurveBatch, train: Floats | None) -> Floats:
        forecasts = forecast_families(batch, self.families)
        parts = [prefix_columns(batch), family_columns(batch, forecasts)]
        return np.column_stack(parts if train is None else [*parts, train])

    @staticmethod
    def _join(head: str, base: Floats, codes: Floats, near: Floats | None) -> Floats:
        if head == "plain":
            return base
        return np.column_stack([codes, base] if near is None else [codes, base, near])

    def _codes(self, X: pd.DataFrame) -> Floats:
        """Position of each row's learner among those known, NaN for others."""
        place = {name: float(j) for j, name in enumerate(self.learners_)}
        if "learner" not in X:
            return np.full(len(X), np.nan)
        return np.array([place.get(str(name), np.nan) for name in X["learner"]], dtype=np.float64)

    # -- forecasts -----------------------------------------------------------------------------------
    def _distribution(self, X: pd.DataFrame, batch: CurveBatch) -> TruncatedT:
        base = self._base_columns(batch, train_columns(X, batch) if self.use_train_values else None)
        codes = self._codes(X)
        siblings = read_siblings(X, batch)
        chosen = self._choose(codes, siblings)
        location, scale, df = np.empty(len(X)), np.empty(len(X)), np.empty(len(X))
        for head, model in self.heads_.items():
            rows = np.flatnonzero(chosen == head)
            if not rows.size:
                continue
            part = batch.take(rows)
            near = None
            if head == "siblings":
                near = sibling_columns(part, [siblings[i] for i in rows], self.learners_)
            found = model.predict(
                self._join(head, base[rows], codes[rows], near), part.last, num_threads=self.num_threads
            )
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
        return {"heads": heads, "learners": self.learners_}

    def _load(self, path: Path, state: dict[str, Any]) -> None:
        self.learners_ = list(state["learners"])
        self.heads_ = {name: StackHead.load(path, name, part) for name, part in state["heads"].items()}


def _folds(groups: NDArray[np.intp], n: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """A fold for every group, as even as can be."""
    n_groups = int(groups.max()) + 1
    return np.asarray((rng.permutation(n_groups) % min(n, n_groups))[groups], dtype=np.intp)
