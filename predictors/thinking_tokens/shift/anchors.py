"""A few runs of a cell, measured after the fit, as what they say of its mean and its spread."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...arrays import Codes, Floats
from .cells import CellTable
from .forecast import CellForecasts

PRIOR_RUNS = 5.0
"""Weight, in queries, of the variance that was expected in that of the anchors."""


def summarise_anchors(
    cells: pd.DataFrame,
    forecasts: CellForecasts,
    cell: Codes,
    query: NDArray[np.object_],
    log_tokens: Floats,
    effect: Floats,
    explained: Floats,
) -> CellTable:
    """Sum up anchors by cell: a row for each that has some; its mean is that of ordinary queries, its variances those
    of the runs as they came.

    `forecasts` are of `cells`, before the anchors. The other arrays have shape (n_anchors,): position of the cell,
    query, log tokens, how much longer than usual the answers to the query are (`effect`), and the share of the variance
    between queries that is known of it (`explained`).
    """
    frame = pd.DataFrame({"cell": cell, "query": query, "raw": log_tokens, "plain": log_tokens - effect})
    frame["explained"] = explained
    queries = frame.groupby(["cell", "query"], sort=True)[["raw", "plain", "explained"]].mean()
    by_cell = queries.groupby(level="cell", sort=True)
    places = np.array(sorted(set(cell.tolist())), dtype=np.intp)
    n: Floats = by_cell.size().to_numpy().astype(np.float64)
    average = by_cell[["raw", "plain", "explained"]].mean()
    # Their geometric mean: a few values that are far out would have anchors count for too little.
    whole = np.exp(np.log(forecasts.within).mean(axis=1))[places]
    share = forecasts.query_share[places]
    open_variance = whole * (1 - share * average["explained"].to_numpy())

    def pooled(column: str, prior: Floats) -> Floats:
        squares = by_cell[column].var(ddof=0).to_numpy() * n
        return np.asarray((squares + PRIOR_RUNS * prior) / (n - 1 + PRIOR_RUNS))

    spread = np.where(n > 1, by_cell["raw"].var(ddof=1).to_numpy(), whole)
    return CellTable(
        cells.iloc[places].reset_index(drop=True), average["plain"].to_numpy(), pooled("plain", open_variance) / n,
        share * spread, (1 - share) * spread, n,
    )  # fmt: skip


def beyond(bound: Floats, centre: Floats, variance: Floats) -> Floats:
    """Mean of a normal above a bound: what a run that was cut off would have come to; shape (n_runs,)."""
    from scipy.stats import norm

    deviation = np.sqrt(variance)
    z = (bound - centre) / deviation
    return np.asarray(centre + deviation * np.exp(norm.logpdf(z) - norm.logsf(z)))
