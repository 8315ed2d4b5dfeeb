"""Measuring calibration: coverage by group, PIT, reliability, and width beside the floor's width.

Calibrating is `predictors.conformal`'s work; this module only measures. Every share stands with an
interval that is clustered by query, since the runs of one query are right or wrong together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

from predictors.errors import InvalidInputError
from predictors.metrics.cell_losses import cell_losses, parse_metric
from predictors.metrics.clusters import mean_estimate, wilson_interval
from predictors.metrics.noise_floor import variance_per_cell
from predictors.metrics.quantile import align_forecast
from predictors.metrics.replicates import Replicates, Scale, group_replicates

__all__ = [
    "PitResult",
    "WidthRatio",
    "coverage_by_group",
    "pit_histogram",
    "pit_values",
    "probability_reliability",
    "quantile_reliability",
    "width_ratio",
]

Floats = NDArray[np.float64]


def coverage_by_group(
    outcomes: pd.DataFrame, forecast: pd.DataFrame, group: str, *, coverage: float = 0.9, scale: Scale = "identity"
) -> pd.DataFrame:
    """Coverage of the central interval per group, each with its own interval.

    Parameters
    ----------
    outcomes, forecast : DataFrame
        As for `predictors.metrics.evaluate`; `group` is a column of `outcomes`, constant within a cell.
    group : str
    coverage : float, optional
        Nominal probability.
    scale : {"identity", "log"}, optional
        Scale of the width; coverage does not depend on it.

    Returns
    -------
    DataFrame of shape (1 + n_groups, 7)
        `group` ("all" first), `coverage`, `ci_lower`, `ci_upper`, `width`, `n_queries`, `n_replicates`.
        NaN ends for a group of one query.
    """
    if group not in outcomes.columns:
        raise InvalidInputError(f"`outcomes` lacks the columns ['{group}']")
    percent = f"{100 * coverage:g}"
    metrics = [parse_metric(f"{kind}_{percent}", scale) for kind in ("coverage", "width")]
    runs = group_replicates(outcomes, scale)
    losses = cell_losses(runs, forecast, metrics)
    codes, names = pd.factorize(outcomes[group], sort=True)
    codes = codes[runs.first_rows]
    rows = []
    for label, cells in [
        ("all", np.arange(runs.n_cells)),
        *((str(n), np.flatnonzero(codes == i)) for i, n in enumerate(names)),
    ]:
        query = np.unique(runs.query[cells], return_inverse=True)[1]
        hit = mean_estimate(losses[metrics[0].name][cells], query, int(query.max()) + 1)
        lower, upper = wilson_interval(hit)
        rows.append(
            {
                "group": label, "coverage": hit.value, "ci_lower": lower, "ci_upper": upper,
                "width": float(losses[metrics[1].name][cells].mean()),
                "n_queries": hit.n_clusters, "n_replicates": int(runs.counts[cells].sum()),
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def pit_values(outcomes: pd.DataFrame, forecast: pd.DataFrame, *, random_state: int = 0) -> tuple[Floats, Replicates]:
    """Randomised probability integral transform, one value per run.

    An outcome between the quantiles at levels p and p' is uniform on (p, p'); one that equals a run of
    quantiles is uniform over their levels and the gaps beside them. Uniform on (0, 1) for a calibrated
    forecast, continuous, discrete or binary.

    Returns
    -------
    values : ndarray of shape (n_runs,)
        In the order of ``replicates.values``.
    replicates : Replicates

    References
    ----------
    Czado, Gneiting & Held (2009), Predictive model assessment for count data.
    """
    runs = group_replicates(outcomes)
    aligned = align_forecast(forecast, runs.cell_ids, "identity", "forecast")
    edges = np.r_[0.0, aligned.levels, 1.0]
    lower, upper = np.empty(runs.values.size), np.empty(runs.values.size)
    for part, q in aligned.chunks():
        first = int(runs.starts[part.start])
        last = int(runs.starts[part.stop - 1] + runs.counts[part.stop - 1])
        y, row = runs.values[first:last, None], q[runs.cell[first:last] - part.start]
        lower[first:last] = edges[(row < y).sum(axis=1)]
        upper[first:last] = edges[(row <= y).sum(axis=1) + 1]
    u = np.random.default_rng(random_state).random(runs.values.size)
    return lower + u * (upper - lower), runs


@dataclass(frozen=True)
class PitResult:
    """Histogram of PIT values and its test.

    Attributes
    ----------
    histogram : DataFrame of shape (n_bins, 5)
        `lower`, `upper`, `share` (1 / n_bins if calibrated), `ci_lower`, `ci_upper`.
    p_value : float
        Of uniformity, Wald test on clusters; NaN where queries do not exceed bins.
    n_queries, n_replicates : int
    """

    histogram: pd.DataFrame
    p_value: float
    n_queries: int
    n_replicates: int


def pit_histogram(
    outcomes: pd.DataFrame, forecast: pd.DataFrame, *, n_bins: int = 10, random_state: int = 0
) -> PitResult:
    """Histogram of `pit_values` with intervals and a test of uniformity, both clustered by query.

    Cells count alike, whatever their number of runs.
    """
    values, runs = pit_values(outcomes, forecast, random_state=random_state)
    n_queries = int(runs.query.max()) + 1
    bins = np.minimum((values * n_bins).astype(np.intp), n_bins - 1)
    rows, influence = [], np.empty((n_queries, n_bins))
    for k in range(n_bins):
        share = mean_estimate(runs.mean_within((bins == k).astype(np.float64)), runs.query, n_queries)
        lower, upper = wilson_interval(share)
        influence[:, k] = share.influence
        ends = {"lower": k / n_bins, "upper": (k + 1) / n_bins}
        rows.append({**ends, "share": share.value, "ci_lower": lower, "ci_upper": upper})
    table = pd.DataFrame(rows)
    p_value = _wald((table["share"].to_numpy() - 1 / n_bins)[:-1], influence[:, :-1])
    return PitResult(table, p_value, n_queries, runs.values.size)


def _wald(deviation: Floats, influence: Floats) -> float:
    """P-value of ``deviation = 0`` from cluster influences, with Hotelling's F."""
    n, k = influence.shape
    if n <= k + 1:
        return float("nan")
    covariance = n / (n - 1) * influence.T @ influence
    try:
        statistic = float(deviation @ np.linalg.solve(covariance, deviation))
    except np.linalg.LinAlgError:
        return float("nan")
    return float(stats.f.sf(statistic * (n - k) / (k * (n - 1)), k, n - k))


def quantile_reliability(outcomes: pd.DataFrame, forecast: pd.DataFrame, levels: Sequence[float] = ()) -> pd.DataFrame:
    """Share of outcomes at or under each forecast quantile, which should be its level.

    Parameters
    ----------
    outcomes, forecast : DataFrame
        As for `predictors.metrics.evaluate`.
    levels : sequence of float, optional
        Columns of `forecast`; by default all.

    Returns
    -------
    DataFrame of shape (n_levels, 5)
        `level`, `share`, `ci_lower`, `ci_upper`, `n_queries`.
    """
    runs = group_replicates(outcomes)
    aligned = align_forecast(forecast, runs.cell_ids, "identity", "forecast")
    wanted = tuple(float(level) for level in (levels or aligned.levels))
    parts = aligned.summarise(runs, wanted, crps=False)
    n_queries, rows = int(runs.query.max()) + 1, []
    for level in wanted:
        under = (runs.values <= parts[level][runs.cell]).astype(np.float64)
        share = mean_estimate(runs.mean_within(under), runs.query, n_queries)
        lower, upper = wilson_interval(share)
        rows.append(
            {"level": level, "share": share.value, "ci_lower": lower, "ci_upper": upper, "n_queries": n_queries}
        )
    return pd.DataFrame(rows)


def probability_reliability(
    outcomes: ArrayLike, probability: ArrayLike, query: ArrayLike, *, n_bins: int = 10
) -> pd.DataFrame:
    """Observed share of outcomes 1 against their forecast probability, in bins of equal size.

    Parameters
    ----------
    outcomes : array-like of shape (n_runs,)
        0 or 1.
    probability : array-like of shape (n_runs,)
        In [0, 1].
    query : array-like of shape (n_runs,)
        Cluster of each run.

    Returns
    -------
    DataFrame of shape (at most n_bins, 6)
        `probability` (mean in the bin), `share`, `ci_lower`, `ci_upper`, `n_queries`, `n_replicates`.
        Bins that equal probabilities would split are merged.
    """
    y, p = np.asarray(outcomes, dtype=np.float64), np.asarray(probability, dtype=np.float64)
    if y.shape != p.shape or not np.isin(y, (0.0, 1.0)).all() or not ((p >= 0) & (p <= 1)).all():
        raise InvalidInputError("`outcomes` must be 0 or 1 and `probability` in [0, 1], of the same length")
    codes, _ = pd.factorize(np.asarray(query))
    edges = np.unique(np.quantile(p, np.linspace(0, 1, n_bins + 1)[1:-1]))
    bins = np.searchsorted(edges, p, side="right")
    rows = []
    for k in np.unique(bins):
        inside = bins == k
        clusters = np.unique(codes[inside], return_inverse=True)[1]
        share = mean_estimate(y[inside], clusters, int(clusters.max()) + 1)
        lower, upper = wilson_interval(share)
        rows.append(
            {
                "probability": float(p[inside].mean()), "share": share.value, "ci_lower": lower, "ci_upper": upper,
                "n_queries": share.n_clusters, "n_replicates": int(inside.sum()),
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


@dataclass(frozen=True)
class WidthRatio:
    """Mean width of the forecast's interval over that of a forecaster who knows each distribution.

    Attributes
    ----------
    ratio, ci_lower, ci_upper : float
        1 for the ideal forecaster, more for a wider one; NaN with a reason in `method`.
    width, floor_width : float
        Mean widths, in the unit of the scale.
    method : str
    """

    ratio: float
    ci_lower: float
    ci_upper: float
    width: float
    floor_width: float
    method: str


def width_ratio(
    outcomes: pd.DataFrame, forecast: pd.DataFrame, *, coverage: float = 0.9, scale: Scale = "identity"
) -> WidthRatio:
    """Width of the central interval over the floor's width, which conformal intervals contain.

    The floor's width is ``2 z sigma_q`` with sigma unbiased at normal outcomes (``s_q / c4(R)``), so take
    the scale on which runs are nearest to normal (log for tokens). Over cells with two runs or more.
    """
    metric = parse_metric(f"width_{100 * coverage:g}", scale)
    runs = group_replicates(outcomes, scale)
    width = cell_losses(runs, forecast, [metric])[metric.name]
    repeated = runs.counts >= 2
    nan = float("nan")
    if not repeated.any():
        return WidthRatio(nan, nan, nan, float(width.mean()), nan, "none: one run per query")
    r = runs.counts[repeated].astype(np.float64)
    c4 = np.sqrt(2 / (r - 1)) * np.exp(special.gammaln(r / 2) - special.gammaln((r - 1) / 2))
    z = float(stats.norm.ppf(0.5 + coverage / 2))
    ideal = 2 * z * np.sqrt(variance_per_cell(runs)[repeated]) / c4
    query = np.unique(runs.query[repeated], return_inverse=True)[1]
    n = int(query.max()) + 1
    top, bottom = mean_estimate(width[repeated], query, n), mean_estimate(ideal, query, n)
    if bottom.value == 0:
        return WidthRatio(nan, nan, nan, top.value, 0.0, "none: runs do not vary")
    ratio = top / bottom
    return WidthRatio(ratio.value, *ratio.interval(), top.value, bottom.value, "repeats: normal shape")
