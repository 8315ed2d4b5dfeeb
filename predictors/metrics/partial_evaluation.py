"""The Evaluation table of runs that are worked on in parts: each part holds whole queries, and their sums are added."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from predictors.errors import InvalidInputError
from predictors.metrics.cell_losses import Metric
from predictors.metrics.cell_numbers import DEFAULT_METRICS, CellNumbers, cell_numbers, parse_metrics
from predictors.metrics.evaluation_rows import SegmentEstimates, evaluation_row
from predictors.metrics.noise_floor import FloorSupport
from predictors.metrics.partials import ClusterSums, MergedEstimate
from predictors.metrics.replicates import Scale, check_only_split, splits_of
from predictors.metrics.segments import Segment, SegmentColumns, cells_by_segment, segment_columns, segment_name
from predictors.schemas import as_evaluation

__all__ = ["PartialEvaluation", "partial_evaluation"]

Floats = NDArray[np.float64]
Hashes = NDArray[np.uint64]
WHOLE = ("query_id", "cell_id", "response_id")
"""What lies in one part only."""


@dataclass(frozen=True)
class _Sums:
    """Sums over queries of one metric in one segment: of all cells, and of those with two runs or more.

    `whole` weights the floors of repeated cells by the inverse of the probability with which they were drawn,
    `repeated` counts each once. Where all cells are repeated, `repeated` is the whole.
    """

    support: FloorSupport
    whole: ClusterSums
    repeated: ClusterSums

    def merge(self, other: _Sums) -> _Sums:
        return _Sums(
            self.support.merge(other.support), self.whole.merge(other.whole), self.repeated.merge(other.repeated)
        )


@dataclass(frozen=True)
class _SegmentSums:
    """All metrics of one segment."""

    n_runs: int
    n_repeated_runs: int
    by_metric: dict[str, _Sums]

    def merge(self, other: _SegmentSums) -> _SegmentSums:
        merged = {name: sums.merge(other.by_metric[name]) for name, sums in self.by_metric.items()}
        return _SegmentSums(self.n_runs + other.n_runs, self.n_repeated_runs + other.n_repeated_runs, merged)

    def estimates(self, metric: Metric) -> SegmentEstimates[MergedEstimate]:
        """Of all cells."""
        sums = self.by_metric[metric.name]
        if sums.support.n_repeated == sums.support.n_cells:
            return _estimates(metric, sums.repeated, sums.support, "cells", self.n_runs)
        return _estimates(metric, sums.whole, sums.support, "weight", self.n_runs)

    def repeated_estimates(self, metric: Metric) -> SegmentEstimates[MergedEstimate] | None:
        """Of the cells with two runs or more, where these are some but not all; None where they are not."""
        sums = self.by_metric[metric.name]
        if not 0 < sums.support.n_repeated < sums.support.n_cells:
            return None
        support = replace(sums.support, n_cells=sums.support.n_repeated)
        return _estimates(metric, sums.repeated, support, "cells", self.n_repeated_runs)


@dataclass(frozen=True, eq=False)
class PartialEvaluation:
    """What the Evaluation table needs to know of a part of the runs.

    Attributes
    ----------
    metrics : tuple of Metric
    has_baseline : bool
    columns : tuple of tuple of str
        Of each segment.
    splits : frozenset of str
        That the runs name.
    values : dict of str to Index
        The values that each segment column takes, null left out.
    segments : dict of Segment to sums over queries
    ids : dict of str to ndarray of uint64
        Sorted hashes of the ids that must not lie in two parts: 8 bytes for each query, each cell and each
        `response_id`, all that grows with the table.
    """

    metrics: tuple[Metric, ...]
    has_baseline: bool
    columns: SegmentColumns
    splits: frozenset[str]
    values: Mapping[str, pd.Index]
    segments: Mapping[Segment, _SegmentSums]
    ids: Mapping[str, Hashes]

    def merge(self, other: PartialEvaluation) -> PartialEvaluation:
        """The evaluation of both parts; the order in which parts are merged changes nothing.

        Raises
        ------
        InvalidInputError
            If the parts share a query, a cell or a `response_id`, or were evaluated differently.
        """
        mine, others = ((p.metrics, p.has_baseline, p.columns) for p in (self, other))
        if mine != others:
            raise InvalidInputError(
                "evaluations in parts can be merged if they have the same metrics, scale, baseline and segments, "
                f"got {mine} and {others}"
            )
        segments = dict(self.segments)
        for segment, sums in other.segments.items():
            known = segments.get(segment)
            segments[segment] = sums if known is None else known.merge(sums)
        values = {name: index.append(other.values[name]).unique() for name, index in self.values.items()}
        ids = {name: _merged_ids(name, self.ids[name], other.ids[name]) for name in WHOLE}
        return replace(self, splits=self.splits | other.splits, values=values, segments=segments, ids=ids)

    def table(
        self,
        *,
        predictor: str,
        family: str,
        dataset: str,
        split: str,
        baseline_name: str | None = None,
        replicated_segments: bool = True,
    ) -> pd.DataFrame:
        """The Evaluation table that `evaluate` would make of all the runs (names and options are described there).

        Raises
        ------
        InvalidInputError
            If runs of other splits are among them.
        """
        check_only_split(self.splits, split)
        names = {"predictor": predictor, "family": family, "dataset": dataset, "split": split}
        if self.has_baseline:
            names["baseline"] = baseline_name or "baseline"
        rows: list[dict[str, object]] = []
        for segment, sums in self._in_order():
            name = segment_name(self.columns, segment)
            whole = [(metric, name, sums.estimates(metric)) for metric in self.metrics]
            repeated = [(metric, f"{name},replicated", sums.repeated_estimates(metric)) for metric in self.metrics]
            rows += [
                {**names, "segment": called, "metric": metric.name, **evaluation_row(metric, found)}
                for metric, called, found in [*whole, *(repeated if replicated_segments else [])]
                if found is not None
            ]
        return as_evaluation(rows)

    def _in_order(self) -> Iterator[tuple[Segment, _SegmentSums]]:
        places: dict[str, dict[Hashable, int]] = {}
        for name, index in self.values.items():
            ordered = pd.factorize(index, sort=True)[1]
            places[name] = {value: place for place, value in enumerate(ordered)} | {None: len(ordered)}

        def place(segment: Segment) -> tuple[int, ...]:
            position, values = segment
            keys = () if position < 0 else self.columns[position]
            return position, *(places[key][value] for key, value in zip(keys, values, strict=True))

        return ((segment, self.segments[segment]) for segment in sorted(self.segments, key=place))


def partial_evaluation(
    outcomes: pd.DataFrame,
    forecast: pd.DataFrame,
    *,
    baseline: pd.DataFrame | None = None,
    scale: Scale = "identity",
    metrics: Sequence[str] = DEFAULT_METRICS,
    segments: Sequence[str | tuple[str, ...]] = (),
) -> PartialEvaluation:
    """Evaluate one part of a table of runs, which holds all runs of its queries.

    ``partial_evaluation(one).merge(partial_evaluation(other)).table(...)`` is `evaluate` of both together, however
    whole queries are cut into parts: the same counts and notes, and numbers that differ by rounding alone.
    Floors that are modelled from features (`floor_features`) need the whole table.

    Parameters
    ----------
    outcomes, forecast, baseline, scale, metrics, segments
        As in `evaluate`.

    Returns
    -------
    PartialEvaluation
        Its size follows the segments and metrics, beside 8 bytes for each id (`PartialEvaluation.ids`).

    Raises
    ------
    InvalidInputError
        Where `evaluate` raises it, and for losses or floors beyond 1e80.
    """
    splits = splits_of(outcomes)
    parsed = parse_metrics(metrics, scale)
    columns = segment_columns(segments)
    table = cell_numbers(outcomes, forecast, baseline, parsed)
    found = {
        segment: _segment_sums(parsed, table.take(c)) for segment, c in cells_by_segment(outcomes, table.runs, columns)
    }
    values = {name: pd.Index(pd.factorize(outcomes[name])[1]) for names in columns for name in names}
    return PartialEvaluation(tuple(parsed), baseline is not None, columns, splits, values, found, _ids(outcomes))


def _segment_sums(metrics: Sequence[Metric], cells: CellNumbers) -> _SegmentSums:
    repeated = cells.counts >= 2
    by_metric = {metric.name: _sums(metric, cells, repeated) for metric in metrics}
    return _SegmentSums(cells.n_replicates, int(cells.counts[repeated].sum()), by_metric)


def _sums(metric: Metric, cells: CellNumbers, repeated: NDArray[np.bool_]) -> _Sums:
    support = FloorSupport.of(cells.counts, cells.repeat_prob, metric.minimum_replicates)
    per_cell = {"cells": np.ones(cells.counts.size), "loss": cells.losses[metric.name]}
    if metric.name in cells.baselines:
        per_cell["baseline"] = cells.baselines[metric.name]
    cubed: tuple[str, ...] = ()
    of_repeated = {name: np.where(repeated, values, 0.0) for name, values in per_cell.items()}
    if metric.no_floor is None:
        cubed = ("cells", "weight", "floor") if metric.kind == "mse" else ()
        floors = np.where(cells.counts >= metric.minimum_replicates, cells.floors[metric.name], 0.0)
        known = repeated & ~np.isnan(cells.repeat_prob)
        per_cell["weight"] = np.where(known, 1.0 / np.where(known, cells.repeat_prob, 1.0), 0.0)
        per_cell["floor"] = per_cell["weight"] * floors
        of_repeated["floor"] = floors
    sums = (
        ClusterSums.of(_by_query(part, cells), cubed=[name for name in cubed if name in part])
        for part in (per_cell, of_repeated)
    )
    return _Sums(support, *sums)


def _by_query(per_cell: Mapping[str, Floats], cells: CellNumbers) -> dict[str, Floats]:
    n = cells.n_queries
    return {name: np.asarray(np.bincount(cells.query, values, n)) for name, values in per_cell.items()}


def _estimates(
    metric: Metric, sums: ClusterSums, support: FloorSupport, weight: str, n_runs: int
) -> SegmentEstimates[MergedEstimate]:
    source = metric.no_floor or support.source(metric.minimum_replicates, metric.name)
    base = sums.ratio("baseline", "cells") if "baseline" in sums.columns else None
    floor = None if source.startswith("none") else sums.ratio("floor", weight)
    return SegmentEstimates(sums.ratio("loss", "cells"), base, floor, source, sums.counts["cells"], n_runs)


def _ids(outcomes: pd.DataFrame) -> dict[str, Hashes]:
    return {name: _hashes(outcomes[name] if name in outcomes else pd.Series(dtype="float64")) for name in WHOLE}


def _hashes(ids: pd.Series) -> Hashes:
    known = ids.dropna().drop_duplicates()
    return np.sort(pd.util.hash_pandas_object(known, index=False).to_numpy(np.uint64))


def _merged_ids(name: str, one: Hashes, other: Hashes) -> Hashes:
    both = np.sort(np.concatenate([one, other]), kind="stable")
    twice = int(np.count_nonzero(both[1:] == both[:-1]))
    if twice:
        raise InvalidInputError(
            f"{twice} values of `{name}` have runs in two parts: cut the table between queries, and drop runs that are "
            "there twice"
        )
    return both
