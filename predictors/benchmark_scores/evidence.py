"""Scores that are already known on the benchmark in question: read from requests, and simulated for calibration."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from predictors.benchmark_scores.factors import ResidualFactors

__all__ = ["KnownScores", "known_sets", "simulate_evidence"]

Floats = NDArray[np.float64]
Codes = NDArray[np.intp]
MOST_KNOWN = 8
"""Largest number of known scores that calibration simulates."""


@dataclass(frozen=True)
class KnownScores:
    """Scores (points) of trained-on models on one benchmark, and the rows of the request they bear on."""

    benchmark: int
    rows: Codes
    models: Codes
    scores: Floats


def known_sets(X: pd.DataFrame, benchmarks: Codes, models: Sequence[str]) -> Iterator[KnownScores]:
    """Distinct sets of known scores in a request; those of models that were never trained on are left out."""
    if "known_models" not in X:
        return
    place = {name: i for i, name in enumerate(models)}
    found: dict[tuple[int, tuple[tuple[int, float], ...]], list[int]] = {}
    pairs = zip(X["known_models"], X["known_scores"], strict=True)
    for row, (names, scores) in enumerate(pairs):
        if not hasattr(names, "__len__"):
            continue
        known = sorted((place[str(n)], float(s)) for n, s in zip(names, scores, strict=True) if str(n) in place)
        if known:
            found.setdefault((int(benchmarks[row]), tuple(known)), []).append(row)
    for (benchmark, known_pairs), rows in found.items():
        yield KnownScores(
            benchmark,
            np.array(rows, dtype=np.intp),
            np.array([model for model, _ in known_pairs], dtype=np.intp),
            np.array([score for _, score in known_pairs]),
        )


def simulate_evidence(
    factors: ResidualFactors, residuals: Floats, benchmarks: Codes, models: Codes, *, seed: int | None
) -> tuple[Floats, Codes]:
    """Standardised residuals of the other rows of each benchmark when a few random ones are known.

    Returns
    -------
    standardised : ndarray of shape (n_told,)
        ``(residual - shift) / deviation``.
    positions : ndarray of shape (n_told,)
        Their positions in `residuals`.
    """
    rng = np.random.default_rng(seed)
    values, positions = [np.empty(0)], [np.empty(0, dtype=np.intp)]
    order = np.argsort(benchmarks, kind="stable")
    for at in np.split(order, np.flatnonzero(np.diff(benchmarks[order])) + 1):
        if len(at) < 3:
            continue
        known = rng.permutation(len(at))[: int(rng.integers(1, min(MOST_KNOWN, len(at) - 1) + 1))]
        loadings, variance = factors.loadings[models[at]], factors.variance[models[at]]
        shift, deviation = ResidualFactors.update(loadings, variance, known, residuals[at[known]])
        rest = np.setdiff1d(np.arange(len(at)), known)
        values.append((residuals[at[rest]] - shift[rest]) / deviation[rest])
        positions.append(at[rest])
    return np.concatenate(values), np.concatenate(positions)
