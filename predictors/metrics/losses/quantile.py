"""Quantile forecasts as distributions and forecast probabilities, and their losses.

A forecast at levels p_1 < .. < p_m is read as the discrete distribution with atoms at its quantiles,
weighted by the gaps between the midpoints of neighbouring levels (0 and 1 at the ends). Every loss
here is exact for that distribution, so floors and excess computed beside it are exact as well.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ...arrays import Codes, Floats
from ...base import check_levels
from ...errors import InvalidInputError
from ..estimates.replicates import Replicates, Scale, to_scale

CHUNK_CELLS = 4096


def level_weights(levels: ArrayLike) -> Floats:
    """Probability of each atom of a quantile forecast; sums to 1.

    >>> level_weights([0.1, 0.5, 0.9])
    array([0.3, 0.4, 0.3])
    """
    checked = check_levels(np.asarray(levels, dtype=np.float64).tolist())
    edges = np.r_[0.0, (checked[1:] + checked[:-1]) / 2, 1.0]
    return np.diff(edges)


def pinball_loss(y_true: ArrayLike, y_quantile: ArrayLike, level: float) -> Floats:
    """Pinball (quantile) loss per sample, in the unit of the target. Lower is better; 0 is perfect.

    Half the absolute error at the level 0.5 (Koenker & Bassett 1978).

    >>> pinball_loss([1.0, 2.0], [0.0, 3.0], 0.9)
    array([0.9, 0.1])
    """
    check_levels([level])
    error = np.asarray(y_true, dtype=np.float64) - np.asarray(y_quantile, dtype=np.float64)
    return np.asarray(np.maximum(level * error, (level - 1.0) * error))


def interval_score(y_true: ArrayLike, lower: ArrayLike, upper: ArrayLike, coverage: float) -> Floats:
    """Interval score per sample: width plus a penalty for misses. Unit of the target; lower is better.

    `coverage` is the nominal probability of the interval, in (0, 1); Gneiting & Raftery (2007), section 6.2.

    >>> interval_score([0.0, 2.0], [-1.0, -1.0], [1.0, 1.0], 0.9)
    array([ 2., 22.])
    """
    y, a, b = (np.asarray(x, dtype=np.float64) for x in (y_true, lower, upper))
    penalty = 2.0 / (1.0 - coverage)
    return np.asarray((b - a) + penalty * (np.maximum(a - y, 0.0) + np.maximum(y - b, 0.0)))


def log_loss(y_true: ArrayLike, probability: ArrayLike) -> Floats:
    """Logarithmic loss of a forecast probability per sample, in nats. Lower is better; 0 is perfect.

    Raises InvalidInputError if an outcome is not 0 or 1 or a probability not strictly inside (0, 1): a certain forecast
    that is wrong would cost infinitely much, and to clip it is the caller's decision.

    >>> log_loss([1.0], [0.5]).round(4)
    array([0.6931])
    """
    y = np.asarray(y_true, dtype=np.float64)
    p = np.asarray(probability, dtype=np.float64)
    if not np.isin(y, (0.0, 1.0)).all():
        raise InvalidInputError("`y_true` must be 0 or 1 for the log loss")
    if not ((p > 0) & (p < 1)).all():
        raise InvalidInputError("`probability` must be strictly inside (0, 1) for the log loss: clip it on purpose")
    return np.asarray(-np.where(y == 1, np.log(p), np.log1p(-p)))


def crps_quantiles(y_true: ArrayLike, quantiles: ArrayLike, levels: ArrayLike) -> Floats:
    """Continuous ranked probability score per sample, exact for the discrete forecast distribution; lower is better.

    `quantiles` of shape (n_samples, n_levels) do not decrease along a row, `levels` are strictly increasing in (0, 1).
    Gneiting & Raftery (2007), equation 21: ``E|X - y| - E|X - X'| / 2``.

    >>> crps_quantiles([0.0], [[-1.0, 1.0]], [0.25, 0.75])
    array([0.5])
    """
    y = np.asarray(y_true, dtype=np.float64)
    q = np.asarray(quantiles, dtype=np.float64)
    weights = level_weights(levels)
    return _crps_rows(y, np.arange(y.size), q, weights)


def _crps_rows(y: Floats, row: Codes, q: Floats, weights: Floats) -> Floats:
    """CRPS of outcome i under the forecast in row ``row[i]`` of `q` (n_rows, n_levels)."""
    centre = q[:, q.shape[1] // 2]
    q = q - centre[:, None]
    y = y - centre[row]
    cumulative = np.r_[0.0, np.cumsum(weights)]
    partial = np.zeros((q.shape[0], q.shape[1] + 1))
    np.cumsum(q * weights, axis=1, out=partial[:, 1:])
    half_spread = _row_products(q, weights * (2.0 * cumulative[1:] - weights - 1.0))
    below = np.count_nonzero(q[row] <= y[:, None], axis=1)
    below_sum = partial.ravel()[row * partial.shape[1] + below]
    distance = y * (2.0 * cumulative[below] - 1.0) + partial[row, -1] - 2.0 * below_sum
    return np.asarray(np.maximum(distance - half_spread[row], 0.0))


def _row_products(q: Floats, weights: Floats) -> Floats:
    """``q @ weights`` row by row: in a product of matrices the last bit of a row depends on how many rows there are."""
    return np.asarray(np.einsum("ij,j->i", q, weights))


def forecast_parts(
    forecast: pd.DataFrame, runs: Replicates, scale: Scale, wanted: tuple[float, ...], *, crps: bool, name: str
) -> dict[str | float, Floats]:
    """Per cell the forecast's ``mean`` and quantile at each `wanted` level, on the scale; per run ``crps_per_run``.

    Forecasts are read in chunks of cells, so that no second copy is held. Raises InvalidInputError, which calls the
    forecast by its `name`, if its index repeats or lacks a cell, its columns are not increasing levels, or quantiles
    are not finite, cross or lack a wanted level.
    """
    quantiles, rows, levels = _aligned(forecast, runs.cell_ids, name)
    weights = level_weights(levels)
    keys: tuple[str | float, ...] = ("mean", *wanted)
    out = {key: np.empty(rows.size) for key in keys}
    out["crps_per_run"] = np.empty(runs.values.size if crps else 0)
    for start in range(0, rows.size, CHUNK_CELLS):
        part = slice(start, min(start + CHUNK_CELLS, rows.size))
        q = quantiles[rows[part]]
        bad = int(np.count_nonzero(~np.isfinite(q)))
        if bad:
            raise InvalidInputError(f"`{name}` must be finite, got at least {bad} NaN or infinite quantiles")
        if np.any(np.diff(q, axis=1) < 0):
            raise InvalidInputError(f"`{name}` has crossing quantiles: each row must be non-decreasing")
        q = to_scale(q, scale, name)
        out["mean"][part] = _row_products(q, weights)
        for level in wanted:
            out[level][part] = _at(q, levels, level, name)
        if crps:
            ran = slice(int(runs.starts[start]), int(runs.starts[part.stop - 1] + runs.counts[part.stop - 1]))
            out["crps_per_run"][ran] = _crps_rows(runs.values[ran], runs.cell[ran] - start, q, weights)
    return out


def _at(q: Floats, levels: Floats, level: float, name: str) -> Floats:
    """Quantile at `level`, linearly between the levels that are there."""
    right = int(np.searchsorted(levels, level - 1e-9))
    if right < levels.size and abs(levels[right] - level) <= 1e-9:
        return q[:, right]
    if right in (0, levels.size):
        raise InvalidInputError(
            f"`{name}` has levels {levels[0]:g} to {levels[-1]:g}, the metric needs level {level:g}"
        )
    share = (level - levels[right - 1]) / (levels[right] - levels[right - 1])
    return np.asarray((1.0 - share) * q[:, right - 1] + share * q[:, right])


def _aligned(forecast: pd.DataFrame, cell_ids: pd.Index, name: str) -> tuple[Floats, Codes, Floats]:
    """Quantiles as given, the row of each cell among them, and their levels."""
    if not isinstance(forecast, pd.DataFrame):
        raise InvalidInputError(f"`{name}` must be a DataFrame, got {type(forecast).__name__}")
    try:
        levels = check_levels([float(column) for column in forecast.columns])
    except (TypeError, ValueError) as error:
        raise InvalidInputError(f"`{name}` must have increasing levels in (0, 1) as columns: {error}") from None
    if not forecast.index.is_unique:
        raise InvalidInputError(f"`{name}` must have one row per `cell_id`, its index repeats some")
    rows = forecast.index.get_indexer(cell_ids)
    if (rows < 0).any():
        missing = cell_ids[rows < 0]
        raise InvalidInputError(f"`{name}` has no row for {len(missing)} cells, for example {missing[0]!r}")
    try:
        return forecast.to_numpy(dtype=np.float64), rows, levels
    except (TypeError, ValueError) as error:
        raise InvalidInputError(f"`{name}` must be numbers: {error}") from None
