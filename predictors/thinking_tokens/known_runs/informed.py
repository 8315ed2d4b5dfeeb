"""What is learnt about queries of which some runs are known: a boosted mean, then heads."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...arrays import Codes, Floats, Mask
from ...splits import assign_split
from ..heads.boosting import Boosting, load_boosters, save_boosters
from ..heads.distribution import PILOT, WARM

N_FOLDS = 5
MIN_SHARE = 0.2
MAX_DEVIATIONS = 2.5


def winsorised(residual: Floats) -> Floats:
    """Residuals (n_samples,) kept within `MAX_DEVIATIONS` robust standard deviations of their median."""
    middle = float(np.median(residual))
    reach = MAX_DEVIATIONS * 1.4826 * float(np.median(np.abs(residual - middle)))
    return np.asarray(np.clip(residual, middle - reach, middle + reach)) if reach > 0 else residual


@dataclass(frozen=True)
class InformedRuns:
    """Runs, or requests, of which runs of the query are known.

    `columns` (n_samples, n_columns) are what the boosters read, codes of the categories first; `location` (n_samples,)
    the log tokens that the request alone makes one expect, `centre` what the known runs add to them, and `shape`
    (n_samples, n_heads) quantiles around the sum; `regime` is `COLD` (no run is known after all), `WARM` or `PILOT`.
    """

    columns: Floats
    location: Floats
    centre: Floats
    shape: Floats
    regime: Codes

    def select(self, keep: Mask) -> "InformedRuns":
        """Those where `keep`."""
        return InformedRuns(*(values[keep] for values in vars(self).values()))


class InformedHeads:
    """Heads of forecasts that know runs of their query.

    1. *Mean*: LightGBM with squared error, boosted from what the effects of the query make one expect. Squared error
       uses every run of a leaf, where a quantile near the end of the distribution uses few.
    2. *Heads*: LightGBM with the quantile objective, boosted from the out-of-fold mean plus the shape, drawn together
       by as much as the mean has explained (apart for warm and pilot forecasts).
    """

    def __init__(self, boosting: Boosting) -> None:
        self.boosting = boosting
        self.mean_boosting = replace(
            boosting,
            n_estimators=3 * boosting.n_estimators,
            learning_rate=0.6 * boosting.learning_rate,
            num_leaves=2 * boosting.num_leaves,
        )

    def fit(self, runs: InformedRuns, z: Floats, weight: Floats, groups: NDArray[np.object_]) -> Self:
        """Learn from `runs` with log tokens `z`, weights and queries (`groups`), each of shape (n_samples,)."""
        fractions = {str(fold): 1 / N_FOLDS for fold in range(N_FOLDS)}
        folds = assign_split(pd.Series(groups), fractions=fractions, salt="informed").to_numpy()
        columns, start = runs.columns, runs.location + runs.centre
        # Runs that ran away to their limit are drawn from beyond it: squares would see nothing else.
        drawn, z = z, runs.location + winsorised(z - runs.location)
        mean = start.copy()
        for fold in np.unique(folds):
            out = folds == fold
            rest = ~out if (~out).any() else out
            booster = self.mean_boosting.mean(columns[rest], z[rest], start[rest], weight[rest])
            mean[out] += self.boosting.predict([booster], columns[out])[:, 0]
        self.mean_ = [self.mean_boosting.mean(columns, z, start, weight)]
        self.shares_ = {}
        for name in (WARM, PILOT):
            rows = runs.regime == name
            before, after = (float((weight * (z - centre) ** 2)[rows].sum()) for centre in (start, mean))
            self.shares_[name] = float(np.clip(np.sqrt(after / before), MIN_SHARE, 1.0)) if before > 0 else 1.0
        columns = np.column_stack([columns, mean - runs.location])
        self.heads_ = self.boosting.quantiles(columns, drawn, self._starts(runs, mean), weight)
        return self

    def _starts(self, runs: InformedRuns, mean: Floats) -> Floats:
        share = np.array([self.shares_.get(int(name), 1.0) for name in runs.regime])
        return np.asarray(mean[:, None] + share[:, None] * runs.shape)

    def values(self, runs: InformedRuns) -> Floats:
        """Log quantiles at `HEAD_LEVELS`, uncalibrated; shape (n_samples, n_heads)."""
        shift = runs.centre + self.boosting.predict(self.mean_, runs.columns)[:, 0]
        learnt = self.boosting.predict(self.heads_, np.column_stack([runs.columns, shift]))
        return self._starts(runs, runs.location + shift) + learnt

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
