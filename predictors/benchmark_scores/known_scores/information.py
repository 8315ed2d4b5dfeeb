"""Which runs to buy next: expected reduction of uncertainty, per unit of cost, under a budget."""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ...errors import InvalidInputError


def value_of_information(
    covariance: ArrayLike, *, costs: ArrayLike, budget: float, noise: float = 0.02, wanted: ArrayLike | None = None
) -> pd.DataFrame:
    """Choose runs greedily by variance removed per unit of cost.

    Under a normal model the variance that a run will remove does not depend on its outcome, so that runs can be
    chosen before any is paid for (Krause, Singh & Guestrin 2008, Near-optimal sensor placements in Gaussian processes).

    `covariance` of shape (n_runs, n_runs) is of the scores on the logit scale, such as
    `BenchmarkScorePredictor.score_covariance`, and `noise` the variance of a run around its score. `costs` (n_runs,),
    > 0, and `budget` are in one unit. `wanted` are positions of the scores that one cares about, by default all.

    One row per run bought, in that order: `run` (position), `cost`, `variance_removed` (from the sum over `wanted`),
    `variance_left`. Raises InvalidInputError if shapes disagree or a cost is not > 0.
    """
    left = np.array(covariance, dtype=np.float64)
    price = np.asarray(costs, dtype=np.float64)
    if left.ndim != 2 or left.shape != (price.size, price.size):
        raise InvalidInputError(f"`covariance` must be of shape ({price.size}, {price.size}), got {left.shape}")
    if not (price > 0).all():
        raise InvalidInputError(f"`costs` must be > 0, got {price.min()}")
    about = np.arange(price.size) if wanted is None else np.asarray(wanted, dtype=np.intp)
    rows, spent, open_ = [], 0.0, np.ones(price.size, dtype=bool)
    while True:
        removed = (left[about] ** 2).sum(axis=0) / (np.diag(left) + noise)
        affordable = open_ & (price <= budget - spent + 1e-12)
        if not affordable.any():
            break
        best = int(np.argmax(np.where(affordable, removed / price, -1.0)))
        left -= np.outer(left[best], left[best]) / (left[best, best] + noise)
        open_[best] = False
        spent += price[best]
        rows.append((best, price[best], removed[best], np.diag(left)[about].sum()))
    return pd.DataFrame(rows, columns=["run", "cost", "variance_removed", "variance_left"])
