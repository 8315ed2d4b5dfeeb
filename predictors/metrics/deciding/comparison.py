"""Two predictors on the same runs: the paired difference, its tests and what it could have detected."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import special

from ...arrays import Floats
from ...errors import InvalidInputError
from ..estimates.clusters import AnyEstimate, Estimate, mean_estimate, t_quantile
from ..estimates.replicates import Replicates, Scale, group_replicates
from ..losses.cell_losses import cell_losses, parse_metric

MAX_FLIP_UNITS = 2000


def compare(
    outcomes: pd.DataFrame,
    forecast_a: pd.DataFrame,
    forecast_b: pd.DataFrame,
    *,
    metric: str = "crps",
    scale: Scale = "identity",
) -> Estimate:
    """Mean loss of a minus mean loss of b on the same runs, over queries: positive where b is better.

    The noise floor cancels in it. Tables are as of `foretell.predictors.metrics.evaluate`; `metric` must be a loss,
    since less coverage or width is not better. `t_p_value`, `sign_flip_p_value` and `detectable_effect` judge the
    estimate. Raises InvalidInputError for malformed tables or a metric that is not a loss.
    """
    runs, a, b = _paired(outcomes, forecast_a, forecast_b, metric, scale)
    return mean_estimate(a - b, runs.query, runs.n_queries)


def query_losses(
    outcomes: pd.DataFrame,
    forecast_a: pd.DataFrame,
    forecast_b: pd.DataFrame,
    *,
    metric: str = "crps",
    scale: Scale = "identity",
) -> Floats:
    """Loss of a and of b per query, mean over its cells, shape (n_queries, 2); no row for no outcomes.

    What `scope.decide_scope` and `promotion.decide` judge by; arguments and errors as in `compare`.
    """
    if outcomes.empty:
        return np.empty((0, 2))
    runs, a, b = _paired(outcomes, forecast_a, forecast_b, metric, scale)
    n_cells = np.bincount(runs.query)
    return np.stack([np.bincount(runs.query, weights=loss) / n_cells for loss in (a, b)], axis=1)


def _paired(
    outcomes: pd.DataFrame, forecast_a: pd.DataFrame, forecast_b: pd.DataFrame, metric: str, scale: Scale
) -> tuple[Replicates, Floats, Floats]:
    """Runs grouped by cell, and the loss of both forecasts per cell."""
    parsed = parse_metric(metric, scale)
    if not parsed.is_loss:
        raise InvalidInputError(f"`metric` must be a loss, less {parsed.kind} is not better: got {metric!r}")
    runs = group_replicates(outcomes, parsed.scale)
    a = cell_losses(runs, forecast_a, [parsed], "forecast_a")[metric]
    b = cell_losses(runs, forecast_b, [parsed], "forecast_b")[metric]
    return runs, a, b


def detectable_effect(difference: AnyEstimate, power: float = 0.8, size: float = 0.05) -> float:
    """Effect that a two-sided t test of `size` finds with probability `power`, in the unit of the estimate.

    NaN for fewer than two queries.
    """
    df = difference.n_clusters - 1
    return (t_quantile(1 - size / 2, df) + t_quantile(power, df)) * difference.standard_error


def sign_flip_p_value(differences: Floats, *, n_flips: int = 9999, random_state: int = 0) -> float:
    """Two-sided p-value of the sign-flip (permutation) test that differences (n_queries,) are symmetric about 0.

    In (0, 1]; NaN for fewer than two queries. Flips are random, or all of them where there are no more (up to 13
    queries). Above 2,000 queries random groups of queries flip together, which keeps the test valid and the time
    bounded.
    """
    d = np.asarray(differences, dtype=np.float64)
    if d.size < 2:
        return float("nan")
    rng = np.random.default_rng(random_state)
    if d.size > MAX_FLIP_UNITS:
        d = np.bincount(rng.permutation(d.size) % MAX_FLIP_UNITS, weights=d).astype(np.float64)
    if 2**d.size <= n_flips + 1:
        bits = (np.arange(2**d.size)[:, None] >> np.arange(d.size)) & 1
        sums = np.abs((2.0 * bits - 1.0) @ d)
        return float(np.mean(sums >= abs(d.sum()) * (1 - 1e-12)))
    packed = rng.integers(0, 256, size=(n_flips, (d.size + 7) // 8), dtype=np.uint8)
    at_least = 0
    for rows in np.array_split(packed, max(1, n_flips * d.size // 4_000_000)):
        signs = 2.0 * np.unpackbits(rows, axis=1, count=d.size) - 1.0
        at_least += int(np.count_nonzero(np.abs(signs @ d) >= abs(d.sum()) * (1 - 1e-12)))
    return (at_least + 1) / (n_flips + 1)


def t_p_value(estimate: Estimate) -> float:
    """Two-sided p-value that the estimate is 0; NaN for fewer than two clusters."""
    error = estimate.standard_error
    if error == 0:
        return 1.0 if estimate.value == 0 else 0.0
    return float(2 * special.stdtr(estimate.n_clusters - 1, -abs(estimate.value) / error))
