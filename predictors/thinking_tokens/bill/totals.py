"""The bill of a batch: the sum of heavy-tailed forecasts that share part of their error, by simulation."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from ...arrays import Codes, Floats, Mask
from ..log_quantiles import MAX_LOG, MEAN_LEVELS, LogQuantilePredictor
from ..pooling.hierarchy import CATEGORIES, cell_keys
from ..shift.queries import RequestForecasts

STEPS: Floats = (np.arange(100) + 0.5) / 100
CHUNK = 512
N_SHARED = 1000
"""Draws of the errors that unseen cells have in common."""
OF_REQUESTS = ("steps", "shared_deviation", "groups", "max_tokens")
"""Arrays of a `BatchForecast` with an entry for each request."""


@dataclass(frozen=True)
class BatchForecast:
    """Forecast of every request of a batch, ready to be summed.

    Attributes
    ----------
    steps : ndarray of shape (n_requests, 100)
        Equally likely numbers of output tokens, scaled to the calibrated mean; in cells without runs what is drawn
        about the cell's error.
    shared_deviation : ndarray of shape (n_requests,)
        Standard deviation, in log tokens, of the error that requests of one group share.
    groups : ndarray of int of shape (n_requests,)
        Requests of one group share their error: one model, benchmark and effort.
    max_tokens : ndarray of shape (n_requests,)
        Hard limits; infinite where none is known.
    quantiles : DataFrame of shape (n_requests, n_levels), optional
        Quantiles that were asked for beside the steps.
    means : ndarray of shape (n_requests,), optional
        Expected tokens of each request, where the steps do not say.
    shared_draws : ndarray of shape (n_groups, n_draws), optional
        Draws of the error of each group in its standard deviations, those of one draw together; NaN for groups whose
        error is normal and their own.
    """

    steps: Floats
    shared_deviation: Floats
    groups: Codes
    max_tokens: Floats
    quantiles: pd.DataFrame = field(default_factory=pd.DataFrame)
    means: Floats | None = None
    shared_draws: Floats | None = None

    @property
    def expected(self) -> Floats:
        """Mean tokens of each request; shape (n_requests,)."""
        return self.steps.mean(axis=1) if self.means is None else self.means

    def take(self, rows: Codes) -> "BatchForecast":
        """The requests at positions `rows`."""
        arrays = {name: vars(self)[name][rows] for name in OF_REQUESTS}
        means = None if self.means is None else self.means[rows]
        return replace(self, quantiles=self.quantiles.iloc[rows], means=means, **arrays)


def forecast_batch(predictor: LogQuantilePredictor, X: pd.DataFrame, *, levels: Sequence[float] = ()) -> BatchForecast:
    """Forecast the requests of `X` (valid under `Requests`), as `simulate_totals` wants them."""
    trained, unseen = predictor.unseen_part(X)
    if unseen is None:
        return _trained_batch(predictor, X, levels)
    rest = unseen_batch(unseen, _limits(X[~trained]), levels=levels)
    batch = _joined(trained, _trained_batch(predictor, X[trained], levels), rest) if trained.any() else rest
    return replace(batch, quantiles=batch.quantiles.set_axis(X.index))


def _trained_batch(predictor: LogQuantilePredictor, X: pd.DataFrame, levels: Sequence[float]) -> BatchForecast:
    asked = np.unique(np.r_[STEPS, np.asarray(levels, dtype=np.float64)])
    quantiles, mean, *_ = predictor.answer(X, asked.tolist())
    steps, names = quantiles[:, np.searchsorted(asked, STEPS)], pd.Index(levels, name="level", dtype=float)
    groups, _ = pd.factorize(cell_keys(X, CATEGORIES))
    return BatchForecast(
        steps * (mean / steps.mean(axis=1))[:, None],
        predictor.shared_deviation(X).to_numpy(),
        groups.astype(np.intp),
        _limits(X),
        pd.DataFrame(quantiles[:, np.searchsorted(asked, levels)], X.index, names),
    )


def unseen_batch(forecasts: RequestForecasts, max_tokens: Floats, *, levels: Sequence[float] = ()) -> BatchForecast:
    """Requests in cells without runs, whose cells are off by what is drawn for all of them at once.

    `max_tokens` (n_requests,) is infinite where there is no limit; quantiles at `levels` are made beside the steps.
    """
    cells, shared = forecasts.cells, forecasts.shared_variance
    rng = np.random.default_rng(0)
    drawn = rng.multivariate_normal(np.zeros(len(cells.mean)), cells.covariance, N_SHARED, method="eigh").T
    # The mean of a cell grows with the spread of its runs, and which spread it has all its requests share.
    by_spread = cells.within / 2
    by_spread = by_spread - np.log(np.exp(by_spread).mean(axis=1, keepdims=True))
    drawn += np.take_along_axis(by_spread, rng.integers(0, by_spread.shape[1], size=drawn.shape), axis=1)
    standard = drawn / np.sqrt(cells.variance)[:, None]
    steps = np.exp(np.minimum(forecasts.quantiles_about_shared(STEPS) + shared[:, None] / 2, MAX_LOG))
    limit = max_tokens[:, None]
    means = np.minimum(np.exp(np.minimum(forecasts.quantiles(MEAN_LEVELS), MAX_LOG)), limit).mean(axis=1)
    asked = np.asarray(levels, dtype=np.float64)
    tokens = np.minimum(np.exp(np.minimum(forecasts.quantiles(asked), MAX_LOG)), limit)
    quantiles = pd.DataFrame(tokens, columns=pd.Index(asked.tolist(), name="level"))
    return BatchForecast(steps, np.sqrt(shared), forecasts.cell, max_tokens, quantiles, means, standard)


def _limits(X: pd.DataFrame) -> Floats:
    """Hard limits of the requests; infinite where none is known."""
    cap = X["max_tokens"].to_numpy(dtype=np.float64) if "max_tokens" in X else np.full(len(X), np.nan)
    return np.where(np.isnan(cap), np.inf, cap)


def _joined(trained: Mask, one: BatchForecast, other: BatchForecast) -> BatchForecast:
    """One batch of the requests where `trained` and of the others; the groups of the others come last."""
    order = np.argsort(np.r_[np.flatnonzero(trained), np.flatnonzero(~trained)], kind="stable")
    n_groups = int(one.groups.max(initial=-1)) + 1
    assert other.shared_draws is not None
    both = one, replace(other, groups=other.groups + n_groups)
    return BatchForecast(
        **{name: np.concatenate([vars(part)[name] for part in both])[order] for name in OF_REQUESTS},
        quantiles=pd.concat([part.quantiles for part in both], ignore_index=True).iloc[order],
        means=np.concatenate([part.expected for part in both])[order],
        shared_draws=np.concatenate([np.full((n_groups, other.shared_draws.shape[1]), np.nan), other.shared_draws]),
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

    Each request is drawn from its own distribution, and all requests of a group are off by the same factor, whose
    mean is about 1: what is not known about a cell does not average out over a large batch. What cells without runs
    have in common (a source, a model) they are off by together.

    `usd_fixed` and `usd_per_token` (n_requests,) are dollars of the input and of one output token. Returns totals in
    tokens and in USD, shape (n_draws,) each; the latter NaN without prices, or where a request has none.
    """
    rng = np.random.default_rng(random_state)
    n = len(batch.steps)
    n_groups = int(batch.groups.max(initial=-1)) + 1
    if batch.shared_draws is None:
        shared = rng.normal(size=(n_groups, n_draws))
    else:
        # First of all, so that batches drawn with one seed meet the same worlds and can be compared.
        world = rng.integers(0, batch.shared_draws.shape[1], size=n_draws)
        together = batch.shared_draws[:n_groups, world]
        shared = np.where(np.isnan(together), rng.normal(size=(n_groups, n_draws)), together)
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
