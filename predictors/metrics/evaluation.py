"""The one place where forecasts meet outcomes: the Evaluation table, of a whole table of runs or of parts of it.

A part holds whole queries; it is worked out as sums over queries, and the sums of parts are added. A table that lies in
memory is one part. Without a forecast the same sums give the table of noise floors.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from ..arrays import Floats
from ..errors import InvalidInputError
from ..schemas import as_evaluation
from .deciding.comparison import detectable_effect
from .estimates.cell_sums import CellSums
from .estimates.clusters import wilson_interval
from .estimates.noise_floor import noise_floor
from .estimates.replicates import Replicates, Scale, constant_within, group_replicates, splits_of
from .estimates.sums import MergedEstimate
from .losses.cell_losses import DEFAULT_METRICS, Metric, cell_losses, parse_metrics
from .segments import (
    Pooled,
    Segment,
    SegmentColumns,
    ToldSegments,
    columns_of_segments,
    in_order,
    places_by_segment,
    segment_name,
    told_of,
    values_of,
)

__all__ = ["DEFAULT_METRICS", "PartialEvaluation", "evaluate", "partial_evaluation"]


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
        beside ``all``. They must be constant within a cell; a null value is the segment ``null``. Of more than
        `MOST_SEGMENTS` those with most runs are told, the others as one: ``model: others``. Where some but not all
        cells of a segment have 2 runs or more, these are the segment ``<segment>,replicated`` too.

    Returns
    -------
    DataFrame
        Valid under `foretell.predictors.schemas.Evaluation`. Of losses lower is better. Intervals are NaN for a
        single query.

    Raises
    ------
    InvalidInputError
        For missing columns, null or infinite numbers, values <= 0 on the log scale, losses beyond 1e80, cells without
        a forecast, crossing quantiles, runs that are there twice, queries that straddle splits.
    """
    known = [keys for keys in columns_of_segments(segments) if set(keys) <= set(getattr(outcomes, "columns", ()))]
    told = told_of(outcomes, known)
    part = partial_evaluation(
        outcomes, forecast, baseline=baseline, scale=scale, metrics=metrics, segments=segments, told=told
    )
    return part.table(predictor=predictor, family=family, dataset=dataset, split=split, baseline_name=baseline_name)


def partial_evaluation(
    outcomes: pd.DataFrame,
    forecast: pd.DataFrame | None = None,
    *,
    baseline: pd.DataFrame | None = None,
    scale: Scale = "identity",
    metrics: Sequence[str] = DEFAULT_METRICS,
    segments: Sequence[str | tuple[str, ...]] = (),
    told: ToldSegments | None = None,
) -> PartialEvaluation:
    """Evaluate one part of a table of runs, which holds all runs of its queries.

    ``partial_evaluation(one).merge(partial_evaluation(other)).table(...)`` is `evaluate` of both together, however
    whole queries are cut into parts: the same counts and notes, and numbers that differ by rounding alone. Arguments
    are those of `evaluate`; without a `forecast` the table holds noise floors alone. Which segments are `told` one by
    one, the whole table says (`segments.told_segments`); by default all are. That no query, cell or
    `response_id` lies in two parts is for whoever cuts the table to see to: `group_replicates` of the whole refuses it.
    Raises InvalidInputError where `evaluate` raises it, and for a baseline or a metric without a floor where there is
    no forecast.
    """
    splits = splits_of(outcomes)
    parsed = parse_metrics(metrics, scale)
    without_floor = [metric.name for metric in parsed if metric.floor is None]
    if forecast is None and (baseline is not None or without_floor):
        asked = f"the metrics {without_floor}" if without_floor else "a `baseline`"
        raise InvalidInputError(f"without a `forecast` there are noise floors alone, got {asked}: leave it out")
    columns = columns_of_segments(segments)
    runs, numbers = _cell_numbers(outcomes, forecast, baseline, parsed)
    kept = [name for name in dict.fromkeys(name for names in columns for name in names) if name in outcomes]
    for name in kept:
        _check_constant(outcomes[name], runs, name)
    of_cells = outcomes[kept].take(runs.first_rows)
    cells = places_by_segment(of_cells, columns, told or {})
    floors = {metric.name: metric.floor for metric in parsed}
    sums = {}
    for segment, places in cells.items():
        there = {metric: {name: held[places] for name, held in of.items()} for metric, of in numbers.items()}
        sums[segment] = CellSums.of(runs.take(places), there, floors)
    values = values_of(of_cells, cells)
    return PartialEvaluation(tuple(parsed), forecast is not None, baseline is not None, columns, splits, values, sums)


def _cell_numbers(
    outcomes: pd.DataFrame, forecast: pd.DataFrame | None, baseline: pd.DataFrame | None, metrics: Sequence[Metric]
) -> tuple[Replicates, dict[str, dict[str, Floats]]]:
    """Checked runs, and by metric the ``loss``, ``baseline`` and ``floor`` of each cell, as far as there are these."""
    numbers: dict[str, dict[str, Floats]] = {metric.name: {} for metric in metrics}
    for scale in dict.fromkeys(metric.scale for metric in metrics):
        of_scale = [metric for metric in metrics if metric.scale == scale]
        runs = group_replicates(outcomes, scale)
        for column, table, called in (("loss", forecast, "forecast"), ("baseline", baseline, "baseline")):
            if table is not None:
                for name, losses in cell_losses(runs, table, of_scale, called).items():
                    numbers[name][column] = losses
        for metric in of_scale:
            if metric.floor is not None:
                numbers[metric.name]["floor"] = metric.floor.per_cell(runs)
    return runs, numbers


@dataclass(frozen=True, eq=False)
class PartialEvaluation:
    """What the Evaluation table needs to know of a part of the runs: sums by segment and metric.

    `columns` are those of each segment, `splits` those that the runs name, and `values` those that each segment column
    takes, null left out. Nothing of it grows with the runs.
    """

    metrics: tuple[Metric, ...]
    has_forecast: bool
    has_baseline: bool
    columns: SegmentColumns
    splits: frozenset[str]
    values: Mapping[str, pd.Index]
    segments: Mapping[Segment, Mapping[str, CellSums]]

    def merge(self, other: PartialEvaluation) -> PartialEvaluation:
        """The evaluation of both parts; the order in which parts are merged changes nothing.

        Raises InvalidInputError if the parts were evaluated differently.
        """
        mine, others = ((part.metrics, part.has_forecast, part.has_baseline, part.columns) for part in (self, other))
        if mine != others:
            raise InvalidInputError(
                "evaluations in parts can be merged if they have the same metrics, scale, baseline and segments, "
                f"got {mine} and {others}"
            )
        segments = dict(self.segments)
        for segment, sums in other.segments.items():
            here = segments.get(segment, {})
            segments[segment] = {name: here[name].merge(held) if here else held for name, held in sums.items()}
        values = {name: index.append(other.values[name]).unique() for name, index in self.values.items()}
        return replace(self, splits=self.splits | other.splits, values=values, segments=segments)

    def telling(self) -> PartialEvaluation:
        """Without the segments by a column that takes one value in all: they repeat what stands there already."""
        pairs = {pair for segment in self.segments for pair in segment if pair[1] is not Pooled.OTHERS}
        several = {name for name, n in Counter(name for name, _ in pairs).items() if n > 1}
        kept = {s: sums for s, sums in self.segments.items() if all(name in several for name, _ in s)}
        return replace(self, segments=kept)

    def table(
        self, *, predictor: str, family: str, dataset: str, split: str, baseline_name: str | None = None
    ) -> pd.DataFrame:
        """The Evaluation table of all the runs; names and options as in `evaluate`.

        Without a forecast `value` and all that needs it is NaN, `floor_source` names the estimator too, and `n_queries`
        and `n_replicates` count what the floor rests on. Raises InvalidInputError if runs of other splits than `split`
        are among them.
        """
        others = sorted(self.splits - {split})
        if self.has_forecast and others:
            raise InvalidInputError(f"`outcomes` holds rows of the splits {others}, `split` says {split!r}: select one")
        names = {"predictor": predictor, "family": family, "dataset": dataset, "split": split}
        if self.has_baseline:
            names["baseline"] = baseline_name or "baseline"
        row_of = _evaluation_row if self.has_forecast else _floor_row
        rows: list[dict[str, object]] = []
        for name, sums in self._named():
            for metric in self.metrics:
                rows.append({**names, "segment": name, "metric": metric.name, **row_of(metric, sums[metric.name])})
        return as_evaluation(rows)

    def _named(self) -> Iterator[tuple[str, Mapping[str, CellSums]]]:
        """Name and sums of every segment, ``all`` first, each followed by its replicated part."""
        for segment in in_order(self.segments, self.columns, self.values):
            name, sums = segment_name(segment), self.segments[segment]
            yield name, sums
            replicated = {metric: of_metric.replicated() for metric, of_metric in sums.items()}
            if several := {metric: of_metric for metric, of_metric in replicated.items() if of_metric is not None}:
                yield f"{name},replicated", several


def _check_constant(column: pd.Series, runs: Replicates, name: str) -> None:
    """Raise InvalidInputError if a column takes two values within a cell."""
    by_row = pd.factorize(column)[0]
    if (by_row != by_row[runs.first_rows][runs.row_cell]).any():
        constant_within(by_row[np.argsort(runs.row_cell, kind="stable")], runs.starts, runs.counts, name)


# -- rows -----------------------------------------------------------------------------------------
def _floor_row(metric: Metric, sums: CellSums) -> dict[str, object]:
    assert metric.floor is not None
    floor = noise_floor(sums, metric.floor, metric.name)
    return {
        "noise_floor": floor.value, "floor_ci_lower": floor.ci_lower, "floor_ci_upper": floor.ci_upper,
        "floor_source": floor.method, "n_queries": floor.n_queries, "n_replicates": floor.n_replicates,
    }  # fmt: skip


def _evaluation_row(metric: Metric, sums: CellSums) -> dict[str, object]:
    """Value, floor, excess, gain and skill with their intervals."""
    value = sums.mean_loss("loss")
    lower, upper = wilson_interval(value) if metric.kind == "coverage" else value.interval()
    row: dict[str, object] = {
        "value": value.value, "ci_lower": lower, "ci_upper": upper, "n_queries": sums.n_queries,
        "n_replicates": sums.n_runs,
    }  # fmt: skip
    floor = None
    if metric.floor is None:
        row["floor_source"] = f"none: {metric.kind} is not a loss"
    else:
        row["floor_source"] = source = sums.support.source(metric.floor.minimum, metric.name)
        if not source.startswith("none"):
            floor = sums.mean_floor()
            row |= _columns("noise_floor", "floor", floor, skew_corrected=metric.floor.skewed)
            row |= _columns("excess_error", "excess", value - floor)
    if "baseline" not in sums.whole.columns:
        return row
    base = sums.mean_loss("baseline")
    row["baseline_value"] = base.value
    if not metric.is_loss:
        return row
    gain = base - value
    row |= {**_columns("gain", "gain", gain), "gain_mde": detectable_effect(gain)}
    return row | _skill(gain, base, floor)


def _skill(gain: MergedEstimate, base: MergedEstimate, floor: MergedEstimate | None) -> dict[str, object]:
    if floor is None:
        return {"skill_note": "no floor"}
    removable = base - floor
    lower, _ = removable.interval()
    if np.isnan(lower):
        return {"skill_note": "one query: no interval"}
    if lower <= 0:
        return {"skill_note": "no skill to be had: the baseline's error is not above the floor for certain"}
    return _columns("skill", "skill", gain / removable)


def _columns(name: str, prefix: str, estimate: MergedEstimate, *, skew_corrected: bool = False) -> dict[str, object]:
    lower, upper = estimate.interval(skew_corrected=skew_corrected)
    return {name: estimate.value, f"{prefix}_ci_lower": lower, f"{prefix}_ci_upper": upper}
