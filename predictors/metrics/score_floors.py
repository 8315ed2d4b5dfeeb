"""Floors of scores: log-loss, pass rates over a known number of items, curve end points over seeds.

Like `predictors.metrics.noise_floor`, of which this is the part for scores. A score's floor has two
parts that mean different things, so both are reported: sampling of items (or of outer splits), and
replicates (seeds, runs).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

from predictors.errors import InvalidInputError
from predictors.metrics.clusters import Estimate, mean_estimate
from predictors.metrics.noise_floor import NoiseFloor, table_floor, variance_per_cell
from predictors.metrics.replicates import Replicates

__all__ = ["ScoreFloor", "curve_endpoint_floor", "log_loss_floor", "log_loss_floor_per_cell", "score_floor"]

Floats = NDArray[np.float64]
LOG_LOSS_REPLICATES = 4


@dataclass(frozen=True)
class ScoreFloor:
    """Floor of squared error of a score, with its two parts; each part is a `NoiseFloor`.

    Attributes
    ----------
    total : NoiseFloor
        Sum of the parts; NaN where the replicate part is.
    sampling : NoiseFloor
        Binomial sampling of the items, or variance between outer splits.
    replicate : NoiseFloor
        Variance between replicates (seeds) of the same items or split.
    """

    total: NoiseFloor
    sampling: NoiseFloor
    replicate: NoiseFloor


def log_loss_floor_per_cell(runs: Replicates) -> Floats:
    """Jackknife entropy of each cell's outcomes 0 and 1, in nats, shape (n_cells,); NaN below 4 runs.

    ``R H(k, R) - (R - 1) mean of H without each run``. No estimator is unbiased; this one was within
    6 % from 4 runs (docs/studies/noise-floor.md).

    References
    ----------
    Burnham & Overton (1979) for the jackknife; Paninski (2003) for why none is unbiased.
    """
    _check_binary(runs.values)
    r = runs.counts.astype(np.float64)
    k = np.add.reduceat(runs.values, runs.starts)
    left = np.maximum(r - 1, 1)
    left_out = k / r * _entropy(np.maximum(k - 1, 0) / left) + (r - k) / r * _entropy(np.minimum(k / left, 1))
    entropy = r * _entropy(k / r) - (r - 1) * left_out
    return np.where(runs.counts >= LOG_LOSS_REPLICATES, entropy, np.nan)


def log_loss_floor(replicates: pd.DataFrame) -> NoiseFloor:
    """Noise floor of the log-loss of outcomes 0 and 1, from 4 replicates, in nats. Prefer the Brier score.

    Parameters
    ----------
    replicates : DataFrame of shape (n_runs, n_columns)
        Long table as for `predictors.metrics.mse_floor`; `value` is 0 or 1.

    Returns
    -------
    NoiseFloor
        NaN with a reason below 4 runs per query.
    """
    return table_floor(
        replicates, "identity", "jackknife entropy", log_loss_floor_per_cell,
        minimum=LOG_LOSS_REPLICATES, loss="log_loss",
    )  # fmt: skip


def score_floor(scores: pd.DataFrame) -> ScoreFloor:
    """Floor of squared error of a score that is a mean over a known number of items.

    Parameters
    ----------
    scores : DataFrame of shape (n_runs, n_columns)
        One row per run: `query_id` (what was scored: a model on a benchmark), `value` (a share in
        [0, 1]), `n_items`.

    Returns
    -------
    ScoreFloor
        `sampling` is ``p (1 - p) / (n - 1)``, averaged over queries, there from one run; `replicate` is
        the variance between runs. The total adds them, which counts what varies within items twice
        (at most ``mean p_i (1 - p_i) / n``): with item-level runs use the Brier floor instead.

    Raises
    ------
    InvalidInputError
        If columns are missing, a score is outside [0, 1] or `n_items` below 2.
    """
    missing = sorted({"query_id", "value", "n_items"} - set(scores.columns))
    if missing:
        raise InvalidInputError(f"`scores` lacks the columns {missing}")
    p, n = scores["value"].to_numpy(dtype=np.float64), scores["n_items"].to_numpy(dtype=np.float64)
    if not (np.all((p >= 0) & (p <= 1)) and np.all(n >= 2)):
        raise InvalidInputError("`value` must be in [0, 1] and `n_items` >= 2 in every row")
    query, _ = pd.factorize(scores["query_id"])
    count = np.bincount(query)
    binomial = np.bincount(query, weights=p * (1 - p) / (n - 1)) / count
    sampling = mean_estimate(binomial, np.arange(count.size), count.size)
    part = _floor(sampling, len(scores), "binomial sampling of items")
    replicate = table_floor(
        scores[["query_id", "value"]], "identity", "variance between runs", variance_per_cell, skewed=True
    )
    if np.isnan(replicate.value):
        return ScoreFloor(_none(replicate), part, replicate)
    ordered = scores.assign(code=query).groupby("code")["value"].var(ddof=1).to_numpy()
    total = mean_estimate(binomial + ordered, np.arange(count.size), count.size)
    return ScoreFloor(_floor(total, len(scores), "items and runs"), part, replicate)


def curve_endpoint_floor(endpoints: pd.DataFrame) -> ScoreFloor:
    """Floor of squared error of a curve's end point, from seeds nested in outer splits.

    Seeds within one split share their data, so treating all runs of a curve as replicates understates
    the variance of one run on one new split.

    Parameters
    ----------
    endpoints : DataFrame of shape (n_runs, n_columns)
        One row per run: `curve_id`, `outer_split`, `value`. Curves need 2 splits, and 2 seeds in some.

    Returns
    -------
    ScoreFloor
        `replicate` is the variance between seeds within a split (the floor of a forecaster who saw the
        beginning of the curve on that split), `sampling` the variance between splits (may be negative,
        not clipped), `total` their sum. Mean over curves that allow it.

    Raises
    ------
    InvalidInputError
        If columns are missing or values not finite.
    """
    missing = sorted({"curve_id", "outer_split", "value"} - set(endpoints.columns))
    if missing:
        raise InvalidInputError(f"`endpoints` lacks the columns {missing}")
    if not np.isfinite(endpoints["value"].to_numpy(dtype=np.float64)).all():
        raise InvalidInputError("`endpoints['value']` must be finite")
    cells = endpoints.groupby(["curve_id", "outer_split"])["value"].agg(["size", "mean", "var"]).reset_index()
    cells["squares"] = (cells["var"] * (cells["size"] - 1)).fillna(0.0)
    cells["inverse"] = 1.0 / cells["size"]
    by_curve = cells.groupby("curve_id").agg(
        runs=("size", "sum"), splits=("size", "size"), squares=("squares", "sum"),
        between=("mean", "var"), inverse=("inverse", "mean"),
    )  # fmt: skip
    usable = by_curve[(by_curve["splits"] >= 2) & (by_curve["runs"] > by_curve["splits"])]
    if len(usable) < len(by_curve):
        lacking = len(by_curve) - len(usable)
        reason = f"none: {lacking} of {len(by_curve)} curves lack 2 splits or 2 seeds in a split"
        nan = float("nan")
        none = NoiseFloor(nan, nan, nan, len(by_curve), len(endpoints), reason)
        return ScoreFloor(none, none, none)
    within = (usable["squares"] / (usable["runs"] - usable["splits"])).to_numpy()
    between = usable["between"].to_numpy() - within * usable["inverse"].to_numpy()
    codes = np.arange(len(usable))
    parts = [mean_estimate(x, codes, codes.size) for x in (between + within, between, within)]
    names = ("one seed on one split", "variance between splits", "variance between seeds within a split")
    total, sampling, replicate = (_floor(p, len(endpoints), n) for p, n in zip(parts, names, strict=True))
    return ScoreFloor(total, sampling, replicate)


def _floor(estimate: Estimate, n_runs: int, method: str) -> NoiseFloor:
    lower, upper = estimate.interval(skew_corrected=True)
    return NoiseFloor(estimate.value, lower, upper, estimate.n_clusters, n_runs, f"repeats: {method}")


def _none(floor: NoiseFloor) -> NoiseFloor:
    nan = float("nan")
    return NoiseFloor(nan, nan, nan, floor.n_queries, floor.n_replicates, floor.method)


def _entropy(p: Floats) -> Floats:
    return np.asarray(special.entr(p) + special.entr(1.0 - p))


def _check_binary(values: Floats) -> None:
    if not np.isin(values, (0.0, 1.0)).all():
        raise InvalidInputError("the log-loss wants outcomes 0 or 1")
