"""Two steps: the loss of the target from its size and data (or its compute), then the score from the loss.

First step: ``L(N, D) = E + A N^-alpha + B D^-beta`` (Hoffmann et al. 2022; with the task's own loss: Bhagia et al.
2024, arXiv 2412.04403) or ``L(C) = E + A C^-alpha``. Second step: a bounded sigmoid of the loss, from chance to the
upper bound (Bhagia et al.).
"""

from __future__ import annotations

from itertools import product

import numpy as np
from scipy.special import expit

from predictors.downstream_scaling.direct import Batch
from predictors.downstream_scaling.least_squares import Floats, fit_curves

__all__ = ["TWO_STEP", "exponential_nd", "loss_of_compute", "loss_of_size_and_data", "score_of_loss"]

LOSS_SCALE = 0.01
"""Relative residual of a loss law."""


def _sides(log_n: Floats, log_d: Floats) -> Floats:
    return np.concatenate([log_n, log_d])


def _chinchilla(theta: Floats, x: Floats) -> Floats:
    """Log of the loss; `x` holds log N above log D, both centred."""
    half = len(x) // 2
    e, a, b, log_alpha, log_beta = theta
    size = np.clip(a - np.exp(log_alpha) * x[:half], -60, 20)
    data = np.clip(b - np.exp(log_beta) * x[half:], -60, 20)
    return np.asarray(np.log(np.exp(e) + np.exp(size) + np.exp(data)))


def _power(theta: Floats, x: Floats) -> Floats:
    e, a, log_alpha = theta
    return np.asarray(np.log(np.exp(e) + np.exp(np.clip(a - np.exp(log_alpha) * x, -60, 20))))


_ND_STARTS = np.array(list(product([-1.0, 0.0], [-2.0, -0.5], [-2.0, -0.5], [-1.5, -0.7], [-1.5, -0.7])))
_ND_PRIOR = np.array([0.0, -1.0, -1.0, -1.1, -1.1]), np.array([2.0, 2.0, 2.0, 0.5, 0.5])
_C_STARTS = np.array(list(product([-1.0, 0.0], [-2.0, -0.5, 0.5], [-2.5, -1.5, -0.7])))
_C_PRIOR = np.array([0.0, -1.0, -1.6]), np.array([2.0, 2.0, 0.7])


def _scaled(losses: Floats) -> tuple[Floats, Floats]:
    """Losses of each ladder over their mean, and that mean."""
    known = np.isfinite(losses)
    mean = np.where(known, losses, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    mean = np.where(mean > 0, mean, 1.0)
    return losses / mean, mean


def loss_of_size_and_data(batch: Batch) -> Floats:
    """Loss of each target by ``E + A N^-alpha + B D^-beta``; NaN where sizes, data or losses are not known."""
    centre_n, centre_d = batch.log_params[-1], batch.log_tokens[-1]
    n, d = batch.log_params - centre_n, batch.log_tokens - centre_d
    scaled, mean = _scaled(batch.losses)
    known = np.isfinite(scaled) & np.isfinite(n) & np.isfinite(d)
    if not known.any():
        return np.full(known.shape[1], np.nan)
    clean = tuple(np.where(known, a, 0.0) for a in (n, d))
    fit = fit_curves(
        lambda theta, x: _chinchilla(theta, np.concatenate([x.real, x.imag])), clean[0] + 1j * clean[1],
        np.log(np.where(known, scaled, 1.0)), np.where(known, LOSS_SCALE, np.inf), _ND_STARTS, *_ND_PRIOR,
    )  # fmt: skip
    target = _sides((batch.target_log_params - centre_n)[None], (batch.target_log_tokens - centre_d)[None])
    with np.errstate(invalid="ignore"):
        found = np.exp(_chinchilla(fit.parameters, target)[0]) * mean
    return np.where(known.sum(axis=0) >= 4, found, np.nan)


def loss_of_compute(batch: Batch) -> Floats:
    """Loss of each target by ``E + A C^-alpha``; NaN where fewer than three losses are known."""
    scaled, mean = _scaled(batch.losses)
    known = np.isfinite(scaled)
    if not known.any():
        return np.full(known.shape[1], np.nan)
    fit = fit_curves(
        _power, batch.x, np.log(np.where(known, scaled, 1.0)), np.where(known, LOSS_SCALE, np.inf), _C_STARTS, *_C_PRIOR
    )
    found = np.exp(_power(fit.parameters, batch.target_x[None])[0]) * mean
    return np.where(known.sum(axis=0) >= 3, found, np.nan)


def _sigmoid_link(theta: Floats, x: Floats) -> Floats:
    middle, log_slope, top = theta
    return np.asarray(expit(top) * expit(-np.exp(log_slope) * (x - middle)))


_LINK_STARTS = np.array(list(product([-3.0, -1.0, 0.0, 1.0, 3.0], [-1.0, 0.0, 1.0], [2.0, 4.0])))
_LINK_PRIOR = np.array([0.0, 0.0, 4.0]), np.array([4.0, 1.0, 1.5])


def score_of_loss(batch: Batch, loss: Floats) -> Floats:
    """Share that a loss stands for, by a bounded sigmoid through the ladder's losses and scores."""
    if not np.isfinite(loss).any():
        return loss
    known = np.isfinite(batch.losses)
    count = np.maximum(known.sum(axis=0), 1)
    centre = np.where(known, batch.losses, 0.0).sum(axis=0) / count
    spread = np.sqrt(np.where(known, (batch.losses - centre) ** 2, 0.0).sum(axis=0) / count) + 1e-9
    x = np.where(known, (batch.losses - centre) / spread, 0.0)
    scale = np.where(known, batch.errors, np.inf)
    fit = fit_curves(_sigmoid_link, x, batch.shares, scale, _LINK_STARTS, *_LINK_PRIOR)
    share = _sigmoid_link(fit.parameters, ((loss - centre) / spread)[None])[0]
    return np.where(np.isfinite(loss) & (known.sum(axis=0) >= 3), share, np.nan)


def two_step_nd(batch: Batch) -> Floats:
    """Score through the loss by size and data."""
    return score_of_loss(batch, loss_of_size_and_data(batch))


def two_step_compute(batch: Batch) -> Floats:
    """Score through the loss by compute."""
    return score_of_loss(batch, loss_of_compute(batch))


def _bounded_nd(theta: Floats, x: Floats) -> Floats:
    c, a, b, log_alpha, log_beta = theta
    size = np.exp(np.clip(a - np.exp(log_alpha) * x.real, -60, 6))
    data = np.exp(np.clip(b - np.exp(log_beta) * x.imag, -60, 6))
    return np.asarray(np.exp(-(np.exp(c) + size + data)))


_BOUNDED_STARTS = np.array(list(product([-4.0, -1.5], [-2.0, 0.0, 1.5], [-2.0, 0.0, 1.5], [-1.5, -0.5], [-1.5, -0.5])))
_BOUNDED_PRIOR = np.array([-3.0, -0.5, -0.5, -1.0, -1.0]), np.array([2.0, 2.0, 2.0, 0.7, 0.7])


def exponential_nd(batch: Batch) -> Floats:
    """``exp(-(A N^-alpha + B D^-beta + c))``: the exponential law with size and data apart; NaN where unknown."""
    centre_n, centre_d = batch.log_params[-1], batch.log_tokens[-1]
    x = (batch.log_params - centre_n) + 1j * (batch.log_tokens - centre_d)
    known = np.isfinite(x)
    if not known.any():
        return np.full(known.shape[1], np.nan)
    fit = fit_curves(
        _bounded_nd, np.where(known, x, 0.0), batch.shares, np.where(known, batch.errors, np.inf), _BOUNDED_STARTS,
        *_BOUNDED_PRIOR,
    )  # fmt: skip
    target = (batch.target_log_params - centre_n) + 1j * (batch.target_log_tokens - centre_d)
    with np.errstate(invalid="ignore"):
        share = _bounded_nd(fit.parameters, target[None])[0]
    return np.where((known.sum(axis=0) >= 3) & np.isfinite(target), share, np.nan)


TWO_STEP = {"two_step_nd": two_step_nd, "two_step_compute": two_step_compute, "exponential_nd": exponential_nd}
"""Methods by name."""
