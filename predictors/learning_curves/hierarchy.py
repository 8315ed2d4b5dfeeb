"""Priors of curve parameters learnt from whole curves: each learner has a centre of its own, near that of all.

A few points say little about an asymptote; how the same learner's curves went on other data sets says more. The
parameters of all training curves are fitted under the weak priors, a learner's centre is the mean of its curves shrunk
towards the mean of all, and the spread around the centres is the covariance of the prior (empirical Bayes).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from predictors.learning_curves.curves import CurveBatch
from predictors.learning_curves.ensemble import MISFIT
from predictors.learning_curves.parametric import FAMILIES, Prior, fit_family

__all__ = ["HIERARCHY_FAMILIES", "LearnerPriors", "WholeCurves"]

Floats: TypeAlias = NDArray[np.float64]
Codes: TypeAlias = NDArray[np.intp]
HIERARCHY_FAMILIES: tuple[str, ...] = ("pow3", "pow4", "mmf4", "hill")
SHRINKAGE = 5.0
"""Curves of its own at which a learner's centre lies half-way to that of all."""
FARTHEST = 8.0
WIDER = 1.5
"""The weak priors are made this much wider while whole curves are fitted."""
CHUNK = 4096


@dataclass(frozen=True)
class WholeCurves:
    """Parameters of whole training curves: by family (n, p), with the learner's code (-1: unknown) of each curve."""

    params: dict[str, Floats]
    learner: Codes
    n_learners: int

    @classmethod
    def fit(cls, curves: CurveBatch, final: Floats, learner: Codes, n_learners: int) -> Self:
        """Fit every curve with its outcome as one more point."""
        n = len(curves)
        log_x, values, weights = (np.column_stack([a, np.zeros(n)]) for a in
                                  (curves.log_x, curves.values, curves.weights(MISFIT)))  # fmt: skip
        rows = np.arange(n)
        ahead = curves.target > curves.last_log_x
        log_x[rows, curves.lengths] = curves.target
        values[rows, curves.lengths] = final
        weights[rows, curves.lengths] = np.where(ahead, 1.0 / MISFIT, 0.0)
        params = {}
        for name in HIERARCHY_FAMILIES:
            family = FAMILIES[name]
            fit = fit_family(family, log_x, values, weights, prior=family.prior.weakened(WIDER))
            params[name] = np.clip(fit.params, -FARTHEST, FARTHEST)
        return cls(params, learner, n_learners)

    def priors(self, use: NDArray[np.bool_]) -> LearnerPriors:
        """Priors from the curves that `use` marks."""
        means, precisions = {}, {}
        codes = self.learner[use]
        known = codes >= 0
        count = np.bincount(codes[known], minlength=self.n_learners)
        for name, all_params in self.params.items():
            params = all_params[use]
            centre = np.median(params, axis=0)
            sums = np.zeros((self.n_learners, params.shape[1]))
            np.add.at(sums, codes[known], params[known])
            mean = np.vstack([(sums + SHRINKAGE * centre) / (count + SHRINKAGE)[:, None], centre])
            around = params - mean[codes]
            covariance = around.T @ around / max(len(params) - 1, 1) + 0.01 * np.eye(params.shape[1])
            means[name], precisions[name] = mean, np.linalg.inv(covariance)
        return LearnerPriors(means, precisions)


@dataclass(frozen=True)
class LearnerPriors:
    """By family: centres of the learners (n_learners + 1, p), that of all last, and the precision (p, p)."""

    means: dict[str, Floats]
    precisions: dict[str, Floats]

    def columns(self, batch: CurveBatch, learner: Codes) -> Floats:
        """MAP forecasts under the learners' priors, relative to the last value; shape (n, 3 F + 2).

        `learner` has codes, -1 for unknown ones, which get the centre of all.
        """
        n = len(batch)
        found = np.zeros((3, n, len(self.means)))
        order = np.argsort(batch.lengths, kind="stable")
        for start in range(0, n, CHUNK):
            rows = order[start : start + CHUNK]
            part = batch.take(rows)
            for j, (name, means) in enumerate(self.means.items()):
                precision = np.broadcast_to(self.precisions[name], (len(rows), *self.precisions[name].shape))
                prior = Prior(means[learner[rows]], precision)
                fit = fit_family(FAMILIES[name], part.log_x, part.values, part.weights(MISFIT), prior=prior)
                value, deviation = fit.predict(part.target)
                found[:, rows, j] = value - part.last, deviation, fit.log_evidence
        middle, spread = np.median(found[0], axis=1), found[0].std(axis=1)
        return np.column_stack([*found, middle, spread])

    def state(self) -> dict[str, Any]:
        """JSON state."""
        return {
            name: {"means": self.means[name].tolist(), "precision": self.precisions[name].tolist()}
            for name in self.means
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """Rebuild what `state` wrote."""
        # The order is that of the columns; a manifest sorts its keys.
        names = [name for name in HIERARCHY_FAMILIES if name in state]
        return cls(
            {name: np.asarray(state[name]["means"], dtype=np.float64) for name in names},
            {name: np.asarray(state[name]["precision"], dtype=np.float64) for name in names},
        )
