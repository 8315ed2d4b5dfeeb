"""Forecasts of one score from scores alone: bounded curves over compute, straight lines on the logit scale, the last.

Every method takes a batch of ladders and gives a share of the way from chance to the upper bound, NaN where
it cannot answer. No method sees another ladder.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from predictors.downstream_scaling.curves import CURVES, fit_family
from predictors.downstream_scaling.ladder import Ladder
from predictors.downstream_scaling.least_squares import Floats

__all__ = ["DIRECT", "Batch", "Method", "batch_of", "isotonic", "to_logit"]

SCORE_FLOOR = 0.02
"""Share that a residual has beside its sampling error: no curve is exact."""
EDGE = 0.005
LOGIT_SCATTER = 0.2


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
    losses: Floats
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
            losses=stack([ladder.losses for ladder in ladders], np.nan),
            is_model=stack([np.ones(len(ladder)) for ladder in ladders], 0.0) > 0,
            target_x=np.log(np.array([ladder.target_flops for ladder in ladders]) / top),
            target_log_params=np.log(np.array([ladder.target_params for ladder in ladders])),
            target_log_tokens=np.log(np.array([ladder.target_tokens for ladder in ladders])),
            edge=edge,
        )


def to_logit(shares: Floats, edge: Floats) -> Floats:
    """Logit of shares pulled inside [edge, 1 - edge]."""
    return np.asarray(logit(np.clip(shares, edge, 1 - edge)))


def last_value(batch: Batch) -> Floats:
    """The score of the model with the most compute."""
    return np.asarray(batch.shares[-1])


def isotonic(y: Floats, weights: Floats) -> Floats:
    """Columns of `y` made non-decreasing at the least weighted squared change (pool adjacent violators)."""
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
    """The last value of the ladder made monotone: what a dip at the top does not pull down by itself."""
    return np.asarray(isotonic(batch.shares, 1.0 / batch.errors**2)[-1])


def _line(x: Floats, z: Floats, weights: Floats, at: Floats, slope_scale: float = np.inf) -> Floats:
    """Weighted straight line through each column, read at `at`; a normal prior of that scale about 0 on the slope."""
    total = weights.sum(axis=0)
    mean_x, mean_z = (weights * x).sum(axis=0) / total, (weights * z).sum(axis=0) / total
    spread = (weights * (x - mean_x) ** 2).sum(axis=0)
    slope = (weights * (x - mean_x) * (z - mean_z)).sum(axis=0) / np.maximum(spread + 1.0 / slope_scale**2, 1e-12)
    return np.asarray(mean_z + slope * (at - mean_x))


def logit_linear(batch: Batch, last: int | None = None, halving: float | None = None, rising: bool = False) -> Floats:
    """Straight line of logit score over log compute, through the last models or with weights that fade."""
    n = len(batch.x)
    use = slice(None) if last is None else slice(max(0, n - last), None)
    z = to_logit(batch.shares[use], batch.edge)
    if rising:
        z = isotonic(z, batch.is_model[use].astype(np.float64))
    weights = batch.is_model[use].astype(np.float64)
    if halving is not None:
        weights = weights * 0.5 ** (-batch.x[use] / halving)
    return np.asarray(expit(_line(batch.x[use], z, weights, batch.target_x)))


def logit_weighted(batch: Batch) -> Floats:
    """Straight line of logit score over log compute, each score weighted by how well its logit is known.

    The variance of a logit grows without bound near chance and near the upper bound, so models that guess say
    nothing about the slope. Weights are of shares pulled towards the middle by half their error.
    """
    error = np.where(batch.is_model, np.minimum(batch.errors, 0.9), 0.5)
    inside = np.clip(batch.shares, error / 2, 1 - error / 2)
    deviation = error / (inside * (1 - inside))
    weights = batch.is_model / (deviation**2 + LOGIT_SCATTER**2)
    return np.asarray(expit(_line(batch.x, logit(inside), weights, batch.target_x)))


def curve_method(name: str) -> Method:
    """The bounded curve `name`, fitted to the whole ladder."""

    def method(batch: Batch) -> Floats:
        family = CURVES[name]
        fit = fit_family(family, batch.x, batch.shares, batch.errors)
        with np.errstate(all="ignore"):
            return np.asarray(np.clip(family.curve(fit.parameters, batch.target_x[None, :])[0], 0.0, 1.0))

    return method


DIRECT: dict[str, Method] = {
    "last": last_value,
    "isotonic_last": isotonic_last,
    "logit_linear": logit_linear,
    "logit_linear_last3": lambda batch: logit_linear(batch, last=3),
    "logit_linear_fading": lambda batch: logit_linear(batch, halving=np.log(4.0)),
    "logit_linear_rising": lambda batch: logit_linear(batch, halving=np.log(4.0), rising=True),
    "logit_weighted": logit_weighted,
    "exponential": curve_method("exponential"),
    "exponential_free_floor": curve_method("exponential_free_floor"),
    "logistic": curve_method("logistic"),
    "power": curve_method("power"),
    "bnsl": curve_method("bnsl"),
}
"""Methods by name."""
