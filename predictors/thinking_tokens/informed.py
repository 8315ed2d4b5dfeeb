"""What is learnt beyond the copula about queries of which some runs are known: a boosted mean, then heads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from predictors.splits import assign_split
from predictors.thinking_tokens.boosting import Boosting, load_boosters, save_boosters
from predictors.thinking_tokens.distribution import PILOT, WARM, tilted_curves

__all__ = ["InformedHeads", "centred_tilt"]

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
N_FOLDS = 5
MIN_SHARE = 0.2
STEPS: Floats = (np.arange(20) + 0.5) / 20


def centred_tilt(curves: Floats, codes: Ints, levels: Floats, mean: Floats, deviation: Floats) -> tuple[Floats, Floats]:
    """Mean of the tilted residual, shape (n_samples,), and its quantiles around it, (n_samples, n_levels)."""
    centre = tilted_curves(curves, codes, STEPS, mean, deviation).mean(axis=1)
    return centre, tilted_curves(curves, codes, levels, mean, deviation) - centre[:, None]


class InformedHeads:
    """Heads of forecasts that know runs of their query.

    1. *Mean*: LightGBM with squared error, boosted from the copula's mean. Squared error uses every run of a leaf,
       where a quantile near the end of the distribution uses few.
    2. *Heads*: LightGBM with the quantile objective, boosted from the out-of-fold mean plus the copula's shape,
       drawn together by as much as the mean has explained (apart for warm and pilot forecasts).
    """

    def __init__(self, boosting: Boosting) -> None:
        self.boosting = boosting
        self.mean_boosting = replace(
            boosting,
            n_estimators=3 * boosting.n_estimators,
            learning_rate=0.6 * boosting.learning_rate,
            num_leaves=2 * boosting.num_leaves,
        )

    def fit(
        self,
        columns: Floats,
        centre: Floats,
        shape: Floats,
        z: Floats,
        weight: Floats,
        groups: NDArray[np.object_],
        regime: Ints,
    ) -> Self:
        """Learn from n informed runs.

        Parameters
        ----------
        columns : ndarray of shape (n_samples, n_columns)
            Codes of the categories first.
        centre, shape : ndarrays of shape (n_samples,) and (n_samples, n_heads)
            Mean of log tokens by the copula, and its quantiles around it.
        z, weight, groups, regime : ndarrays of shape (n_samples,)
            Log tokens, weight, query, and `WARM` or `PILOT`.
        """
        fractions = {str(fold): 1 / N_FOLDS for fold in range(N_FOLDS)}
        folds = assign_split(pd.Series(groups), fractions=fractions, salt="informed").to_numpy()
        shift = np.zeros(len(z))
        for fold in np.unique(folds):
            out = folds == fold
            if out.all():
                continue
            booster = self.mean_boosting.mean(columns[~out], z[~out], centre[~out], weight[~out])
            shift[out] = self.boosting.predict([booster], columns[out])[:, 0]
        self.mean_ = [self.mean_boosting.mean(columns, z, centre, weight)]
        self.shares_ = {}
        for name in (WARM, PILOT):
            rows = regime == name
            before = float((weight[rows] * (z - centre)[rows] ** 2).sum())
            after = float((weight[rows] * (z - centre - shift)[rows] ** 2).sum())
            self.shares_[name] = float(np.clip(np.sqrt(after / before), MIN_SHARE, 1.0)) if before > 0 else 1.0
        starts = self._starts(centre + shift, shape, regime)
        self.heads_ = self.boosting.quantiles(np.column_stack([columns, shift]), z, starts, weight)
        return self

    def _starts(self, centre: Floats, shape: Floats, regime: Ints) -> Floats:
        share = np.array([self.shares_.get(int(name), 1.0) for name in regime])
        return np.asarray(centre[:, None] + share[:, None] * shape)

    def values(self, columns: Floats, centre: Floats, shape: Floats, regime: Ints) -> Floats:
        """Log quantiles at `HEAD_LEVELS`, uncalibrated; arguments as for `fit`; shape (n_samples, n_heads)."""
        shift = self.boosting.predict(self.mean_, columns)[:, 0]
        learnt = self.boosting.predict(self.heads_, np.column_stack([columns, shift]))
        return self._starts(centre + shift, shape, regime) + learnt

    def save(self, path: Path) -> dict[str, Any]:
        """Write the boosters into the folder `path`; returns JSON for `load`."""
        return {
            "mean": save_boosters(path, "informed_mean", self.mean_),
            "heads": save_boosters(path, "informed", self.heads_),
            "shares": {str(regime): share for regime, share in self.shares_.items()},
        }

    @classmethod
    def load(cls, path: Path, state: dict[str, Any], boosting: Boosting) -> Self:
        """Restore what `save` wrote."""
        informed = cls(boosting)
        informed.mean_ = load_boosters(path, "informed_mean", state["mean"])
        informed.heads_ = load_boosters(path, "informed", state["heads"])
        informed.shares_ = {int(regime): float(share) for regime, share in state["shares"].items()}
        return informed
