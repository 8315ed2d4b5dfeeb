"""A robust summary of many tasks: the interquartile mean."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from ...errors import InvalidInputError

N_BLOCKS = 10


def interquartile_mean(scores: ArrayLike) -> tuple[float, float, float]:
    """Mean of the middle half of all scores, of shape (n_runs, n_tasks), with the ends of its 95 % bootstrap interval.

    Runs are drawn anew within each task, tasks stay (they are the benchmark); NaN ends for a single run.

    Raises
    ------
    InvalidInputError
        If scores are not a finite matrix.

    References
    ----------
    Agarwal et al. (2021), Deep reinforcement learning at the edge of the statistical precipice.

    Examples
    --------
    >>> interquartile_mean([[0.0, 1.0, 2.0, 99.0]])[0]
    1.5
    """
    s = np.asarray(scores, dtype=np.float64)
    if s.ndim != 2 or s.size == 0 or not np.isfinite(s).all():
        raise InvalidInputError(f"`scores` must be a finite matrix of shape (n_runs, n_tasks), got shape {s.shape}")
    value, nan = float(stats.trim_mean(s.ravel(), 0.25)), float("nan")
    if len(s) == 1:
        return value, nan, nan
    rng, tasks, draws = np.random.default_rng(0), np.arange(s.shape[1]), []
    for _ in range(N_BLOCKS):  # of 200 draws each, so that many tasks fit into memory
        drawn = s[rng.integers(0, len(s), size=(200, *s.shape)), tasks].reshape(200, -1)
        draws.append(stats.trim_mean(drawn, 0.25, axis=1))
    lower, upper = np.quantile(np.concatenate(draws), [0.025, 0.975])
    return value, float(lower), float(upper)
