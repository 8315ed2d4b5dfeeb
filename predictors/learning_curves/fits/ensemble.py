"""Maximum a posteriori fits of all families to a batch, and their ensemble."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..curves import CurveBatch
from .parametric import FAMILIES, fit_family

Floats: TypeAlias = NDArray[np.float64]
MISFIT = 0.01
"""Standard deviation, unit scale, by which a family may miss a curve even without noise."""
CHUNK = 4096
LEAST_MSE = 1e-4


def forecast_ensemble(batch: CurveBatch) -> tuple[Floats, Floats]:
    """Mean and standard deviation, unit scale, of a mixture of all families at the targets of n curves; (n,) each.

    A family weighs by the geometric mean of its Laplace evidence and of one over the mean squared error of its fit.
    Curves are fitted in chunks of similar length, which keeps padding and memory small.
    """
    n = len(batch)
    value, deviation, log_weight = np.zeros((3, n, len(FAMILIES)))
    order = np.argsort(batch.lengths, kind="stable")
    for start in range(0, n, CHUNK):
        rows = order[start : start + CHUNK]
        part = batch.take(rows)
        for j, family in enumerate(FAMILIES.values()):
            fit = fit_family(family, part.log_x, part.values, part.weights(MISFIT))
            value[rows, j], deviation[rows, j] = fit.predict(part.target)
            log_weight[rows, j] = 0.5 * (fit.log_evidence - np.log(fit.mean_squared_error + LEAST_MSE))
    weight = np.exp(log_weight - log_weight.max(axis=1, keepdims=True))
    weight /= weight.sum(axis=1, keepdims=True)
    mean = (weight * value).sum(axis=1)
    variance = (weight * (deviation**2 + (value - mean[:, None]) ** 2)).sum(axis=1)
    return mean, np.sqrt(variance)
