"""Rankings under noise: does the price list order models as their bills do, and how sure is that?

A **reversal** is a pair of models whose listed prices are in one order and whose measured costs are in
the other. Whether a small difference of measured costs is one at all is decided by paired differences
over the queries that both models answered.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from predictors.errors import InvalidInputError

__all__ = [
    "CostOfPass",
    "ReversalReport",
    "cost_of_pass",
    "frontier_membership",
    "published_reversals",
    "query_cost_of_pass",
    "rank_reversals",
]

Floats = NDArray[np.float64]
TIE = 1e-9
"""Relative difference of means up to which they count as equal: sums in another order differ in the last digits."""


@dataclass(frozen=True)
class ReversalReport:
    """Reversals of a price list against measured costs.

    Attributes
    ----------
    raw_share : float
        Share of pairs whose mean costs are reversed, with its percentile bootstrap interval over
        queries (`ci_lower`, `ci_upper`). Biased up where models are close and queries few.
    confirmed_share : float
        Reversed with the false discovery rate over all pairs held at 5 %.
    unresolved_share : float
        Pairs whose order of costs is not confirmed either way.
    posterior_share : float
        Mean probability that a pair is reversed.
    tau, tau_ci_lower, tau_ci_upper : float
        Kendall's tau between price and cost; without ties 1 - 2 `raw_share`.
    pairs : DataFrame of shape (n_pairs, 6)
        `cheaper`, `dearer` (by list), `log_ratio` of mean costs (positive is a reversal), `z`,
        `p_value` (one pair, two-sided), `status` (``reversed``, ``as listed``, ``unresolved``).
    n_queries : int
        Queries that all models answered.
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
    false_discovery_rate: float = 0.05,
    n_bootstrap: int = 1000,
    random_state: int = 0,
) -> ReversalReport:
    """Compare the order of listed prices with the order of measured costs.

    Parameters
    ----------
    costs : DataFrame of shape (n_queries, n_models)
        Mean cost of each query on each model (over its runs), index query, columns model, > 0 on average.
        Queries that some model did not answer (NaN) are left out for all.
    prices : Series of shape (n_models,)
        Listed price, index model. Pairs with equal prices are left out.
    false_discovery_rate : float, optional
        Benjamini-Hochberg over all pairs.
    n_bootstrap, random_state : int, optional
        Bootstrap over queries, the same draw for all models.

    Returns
    -------
    ReversalReport

    Raises
    ------
    InvalidInputError
        If models lack a price, fewer than 2 models or 2 common queries remain, or a mean cost is not
        positive.
    """
    y, listed, names = _aligned(costs, prices)
    i, j = _pairs(listed)
    mean = y.mean(axis=0)
    log_ratio = np.log(mean[i] / mean[j])
    log_ratio[np.abs(log_ratio) < TIE] = 0.0
    g = y[:, i] / mean[i] - y[:, j] / mean[j]
    error = g.std(axis=0, ddof=1) / np.sqrt(len(y))
    certain = np.where(log_ratio == 0, 0.0, np.copysign(np.inf, log_ratio))
    z = np.divide(log_ratio, error, out=certain, where=error > TIE)
    p_value = 2 * stats.norm.sf(np.abs(z))
    confirmed = _benjamini_hochberg(p_value, false_discovery_rate)
    status = np.where(~confirmed, "unresolved", np.where(z > 0, "reversed", "as listed"))
    shares = _bootstrap_shares(y, i, j, n_bootstrap, random_state)
    lower, upper = np.quantile(shares, [0.025, 0.975])
    raw = float(np.mean(log_ratio > 0))
    pairs = pd.DataFrame(
        {"cheaper": names[i], "dearer": names[j], "log_ratio": log_ratio, "z": z, "p_value": p_value, "status": status}
    )
    return ReversalReport(
        raw, float(lower), float(upper), float(np.mean(status == "reversed")), float(np.mean(status == "unresolved")),
        float(np.mean(stats.norm.cdf(z))), 1 - 2 * raw, 1 - 2 * float(upper), 1 - 2 * float(lower), pairs, len(y),
    )  # fmt: skip


def published_reversals(cells: pd.DataFrame, cost: str = "total_cost_usd") -> pd.DataFrame:
    """Reversals from a table of total costs alone (no queries, so no intervals), per data set.

    Parameters
    ----------
    cells : DataFrame of shape (n_cells, n_columns)
        `dataset`, `model`, `listed_price` and the column `cost`; every model in every data set.
    cost : str, optional

    Returns
    -------
    DataFrame of shape (n_datasets, 5)
        `dataset`, `reversals`, `pairs`, `kendall_tau`, `largest_reversal` (cost of the cheaper-listed over
        cost of the dearer-listed, NaN without a reversal).
    """
    rows = []
    for name, part in cells.groupby("dataset", sort=True):
        listed = part["listed_price"].to_numpy(dtype=np.float64)
        i, j = _pairs(listed)
        c = part[cost].to_numpy(dtype=np.float64)
        ratio = c[i] / c[j]
        rows.append(
            {
                "dataset": name, "reversals": int((ratio > 1).sum()), "pairs": i.size,
                "kendall_tau": float(stats.kendalltau(listed, c).statistic),
                "largest_reversal": float(ratio.max()) if (ratio > 1).any() else float("nan"),
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


@dataclass(frozen=True)
class CostOfPass:
    """Expected cost of one passed answer, ``E[cost] / P(pass)``.

    Attributes
    ----------
    value : float
        USD per pass; infinite where nothing passed.
    ci_lower, ci_upper : float
        95 % log-delta interval; where nothing passed, `ci_lower` is the mean cost over the
        Clopper-Pearson upper bound of the pass rate and `ci_upper` infinite. Nothing varies for one
        query: NaN.
    pass_rate, mean_cost_usd : float
    n_queries : int
    """

    value: float
    ci_lower: float
    ci_upper: float
    pass_rate: float
    mean_cost_usd: float
    n_queries: int


def cost_of_pass(runs: pd.DataFrame) -> CostOfPass:
    """Cost of pass of one model, queries weighted alike.

    Parameters
    ----------
    runs : DataFrame of shape (n_runs, n_columns)
        `query_id`, `cost_usd` (>= 0), `passed` (0 or 1).

    Raises
    ------
    InvalidInputError
        If columns are missing or out of range.

    References
    ----------
    Erol et al. (2025), Cost-of-pass: an economic framework for evaluating language models.
    """
    missing = sorted({"query_id", "cost_usd", "passed"} - set(runs.columns))
    if missing or len(runs) == 0:
        raise InvalidInputError(f"`runs` lacks the columns {missing}" if missing else "`runs` has no rows")
    values = runs.assign(passed=runs["passed"].astype("float64")).groupby("query_id")[["cost_usd", "passed"]].mean()
    if not (runs["cost_usd"].ge(0).all() and runs["passed"].isin([0, 1]).all()):
        raise InvalidInputError("`cost_usd` must be >= 0 and `passed` 0 or 1 in every run")
    return query_cost_of_pass(values["cost_usd"].to_numpy(), values["passed"].to_numpy())


def query_cost_of_pass(cost_usd: Floats, passed: Floats) -> CostOfPass:
    """`cost_of_pass` from the mean cost (USD) and the pass rate of each query, both of shape (n_queries,)."""
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


def frontier_membership(
    costs: pd.DataFrame, scores: pd.DataFrame, *, n_bootstrap: int = 2000, random_state: int = 0
) -> pd.DataFrame:
    """Probability that each model is on the frontier of cost and score (no other is as good and cheaper).

    Parameters
    ----------
    costs, scores : DataFrame of shape (n_queries, n_models)
        Mean over runs; same index and columns, no NaN. Lower cost and higher score are better.

    Returns
    -------
    DataFrame of shape (n_models, 5)
        `model`, `cost`, `score`, `probability`, `verdict`: ``on frontier`` from .9, ``off frontier`` below .1,
        else ``maybe``.
    """
    if not (costs.index.equals(scores.index) and list(costs.columns) == list(scores.columns)):
        raise InvalidInputError("`costs` and `scores` must have the same index and columns")
    c, s = costs.to_numpy(dtype=np.float64), scores.to_numpy(dtype=np.float64)
    if not (np.isfinite(c).all() and np.isfinite(s).all()) or len(c) < 2:
        raise InvalidInputError("`costs` and `scores` must be finite, with 2 queries or more")
    weights = np.random.default_rng(random_state).multinomial(len(c), np.full(len(c), 1 / len(c)), size=n_bootstrap)
    on = _undominated(weights @ c / len(c), weights @ s / len(c)).mean(axis=0)
    verdict = np.where(on >= 0.9, "on frontier", np.where(on < 0.1, "off frontier", "maybe"))
    return pd.DataFrame(
        {"model": costs.columns, "cost": c.mean(axis=0), "score": s.mean(axis=0), "probability": on, "verdict": verdict}
    )


def _undominated(cost: Floats, score: Floats) -> NDArray[np.bool_]:
    """Per row, models that no other dominates, shapes (n_draws, n_models)."""
    on = np.ones(cost.shape, dtype=bool)
    for k in range(cost.shape[1]):
        own_cost, own_score = cost[:, k : k + 1], score[:, k : k + 1]
        as_good = (cost <= own_cost + TIE * np.abs(own_cost)) & (score >= own_score - TIE * np.abs(own_score))
        better = (cost < own_cost - TIE * np.abs(own_cost)) | (score > own_score + TIE * np.abs(own_score))
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


def _pairs(listed: Floats) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Cheaper-listed and dearer-listed model of every pair with different prices."""
    i, j = np.nonzero(listed[:, None] < listed[None, :])
    if i.size == 0:
        raise InvalidInputError("`prices` has no two models of different price")
    return i, j


def _benjamini_hochberg(p_value: Floats, rate: float) -> NDArray[np.bool_]:
    order = np.argsort(p_value)
    passed = p_value[order] <= rate * np.arange(1, p_value.size + 1) / p_value.size
    n = int(np.flatnonzero(passed).max()) + 1 if passed.any() else 0
    out = np.zeros(p_value.size, dtype=bool)
    out[order[:n]] = True
    return out


def _bootstrap_shares(
    y: Floats, i: Sequence[int] | ArrayLike, j: Sequence[int] | ArrayLike, n: int, seed: int
) -> Floats:
    weights = np.random.default_rng(seed).multinomial(len(y), np.full(len(y), 1 / len(y)), size=n)
    means = weights @ y
    return np.asarray(np.mean(means[:, np.asarray(i)] > means[:, np.asarray(j)] * (1 + TIE), axis=1))
