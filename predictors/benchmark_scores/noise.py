"""How much of a score is noise: sampling of test items, and repetition of the experiment.

The two are independent, so variances add: ``p (1 - p) / (n - 1)`` for the share of right answers over n items
(noise-floor.md, section 1), and ``replicate_sd ** 2 / n_replicates`` for a mean of repeated experiments.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

SHARE_METRICS = frozenset(("accuracy", "acc", "exact_match", "em"))
"""Metrics that are a mean of right and wrong answers, so that the binomial holds."""


def score_standard_error(scores: pd.DataFrame) -> NDArray[np.float64]:
    """Standard error of every score in points, shape (n_samples,); NaN where neither part can be known.

    A part that is not known is left out, so that it is a lower bound where only one is. `scores` have `score` (points)
    and `metric`; optional `n_items`, `replicate_sd`, `n_replicates` and `standard_error_reported`: one that a harness
    reports without repeats is its sampling error and stands in for the binomial. `n_items` must count the items that
    were scored: for ranking metrics it counts documents, and is not used.
    """

    def column(name: str) -> NDArray[np.float64]:
        if name not in scores:
            return np.full(len(scores), np.nan)
        return np.asarray(scores[name].astype("float64").to_numpy(), dtype=np.float64)

    share = column("score") / 100
    items, replicates = column("n_items"), column("n_replicates")
    is_share = scores["metric"].isin(list(SHARE_METRICS)).to_numpy() & (items > 1)
    binomial = np.where(is_share, 1e4 * share * (1 - share) / np.maximum(items - 1, 1), np.nan)
    repeated = np.where(replicates > 1, column("replicate_sd") ** 2 / np.maximum(replicates, 1), np.nan)
    reported = np.where(np.isnan(repeated), column("standard_error_reported") ** 2, np.nan)
    sampling = np.where(np.isnan(reported), binomial, reported)
    total = np.where(np.isnan(sampling), 0, sampling) + np.where(np.isnan(repeated), 0, repeated)
    return np.where(np.isnan(sampling) & np.isnan(repeated), np.nan, np.sqrt(total))
