"""How far an asked forecaster is believed beside the predictor: a weight that its scored forecasts earn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd

from ...arrays import Floats
from ...base import LEVELS
from ...fitting.conformal import level_offsets
from ..description.leakage import assign_folds
from ..rows import group_weights
from ..scale import from_logit, to_logit

LEAST_SCORED, LEAST_GROUPS = 40, 10
"""Scored forecasts, and leak groups of them, before which the weight is 0."""
WEIGHTS: Floats = np.linspace(0.1, 1, 10)
FOLDS = 5
ONE_SIDED = 1.645
"""Standard errors that the gain of the pool must exceed: what is asked of noise gets no weight."""
_P: Floats = np.array(LEVELS)


@dataclass(frozen=True)
class Pool:
    """A convex pool of two sets of quantiles on the logit scale, then conformal offsets, shape (n_levels,).

    `weight` is that of the asked forecaster; where it is 0 the predictor's quantiles stay as they are.
    """

    weight: float
    offsets: Floats
    n_scored: int
    n_groups: int

    @classmethod
    def fit(cls, predictor: Floats, asked: Floats, score: Floats, groups: pd.Series) -> Self:
        """Learn the weight from forecasts of which the score is known, points, shapes (n_samples, n_levels).

        The weight is that of the least CRPS over leak groups left out (`groups`), each pool calibrated on the others;
        it stays 0 until `LEAST_SCORED` and `LEAST_GROUPS`, or where a pool whose weight was chosen on other groups
        does not beat the predictor beyond what chance over groups gives.
        """
        codes = pd.factorize(groups)[0]
        n_groups = len(np.unique(codes))
        nothing = cls(0.0, np.zeros(len(_P)), len(score), n_groups)
        if len(score) < LEAST_SCORED or n_groups < LEAST_GROUPS:
            return nothing
        z, ours, theirs = to_logit(score), to_logit(predictor), to_logit(asked)
        folds = assign_folds(groups.astype("str"), FOLDS, salt="pool").to_numpy()
        row = np.bincount(codes)[codes] ** -1.0 / n_groups
        losses = np.empty((len(WEIGHTS), len(score)))
        for i, weight in enumerate(WEIGHTS):
            pooled = (1 - weight) * ours + weight * theirs
            for fold in np.unique(folds):
                out = folds == fold
                shift = level_offsets(z[~out], pooled[~out], LEVELS, group_weights(codes)[~out])
                losses[i, out] = _crps(score[out], from_logit(np.sort(pooled[out] + shift, axis=1)))
        nested = np.empty(len(score))
        for fold in np.unique(folds):
            out = folds == fold
            nested[out] = losses[int(np.argmin(losses[:, ~out] @ row[~out])), out]
        gain = pd.Series(_crps(score, predictor) - nested).groupby(codes).mean()
        if gain.mean() <= ONE_SIDED * gain.std() / np.sqrt(n_groups):
            return nothing
        weight = float(WEIGHTS[np.argmin(losses @ row)])
        offsets = level_offsets(z, (1 - weight) * ours + weight * theirs, LEVELS, group_weights(codes))
        return cls(weight, offsets, len(score), n_groups)

    def apply(self, predictor: Floats, asked: Floats) -> Floats:
        """Quantiles of both together, points, shape (n_samples, n_levels); the predictor's where `asked` is NaN."""
        if self.weight == 0:
            return predictor
        pooled = (1 - self.weight) * to_logit(predictor) + self.weight * to_logit(asked) + self.offsets
        return np.where(np.isnan(asked), predictor, from_logit(np.sort(pooled, axis=1)))

    @property
    def said(self) -> str:
        """The weight and what it rests on, for people."""
        scored = f"{self.n_scored} of its forecasts on {self.n_groups} groups of benchmarks were scored"
        if self.n_scored < LEAST_SCORED or self.n_groups < LEAST_GROUPS:
            return f"weight 0: {scored}; it takes {LEAST_SCORED} on {LEAST_GROUPS} that its training cannot have seen"
        return f"weight {self.weight:.1f}: {scored}" + ("" if self.weight else ", which it did not forecast better")


def _crps(score: Floats, quantiles: Floats) -> Floats:
    """Twice the mean pinball loss at `LEVELS`, points, shape (n_samples,)."""
    over = score[:, None] - quantiles
    return np.asarray(2 * np.maximum(_P * over, (_P - 1) * over).mean(axis=1))
