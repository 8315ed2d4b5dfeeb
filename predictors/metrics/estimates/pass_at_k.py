"""Scores under repeated draws of an item: that one of k is right, that all of k are."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gammaln

from ...arrays import Floats
from ...errors import InvalidInputError


def pass_at_k(n_correct: ArrayLike, n_draws: ArrayLike, k: int) -> Floats:
    """Unbiased probability that one of `k` draws of each item is right, ``1 - C(n - c, k) / C(n, k)``.

    Chen et al. (2021), arXiv 2107.03374.

    >>> pass_at_k([0, 1, 2], [2, 2, 2], 1).tolist()
    [0.0, 0.5, 1.0]
    """
    return np.asarray(1.0 - pass_hat_k(np.asarray(n_draws) - np.asarray(n_correct), n_draws, k))


def pass_hat_k(n_correct: ArrayLike, n_draws: ArrayLike, k: int) -> Floats:
    """Unbiased probability that all of `k` draws of each item are right (pass^k), ``C(c, k) / C(n, k)``.

    Yao et al. (2024), tau-bench, arXiv 2406.12045.

    >>> pass_hat_k([0, 1, 2], [2, 2, 2], 2).tolist()
    [0.0, 0.0, 1.0]
    """
    c, n = np.broadcast_arrays(np.asarray(n_correct, dtype=np.float64), np.asarray(n_draws, dtype=np.float64))
    if (c < 0).any() or (c > n).any() or k < 1 or (n < k).any():
        raise InvalidInputError(f"pass@{k} needs 0 <= n_correct <= n_draws and n_draws >= k")
    with np.errstate(invalid="ignore"):
        log_share = gammaln(c + 1) - gammaln(c - k + 1) - gammaln(n + 1) + gammaln(n - k + 1)
    return np.asarray(np.where(c < k, 0.0, np.exp(log_share)).round(15))
