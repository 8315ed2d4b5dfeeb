"""Ceilings of rank correlation: the best that any forecaster can do against noisy outcomes.

Two runs of the same queries rank them differently; the correlation between runs says how far even the
true means could agree with one run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from predictors.errors import InvalidInputError
from predictors.metrics.replicates import Replicates, group_replicates

__all__ = ["RankCeiling", "ceiling_from_agreement", "rank_ceiling"]

Floats = NDArray[np.float64]
RankMethod = Literal["kendall", "spearman"]
JACKKNIFE_GROUPS = 20


@dataclass(frozen=True)
class RankCeiling:
    """Rank correlation of the true means with one run.

    Attributes
    ----------
    value : float
        In [0, 1]; higher is better for a forecaster, none can exceed it but by luck. NaN with a reason.
    ci_lower, ci_upper : float
        95 % jackknife interval over groups of queries, capped at 1.
    agreement : float
        Rank correlation between two runs.
    n_queries, n_replicates : int
    method : str
        ``repeats: kendall`` or ``repeats: spearman``, or ``none: <reason>``.
    """

    value: float
    ci_lower: float
    ci_upper: float
    agreement: float
    n_queries: int
    n_replicates: int
    method: str


def ceiling_from_agreement(agreement: float, method: RankMethod) -> float:
    """Ceiling for a rank correlation between runs, under a Gaussian copula; NaN where it is not positive.

    The correlation of the latent normals is ``sin(pi tau / 2)`` or ``2 sin(pi rho / 6)``; that of the
    true mean with one run is its square root, which goes back through the arcsine.

    Examples
    --------
    >>> round(ceiling_from_agreement(1.0, "kendall"), 3), round(ceiling_from_agreement(0.5, "kendall"), 3)
    (1.0, 0.636)
    """
    if method not in ("kendall", "spearman"):
        raise InvalidInputError(f"`method` must be 'kendall' or 'spearman', got {method!r}")
    if not agreement > 0:
        return float("nan")
    if method == "kendall":
        return float(2 / np.pi * np.arcsin(np.sqrt(min(1.0, np.sin(np.pi * agreement / 2)))))
    return float(6 / np.pi * np.arcsin(np.sqrt(min(1.0, 2 * np.sin(np.pi * agreement / 6))) / 2))


def rank_ceiling(
    replicates: pd.DataFrame, method: RankMethod = "kendall", *, n_pairings: int = 10, random_state: int = 0
) -> RankCeiling:
    """Estimate the ceiling from queries with two runs or more.

    Parameters
    ----------
    replicates : DataFrame of shape (n_runs, n_columns)
        Long table with `query_id`, `value`, optional `cell_id`; see `group_replicates`.
    method : {"kendall", "spearman"}, optional
    n_pairings : int, optional
        Random choices of two runs per query that are averaged, so that unbalanced replicates serve.
    random_state : int, optional
        Seed of the choices.

    Returns
    -------
    RankCeiling
        NaN with a reason where some query has one run (the others may be easier to rank), fewer than 3
        queries are there, or runs do not agree at all.
    """
    table = replicates if "cell_id" in replicates else replicates.assign(cell_id=replicates["query_id"])
    runs = group_replicates(table)
    n_queries = int(runs.query.max()) + 1
    reason = _why_not(runs, n_queries)
    if reason is None:
        correlate: Callable[[Floats, Floats], float] = _kendall if method == "kendall" else _spearman
        pairs = _pairings(runs, n_pairings, np.random.default_rng(random_state))
        agreement = float(np.mean([correlate(a, b) for a, b in pairs]))
        value = ceiling_from_agreement(agreement, method)
        if np.isfinite(value):
            ends = _jackknife(pairs, runs.query, correlate, method, value)
            return RankCeiling(value, *ends, agreement, n_queries, int(runs.counts.sum()), f"repeats: {method}")
        reason = f"none: runs do not agree in rank ({agreement:.3f})"
    nan = float("nan")
    return RankCeiling(nan, nan, nan, nan, n_queries, int(runs.counts.sum()), reason)


def _why_not(runs: Replicates, n_queries: int) -> str | None:
    repeated = int((runs.counts >= 2).sum())
    if repeated == 0:
        return "none: one run per query"
    if repeated < runs.n_cells:
        return f"none: {repeated} of {runs.n_cells} cells have repeats, a rank needs all"
    return "none: fewer than 3 queries" if n_queries < 3 else None


def _pairings(runs: Replicates, n: int, rng: np.random.Generator) -> list[tuple[Floats, Floats]]:
    out = []
    for _ in range(n):
        first = (rng.random(runs.n_cells) * runs.counts).astype(np.intp)
        other = (first + 1 + (rng.random(runs.n_cells) * (runs.counts - 1)).astype(np.intp)) % runs.counts
        out.append((runs.values[runs.starts + first], runs.values[runs.starts + other]))
    return out


def _jackknife(
    pairs: list[tuple[Floats, Floats]],
    query: NDArray[np.intp],
    correlate: Callable[[Floats, Floats], float],
    method: RankMethod,
    value: float,
) -> tuple[float, float]:
    """Delete-a-group jackknife over queries, on the ceiling itself."""
    n_groups = min(JACKKNIFE_GROUPS, int(query.max()) + 1)
    left_out = np.empty(n_groups)
    for group in range(n_groups):
        keep = query % n_groups != group
        left_out[group] = ceiling_from_agreement(
            float(np.mean([correlate(a[keep], b[keep]) for a, b in pairs])), method
        )
    error = float(np.sqrt((n_groups - 1) / n_groups * np.sum((left_out - left_out.mean()) ** 2)))
    half = float(stats.t.ppf(0.975, n_groups - 1)) * error
    return value - half, min(1.0, value + half)


def _kendall(a: Floats, b: Floats) -> float:
    return float(stats.kendalltau(a, b).statistic)


def _spearman(a: Floats, b: Floats) -> float:
    return float(np.corrcoef(stats.rankdata(a), stats.rankdata(b))[0, 1])
