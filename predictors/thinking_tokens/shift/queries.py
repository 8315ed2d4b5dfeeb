"""Forecasts of single requests in unseen cells: what their text and known runs of their query add to the cell's."""

from dataclasses import dataclass

import numpy as np

from ...arrays import Codes, Floats
from .forecast import CellForecasts, spread_quantiles

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

    cell: Codes
    effect: Floats
    doubt: Floats
    explained: Floats


@dataclass(frozen=True)
class KnownRuns:
    """Runs of the queries of requests: the request and the cell of each, and its log tokens; all of shape (n_runs,)."""

    target: Codes
    cell: Codes
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
    cell: Codes
    centre: Floats
    variance: Floats
    shared_variance: Floats

    def quantiles(self, levels: Floats) -> Floats:
        """Quantiles of log tokens; shape (n_requests, n_levels)."""
        variances = self.cells.variance[:, None] + self.cells.within
        return self._scaled(variances, self.variance, levels)

    def quantiles_about_shared(self, levels: Floats) -> Floats:
        """The same without the error that a cell's requests share; shape (n_requests, n_levels)."""
        return self._scaled(self.cells.within, self.variance - self.shared_variance, levels)

    def _scaled(self, of_cells: Floats, variance: Floats, levels: Floats) -> Floats:
        scale = np.sqrt(variance / of_cells.mean(axis=1)[self.cell])
        return np.asarray(self.centre[:, None] + scale[:, None] * spread_quantiles(of_cells, levels)[self.cell])


def forecast_requests(cells: CellForecasts, prior: QueryPrior, runs: KnownRuns | None = None) -> RequestForecasts:
    """Forecast requests of which the text and perhaps runs of the query are known.

    Runs on other models say how long the answers to a query are, runs of the same cell (pilots) how long this model's
    are; both say how long those of their cells are where these are not well known. All of it is one Gaussian model.
    """
    at = prior.cell
    shared = cells.variance[at]
    parts = _QueryVariances.of(cells, prior)
    rest = parts.query + parts.own + parts.noise + prior.doubt
    forecasts = RequestForecasts(cells, at, cells.mean[at] + prior.effect, shared + rest, shared)
    for rows, codes, values in _same_patterns(runs, prior) if runs is not None else ():
        gains = _gains(cells, parts, rows, int(at[rows[0]]), codes)
        forecasts.centre[rows] += (values - prior.effect[rows, None] - cells.mean[codes]) @ gains.run
        forecasts.shared_variance[rows] = gains.cell_variance
        forecasts.variance[rows] = gains.run_variance + parts.noise[rows] + gains.open_share * prior.doubt[rows]
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
    for rows, codes, values in _same_patterns(runs, prior):
        gains = _gains(cells, parts, rows, int(prior.cell[rows[0]]), codes)
        effect[rows] += (values - prior.effect[rows, None] - cells.mean[codes]) @ gains.query
        explained[rows] = 1.0 - gains.open_share
    return effect, explained


@dataclass(frozen=True)
class _QueryVariances:
    """Variances about the mean of the cell, by request: between queries, of the cell's own on a query, of a run."""

    query: Floats
    own: Floats
    noise: Floats

    @classmethod
    def of(cls, cells: CellForecasts, prior: QueryPrior) -> "_QueryVariances":
        whole, share = cells.within.mean(axis=1)[prior.cell], cells.query_share[prior.cell]
        query = np.maximum(share * whole - prior.explained, 0.1 * share * whole)
        noise = np.minimum(NOISE_SHARE, 1 - share) * whole
        return cls(query, whole * (1 - share) - noise, noise)


@dataclass(frozen=True)
class _Gains:
    """Weights of known runs, shape (n_runs,), for the next run and for the effect of the query; what they leave open.

    `run_variance` is without the noise of the single run; `open_share` is of the variance between queries.
    """

    run: Floats
    query: Floats
    run_variance: float
    cell_variance: float
    open_share: float


def _gains(cells: CellForecasts, parts: _QueryVariances, rows: Codes, target: int, codes: Codes) -> _Gains:
    covariance, here = cells.covariance, int(rows[0])
    query, own = float(parts.query[here]), float(parts.own[here])
    whole, share = cells.within.mean(axis=1)[codes], cells.query_share[codes]
    noise = np.minimum(NOISE_SHARE, 1 - share) * whole
    own_of_runs = whole * (1 - share) - noise
    among = covariance[np.ix_(codes, codes)] + query + (codes[:, None] == codes) * own_of_runs + np.diag(noise)
    of_cell = covariance[target, codes]
    of_run = of_cell + query + (codes == target) * own
    run, cell, effect = np.linalg.solve(among, np.column_stack([of_run, of_cell, np.full(len(codes), query)])).T
    before = float(covariance[target, target])
    run_variance, cell_variance = before + query + own - of_run @ run, before - of_cell @ cell
    return _Gains(run, effect, max(run_variance, 0.0), max(cell_variance, 0.0), 1 - float(effect.sum()))


def _same_patterns(runs: KnownRuns, prior: QueryPrior) -> list[tuple[Codes, Codes, Floats]]:
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
