"""Robust summaries of many tasks: interquartile mean and probability of improvement, seeded bootstrap.

Scores are a matrix of shape (n_runs, n_tasks): runs of one method on each task. The bootstrap is
stratified: runs are drawn anew within each task, tasks stay (they are the benchmark).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from predictors.errors import InvalidInputError

__all__ = ["BootstrapEstimate", "interquartile_mean", "probability_of_improvement"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class BootstrapEstimate:
    """A point estimate with the ends of its 95 % percentile interval; NaN ends for a single run."""

    value: float
    ci_lower: float
    ci_upper: float


def interquartile_mean(scores: ArrayLike, *, n_bootstrap: int = 2000, random_state: int = 0) -> BootstrapEstimate:
    """Mean of the middle half of all scores, with a stratified bootstrap interval.

    Parameters
    ----------
    scores : array-like of shape (n_runs, n_tasks)
        In the unit of the score.
    n_bootstrap : int, optional
    random_state : int, optional
        Seed, really used: the same seed gives the same interval, another gives another.

    Raises
    ------
    InvalidInputError
        If scores are not a finite matrix.

    References
    ----------
    Agarwal et al. (2021), Deep reinforcement learning at the edge of the statistical precipice.

    Examples
    --------
    >>> interquartile_mean([[0.0, 1.0, 2.0, 99.0]]).value
    1.5
    """
    s = _matrix(scores, "scores")
    rng = np.random.default_rng(random_state)
    return _bootstrap(
        lambda draws: np.asarray(stats.trim_mean(draws[0].reshape(len(draws[0]), -1), 0.25, axis=1)),
        [s], n_bootstrap, rng,
    )  # fmt: skip


def probability_of_improvement(
    scores_a: ArrayLike, scores_b: ArrayLike, *, n_bootstrap: int = 2000, random_state: int = 0
) -> BootstrapEstimate:
    """Probability that a run of a scores higher than a run of b on a random task; ties count half.

    Parameters
    ----------
    scores_a : array-like of shape (n_runs_a, n_tasks)
    scores_b : array-like of shape (n_runs_b, n_tasks)
    n_bootstrap, random_state : int, optional
        As in `interquartile_mean`.

    Returns
    -------
    BootstrapEstimate
        In [0, 1]; .5 for equal methods.
    """
    a, b = _matrix(scores_a, "scores_a"), _matrix(scores_b, "scores_b")
    if a.shape[1] != b.shape[1]:
        raise InvalidInputError(f"both must have the same tasks, got {a.shape[1]} and {b.shape[1]}")

    def improvement(draws: list[Floats]) -> Floats:
        wins = np.zeros(len(draws[0]))
        for run in range(draws[1].shape[1]):
            other = draws[1][:, run : run + 1]
            wins += ((draws[0] > other) + 0.5 * (draws[0] == other)).mean(axis=(1, 2))
        return np.asarray(wins / draws[1].shape[1])

    return _bootstrap(improvement, [a, b], n_bootstrap, np.random.default_rng(random_state))


def _bootstrap(
    statistic: Callable[[list[Floats]], Floats], samples: list[Floats], n: int, rng: np.random.Generator
) -> BootstrapEstimate:
    value = float(statistic([s[None] for s in samples])[0])
    if all(s.shape[0] == 1 for s in samples):
        return BootstrapEstimate(value, float("nan"), float("nan"))
    draws = []
    for start in range(0, n, 200):
        block = min(200, n - start)
        draws.append(statistic([_resample(s, block, rng) for s in samples]))
    lower, upper = np.quantile(np.concatenate(draws), [0.025, 0.975])
    return BootstrapEstimate(value, float(lower), float(upper))


def _resample(scores: Floats, n: int, rng: np.random.Generator) -> Floats:
    """`n` copies, runs drawn with replacement within each task, shape (n, n_runs, n_tasks)."""
    rows = rng.integers(0, scores.shape[0], size=(n, *scores.shape))
    return np.asarray(scores[rows, np.arange(scores.shape[1])])


def _matrix(scores: ArrayLike, name: str) -> Floats:
    s = np.asarray(scores, dtype=np.float64)
    if s.ndim != 2 or s.size == 0 or not np.isfinite(s).all():
        raise InvalidInputError(f"`{name}` must be a finite matrix of shape (n_runs, n_tasks), got shape {s.shape}")
    return s
