"""The scales on which scores and figures are modelled: a logit that is finite at 0 and 100 points, and moments."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from ..errors import InvalidInputError

Floats = NDArray[np.float64]
MARGIN = 1.0
"""Points added at either end, so that scores of 0 and 100 have a finite logit."""


def checked_scores(y: pd.Series) -> Floats:
    """Scores as an array; refuses those that lie outside [0, 100] points."""
    score = y.to_numpy(dtype=np.float64)
    if ((score < 0) | (score > 100)).any():
        raise InvalidInputError(f"`y` must be scores in [0, 100] points, got {score.min()} to {score.max()}")
    return score


def to_logit(score: ArrayLike) -> Floats:
    """``log((score + MARGIN) / (100 + MARGIN - score))`` of scores in points (0-100), any shape (n, ...)."""
    s = np.asarray(score, dtype=np.float64)
    return np.log((s + MARGIN) / (100.0 + MARGIN - s))


def from_logit(z: ArrayLike) -> Floats:
    """Score in points of a logit, cut to [0, 100], any shape (n, ...)."""
    share = 1.0 / (1.0 + np.exp(-np.clip(np.asarray(z, dtype=np.float64), -30, 30)))
    return np.clip((100.0 + 2 * MARGIN) * share - MARGIN, 0.0, 100.0)


def moments(values: Floats) -> tuple[Floats, Floats]:
    """Mean and deviation of each column of (n, n_columns), unknown values left out; 0 and 1 where nothing is known."""
    known = ~np.isnan(values)
    n = np.maximum(known.sum(axis=0), 1)
    centre = np.where(known, values, 0).sum(axis=0) / n
    scale = np.sqrt((np.where(known, values - centre, 0) ** 2).sum(axis=0) / n)
    return centre, np.where(scale > 1e-9, scale, 1.0)
