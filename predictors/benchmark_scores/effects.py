"""Two-way effects of a score: how hard a benchmark is, how good a model is, each shrunk towards what is expected."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Effects", "fit_effects"]

Floats = NDArray[np.float64]
Codes = NDArray[np.intp]
SWEEPS = 12


@dataclass(frozen=True)
class Effects:
    """``z = mean + benchmark + model``; `n_runs` counts the runs behind each benchmark effect."""

    mean: float
    benchmark: Floats
    model: Floats
    n_runs: Floats


def fit_effects(
    z: Floats, benchmarks: Codes, models: Codes, shape: tuple[int, int], *, prior: Floats | None = None,
    shrinkage: float = 3.0,
) -> Effects:  # fmt: skip
    """Alternate between mean residuals of benchmarks and of models until they settle.

    Parameters
    ----------
    z : ndarray of shape (n_samples,)
        Scores on the logit scale.
    benchmarks, models : ndarray of shape (n_samples,)
        Codes of each row.
    shape : tuple of int
        Numbers of benchmarks and models; those without rows get 0 and their prior.
    prior : ndarray of shape (n_models,), optional
        What a model effect is shrunk towards, from the model's metadata. By default 0.
    shrinkage : float, optional
        Runs' worth of evidence for the prior.
    """
    n_benchmarks, n_models = shape
    expected = np.zeros(n_models) if prior is None else prior
    per_benchmark = np.bincount(benchmarks, minlength=n_benchmarks).astype(np.float64)
    per_model = np.bincount(models, minlength=n_models)
    mean = float(z.mean())
    hard, good = np.zeros(n_benchmarks), expected.copy()
    for _ in range(SWEEPS):
        hard = np.bincount(benchmarks, z - mean - good[models], minlength=n_benchmarks) / np.maximum(per_benchmark, 1)
        total = np.bincount(models, z - mean - hard[benchmarks], minlength=n_models)
        good = (total + shrinkage * expected) / (per_model + shrinkage)
    return Effects(mean, hard, good, per_benchmark)
