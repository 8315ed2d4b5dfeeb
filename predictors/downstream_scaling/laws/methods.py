"""Every way from a ladder to a score under one interface, run over ladders of any length.

A law takes a batch of ladders and gives a share of the way from chance to the upper bound, NaN where it cannot answer.
No law sees another ladder.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeAlias

import numpy as np
from scipy.special import expit, logit

from ...arrays import Floats, Mask
from ..items.cod import report_cod
from ..ladder import Ladder, compute_levels
from .curves import EXPONENTIAL, SIZE_AND_DATA

SCORE_FLOOR = 0.02
"""Share that a residual has beside its sampling error: no curve is exact."""
SCATTER = 0.2
"""How far models of one ladder lie off a line, on its scale."""
SLOPES = {"logit": 0.25, "log_log": 0.15}
"""Rise per unit of log compute on ladders of other models (`bench/ladders_transfer.py`)."""
SLOPE_SD = 0.3
NEARNESS = 0.6
"""A model e-fold below the largest compute counts by this exponent less."""


@dataclass(frozen=True)
class Batch:
    """B ladders of at most n models: arrays of shape (n, B), targets of shape (B,).

    `x` is log compute above that of each ladder's largest model, `errors` the standard deviations of the shares.
    Shorter ladders are filled up before their first model: `is_model` is False there and `errors` infinite, which
    changes no sum by a single bit.
    """

    x: Floats
    shares: Floats
    errors: Floats
    log_params: Floats
    log_tokens: Floats
    is_model: Mask
    target_x: Floats
    target_log_params: Floats
    target_log_tokens: Floats


Method: TypeAlias = Callable[[Batch], Floats]


def batch_of(ladders: Sequence[Ladder], length: int) -> Batch:
    """Ladders as one batch, filled up to `length` models."""

    def stack(columns: list[Floats], fill: float) -> Floats:
        filled = [np.r_[np.full(length - len(column), fill), column] for column in columns]
        return np.ascontiguousarray(np.stack(filled, axis=1))

    top = np.array([ladder.flops[-1] for ladder in ladders])
    with np.errstate(divide="ignore", invalid="ignore"):
        return Batch(
            x=stack([np.log(ladder.flops / ladder.flops[-1]) for ladder in ladders], 0.0),
            shares=stack([ladder.shares for ladder in ladders], 0.0),
            errors=stack([ladder.share_errors(SCORE_FLOOR) for ladder in ladders], np.inf),
            log_params=stack([np.log(ladder.params) for ladder in ladders], np.nan),
            log_tokens=stack([np.log(ladder.tokens) for ladder in ladders], np.nan),
            is_model=stack([np.ones(len(ladder)) for ladder in ladders], 0.0) > 0,
            target_x=np.log(np.array([ladder.target_flops for ladder in ladders]) / top),
            target_log_params=np.log(np.array([ladder.target_params for ladder in ladders])),
            target_log_tokens=np.log(np.array([ladder.target_tokens for ladder in ladders])),
        )


def isotonic_last(batch: Batch) -> Floats:
    """The last share of the ladder made monotone, shape (B,): a dip at the top does not pull it down by itself.

    At the least weighted squared change it is the greatest of the weighted means from any model on.
    """
    weights = 1.0 / batch.errors**2
    totals = np.cumsum(weights[::-1], axis=0)
    return np.asarray((np.cumsum((weights * batch.shares)[::-1], axis=0) / totals).max(axis=0))


def sloped_line(batch: Batch, scale: Literal["logit", "log_log"]) -> Floats:
    """A straight line over log compute on a scale of shares, whose slope is pulled to that of other ladders, (B,).

    ``logit`` bends to the upper bound as a logistic curve, ``log_log`` (``-log(-log share)``) as the exponential law.
    A model counts by how well its share is known on that scale, since one that guesses says nothing of the slope, and
    by how near it stands to the largest. One or two models suffice.
    """
    error = np.where(batch.is_model, np.minimum(batch.errors, 0.9), 0.5)
    inside = np.clip(batch.shares, error / 2, 1 - error / 2)
    if scale == "logit":
        z, deviation = logit(inside), error / (inside * (1 - inside))
    else:
        z, deviation = -np.log(-np.log(inside)), error / (-inside * np.log(inside))
    weights = batch.is_model * np.exp(NEARNESS * batch.x) / (deviation**2 + SCATTER**2)
    ahead = _line(batch.x, z, weights, batch.target_x, SLOPES[scale])
    return np.asarray(expit(ahead) if scale == "logit" else np.exp(-np.exp(-np.clip(ahead, -5.0, 60.0))))


def _line(x: Floats, z: Floats, weights: Floats, at: Floats, slope: float) -> Floats:
    """Weighted straight line through each column, read at `at`; normal prior on the slope."""
    total = weights.sum(axis=0)
    mean_x, mean_z = (weights * x).sum(axis=0) / total, (weights * z).sum(axis=0) / total
    precision = 1.0 / SLOPE_SD**2
    spread = (weights * (x - mean_x) ** 2).sum(axis=0) + precision
    slopes = ((weights * (x - mean_x) * (z - mean_z)).sum(axis=0) + slope * precision) / spread
    return np.asarray(mean_z + slopes * (at - mean_x))


def exponential(batch: Batch) -> Floats:
    """The bounded exponential law in compute, fitted to the whole ladder, shape (B,)."""
    theta = EXPONENTIAL.fit(batch.x, batch.shares, batch.errors)
    with np.errstate(all="ignore"):
        return np.asarray(np.clip(EXPONENTIAL.curve(theta, batch.target_x), 0.0, 1.0))


def exponential_nd(batch: Batch) -> Floats:
    """The bounded exponential law in size and data, shape (B,); NaN where fewer than 3 sizes are known."""
    x = np.stack([batch.log_params - batch.log_params[-1], batch.log_tokens - batch.log_tokens[-1]])
    target = np.stack([batch.target_log_params - batch.log_params[-1], batch.target_log_tokens - batch.log_tokens[-1]])
    is_sized = np.isfinite(x).all(axis=0)
    if not is_sized.any():
        return np.full(is_sized.shape[1], np.nan)
    theta = SIZE_AND_DATA.fit(np.where(is_sized, x, 0.0), batch.shares, np.where(is_sized, batch.errors, np.inf))
    with np.errstate(invalid="ignore"):
        share = SIZE_AND_DATA.curve(theta, target)
    return np.where((is_sized.sum(axis=0) >= 3) & np.isfinite(target).all(axis=0), share, np.nan)


METHODS: Mapping[str, Method] = {
    "last": lambda batch: batch.shares[-1],  # of the model with the most compute
    "isotonic_last": isotonic_last,
    "logit_line": partial(sloped_line, scale="logit"),
    "log_log_line": partial(sloped_line, scale="log_log"),
    "exponential": exponential,
    "exponential_nd": exponential_nd,
}
"""Laws by name: a batch of ladders -> share of the way from chance to the upper bound, NaN where not applicable."""
COD = "cod"
"""Name of clustering on difficulty, which answers ladders whose items are known."""
LEAST_LEVELS = 2
"""Compute levels below the held-out model of a backtest."""
CANDIDATES = ("isotonic_last", "logit_line", "log_log_line", "exponential", "exponential_nd", COD)
"""What a forecast is the mean of: what earned its place on families of models that were left out, and COD."""


def forecast_shares(ladders: Sequence[Ladder], names: Sequence[str]) -> Floats:
    """Forecast of every method for every ladder.

    Returns
    -------
    ndarray of shape (n_ladders, n_methods)
        Shares, NaN where a method does not apply. A ladder's row does not depend on the other ladders.
    """
    out = np.full((len(ladders), len(names)), np.nan)
    lengths = np.array([len(ladder) for ladder in ladders], dtype=int)
    # Filling up changes no number, so a few sizes of batch serve all ladders.
    sizes = 8 * 2 ** np.ceil(np.log2(np.maximum(lengths, 8) / 8)).astype(int)
    for size in np.unique(sizes[lengths > 0]).tolist():
        at = np.flatnonzero((sizes == size) & (lengths > 0))
        chosen = [ladders[i] for i in at.tolist()]
        batch = batch_of(chosen if len(chosen) > 1 else chosen * 2, size)
        for column, name in enumerate(names):
            if name == COD:
                out[at, column] = [ladder.share(np.array(100.0 * report_cod(ladder).score)) for ladder in chosen]
            else:
                out[at, column] = METHODS[name](batch)[: len(at)]
    return out


def match_reach(ladder: Ladder, n_cuts: int) -> list[tuple[Ladder, float]]:
    """Backtests inside a ladder: what a part of it is to forecast, and the share that was measured there.

    The `n_cuts` parts are those whose target lies as far above them as the real target lies above the whole ladder,
    as nearly as the ladder allows; each keeps `LEAST_LEVELS` compute levels or more, and
    nothing of the target's own run.
    """
    wanted = np.log(ladder.target_flops / ladder.flops[-1])
    top = np.log(ladder.flops[-1])
    runs = np.array(ladder.runs)
    choices = []
    for target in range(len(ladder)):
        other = (ladder.flops < ladder.flops[target] / 1.02) & ((runs != runs[target]) | (runs == ""))
        levels = compute_levels(ladder.flops[other])
        for count in range(LEAST_LEVELS, len(levels) + 1):
            gap = np.log(ladder.flops[target] / levels[count - 1])
            # The farther below the top, the less a backtest says of it.
            cost = abs(gap - wanted) + 0.5 * (top - np.log(ladder.flops[target])) - 0.05 * count
            choices.append((float(cost), float(levels[count - 1]), target))
    backtests = []
    for _, largest, target in sorted(choices)[:n_cuts]:
        keep = (ladder.flops <= largest * 1.001) & ((runs != runs[target]) | (runs == ""))
        backtests.append((ladder.below(keep, target), float(ladder.shares[target])))
    return backtests
