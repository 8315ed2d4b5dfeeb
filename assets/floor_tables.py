"""The noise floor of every segment of a family's examples, from the sums of parts: on this machine or on many."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from typing import TypeAlias

import pandas as pd

from assets.engine import Engine, Part, Table, current_engine, read_part, split_frame
from assets.family import FamilyPipeline
from assets.score_noise import add_noise_floors
from predictors.errors import InvalidInputError
from predictors.metrics.partial_floors import PARTIAL_FLOORS, PartialFloor, partial_floors
from predictors.metrics.replicates import Scale
from predictors.schemas import as_evaluation

__all__ = ["floor_table"]

Segment: TypeAlias = tuple[int, tuple[Hashable, ...]]
"""Position among the segments of the family (-1 for all runs), and the values that make it."""

RUN = ["cell_id", "query_id", "value", "is_capped"]
OPTIONAL = ["replicate", "response_id", "repeat_prob"]


@dataclass(frozen=True)
class _Floors:
    """Floors by segment of a part of the examples, and which values each segment column takes there."""

    by_segment: dict[Segment, dict[str, PartialFloor]]
    values: dict[str, frozenset[Hashable]]

    def merge(self, other: _Floors) -> _Floors:
        merged = dict(self.by_segment)
        for segment, floors in other.by_segment.items():
            known = merged.get(segment)
            merged[segment] = floors if known is None else {m: known[m].merge(floors[m]) for m in floors}
        return _Floors(merged, {name: values | other.values[name] for name, values in self.values.items()})


def floor_table(
    pipeline: FamilyPipeline, examples: pd.DataFrame | Table, *, dataset: str, engine: Engine | None = None
) -> pd.DataFrame:
    """The noise floor of every segment and metric over all splits, as Evaluation rows without an error.

    Rests on all runs whose group is not mostly cut off; NaN with the reason where it cannot be known. Outcomes that
    bring a standard error of their own (`standard_error`) need no repeats. Of the examples only the columns that
    floors need move between parts.

    Raises
    ------
    InvalidInputError
        If no run is left.
    """
    engine = engine or current_engine()
    whole = examples if isinstance(examples, Table) else Table(tuple(split_frame(examples, engine.n_workers)))
    columns = _columns(pipeline, whole)
    bundle = partial(_floors_of_bundle, segments=pipeline.segments, scale=pipeline.scale)
    bundles = engine.group(partial(_runs, columns=columns), whole.parts, "bundle", bundle)
    if not bundles:
        raise InvalidInputError(f"no run of {dataset!r} is left: every group is mostly cut off")
    names = {"predictor": "none", "family": pipeline.family, "dataset": dataset, "split": "all"}
    merged = reduce(_Floors.merge, bundles)
    table = as_evaluation([names | row for row in _rows(pipeline, merged)])
    if isinstance(examples, pd.DataFrame) and "standard_error" in examples:
        return add_noise_floors(table, examples)
    return table


def _columns(pipeline: FamilyPipeline, examples: Table) -> list[str]:
    segments = [name for keys in pipeline.segments for name in ([keys] if isinstance(keys, str) else keys)]
    wanted = dict.fromkeys([*RUN, *OPTIONAL, *segments])
    return [name for name in wanted if name in examples.columns]


def _runs(part: Part, columns: Sequence[str]) -> pd.DataFrame:
    runs = read_part(part, columns)
    runs = runs[~runs["is_capped"]].drop(columns="is_capped")
    return runs.assign(bundle=pd.util.hash_pandas_object(runs["query_id"], index=False).to_numpy())


def _floors_of_bundle(runs: pd.DataFrame, segments: Sequence[str | tuple[str, ...]], scale: Scale) -> _Floors:
    names = [[keys] if isinstance(keys, str) else list(keys) for keys in segments]
    there = sorted({name for columns in names for name in columns if name in runs})
    values = {name: frozenset(runs[name].astype(object).where(runs[name].notna(), None)) for name in there}
    parts: dict[Segment, pd.DataFrame] = {(-1, ()): runs}
    for position, columns in enumerate(names):
        if set(columns) <= set(there):
            for value, part in runs.groupby(columns, observed=True):
                parts[position, value] = part
    return _Floors({segment: partial_floors(part, scale) for segment, part in parts.items()}, values)


def _rows(pipeline: FamilyPipeline, found: _Floors) -> Iterator[dict[str, object]]:
    for segment, floors in sorted(found.by_segment.items(), key=lambda item: item[0]):
        position, values = segment
        keys = () if position < 0 else pipeline.segments[position]
        columns = [keys] if isinstance(keys, str) else list(keys)
        if any(len(found.values[column]) < 2 for column in columns):
            continue  # it repeats what stands there already
        name = ",".join(f"{c}={v}" for c, v in zip(columns, values, strict=True)) or "all"
        yield from _segment_rows(name, floors)
        replicated = {metric: floors[metric].replicated() for metric in floors}
        if all(part is not None for part in replicated.values()):
            yield from _segment_rows(f"{name},replicated", {m: p for m, p in replicated.items() if p is not None})


def _segment_rows(name: str, floors: dict[str, PartialFloor]) -> Iterator[dict[str, object]]:
    for metric in PARTIAL_FLOORS:
        floor = floors[metric].floor()
        yield {
            "segment": name,
            "metric": metric,
            "noise_floor": floor.value,
            "floor_ci_lower": floor.ci_lower,
            "floor_ci_upper": floor.ci_upper,
            "floor_source": floor.method,
            "n_queries": floor.n_queries,
            "n_replicates": floor.n_replicates,
        }
