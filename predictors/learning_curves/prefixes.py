"""From curves with a known end to many cases to learn from: each is cut at several places."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..arrays import Codes, Floats
from .curves import CurveBatch
from .features import Siblings
from .stack import group_folds


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
    folds : ndarray of int of shape (n,)
        Fold of each case; no group straddles folds.
    siblings : list of Siblings, optional
        Of each case, in one of the ways they may be known when a forecast is asked for; None unless some data set has
        curves of several learners.
    """

    batch: CurveBatch
    outcome: Floats
    weight: Floats
    source: Codes
    folds: Codes
    siblings: list[Siblings] | None


def training_prefixes(
    X: pd.DataFrame, batch: CurveBatch, outcome: Floats, groups: pd.Series, *, n_prefixes: int, n_folds: int,
    rng: np.random.Generator,
) -> TrainingPrefixes:  # fmt: skip
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
    beginnings = batch.take(source).shortened(n_points.astype(np.intp))
    folds = group_folds(pd.factorize(groups)[0][source], n_folds, rng)
    curves, siblings = names.loc[longest], None
    if curves.dropna(subset=["dataset", "learner"])["dataset"].duplicated().any():
        siblings = _draw_siblings(curves, batch, of_curve, beginnings.last_log_x, rng)
    weight = 1.0 / np.bincount(of_curve)[of_curve]
    return TrainingPrefixes(beginnings, outcome[source], weight, source, folds, siblings)


def _draw_siblings(
    curves: pd.DataFrame, batch: CurveBatch, of_curve: Codes, ends: Floats, rng: np.random.Generator
) -> list[Siblings]:
    """Siblings of n cases: `of_curve` (n,) is the row of `curves` that each begins, `ends` (n,) its last log budget.

    `curves` are indexed by their row in `batch`. Half of the cases know their siblings up to the budget of the case,
    half know complete ones; a random share of the siblings is left out, so that few are as usual as many.
    """
    dataset, learner = pd.factorize(curves["dataset"])[0], curves["learner"].to_numpy(dtype=object)
    members = {int(d): np.flatnonzero(dataset == d) for d in np.unique(dataset) if d >= 0}
    log_first = [np.log(batch.first_step[row]) for row in curves.index]
    whole = []
    for row, name, outcome, start in zip(curves.index, learner, curves["outcome"], log_first, strict=True):
        x, y = (points[row, : batch.lengths[row]] for points in (batch.log_x, batch.values))
        if batch.target[row] > x[-1] + 1e-9:
            x, y = np.append(x, batch.target[row]), np.append(y, outcome)
        whole.append((str(name), x + start, y))
    is_complete, share = rng.random(len(ends)) < 0.5, rng.random(len(ends))
    out: list[Siblings] = []
    for i, c in enumerate(of_curve):
        others = members.get(int(dataset[c]), np.empty(0, dtype=np.intp))
        others = others[(others != c) & (learner[others] != learner[c])]
        others = others[rng.random(len(others)) < max(share[i], 0.15)] if share[i] < 0.6 else others
        limit = np.inf if is_complete[i] else float(ends[i]) + 1e-9
        near = ((name, x - log_first[c], y) for name, x, y in (whole[o] for o in others))
        out.append([(name, x[x <= limit], y[x <= limit]) for name, x, y in near if x[0] <= limit])
    return out
