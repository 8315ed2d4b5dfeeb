"""The one place where forecasts meet outcomes: the Evaluation table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from predictors.errors import InsufficientReplicatesError
from predictors.metrics.cell_losses import Metric
from predictors.metrics.cell_numbers import DEFAULT_METRICS, CellNumbers, cell_numbers, parse_metrics
from predictors.metrics.clusters import Estimate, mean_estimate
from predictors.metrics.evaluation_rows import SegmentEstimates, evaluation_row
from predictors.metrics.floor_models import modelled_floor
from predictors.metrics.noise_floor import floor_weights
from predictors.metrics.replicates import Scale, check_only_split, splits_of
from predictors.metrics.segments import SegmentColumns, cells_by_segment, segment_columns, segment_name
from predictors.schemas import as_evaluation

__all__ = ["DEFAULT_METRICS", "evaluate"]

Codes = NDArray[np.intp]


def evaluate(
    outcomes: pd.DataFrame,
    forecast: pd.DataFrame,
    *,
    predictor: str,
    family: str,
    dataset: str,
    split: str,
    baseline: pd.DataFrame | None = None,
    baseline_name: str | None = None,
    scale: Scale = "identity",
    metrics: Sequence[str] = DEFAULT_METRICS,
    segments: Sequence[str | tuple[str, ...]] = (),
    replicated_segments: bool = True,
    floor_features: Sequence[str] = (),
) -> pd.DataFrame:
    """Turn forecasts and outcomes into the Evaluation table.

    The estimand is the mean over cells of the mean over a cell's runs, with t intervals over queries
    (clusters). A floor is the mean over the same cells: of all, where all are repeated; else weighted by
    ``1 / repeat_prob``; else NaN with the reason in `floor_source`. `excess_error` is value - floor and
    may be negative. `skill` is ``(baseline - value) / (baseline - floor)``, NaN where the interval of its
    denominator touches 0 (`skill_note` says so). `gain` is baseline - value, paired.

    Parameters
    ----------
    outcomes : DataFrame of shape (n_runs, n_columns)
        One row per run: `cell_id` (runs that share a forecast), `query_id` (what is independent),
        `value`, optional `repeat_prob`, `replicate`, `response_id`, `split`, and the segment columns.
    forecast, baseline : DataFrame of shape (n_cells, n_levels)
        Index `cell_id`, one column per quantile level, in the unit of `value`. Rows may be more than
        the cells of `outcomes`.
    predictor, family, dataset, split, baseline_name : str
        Names for the table.
    scale : {"identity", "log"}, optional
        ``"log"``: losses of natural logarithms of values and quantiles; all must be > 0.
    metrics : sequence of str, optional
        See `parse_metric`; a name ending in ``_log`` is on the log scale whatever `scale` says.
    segments : sequence of str or tuple of str, optional
        Columns (or several columns at once) whose values make segments ``benchmark=aime,model=x``
        beside ``all``. They must be constant within a cell; a null value is the segment ``null``.
    replicated_segments : bool, optional
        Also report each segment's cells with 2 runs or more as ``<segment>,replicated``, where these
        are some but not all cells.
    floor_features : sequence of str, optional
        Numeric columns, constant within a cell. Where repeats were not drawn at random and 30 cells have
        them, the floor comes from a gamma model on these, labelled ``model``: better than no floor, as
        good as the form of the model.

    Returns
    -------
    DataFrame
        Valid under `predictors.schemas.Evaluation`. Intervals are NaN for a single query.

    Raises
    ------
    InvalidInputError
        For missing columns, null or infinite numbers, values <= 0 on the log scale, cells without a
        forecast, crossing quantiles, runs that are there twice, queries that straddle splits.
    """
    check_only_split(splits_of(outcomes), split)
    parsed = parse_metrics(metrics, scale)
    table = cell_numbers(outcomes, forecast, baseline, parsed, floor_features)
    names = {"predictor": predictor, "family": family, "dataset": dataset, "split": split}
    if baseline is not None:
        names["baseline"] = baseline_name or "baseline"
    rows: list[dict[str, object]] = []
    for segment, cells in _segments(outcomes, table, segment_columns(segments), replicated_segments):
        part = table.take(cells)
        for metric in parsed:
            numbers = evaluation_row(metric, _estimates(metric, part))
            rows.append({**names, "segment": segment, "metric": metric.name, **numbers})
    return as_evaluation(rows)


def _segments(
    outcomes: pd.DataFrame, table: CellNumbers, columns: SegmentColumns, replicated: bool
) -> Iterator[tuple[str, Codes]]:
    """Name and cells of every segment, ``all`` first, each followed by its replicated part."""
    for segment, cells in cells_by_segment(outcomes, table.runs, columns):
        name = segment_name(columns, segment)
        yield name, cells
        repeated = cells[table.counts[cells] >= 2]
        if replicated and 0 < repeated.size < cells.size:
            yield f"{name},replicated", repeated


def _estimates(metric: Metric, cells: CellNumbers) -> SegmentEstimates[Estimate]:
    n = cells.n_queries
    value = mean_estimate(cells.losses[metric.name], cells.query, n)
    losses = cells.baselines.get(metric.name)
    base = None if losses is None else mean_estimate(losses, cells.query, n)
    return SegmentEstimates(value, base, *_floor(metric, cells), n, cells.n_replicates)


def _floor(metric: Metric, cells: CellNumbers) -> tuple[Estimate | None, str]:
    if metric.no_floor is not None:
        return None, metric.no_floor
    chosen = floor_weights(cells.counts, cells.repeat_prob, metric.minimum_replicates, metric.name)
    if chosen.weights is None:
        return _modelled(metric, cells) or (None, chosen.source)
    return mean_estimate(cells.floors[metric.name], cells.query, cells.n_queries, chosen.weights), chosen.source


def _modelled(metric: Metric, cells: CellNumbers) -> tuple[Estimate, str] | None:
    """Floor from features, where that was asked for and enough cells are replicated (all of them enough)."""
    floors = cells.floors[metric.name]
    if cells.features is None or np.isnan(floors[cells.counts >= 2]).any() or not np.nansum(floors) > 0:
        return None
    try:
        return modelled_floor(floors, cells.counts, cells.features, cells.query)[0], "model"
    except InsufficientReplicatesError:
        return None
