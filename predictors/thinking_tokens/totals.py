"""The bill of a batch: the sum of heavy-tailed forecasts that share part of their error, by simulation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from predictors.thinking_tokens.hierarchy import CATEGORIES, cell_keys
from predictors.thinking_tokens.predictor import ThinkingTokensPredictor

__all__ = ["BatchForecast", "forecast_batch", "simulate_totals"]

Floats = NDArray[np.float64]
STEPS: Floats = (np.arange(100) + 0.5) / 100
CHUNK = 512


@dataclass(frozen=True)
class BatchForecast:
    """Forecast of every request of a batch, ready to be summed.

    Attributes
    ----------
    steps : ndarray of shape (n_requests, 100)
        Equally likely numbers of output tokens, scaled to the calibrated mean.
    shared_deviation : ndarray of shape (n_requests,)
        Standard deviation, in log tokens, of the error that requests of one group share.
    groups : ndarray of int of shape (n_requests,)
        Requests of one group share their error: one model, benchmark and effort.
    max_tokens : ndarray of shape (n_requests,)
        Hard limits; infinite where none is known.
    quantiles : DataFrame of shape (n_requests, n_levels), optional
        Quantiles that were asked for beside the steps.
    """

    steps: Floats
    shared_deviation: Floats
    groups: NDArray[np.intp]
    max_tokens: Floats
    quantiles: pd.DataFrame | None = None


def forecast_batch(
    predictor: ThinkingTokensPredictor, X: pd.DataFrame, *, levels: Sequence[float] = ()
) -> BatchForecast:
    """Forecast the requests of `X` (valid under `Requests`), as `simulate_totals` wants them."""
    asked = np.unique(np.r_[STEPS, np.asarray(levels, dtype=np.float64)])
    quantiles, means = predictor.predict_both(X, asked.tolist())
    steps, mean = quantiles[STEPS.tolist()].to_numpy(), means.to_numpy()
    cap = X["max_tokens"].to_numpy(dtype=np.float64) if "max_tokens" in X else np.full(len(X), np.nan)
    groups, _ = pd.factorize(cell_keys(X, CATEGORIES))
    return BatchForecast(
        steps * (mean / steps.mean(axis=1))[:, None],
        predictor.shared_deviation(X).to_numpy(),
        groups.astype(np.intp),
        np.where(np.isnan(cap), np.inf, cap),
        quantiles[[float(level) for level in levels]] if len(levels) else None,
    )


def simulate_totals(
    batch: BatchForecast,
    *,
    usd_fixed: Floats | None = None,
    usd_per_token: Floats | None = None,
    n_draws: int = 1000,
    random_state: int | None = 0,
) -> tuple[Floats, Floats]:
    """Draw totals of a batch.

    Each request is drawn from its own distribution, and all requests of a group are off by the same factor,
    whose mean is 1: what is not known about a cell does not average out over a large batch.

    Parameters
    ----------
    batch : BatchForecast
    usd_fixed, usd_per_token : ndarrays of shape (n_requests,), optional
        Dollars of the input, and of one output token.
    n_draws : int
    random_state : int, optional

    Returns
    -------
    tokens, usd : ndarrays of shape (n_draws,)
        Totals; `usd` is NaN without prices, or where a request has none.
    """
    rng = np.random.default_rng(random_state)
    n = len(batch.steps)
    shared = rng.normal(size=(int(batch.groups.max(initial=-1)) + 1, n_draws))
    tokens, usd = np.zeros(n_draws), np.zeros(n_draws)
    for start in range(0, n, CHUNK):
        rows = slice(start, min(start + CHUNK, n))
        pick = rng.integers(0, len(STEPS), size=(rows.stop - start, n_draws))
        drawn = np.take_along_axis(batch.steps[rows], pick, axis=1)
        deviation = batch.shared_deviation[rows, None]
        drawn *= np.exp(deviation * shared[batch.groups[rows]] - deviation**2 / 2)
        np.minimum(drawn, batch.max_tokens[rows, None], out=drawn)
        tokens += drawn.sum(axis=0)
        if usd_per_token is not None:
            usd += usd_per_token[rows] @ drawn
    if usd_per_token is None or usd_fixed is None:
        return tokens, np.full(n_draws, np.nan)
    return tokens, usd + usd_fixed.sum()
