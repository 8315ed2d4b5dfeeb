"""The bounded exponential law with size and data apart: tokens per parameter may differ along the ladder."""

from __future__ import annotations

import numpy as np

from ...fitting.least_squares import Floats
from .curves import law
from .direct import Batch


def _bounded(theta: Floats, x: Floats) -> Floats:
    c, a, b, log_alpha, log_beta = theta
    size = np.exp(np.clip(a - np.exp(log_alpha) * x[0], -60, 6))
    data = np.exp(np.clip(b - np.exp(log_beta) * x[1], -60, 6))
    return np.asarray(np.exp(-(np.exp(c) + size + data)))


_LAW = law(
    "exponential_nd", _bounded,
    ([-4.0, -1.5], -3.0, 2.0), ([-2.0, 0.0, 1.5], -0.5, 2.0), ([-2.0, 0.0, 1.5], -0.5, 2.0),
    ([-1.5, -0.5], -1.0, 0.7), ([-1.5, -0.5], -1.0, 0.7),
)  # fmt: skip


def exponential_nd(batch: Batch) -> Floats:
    """Share by ``exp(-(A N^-alpha + B D^-beta + c))``, shape (B,); NaN where fewer than 3 sizes are known."""
    x = np.stack([batch.log_params - batch.log_params[-1], batch.log_tokens - batch.log_tokens[-1]])
    target = np.stack([batch.target_log_params - batch.log_params[-1], batch.target_log_tokens - batch.log_tokens[-1]])
    is_sized = np.isfinite(x).all(axis=0)
    if not is_sized.any():
        return np.full(is_sized.shape[1], np.nan)
    theta = _LAW.fit(np.where(is_sized, x, 0.0), batch.shares, np.where(is_sized, batch.errors, np.inf))
    with np.errstate(invalid="ignore"):
        share = _bounded(theta, target)
    return np.where((is_sized.sum(axis=0) >= 3) & np.isfinite(target).all(axis=0), share, np.nan)
