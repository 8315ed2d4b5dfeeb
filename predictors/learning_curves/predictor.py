"""The learning-curve predictor: a stack over what the prefix, the network, the learner and its siblings say."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..arrays import Codes, Floats, Mask
from ..base import known_words
from ..errors import InvalidInputError
from .curves import CurveBatch, read_curves
from .density import TruncatedT
from .features import Siblings, point_forecasts, prefix_columns, read_siblings, sibling_columns
from .forecaster import UnitScaleForecaster, observed_points
from .pfn.pretrained import PriorFittedNetwork
from .prefixes import TrainingPrefixes, training_prefixes
from .runs import NETWORK_LEVELS, RunHead, are_runs
from .stack import StackHead

N_FOLDS = 3
"""Folds, by group, of the out-of-fold forecasts."""
LEAST_CURVES = 5
"""Training curves that a learner must have to count as known."""
UNNAMED = 0.25
"""Share of the cases of which ``siblings`` does not get to know the learner."""


@dataclass(kw_only=True, eq=False, repr=False)
class LearningCurvePredictor(UnitScaleForecaster):
    """Forecasts the value of a learning curve at a budget that was not reached yet.

    1. *Prefixes*: every training curve is cut at many places, each cut a case of its own (`prefixes`).
    2. *Columns*: the points themselves, quantiles of the network (`pfn`), the learner's name, and sibling curves where
       they are known (`features`).
    3. *Heads*: LightGBM for the median, then for the scale of a Student t by maximum likelihood of out-of-fold
       residuals over groups (`stack`), calibrated out of fold. There is a head for requests with and without a known
       learner, and with and without siblings; the forecast never leaves the range of the metric.
    4. *Runs* that go on (steps, epochs, seconds) have a head of their own, which reads the curve in its own spread and
       the network (`runs`); a fit may hold both kinds of curves.

    Parameters
    ----------
    n_prefixes : int
        Cuts of each training curve at most.
    location_rounds, scale_rounds : int
        Trees of each LightGBM.
    num_threads : int
        Threads of LightGBM.
    random_state : int, optional
        Seed of everything random.
    """

    n_prefixes: int = 10
    location_rounds: int = 400
    scale_rounds: int = 120
    num_threads: int = 1
    random_state: int | None = 0

    # -- fitting -------------------------------------------------------------------------------------
    def _fit(self, X: pd.DataFrame, y: pd.Series, groups: pd.Series, is_censored: pd.Series) -> None:
        self._refuse_censored(is_censored)
        self.run_: RunHead | None = None
        self.heads_: dict[str, StackHead] = {}
        self.learners_: list[str] = []
        self.network_ = PriorFittedNetwork.load_pretrained()
        runs = are_runs(X, _learners(X).notna().to_numpy())
        for part in (groups[runs], groups[~runs]):
            if len(part.unique()) == 1:
                raise InvalidInputError(
                    "`groups` must name 2 groups (data sets, workloads) or more, both among curves over training set "
                    f"sizes and among runs, got only {part.iloc[0]!r}"
                )
        if runs.any():
            self.run_ = RunHead.fit_runs(
                X[runs], y[runs], groups[runs], self.network_, scale_rounds=self.scale_rounds, seed=self.random_state,
                num_threads=self.num_threads,
            )  # fmt: skip
        if not runs.all():
            self._fit_sizes(X[~runs], y[~runs], groups[~runs])

    def _fit_sizes(self, X: pd.DataFrame, y: pd.Series, groups: pd.Series) -> None:
        """The heads for curves over training set sizes."""
        rng = np.random.default_rng(self.random_state)
        batch = read_curves(X)
        outcome = np.clip(batch.scale.to_unit(y.to_numpy(dtype=np.float64)), 0.0, 1.0)
        where = X["dataset"] if "dataset" in X else pd.Series(np.arange(len(X)), index=X.index)
        curves = pd.DataFrame({"learner": _learners(X), "dataset": where}).dropna().drop_duplicates()
        counts = curves["learner"].value_counts()
        self.learners_ = sorted(str(name) for name in counts.index[counts >= LEAST_CURVES])
        cases = training_prefixes(X, batch, outcome, groups, n_prefixes=self.n_prefixes, n_folds=N_FOLDS, rng=rng)
        self.heads_ = self._fit_heads(X, cases, rng)

    def _fit_heads(self, X: pd.DataFrame, cases: TrainingPrefixes, rng: np.random.Generator) -> dict[str, StackHead]:
        """Heads by what they read beside the observed beginning; a request goes to the last of them that it can feed.

        ``siblings`` reads the learner too, and is trained with names left out.
        """
        base, points = self._base_columns(cases.batch)
        named = np.column_stack([self._codes(X)[cases.source], base])
        columns = {"plain": base, "learner": named} if self.learners_ else {"plain": base}
        if cases.siblings is not None:
            near = sibling_columns(cases.batch, cases.siblings, self.learners_)
            columns["siblings"] = np.column_stack([named, near])
            columns["siblings"][rng.random(len(named)) < UNNAMED, 0] = np.nan
        return {
            head: StackHead.fit(
                read, cases.batch.last, points, cases.batch.spans, cases.outcome, cases.weight, cases.folds,
                n_categorical=int(head != "plain"),
                location_rounds=self.location_rounds, scale_rounds=self.scale_rounds, seed=self.random_state,
                num_threads=self.num_threads,
            )
            for head, read in columns.items()
        }  # fmt: skip

    def _base_columns(self, batch: CurveBatch) -> tuple[Floats, Floats]:
        """What every head reads, and the point forecasts among it."""
        quantiles = self.network_.forecast(batch).quantiles(NETWORK_LEVELS) - batch.last[:, None]
        points = point_forecasts(batch, quantiles[:, 2])
        return np.column_stack([prefix_columns(batch), quantiles]), points

    def _codes(self, X: pd.DataFrame) -> Floats:
        """Position of each row's learner among those known, NaN for others."""
        place = {name: float(j) for j, name in enumerate(self.learners_)}
        return np.asarray(_learners(X).map(place), dtype=np.float64)

    # -- what a forecast rests on ----------------------------------------------------------------------
    def _described(self, X: pd.DataFrame) -> tuple[Any, Any]:
        """Whether the learner is one of those trained on, and whether siblings tell of the data set; in words both."""
        trained, runs = ~np.isnan(self._codes(X)), self._asks_runs(X)
        texts, counts = [], self._n_siblings(X)
        rows = zip(observed_points(X), _learners(X), trained, runs, counts, strict=True)
        for points, name, is_trained, is_run, n in rows:
            learner = f"curves of the learner {name}" if is_trained else "curves of other learners"
            learner = "other training runs and the network" if is_run else learner
            near = f", {n} {'sibling' if n == 1 else 'siblings'} on the same data" if n else ""
            texts.append(f"{points}, {learner}{near}")
        return known_words(trained & ~runs, counts > 0), texts

    def _n_siblings(self, X: pd.DataFrame) -> Codes:
        """Siblings that a forecast reads, shape (n_samples,)."""
        if "siblings" not in self.heads_:
            return np.zeros(len(X), dtype=np.intp)
        counts = np.array([len(curves) for curves in read_siblings(X, read_curves(X))], dtype=np.intp)
        return np.where(self._asks_runs(X), 0, counts)

    # -- forecasts -----------------------------------------------------------------------------------
    def _unit_distribution(self, X: pd.DataFrame, batch: CurveBatch) -> TruncatedT:
        runs = self._asks_runs(X)
        kinds = (np.flatnonzero(runs), self._run_distribution), (np.flatnonzero(~runs), self._size_distribution)
        parts = ((rows, forecast(X.iloc[rows], batch.take(rows))) for rows, forecast in kinds if rows.size)
        return TruncatedT.gather(len(X), parts)

    def answers(self, X: pd.DataFrame) -> Mask:
        """Which requests are of a kind of curve that was learnt from: over training set sizes, or runs that go on."""
        self._check_fitted()
        runs = are_runs(X, ~np.isnan(self._codes(X)))
        return np.where(runs, self.run_ is not None, bool(self.heads_))

    def _asks_runs(self, X: pd.DataFrame) -> Mask:
        """Which requests the head for runs answers: curves of runs, and any where it is all that was learnt."""
        if self.run_ is None or not self.heads_:
            return np.full(len(X), self.run_ is not None)
        return are_runs(X, ~np.isnan(self._codes(X)))

    def _run_distribution(self, X: pd.DataFrame, batch: CurveBatch) -> TruncatedT:
        assert self.run_ is not None
        return self.run_.predict_runs(X, batch, self.network_, num_threads=self.num_threads)

    def _size_distribution(self, X: pd.DataFrame, batch: CurveBatch) -> TruncatedT:
        base, points = self._base_columns(batch)
        codes, siblings = self._codes(X), read_siblings(X, batch)
        chosen = self._choose(codes, siblings)
        parts = []
        for head, model in self.heads_.items():
            rows = np.flatnonzero(chosen == head)
            if not rows.size:
                continue
            part = batch.take(rows)
            columns = base[rows] if head == "plain" else np.column_stack([codes[rows], base[rows]])
            if head == "siblings":
                near = sibling_columns(part, [siblings[i] for i in rows], self.learners_)
                columns = np.column_stack([columns, near])
            forecast = model.predict(columns, part.last, points[rows], part.spans, num_threads=self.num_threads)
            parts.append((rows, forecast))
        return TruncatedT.gather(len(X), parts)

    def _choose(self, codes: Floats, siblings: Sequence[Siblings]) -> NDArray[np.object_]:
        """Name of the richest head that each request can feed."""
        has_siblings = np.array([len(curves) > 0 for curves in siblings], dtype=bool) & ("siblings" in self.heads_)
        named = np.where(~np.isnan(codes) & ("learner" in self.heads_), "learner", "plain")
        return np.where(has_siblings, "siblings", named).astype(object)

    # -- persistence ---------------------------------------------------------------------------------
    def _save(self, path: Path) -> dict[str, Any]:
        self.network_.save(path)
        heads = {name: head.save(path, name) for name, head in self.heads_.items()}
        return {"heads": heads, "learners": self.learners_, "run": self.run_ and self.run_.save(path, "run")}

    def _load(self, path: Path, state: dict[str, Any]) -> None:
        self.learners_ = list(state["learners"])
        self.network_ = PriorFittedNetwork.load_pretrained(path)
        self.heads_ = {name: StackHead.load(path, name, part) for name, part in state["heads"].items()}
        self.run_ = state["run"] and RunHead.load(path, "run", state["run"])


def _learners(X: pd.DataFrame) -> pd.Series:
    """Names of the learners, null where there is none."""
    return X["learner"].astype(object) if "learner" in X else pd.Series(None, index=X.index, dtype=object)
