"""Forecasts of one score from scores alone: bounded curves over compute, straight lines on the logit scale, the last.

Every method takes a batch of ladders and gives a share of the way from chance to the upper bound, NaN where
it cannot answer. No method sees another ladder.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from ...fitting.least_squares import Floats
from ..ladder import Ladder
from .curves import CURVES

SCORE_FLOOR = 0.02
"""Share that a residual has beside its sampling error: no curve is exact."""
EDGE = 0.005
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

    `x` is log compute above that of each ladder's largest model, `errors` the standard deviations of the shares,
    `edge` how near to 0 and 1 a share may come before its logit is taken. Shorter ladders are filled up before their
    first model: `is_model` is False there and `errors` infinite, which changes no sum by a single bit.
    """

    x: Floats
    shares: Floats
    errors: Floats
    log_params: Floats
    log_tokens: Floats
    is_model: NDArray[np.bool_]
    target_x: Floats
    target_log_params: Floats
    target_log_tokens: Floats
    edge: Floats


Method: TypeAlias = Callable[[Batch], Floats]


def batch_of(ladders: Sequence[Ladder], length: int | None = None) -> Batch:
    """Ladders as one batch, filled up to `length` models (by default to the longest)."""
    n = max(len(ladder) for ladder in ladders) if length is None else length

    def stack(columns: list[Floats], fill: float) -> Floats:
        return np.ascontiguousarray(
            np.stack([np.r_[np.full(n - len(column), fill), column] for column in columns], axis=1)
        )

    top = np.array([ladder.flops[-1] for ladder in ladders])
    ranges = np.array([ladder.upper - ladder.chance for ladder in ladders])
    items = np.array([ladder.n_items for ladder in ladders])
    edge = np.where(np.isnan(items), EDGE, np.clip(0.5 / np.maximum(items, 1.0), 1e-4, 0.02)) * 100.0 / ranges
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
            edge=edge,
        )


def to_logit(shares: Floats, edge: Floats) -> Floats:
    """Logit of shares (n, B) pulled inside [edge, 1 - edge], `edge` of shape (B,)."""
    return np.asarray(logit(np.clip(shares, edge, 1 - edge)))


def last_value(batch: Batch) -> Floats:
    """The share of the model with the most compute, shape (B,)."""
    return np.asarray(batch.shares[-1])


def isotonic(y: Floats, weights: Floats) -> Floats:
    """Columns of `y` (n, B) made non-decreasing at the least weighted squared change (pool adjacent violators)."""
    n = len(y)
    total = np.concatenate([np.zeros_like(weights[:1]), np.cumsum(weights, axis=0)])
    mass = np.concatenate([np.zeros_like(weights[:1]), np.cumsum(weights * y, axis=0)])
    out = np.empty_like(y)
    for i in range(n):  # min-max formula: max over starts of min over ends of the mean between
        best = np.full(y.shape[1:], -np.inf)
        for a in range(i + 1):
            least = np.full(y.shape[1:], np.inf)
            for b in range(i, n):
                weight = total[b + 1] - total[a]
                mean = (mass[b + 1] - mass[a]) / np.where(weight > 0, weight, 1.0)
                least = np.minimum(least, np.where(weight > 0, mean, np.inf))
            best = np.maximum(best, least)
        out[i] = best
    return out


def isotonic_last(batch: Batch) -> Floats:
    """The last share of the ladder made monotone, shape (B,): a dip at the top does not pull it down by itself."""
    return np.asarray(isotonic(batch.shares, 1.0 / batch.errors**2)[-1])


def logit_linear_last3(batch: Batch) -> Floats:
    """Straight line of logit share over log compute through the last three models, shape (B,)."""
    z, x, weights = to_logit(batch.shares[-3:], batch.edge), batch.x[-3:], batch.is_model[-3:].astype(np.float64)
    return np.asarray(expit(_line(x, z, weights, batch.target_x, 0.0, np.inf)))


def _line(x: Floats, z: Floats, weights: Floats, at: Floats, slope: float, slope_sd: float) -> Floats:
    """Weighted straight line through each column, read at `at`; normal prior on the slope."""
    total = weights.sum(axis=0)
    mean_x, mean_z = (weights * x).sum(axis=0) / total, (weights * z).sum(axis=0) / total
    precision = 1.0 / slope_sd**2
    spread = np.maximum((weights * (x - mean_x) ** 2).sum(axis=0) + precision, 1e-12)
    slopes = ((weights * (x - mean_x) * (z - mean_z)).sum(axis=0) + slope * precision) / spread
    return np.asarray(mean_z + slopes * (at - mean_x))


def sloped_line(scale: Literal["logit", "log_log"]) -> Method:
    """A straight line over log compute on a scale of shares, whose slope is pulled to that of other ladders.

    ``logit`` bends to the upper bound as a logistic curve, ``log_log`` (``-log(-log share)``) as the exponential law.
    A model counts by how well its share is known on that scale, since one that guesses says nothing of the slope, and
    by how near it stands to the largest. One or two models suffice.
    """
    slope = SLOPES[scale]

    def method(batch: Batch) -> Floats:
        error = np.where(batch.is_model, np.minimum(batch.errors, 0.9), 0.5)
        inside = np.clip(batch.shares, error / 2, 1 - error / 2)
        if scale == "logit":
            z, deviation = logit(inside), error / (inside * (1 - inside))
        else:
            z, deviation = -np.log(-np.log(inside)), error / (-inside * np.log(inside))
        weights = batch.is_model * np.exp(NEARNESS * batch.x) / (deviation**2 + SCATTER**2)
        ahead = _line(batch.x, z, weights, batch.target_x, slope, SLOPE_SD)
        return np.asarray(expit(ahead) if scale == "logit" else np.exp(-np.exp(-np.clip(ahead, -5.0, 60.0))))

    return method


def curve_method(name: str) -> Method:
    """The bounded curve `name`, fitted to the whole ladder."""

    def method(batch: Batch) -> Floats:
        law = CURVES[name]
        theta = law.fit(batch.x, batch.shares, batch.errors)
        with np.errstate(all="ignore"):
            return np.asarray(np.clip(law.curve(theta, batch.target_x), 0.0, 1.0))

    return method


DIRECT: dict[str, Method] = {
    "last": last_value,
    "isotonic_last": isotonic_last,
    "logit_linear_last3": logit_linear_last3,
    "logit_line": sloped_line("logit"),
    "log_log_line": sloped_line("log_log"),
    "exponential": curve_method("exponential"),
}
"""Methods by name."""
