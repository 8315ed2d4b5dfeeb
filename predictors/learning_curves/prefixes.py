"""From curves with a known end to many cases to learn from: each is cut at several places."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..arrays import Codes, Floats
from .curves import CurveBatch
from .features import Siblings


@dataclass(frozen=True)
class TrainingPrefixes:
    """Cases to learn from: beginnings of curves and where each ended.

    Attributes
    ----------
    batch : CurveBatch
        The beginnings, n of them.
    outcome, weight : ndarrays of shape (n,)
        Final value on the unit scale; weights of the cases of one curve sum to 1.
    source : ndarray of int of shape (n,)
        Row of the training data that holds each case's curve at its longest.
    group : ndarray of int of shape (n,)
        What must not straddle folds, as codes.
    curves : CurveBatch
        Each curve at its longest, one row per curve.
    curve : ndarray of int of shape (n,)
        Row of `curves` of each case.
    dataset : ndarray of int of shape (n_curves,)
        Codes of data sets, -1 where unknown.
    learner : ndarray of object of shape (n_curves,)
    final : ndarray of shape (n_curves,)
        Outcome of each curve.
    """

    batch: CurveBatch
    outcome: Floats
    weight: Floats
    source: Codes
    group: Codes
    curves: CurveBatch
    curve: Codes
    dataset: Codes
    learner: NDArray[np.object_]
    final: Floats

    @property
    def has_siblings(self) -> bool:
        """Whether some data set has curves of several learners."""
        named_datasets = self.dataset[(self.dataset >= 0) & pd.notna(self.learner)]
        return bool(named_datasets.size) and int(np.bincount(named_datasets).max()) > 1

    def siblings(self, rng: np.random.Generator) -> list[Siblings]:
        """Siblings of each case, in one of the ways they may be known when a forecast is asked for.

        Half of the cases know their siblings up to the budget of the case, half know complete ones; a random share
        of the siblings is left out, so that few are as usual as many.
        """
        full = [self._complete(c) for c in range(len(self.curves))]
        members = {int(d): np.flatnonzero(self.dataset == d) for d in np.unique(self.dataset) if d >= 0}
        ends = self.batch.last_log_x
        is_complete = rng.random(len(self.batch)) < 0.5
        share = rng.random(len(self.batch))
        out: list[Siblings] = []
        for i, c in enumerate(self.curve):
            others = members.get(int(self.dataset[c]), np.empty(0, dtype=np.intp))
            others = others[(others != c) & (self.learner[others] != self.learner[c])]
            others = others[rng.random(len(others)) < max(share[i], 0.15)] if share[i] < 0.6 else others
            limit = np.inf if is_complete[i] else float(ends[i]) + 1e-9
            curves = ((name, x - np.log(self.curves.first_step[c]), y) for name, x, y in (full[o] for o in others))
            out.append([(name, x[x <= limit], y[x <= limit]) for name, x, y in curves if x[0] <= limit])
        return out

    def _complete(self, c: int) -> tuple[str, Floats, Floats]:
        """Learner of a curve, its log budgets and its values, the outcome last."""
        m = self.curves.lengths[c]
        x, y = self.curves.log_x[c, :m], self.curves.values[c, :m]
        if self.curves.target[c] > x[-1] + 1e-9:
            x, y = np.append(x, self.curves.target[c]), np.append(y, self.final[c])
        return str(self.learner[c]), x + np.log(self.curves.first_step[c]), y


def training_prefixes(
    X: pd.DataFrame, batch: CurveBatch, outcome: Floats, groups: pd.Series, *, n_prefixes: int, rng: np.random.Generator
) -> TrainingPrefixes:
    """Cut every curve of the training data at up to `n_prefixes` places, evenly drawn from 1 point on.

    Rows that agree in data set, learner, target and outcome are one curve, whose longest beginning is cut.
    """
    names = pd.DataFrame({
        "dataset": X["dataset"].to_numpy() if "dataset" in X else None,
        "learner": X["learner"].to_numpy() if "learner" in X else None,
        "target": X["target_step"].to_numpy(), "outcome": outcome, "length": batch.lengths,
    })  # fmt: skip
    by_length = names.sort_values("length", ascending=False, kind="stable")
    is_shorter = by_length.duplicated(["dataset", "learner", "target", "outcome"])
    is_shorter &= by_length[["dataset", "learner"]].notna().all(axis=1)
    longest = np.sort(by_length.index[~is_shorter])
    cuts = []
    for most in batch.lengths[longest].tolist():
        possible = np.arange(min(2, most), most + 1)
        if possible.size > n_prefixes:
            possible = np.sort(rng.choice(possible, n_prefixes, replace=False))
        cuts.append(possible)
    of_curve, n_points = np.repeat(np.arange(len(cuts)), [len(each) for each in cuts]), np.concatenate(cuts)
    source = longest[of_curve]
    dataset = pd.factorize(names["dataset"].iloc[longest], use_na_sentinel=True)[0]
    return TrainingPrefixes(
        batch=batch.take(source).shortened(n_points.astype(np.intp)), outcome=outcome[source],
        weight=1.0 / np.bincount(of_curve)[of_curve], source=source, group=pd.factorize(groups)[0][source],
        curves=batch.take(longest), curve=of_curve, dataset=dataset,
        learner=names["learner"].iloc[longest].to_numpy(dtype=object), final=outcome[longest],
    )  # fmt: skip
