"""Rankings under noise: does the price list order models as their bills do, and how sure is that?

A **reversal** is a pair of models whose listed prices are in one order and whose measured costs are in
the other. Whether a small difference of measured costs is one at all is decided by paired differences
over the queries that both models answered.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from ...arrays import Floats, Mask
from ...errors import InvalidInputError

TIE = 1e-9
"""Relative difference of means up to which they count as equal: sums in another order differ in the last digits."""
FALSE_DISCOVERIES = 0.05
"""Rate of Benjamini and Hochberg over all pairs."""
FRONTIERS = 2000
"""Bootstrap draws of the frontier."""


@dataclass(frozen=True)
class ReversalReport:
    """Reversals of a price list against measured costs.

    Shares are of pairs: `raw_share` with its percentile bootstrap interval over queries (biased up where models are
    close and queries few), those confirmed with the false discovery rate held at 5 %, those unresolved either way, and
    the mean probability of a reversal. `tau` is Kendall's between price and cost; without ties 1 - 2 `raw_share`.
    `pairs`, one row each, holds `cheaper`, `dearer` (by list), `log_ratio` of mean costs (positive is a reversal), `z`,
    `p_value` (two-sided), `status` (``reversed``, ``as listed``, ``unresolved``). `n_queries` all models answered.
    """

    raw_share: float
    ci_lower: float
    ci_upper: float
    confirmed_share: float
    unresolved_share: float
    posterior_share: float
    tau: float
    tau_ci_lower: float
    tau_ci_upper: float
    pairs: pd.DataFrame
    n_queries: int


def rank_reversals(
    costs: pd.DataFrame,
    prices: pd.Series,
    *,
    n_bootstrap: int = 1000,
) -> ReversalReport:
    """Compare the order of listed prices with the order of measured costs.

    `costs` of shape (n_queries, n_models) are the mean cost of each query on each model, > 0 on average; queries that
    some model did not answer (NaN) are left out for all. `prices` of shape (n_models,) are listed; pairs with equal
    prices are left out. The bootstrap draws queries, the same for all models. Raises InvalidInputError if models lack a
    price, fewer than 2 models or 2 common queries remain, or a mean cost is not positive.
    """
    y, listed, names = _aligned(costs, prices)
    i, j = np.nonzero(listed[:, None] < listed)  # cheaper-listed and dearer-listed model of every pair
    if i.size == 0:
        raise InvalidInputError("`prices` has no two models of different price")
    mean = y.mean(axis=0)
    log_ratio = np.log(mean[i] / mean[j])
    log_ratio[np.abs(log_ratio) < TIE] = 0.0
    g = y[:, i] / mean[i] - y[:, j] / mean[j]
    error = g.std(axis=0, ddof=1) / np.sqrt(len(y))
    certain = np.where(log_ratio == 0, 0.0, np.copysign(np.inf, log_ratio))
    z = np.divide(log_ratio, error, out=certain, where=error > TIE)
    p_value = 2 * stats.norm.sf(np.abs(z))
    confirmed = stats.false_discovery_control(p_value) <= FALSE_DISCOVERIES
    status = np.where(~confirmed, "unresolved", np.where(z > 0, "reversed", "as listed"))
    means = _drawn_weights(len(y), n_bootstrap) @ y
    shares = np.mean(means[:, i] > means[:, j] * (1 + TIE), axis=1)
    lower, upper = np.quantile(shares, [0.025, 0.975])
    raw = float(np.mean(log_ratio > 0))
    pairs = pd.DataFrame(
        {"cheaper": names[i], "dearer": names[j], "log_ratio": log_ratio, "z": z, "p_value": p_value, "status": status}
    )
    return ReversalReport(
        raw, float(lower), float(upper), float(np.mean(status == "reversed")), float(np.mean(status == "unresolved")),
        float(np.mean(stats.norm.cdf(z))), 1 - 2 * raw, 1 - 2 * float(upper), 1 - 2 * float(lower), pairs, len(y),
    )  # fmt: skip


@dataclass(frozen=True)
class CostOfPass:
    """Expected cost of one passed answer, ``E[cost] / P(pass)``.

    `value` is in USD, infinite where nothing passed, with its 95 % log-delta interval: where nothing passed, from the
    mean cost over the Clopper-Pearson upper bound of the pass rate to infinity; NaN for one query.
    """

    value: float
    ci_lower: float
    ci_upper: float
    pass_rate: float
    mean_cost_usd: float
    n_queries: int


def query_cost_of_pass(cost_usd: Floats, passed: Floats) -> CostOfPass:
    """Cost of pass of one model, queries weighted alike; lower is better.

    Mean cost (USD, >= 0) and pass rate (0 to 1) of each query over its runs, shape (n_queries,). Erol et al. (2025),
    Cost-of-pass: an economic framework for evaluating language models.
    """
    x, s, n = cost_usd, passed, len(cost_usd)
    cost, rate, nan = float(x.mean()), float(s.mean()), float("nan")
    if rate == 0:
        upper_rate = stats.binomtest(0, n).proportion_ci(0.95, "exact").high
        return CostOfPass(float("inf"), cost / upper_rate, float("inf"), rate, cost, n)
    value = cost / rate
    if n < 2 or cost == 0:
        return CostOfPass(value, nan, nan, rate, cost, n)
    error = float(np.std(x / cost - s / rate, ddof=1) / np.sqrt(n))
    half = float(stats.norm.ppf(0.975)) * error
    return CostOfPass(value, value * np.exp(-half), value * np.exp(half), rate, cost, n)


def frontier_membership(costs: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """Probability that each model is on the frontier of cost and score (no other is as good and cheaper).

    `costs` and `scores` of shape (n_queries, n_models) are means over runs, without NaN; lower cost and higher score
    are better. One row per model: `model`, `cost`, `score`, `probability`, `verdict` (``on frontier`` from .9,
    ``off frontier`` below .1, else ``maybe``).
    """
    if not (costs.index.equals(scores.index) and list(costs.columns) == list(scores.columns)):
        raise InvalidInputError("`costs` and `scores` must have the same index and columns")
    c, s = costs.to_numpy(dtype=np.float64), scores.to_numpy(dtype=np.float64)
    if not (np.isfinite(c).all() and np.isfinite(s).all()) or len(c) < 2:
        raise InvalidInputError("`costs` and `scores` must be finite, with 2 queries or more")
    weights = _drawn_weights(len(c), FRONTIERS)
    on = _undominated(weights @ c / len(c), weights @ s / len(c)).mean(axis=0)
    verdict = np.where(on >= 0.9, "on frontier", np.where(on < 0.1, "off frontier", "maybe"))
    return pd.DataFrame(
        {"model": costs.columns, "cost": c.mean(axis=0), "score": s.mean(axis=0), "probability": on, "verdict": verdict}
    )


def _undominated(cost: Floats, score: Floats) -> Mask:
    """Per row, models that no other dominates, shapes (n_draws, n_models)."""
    on = np.ones(cost.shape, dtype=bool)
    for k in range(cost.shape[1]):
        cost_k, score_k = cost[:, k : k + 1], score[:, k : k + 1]
        as_good = (cost <= cost_k + TIE * np.abs(cost_k)) & (score >= score_k - TIE * np.abs(score_k))
        better = (cost < cost_k - TIE * np.abs(cost_k)) | (score > score_k + TIE * np.abs(score_k))
        on[:, k] = ~(as_good & better).any(axis=1)
    return on


def _aligned(costs: pd.DataFrame, prices: pd.Series) -> tuple[Floats, Floats, NDArray[np.object_]]:
    missing = sorted(str(model) for model in set(costs.columns) - set(prices.dropna().index))
    if missing:
        raise InvalidInputError(f"`prices` lacks the models {missing}")
    y = costs.to_numpy(dtype=np.float64)
    y = y[np.isfinite(y).all(axis=1)]
    if len(y) < 2 or y.shape[1] < 2:
        raise InvalidInputError(f"2 models and 2 queries that all of them answered are needed, got {y.shape[::-1]}")
    if not (y.mean(axis=0) > 0).all():
        raise InvalidInputError("the mean cost of every model must be positive")
    return y, prices.loc[costs.columns].to_numpy(dtype=np.float64), np.array(costs.columns, dtype=object)


def _drawn_weights(n_queries: int, n_draws: int) -> NDArray[np.int64]:
    """How often each query is in each bootstrap draw, shape (n_draws, n_queries)."""
    return np.random.default_rng(0).multinomial(n_queries, np.full(n_queries, 1 / n_queries), size=n_draws)
