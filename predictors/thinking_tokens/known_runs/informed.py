"""What is learnt beyond the copula about queries of which some runs are known: a boosted mean, then heads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...splits import assign_split
from ..heads.boosting import Boosting, load_boosters, save_boosters
from ..heads.distribution import PILOT, WARM, tilted_curves

__all__ = ["InformedHeads", "add_signals", "centred_tilt", "fit_signals"]

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
N_FOLDS = 5
MIN_SHARE = 0.2
RIDGE_QUERIES = 20.0
MAX_WEIGHT = 1.2
MAX_DEVIATIONS = 2.5
WARM_PRIOR = (1.0, 0.0, 0.0)
PILOT_PRIOR = (0.4, 0.0, 0.6)
STEPS: Floats = (np.arange(20) + 0.5) / 20


def centred_tilt(curves: Floats, codes: Ints, levels: Floats, mean: Floats, deviation: Floats) -> tuple[Floats, Floats]:
    """Mean of the tilted residual, shape (n_samples,), and its quantiles around it, (n_samples, n_levels)."""
    centre = tilted_curves(curves, codes, STEPS, mean, deviation).mean(axis=1)
    return centre, tilted_curves(curves, codes, levels, mean, deviation) - centre[:, None]


def _patterns(signals: Floats) -> NDArray[np.object_]:
    """Which signals each row has, such as ``110``; shape (n_samples,)."""
    is_given = np.isfinite(signals)
    codes = is_given @ (1 << np.arange(signals.shape[1])[::-1])
    names = [format(code, f"0{signals.shape[1]}b") for code in range(1 << signals.shape[1])]
    return np.asarray(np.array(names, dtype=object)[codes])


def _prior(pattern: str) -> Floats:
    """Weights of the signals before any data."""
    return np.array(PILOT_PRIOR if pattern[-1] == "1" else WARM_PRIOR)


def winsorised(residual: Floats) -> Floats:
    """Residuals (n_samples,) kept within `MAX_DEVIATIONS` robust standard deviations of their median."""
    middle = float(np.median(residual))
    reach = MAX_DEVIATIONS * 1.4826 * float(np.median(np.abs(residual - middle)))
    return np.asarray(np.clip(residual, middle - reach, middle + reach)) if reach > 0 else residual


def fit_signals(signals: Floats, residual: Floats, weight: Floats, groups: NDArray[np.object_]) -> dict[str, Floats]:
    """Weights of the signals by ridge regression of `residual`, apart by which signals a row has.

    Pulled, with the weight of twenty queries, towards the copula's mean alone, and where there is a pilot towards .4 of
    it and .6 of the pilot: within the range of what was seen the two say the same, beyond it only the pilot does.
    Weights and their sum are kept within [0, 1.2].

    Parameters
    ----------
    signals : ndarray of shape (n_samples, n_signals)
        The first is the copula's mean, the last that of the pilots, shrunk by their noise; NaN where there is none.
    residual, weight, groups : ndarrays of shape (n_samples,)

    Returns
    -------
    dict
        Pattern of known signals -> weights of shape (n_signals,), 0 for a missing one.
    """
    coefficients = {}
    patterns = _patterns(signals)
    for pattern in np.unique(patterns):
        rows = patterns == pattern
        is_given = np.array([flag == "1" for flag in pattern])
        design, w = signals[rows][:, is_given], weight[rows]
        prior = _prior(pattern)[is_given]
        gram = (design * w[:, None]).T @ design
        per_query = np.trace(gram) / len(prior) / len(set(groups[rows]))
        gram += (RIDGE_QUERIES * per_query + 1e-9) * np.eye(len(prior))
        pull = (RIDGE_QUERIES * per_query + 1e-9) * prior
        weights = np.zeros(signals.shape[1])
        solved = np.linalg.solve(gram, design.T @ (w * residual[rows]) + pull)
        kept = np.clip(solved, 0.0, MAX_WEIGHT)
        weights[is_given] = kept * min(1.0, MAX_WEIGHT / max(float(kept.sum()), 1e-9))
        coefficients[str(pattern)] = weights
    return coefficients


def add_signals(weights: dict[str, Floats], signals: Floats) -> Floats:
    """What the signals add to the location, as `fit_signals` weighs them or would without data; shape (n_samples,)."""
    codes, names = pd.factorize(_patterns(signals))
    table = np.array([weights.get(str(name), _prior(str(name))) for name in names])
    table = table.reshape(len(names), signals.shape[1])[codes]
    return np.asarray((np.nan_to_num(signals) * table).sum(axis=1))


class InformedHeads:
    """Heads of forecasts that know runs of their query.

    1. *Signals*: the copula's mean and the mean residuals of the warm runs and of the pilots, weighted by ridge
       regression, apart by which of them are known. A line goes on where few queries were seen; a tree does not.
    2. *Mean*: LightGBM with squared error, boosted from there. Squared error uses every run of a leaf, where a quantile
       near the end of the distribution uses few.
    3. *Heads*: LightGBM with the quantile objective, boosted from the out-of-fold mean plus the copula's shape,
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
        location: Floats,
        signals: Floats,
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
        location : ndarray of shape (n_samples,)
            Log tokens that the request alone makes one expect.
        signals : ndarray of shape (n_samples, 3)
            What is to be added to it by the copula, the warm runs and the pilots; NaN where there are none.
        shape : ndarray of shape (n_samples, n_heads)
            Quantiles around the mean, by the copula.
        z, weight, groups, regime : ndarrays of shape (n_samples,)
            Log tokens, weight, query, and `WARM` or `PILOT`.
        """
        fractions = {str(fold): 1 / N_FOLDS for fold in range(N_FOLDS)}
        folds = assign_split(pd.Series(groups), fractions=fractions, salt="informed").to_numpy()
        # Runs that ran away to their limit are drawn from beyond it: squares would see nothing else.
        drawn, z = z, location + winsorised(z - location)
        centre = np.empty(len(z))
        for fold in np.unique(folds):
            out = folds == fold
            rest = ~out if (~out).any() else out
            linear = fit_signals(signals[rest], (z - location)[rest], weight[rest], groups[rest])
            start = location + add_signals(linear, signals)
            booster = self.mean_boosting.mean(columns[rest], z[rest], start[rest], weight[rest])
            centre[out] = start[out] + self.boosting.predict([booster], columns[out])[:, 0]
        self.linear_ = fit_signals(signals, z - location, weight, groups)
        start = location + add_signals(self.linear_, signals)
        self.mean_ = [self.mean_boosting.mean(columns, z, start, weight)]
        self.shares_ = {}
        for name in (WARM, PILOT):
            rows = regime == name
            before = float((weight[rows] * (z - location - signals[:, 0])[rows] ** 2).sum())
            after = float((weight[rows] * (z - centre)[rows] ** 2).sum())
            self.shares_[name] = float(np.clip(np.sqrt(after / before), MIN_SHARE, 1.0)) if before > 0 else 1.0
        starts = self._starts(centre, shape, regime)
        self.heads_ = self.boosting.quantiles(np.column_stack([columns, centre - location]), drawn, starts, weight)
        return self

    def _starts(self, centre: Floats, shape: Floats, regime: Ints) -> Floats:
        share = np.array([self.shares_.get(int(name), 1.0) for name in regime])
        return np.asarray(centre[:, None] + share[:, None] * shape)

    def values(self, columns: Floats, location: Floats, signals: Floats, shape: Floats, regime: Ints) -> Floats:
        """Log quantiles at `HEAD_LEVELS`, uncalibrated; arguments as for `fit`; shape (n_samples, n_heads)."""
        shift = add_signals(self.linear_, signals) + self.boosting.predict(self.mean_, columns)[:, 0]
        learnt = self.boosting.predict(self.heads_, np.column_stack([columns, shift]))
        return self._starts(location + shift, shape, regime) + learnt

    def save(self, path: Path) -> dict[str, Any]:
        """Write the boosters into the folder `path`; returns JSON for `load`."""
        return {
            "mean": save_boosters(path, "informed_mean", self.mean_),
            "heads": save_boosters(path, "informed", self.heads_),
            "shares": {str(regime): share for regime, share in self.shares_.items()},
            "linear": {pattern: weights.tolist() for pattern, weights in self.linear_.items()},
        }

    @classmethod
    def load(cls, path: Path, state: dict[str, Any], boosting: Boosting) -> Self:
        """Restore what `save` wrote."""
        informed = cls(boosting)
        informed.mean_ = load_boosters(path, "informed_mean", state["mean"])
        informed.heads_ = load_boosters(path, "informed", state["heads"])
        informed.shares_ = {int(regime): float(share) for regime, share in state["shares"].items()}
        informed.linear_ = {pattern: np.array(weights) for pattern, weights in state["linear"].items()}
        return informed
