"""Forecasts of single requests in unseen cells: what their text and known runs of their query add to the cell's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .forecast import CellForecasts

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
NOISE_SHARE = 0.25
"""Share of the variance of a run about its cell's mean that not even the same model on the same query repeats."""


@dataclass(frozen=True)
class QueryPrior:
    """What the text says of the queries of n requests before any run of them is known.

    Attributes
    ----------
    cell : ndarray of int of shape (n_requests,)
        Position of each request's cell.
    effect : ndarray of shape (n_requests,)
        Log tokens above an ordinary query of the benchmark.
    doubt : ndarray of shape (n_requests,)
        Variance of `effect` for want of knowing its slope.
    explained : ndarray of shape (n_requests,)
        Variance between queries that texts like these explain, and that is no longer open.
    """

    cell: Ints
    effect: Floats
    doubt: Floats
    explained: Floats


@dataclass(frozen=True)
class KnownRuns:
    """Runs of the queries of requests: the request and the cell of each, and its log tokens; all of shape (n_runs,)."""

    target: Ints
    cell: Ints
    log_tokens: Floats


@dataclass(frozen=True)
class RequestForecasts:
    """Distributions of log tokens of n requests: those of their cells, shifted and scaled.

    Attributes
    ----------
    cells : CellForecasts
    cell : ndarray of int of shape (n_requests,)
    centre : ndarray of shape (n_requests,)
        Mean log tokens.
    variance : ndarray of shape (n_requests,)
        Of a run, in squared log tokens.
    shared_variance : ndarray of shape (n_requests,)
        The part of it that all requests of the cell are off by together.
    """

    cells: CellForecasts
    cell: Ints
    centre: Floats
    variance: Floats
    shared_variance: Floats

    def quantiles(self, levels: Floats) -> Floats:
        """Quantiles of log tokens; shape (n_requests, n_levels)."""
        shape = self.cells.quantiles(levels) - self.cells.posterior.average()[:, None]
        scale = np.sqrt(self.variance / self.cells.total_variance()[self.cell])
        return np.asarray(self.centre[:, None] + scale[:, None] * shape[self.cell])

    def quantiles_about_shared(self, levels: Floats) -> Floats:
        """The same without the error that a cell's requests share; shape (n_requests, n_levels)."""
        shape = self.cells.quantiles_about_mean(levels)
        scale = np.sqrt((self.variance - self.shared_variance) / self.cells.within.mean(axis=1)[self.cell])
        return np.asarray(self.centre[:, None] + scale[:, None] * shape[self.cell])


def forecast_requests(cells: CellForecasts, prior: QueryPrior, runs: KnownRuns | None = None) -> RequestForecasts:
    """Forecast requests of which the text and perhaps runs of the query are known.

    Runs on other models say how long the answers to a query are, runs of the same cell (pilots) how long this model's
    are; both say how long those of their cells are where these are not well known. All of it is one Gaussian model,
    conditioned in each component of the posterior of the cells' means.
    """
    posterior, at = cells.posterior, prior.cell
    centre = posterior.average()[at] + prior.effect
    shared = posterior.total_variance()[at]
    parts = _QueryVariances.of(cells, prior)
    rest = parts.query + parts.own + parts.noise + prior.doubt
    forecasts = RequestForecasts(cells, at, centre, shared + rest, shared)
    if runs is None or not len(runs.target):
        return forecasts
    for rows, codes, values in _same_patterns(runs, prior):
        target = int(at[rows[0]])
        gains = _gains(cells, parts, rows, target, codes)
        surprise = (values - prior.effect[rows, None])[:, None, :] - posterior.mean[None][:, :, codes]
        means = posterior.mean[:, target] + (surprise * gains.run[None]).sum(axis=2)
        average = means @ posterior.weight
        scatter = ((means - average[:, None]) ** 2) @ posterior.weight
        forecasts.centre[rows] = average + prior.effect[rows]
        forecasts.shared_variance[rows] = gains.cell_variance @ posterior.weight + scatter
        forecasts.variance[rows] = (
            gains.run_variance @ posterior.weight + scatter + parts.noise[rows] + gains.open_share * prior.doubt[rows]
        )
    # What one run adds to the variance shared is never more than the whole.
    np.minimum(forecasts.shared_variance, forecasts.variance - parts.noise, out=forecasts.shared_variance)
    return forecasts


def query_effects(cells: CellForecasts, prior: QueryPrior, runs: KnownRuns) -> tuple[Floats, Floats]:
    """How much longer than usual the answers to the queries are, by text and known runs of them.

    Returns
    -------
    effect : ndarray of shape (n_requests,)
        In log tokens.
    explained : ndarray of shape (n_requests,)
        Share of the variance between queries that is no longer open, in [0, 1].
    """
    effect, explained = prior.effect.copy(), np.zeros(len(prior.effect))
    parts = _QueryVariances.of(cells, prior)
    posterior = cells.posterior
    for rows, codes, values in _same_patterns(runs, prior):
        gains = _gains(cells, parts, rows, int(prior.cell[rows[0]]), codes)
        surprise = (values - prior.effect[rows, None])[:, None, :] - posterior.mean[None][:, :, codes]
        effect[rows] += (surprise * gains.query[None]).sum(axis=2) @ posterior.weight
        explained[rows] = 1.0 - gains.open_share
    return effect, explained


@dataclass(frozen=True)
class _QueryVariances:
    """Variances about the mean of the cell, by request: between queries, of the cell's own on a query, of a run."""

    query: Floats
    own: Floats
    noise: Floats

    @classmethod
    def of(cls, cells: CellForecasts, prior: QueryPrior) -> _QueryVariances:
        whole, share = cells.within.mean(axis=1)[prior.cell], cells.query_share[prior.cell]
        query = np.maximum(share * whole - prior.explained, 0.1 * share * whole)
        noise = np.minimum(NOISE_SHARE, 1 - share) * whole
        return cls(query, whole * (1 - share) - noise, noise)


@dataclass(frozen=True)
class _Gains:
    """Weights of known runs, shape (n_components, n_runs), and variances that they leave, shape (n_components,)."""

    run: Floats
    query: Floats
    run_variance: Floats
    cell_variance: Floats
    open_share: float


def _gains(cells: CellForecasts, parts: _QueryVariances, rows: Ints, target: int, codes: Ints) -> _Gains:
    covariance, here = cells.posterior.covariance, int(rows[0])
    query, own = float(parts.query[here]), float(parts.own[here])
    whole, share = cells.within.mean(axis=1)[codes], cells.query_share[codes]
    noise = np.minimum(NOISE_SHARE, 1 - share) * whole
    own_of_runs = whole * (1 - share) - noise
    among = covariance[:, codes[:, None], codes[None, :]] + query
    among = among + (codes[:, None] == codes[None, :]) * own_of_runs[None, :] + np.diag(noise)
    of_cell = covariance[:, target, codes]
    of_run = of_cell + query + (codes == target) * own
    ones = np.full_like(of_cell, query)
    solved = np.linalg.solve(among, np.stack([of_run, of_cell, ones], axis=2))
    before = covariance[:, target, target]
    run_variance = before + query + own - (of_run * solved[:, :, 0]).sum(axis=1)
    cell_variance = before - (of_cell * solved[:, :, 1]).sum(axis=1)
    open_share = 1 - float(cells.posterior.weight @ solved[:, :, 2].sum(axis=1))
    return _Gains(
        solved[:, :, 0], solved[:, :, 2], np.maximum(run_variance, 0.0), np.maximum(cell_variance, 0.0), open_share
    )


def _same_patterns(runs: KnownRuns, prior: QueryPrior) -> list[tuple[Ints, Ints, Floats]]:
    """Requests that know runs of the same cells: their positions, the cells, and the log tokens of the runs.

    Requests of one pattern are in one cell, and their texts explain as much. Log tokens have shape (n_requests,
    n_runs).
    """
    order = np.lexsort((runs.cell, runs.target))
    targets, starts = np.unique(runs.target[order], return_index=True)
    patterns: dict[tuple[float, tuple[int, ...]], tuple[list[int], list[Floats]]] = {}
    for target, places in zip(targets.tolist(), np.split(order, starts[1:]), strict=True):
        key = float(prior.explained[target]), (int(prior.cell[target]), *runs.cell[places].tolist())
        rows, values = patterns.setdefault(key, ([], []))
        rows.append(target)
        values.append(runs.log_tokens[places])
    return [
        (np.array(rows, dtype=np.intp), np.array(codes[1:], dtype=np.intp), np.array(values))
        for (_, codes), (rows, values) in patterns.items()
    ]
