"""The one place where forecasts meet outcomes: the Evaluation table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from predictors.errors import InsufficientReplicatesError, InvalidInputError
from predictors.metrics.cell_losses import Metric, cell_floors, cell_losses, parse_metric
from predictors.metrics.clusters import Estimate, mean_estimate, wilson_interval
from predictors.metrics.comparison import detectable_effect
from predictors.metrics.floor_models import modelled_floor
from predictors.metrics.noise_floor import floor_weights
from predictors.metrics.replicates import Replicates, Scale, check_straddling, constant_within, group_replicates
from predictors.schemas import as_evaluation

__all__ = ["DEFAULT_METRICS", "evaluate"]

Floats = NDArray[np.float64]
Codes = NDArray[np.intp]
DEFAULT_METRICS = ("crps", "mae", "mse", "coverage_90", "width_90", "interval_score_90")


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
    _check_split(outcomes, split)
    parsed = _parse(metrics, scale)
    table = _cells(outcomes, forecast, baseline, parsed, floor_features)
    names = {"predictor": predictor, "family": family, "dataset": dataset, "split": split}
    if baseline is not None:
        names["baseline"] = baseline_name or "baseline"
    rows: list[dict[str, object]] = []
    for segment, cells in _segments(outcomes, table.runs, segments, replicated_segments):
        part = table.take(cells)
        for metric in parsed:
            rows.append({**names, "segment": segment, "metric": metric.name, **_row(metric, part)})
    return as_evaluation(rows)


@dataclass(frozen=True)
class _Cells:
    """Per-cell numbers of all metrics, for the whole table or a segment of it."""

    runs: Replicates
    counts: Codes
    repeat_prob: Floats
    query: Codes
    losses: dict[str, Floats] = field(default_factory=dict)
    baselines: dict[str, Floats] = field(default_factory=dict)
    floors: dict[str, Floats] = field(default_factory=dict)
    features: pd.DataFrame | None = None

    @property
    def n_queries(self) -> int:
        return int(self.query.max()) + 1

    def take(self, cells: Codes) -> _Cells:
        """The same numbers for some cells, queries numbered anew."""
        query = np.unique(self.query[cells], return_inverse=True)[1]
        losses, baselines, floors = (
            {name: values[cells] for name, values in part.items()}
            for part in (self.losses, self.baselines, self.floors)
        )
        features = None if self.features is None else self.features.iloc[cells]
        return _Cells(
            self.runs, self.counts[cells], self.repeat_prob[cells], query, losses, baselines, floors, features
        )


def _parse(metrics: Sequence[str], scale: Scale) -> list[Metric]:
    if isinstance(metrics, str) or not metrics or len(set(metrics)) < len(metrics):
        raise InvalidInputError(f"`metrics` must be different names, got {metrics!r}")
    return [parse_metric(name, scale) for name in metrics]


def _check_split(outcomes: pd.DataFrame, split: str) -> None:
    if not isinstance(outcomes, pd.DataFrame) or "split" not in outcomes or "query_id" not in outcomes:
        return
    check_straddling(outcomes)
    other = sorted(set(outcomes["split"].astype(str)) - {split})
    if other:
        raise InvalidInputError(f"`outcomes` holds rows of the splits {other}, `split` says {split!r}: select one")


def _cells(
    outcomes: pd.DataFrame,
    forecast: pd.DataFrame,
    baseline: pd.DataFrame | None,
    metrics: Sequence[Metric],
    floor_features: Sequence[str],
) -> _Cells:
    losses: dict[str, Floats] = {}
    baselines: dict[str, Floats] = {}
    floors: dict[str, Floats] = {}
    runs = None
    for scale in dict.fromkeys(metric.scale for metric in metrics):
        wanted = [metric for metric in metrics if metric.scale == scale]
        runs = group_replicates(outcomes, scale)
        losses |= cell_losses(runs, forecast, wanted, "forecast")
        floors |= cell_floors(runs, wanted)
        if baseline is not None:
            baselines |= cell_losses(runs, baseline, wanted, "baseline")
    assert runs is not None
    features = _features(outcomes, runs, floor_features) if floor_features else None
    return _Cells(runs, runs.counts, runs.repeat_prob, runs.query, losses, baselines, floors, features)


def _features(outcomes: pd.DataFrame, runs: Replicates, names: Sequence[str]) -> pd.DataFrame:
    missing = sorted(set(names) - set(outcomes.columns))
    if missing:
        raise InvalidInputError(f"`outcomes` lacks the feature columns {missing}")
    for name in names:
        _check_constant(pd.factorize(outcomes[name])[0], runs, name)
    return outcomes[list(names)].iloc[runs.first_rows].astype("float64")


def _segments(
    outcomes: pd.DataFrame, runs: Replicates, columns: Sequence[str | tuple[str, ...]], replicated: bool
) -> list[tuple[str, Codes]]:
    """Name and cells of every segment, ``all`` first, each followed by its replicated part."""
    found = [("all", np.arange(runs.n_cells))]
    for entry in columns:
        keys = (entry,) if isinstance(entry, str) else tuple(entry)
        missing = sorted(set(keys) - set(outcomes.columns))
        if missing:
            raise InvalidInputError(f"`outcomes` lacks the segment columns {missing}")
        found += _segment_cells(outcomes, runs, keys)
    if not replicated:
        return found
    out = []
    for name, cells in found:
        out.append((name, cells))
        repeated = cells[runs.counts[cells] >= 2]
        if 0 < repeated.size < cells.size:
            out.append((f"{name},replicated", repeated))
    return out


def _segment_cells(outcomes: pd.DataFrame, runs: Replicates, keys: tuple[str, ...]) -> list[tuple[str, Codes]]:
    code = np.zeros(runs.n_cells, dtype=np.intp)
    names = [""]
    for key in keys:
        row_codes, values = pd.factorize(outcomes[key], use_na_sentinel=True, sort=True)
        _check_constant(row_codes, runs, key)
        labels = [*(f"{key}={value}" for value in values), f"{key}=null"]
        row_codes = np.where(row_codes < 0, len(values), row_codes)
        code = code * len(labels) + row_codes[runs.first_rows]
        names = [f"{left},{right}" if left else right for left in names for right in labels]
    order = np.argsort(code, kind="stable")
    present, first = np.unique(code[order], return_index=True)
    return [(names[int(c)], np.sort(cells)) for c, cells in zip(present, np.split(order, first[1:]), strict=True)]


def _check_constant(row_codes: Codes, runs: Replicates, name: str) -> None:
    if (row_codes != row_codes[runs.first_rows][runs.row_cell]).any():
        by_cell = row_codes[np.argsort(runs.row_cell, kind="stable")]
        constant_within(by_cell, runs.starts, runs.counts, name)


def _row(metric: Metric, cells: _Cells) -> dict[str, object]:
    """Numbers of one metric in one segment."""
    n = cells.n_queries
    value = mean_estimate(cells.losses[metric.name], cells.query, n)
    ends = wilson_interval(value) if metric.kind == "coverage" else value.interval()
    row: dict[str, object] = {
        "value": value.value, "ci_lower": ends[0], "ci_upper": ends[1],
        "n_queries": n, "n_replicates": int(cells.counts.sum()),
    }  # fmt: skip
    floor, source = _floor(metric, cells)
    row["floor_source"] = source
    if floor is not None:
        row |= _columns("noise_floor", "floor", floor, skew_corrected=metric.kind == "mse")
        row |= _columns("excess_error", "excess", value - floor)
    if metric.name not in cells.baselines:
        return row
    base = mean_estimate(cells.baselines[metric.name], cells.query, n)
    row["baseline_value"] = base.value
    if not metric.is_loss:
        return row
    gain = base - value
    row |= {**_columns("gain", "gain", gain), "gain_mde": detectable_effect(gain)}
    return row | _skill(gain, base, floor)


def _floor(metric: Metric, cells: _Cells) -> tuple[Estimate | None, str]:
    if metric.no_floor is not None:
        return None, metric.no_floor
    chosen = floor_weights(cells.counts, cells.repeat_prob, metric.minimum_replicates, metric.name)
    if chosen.weights is None:
        return _modelled(metric, cells) or (None, chosen.source)
    return mean_estimate(cells.floors[metric.name], cells.query, cells.n_queries, chosen.weights), chosen.source


def _modelled(metric: Metric, cells: _Cells) -> tuple[Estimate, str] | None:
    """Floor from features, where that was asked for and enough cells are replicated (all of them enough)."""
    floors = cells.floors[metric.name]
    if cells.features is None or np.isnan(floors[cells.counts >= 2]).any() or not np.nansum(floors) > 0:
        return None
    try:
        return modelled_floor(floors, cells.counts, cells.features, cells.query)[0], "model"
    except InsufficientReplicatesError:
        return None


def _skill(gain: Estimate, base: Estimate, floor: Estimate | None) -> dict[str, object]:
    if floor is None:
        return {"skill_note": "no floor"}
    removable = base - floor
    lower, _ = removable.interval()
    if np.isnan(lower):
        return {"skill_note": "one query: no interval"}
    if lower <= 0:
        return {"skill_note": "no skill to be had: the baseline's error is not above the floor for certain"}
    return _columns("skill", "skill", gain / removable)


def _columns(name: str, prefix: str, estimate: Estimate, *, skew_corrected: bool = False) -> dict[str, object]:
    lower, upper = estimate.interval(skew_corrected=skew_corrected)
    return {name: estimate.value, f"{prefix}_ci_lower": lower, f"{prefix}_ci_upper": upper}
