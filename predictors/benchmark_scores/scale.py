"""The scale on which scores are modelled: a logit that is finite at 0 and 100 points."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
MARGIN = 1.0
"""Points added at either end, so that scores of 0 and 100 have a finite logit."""


def to_logit(score: ArrayLike) -> Floats:
    """``log((score + MARGIN) / (100 + MARGIN - score))`` of scores in points (0-100), any shape (n, ...)."""
    s = np.asarray(score, dtype=np.float64)
    return np.log((s + MARGIN) / (100.0 + MARGIN - s))


def from_logit(z: ArrayLike) -> Floats:
    """Score in points of a logit, cut to [0, 100], any shape (n, ...)."""
    share = 1.0 / (1.0 + np.exp(-np.clip(np.asarray(z, dtype=np.float64), -30, 30)))
    return np.clip((100.0 + 2 * MARGIN) * share - MARGIN, 0.0, 100.0)
