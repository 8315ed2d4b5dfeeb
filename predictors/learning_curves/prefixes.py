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
        is_complete = rng.random(len(self.batch)) < 0.5
        share = rng.random(len(self.batch))
        out = []
        for i, c in enumerate(self.curve):
            others = members.get(int(self.dataset[c]), np.empty(0, dtype=np.intp))
            others = others[(others != c) & (self.learner[others] != self.learner[c])]
            others = others[rng.random(len(others)) < max(share[i], 0.15)] if share[i] < 0.6 else others
            limit = np.inf if is_complete[i] else float(self.batch.last_log_x[i])
            out.append(self._siblings_of(full, others, c, limit))
        return out

    def _complete(self, c: int) -> tuple[Floats, Floats]:
        m = self.curves.lengths[c]
        x, y = self.curves.log_x[c, :m], self.curves.values[c, :m]
        if self.curves.target[c] > x[-1] + 1e-9:
            return np.append(x, self.curves.target[c]), np.append(y, self.final[c])
        return x, y

    def _siblings_of(self, full: list[tuple[Floats, Floats]], others: Codes, case: int, limit: float) -> Siblings:
        base = np.log(self.curves.first_step[case])
        curves = []
        for o in others:
            x = full[o][0] + np.log(self.curves.first_step[o]) - base
            n = int(np.searchsorted(x, limit + 1e-9, side="right"))
            if n:
                curves.append((str(self.learner[o]), x[:n], full[o][1][:n]))
        return Siblings(*zip(*curves, strict=True))


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
    named = names[["dataset", "learner"]].notna().all(axis=1).to_numpy()
    keys = pd.factorize(pd.MultiIndex.from_frame(names[["dataset", "learner", "target", "outcome"]].astype(object)))[0]
    keys = np.where(named, keys, keys.max(initial=0) + 1 + np.arange(len(names)))
    order = np.lexsort((np.arange(len(names)), -batch.lengths, keys))
    longest = np.sort(order[np.unique(keys[order], return_index=True)[1]])
    curve, lengths = [], []
    for c, row in enumerate(longest):
        most = int(batch.lengths[row])
        possible = np.arange(min(2, most), most + 1)
        if possible.size > n_prefixes:
            possible = np.sort(rng.choice(possible, n_prefixes, replace=False))
        curve.append(np.full(possible.size, c))
        lengths.append(possible)
    of_curve, n_points = np.concatenate(curve), np.concatenate(lengths)
    source = longest[of_curve]
    dataset = pd.factorize(names["dataset"].iloc[longest], use_na_sentinel=True)[0]
    return TrainingPrefixes(
        batch=batch.take(source).shortened(n_points.astype(np.intp)), outcome=outcome[source],
        weight=1.0 / np.bincount(of_curve)[of_curve], source=source, group=pd.factorize(groups)[0][source],
        curves=batch.take(longest), curve=of_curve, dataset=dataset,
        learner=names["learner"].iloc[longest].to_numpy(dtype=object), final=outcome[longest],
    )  # fmt: skip
