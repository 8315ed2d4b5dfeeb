"""Scores as numbers: a logit that is finite at 0 and 100 points, moments, and how much of a score is noise."""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ..arrays import Floats, numbers_of
from ..errors import InvalidInputError

SHARE_METRICS = frozenset(("accuracy", "acc", "exact_match", "em"))
"""Metrics that are a mean of right and wrong answers, so that the binomial holds."""
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


def score_standard_error(scores: pd.DataFrame) -> Floats:
    """Standard error of every score in points, shape (n_samples,); NaN where neither part can be known.

    Noise is sampling of test items and repetition of the experiment, independent, so that variances add:
    ``p (1 - p) / (n - 1)`` for the share of right answers over n items, ``replicate_sd ** 2 / n_replicates`` for means.
    A part that is not known is left out, so that it is a lower bound where only one is. `scores` have `score` (points)
    and `metric`; optional `n_items`, `replicate_sd`, `n_replicates` and `standard_error_reported`: one that a harness
    reports without repeats is its sampling error and stands in for the binomial. `n_items` must count the items that
    were scored: for ranking metrics it counts documents, and is not used.
    """
    share = numbers_of(scores, "score") / 100
    items, replicates = numbers_of(scores, "n_items"), numbers_of(scores, "n_replicates")
    is_share = scores["metric"].isin(list(SHARE_METRICS)).to_numpy() & (items > 1)
    binomial = np.where(is_share, 1e4 * share * (1 - share) / np.maximum(items - 1, 1), np.nan)
    repeated = np.where(replicates > 1, numbers_of(scores, "replicate_sd") ** 2 / np.maximum(replicates, 1), np.nan)
    reported = np.where(np.isnan(repeated), numbers_of(scores, "standard_error_reported") ** 2, np.nan)
    sampling = np.where(np.isnan(reported), binomial, reported)
    total = np.where(np.isnan(sampling), 0, sampling) + np.where(np.isnan(repeated), 0, repeated)
    return np.where(np.isnan(sampling) & np.isnan(repeated), np.nan, np.sqrt(total))
