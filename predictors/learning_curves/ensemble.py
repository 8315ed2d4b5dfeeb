"""Maximum a posteriori fits of all families to a batch, and their ensembles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from predictors.learning_curves.curves import CurveBatch
from predictors.learning_curves.parametric import FAMILIES, FamilyFit, Prior, fit_family

__all__ = ["ALL_FAMILIES", "MISFIT", "FamilyForecasts", "fit_curves", "forecast_families"]

Floats: TypeAlias = NDArray[np.float64]
ALL_FAMILIES: tuple[str, ...] = tuple(FAMILIES)
MISFIT = 0.01
"""Standard deviation, unit scale, by which a family may miss a curve even without noise."""
CHUNK = 4096
LEAST_MSE = 1e-4


@dataclass(frozen=True)
class FamilyForecasts:
    """Forecasts of F families for n curves at their targets, unit scale.

    Attributes
    ----------
    names : tuple of str
    value, deviation : ndarrays of shape (n, F)
        MAP value and standard deviation by the delta method.
    log_evidence, error, asymptote : ndarrays of shape (n, F)
        Laplace evidence (higher is better), root mean squared error over the observed points (lower is better), and
        the value at an unlimited budget.
    """

    names: tuple[str, ...]
    value: Floats
    deviation: Floats
    log_evidence: Floats
    error: Floats
    asymptote: Floats

    def weights(self, by: str = "both") -> Floats:
        """Weights of the families for each curve, shape (n, F), rows sum to 1.

        ``"evidence"``: Bayesian model averaging; ``"error"``: one over the mean squared error of the fit;
        ``"both"``: their normalised geometric mean.
        """
        logs = np.zeros_like(self.value)
        share = 0.5 if by == "both" else 1.0
        if by in ("evidence", "both"):
            logs += share * self.log_evidence
        if by in ("error", "both"):
            logs -= share * np.log(self.error**2 + LEAST_MSE)
        raw = np.exp(logs - logs.max(axis=1, keepdims=True))
        return np.asarray(raw / raw.sum(axis=1, keepdims=True))

    def ensemble(self, by: str = "both") -> tuple[Floats, Floats]:
        """Mean and standard deviation of the weighted mixture of families, each of shape (n,)."""
        w = self.weights(by)
        mean = (w * self.value).sum(axis=1)
        variance = (w * (self.deviation**2 + (self.value - mean[:, None]) ** 2)).sum(axis=1)
        return mean, np.sqrt(variance)

    def best(self) -> tuple[Floats, Floats]:
        """Value and standard deviation of the family that fits the observed points best, each of shape (n,)."""
        at = np.argmin(self.error, axis=1)
        rows = np.arange(len(at))
        return self.value[rows, at], self.deviation[rows, at]


def fit_curves(
    batch: CurveBatch, families: Sequence[str] = ALL_FAMILIES, *, priors: dict[str, Prior] | None = None
) -> dict[str, FamilyFit]:
    """MAP fits of each family to all curves of a batch."""
    weights = batch.weights(MISFIT)
    given = priors or {}
    return {
        name: fit_family(FAMILIES[name], batch.log_x, batch.values, weights, prior=given.get(name)) for name in families
    }


def forecast_families(
    batch: CurveBatch, families: Sequence[str] = ALL_FAMILIES, *, priors: dict[str, Prior] | None = None
) -> FamilyForecasts:
    """Fit each family to each curve and read it at the target.

    Curves are fitted in chunks of similar length, which keeps padding and memory small.
    """
    n = len(batch)
    found = np.zeros((5, n, len(families)))
    order = np.argsort(batch.lengths, kind="stable")
    for start in range(0, n, CHUNK):
        rows = order[start : start + CHUNK]
        part = batch.take(rows)
        for j, fit in enumerate(fit_curves(part, families, priors=priors).values()):
            value, deviation = fit.predict(part.target)
            error = np.sqrt(fit.mean_squared_error)
            asymptote = fit.family.asymptote(fit.params)
            found[:, rows, j] = value, deviation, fit.log_evidence, error, asymptote
    return FamilyForecasts(tuple(families), *found)
