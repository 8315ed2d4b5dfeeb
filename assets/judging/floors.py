"""The noise floor of every segment of a family's examples: its evaluation without a forecast, on any engine."""

from collections.abc import Sequence
from functools import partial, reduce

import pandas as pd

from foretell.assets.engine import Engine, Part, Table, current_engine, read_part
from foretell.assets.judging.family import Family, Segments, columns_of
from foretell.assets.judging.known_noise import add_noise_floors
from foretell.assets.lake.traces.across_days import query_bundles
from foretell.predictors.errors import InvalidInputError
from foretell.predictors.metrics import PartialEvaluation, count_segments, partial_evaluation, told_segments

RUN = ["cell_id", "query_id", "value", "is_capped"]
OPTIONAL = ["replicate", "response_id", "repeat_prob"]
METRICS = ("crps", "mae", "mse")


def floor_table(
    family: Family, examples: pd.DataFrame | Table, *, dataset: str, engine: Engine | None = None
) -> pd.DataFrame:
    """The noise floor of every segment and metric over all splits, as Evaluation rows without an error.

    Rests on all runs whose group is not mostly cut off; NaN with the reason where it cannot be known. Outcomes that
    bring a standard error of their own (`standard_error`) need no repeats. Of the examples only the columns that
    floors need move between parts. Segments by a column that the examples lack, or that takes one value everywhere, are
    left out; a null value is the segment ``null``, as in an evaluation, and of many values those with most runs of the
    examples are told. Floors are in the unit of the metric.

    Raises
    ------
    InvalidInputError
        If no run is left.
    """
    whole = Table.of(examples)
    engine = (engine or current_engine()).over(whole)
    asked = [*RUN, *OPTIONAL, *(name for keys in family.segments for name in columns_of(keys))]
    columns = [name for name in dict.fromkeys(asked) if name in whole.columns]
    segments = tuple(keys for keys in family.segments if set(columns_of(keys)) <= set(columns))
    counts = engine.map(partial(_counts, segments=segments), whole.parts)
    told = told_segments(pd.concat(counts, ignore_index=True), segments)
    bundle = partial(partial_evaluation, metrics=METRICS, scale=family.scale, segments=segments, told=told)
    bundles = engine.group(partial(_runs, columns=columns), whole.parts, "bundle", bundle)
    if not bundles:
        raise InvalidInputError(f"no run of {dataset!r} is left: every group is mostly cut off")
    floors = reduce(PartialEvaluation.merge, bundles).telling()
    table = floors.table(predictor="none", family=family.name, dataset=dataset, split="all")
    if isinstance(examples, pd.DataFrame) and "standard_error" in examples:
        return add_noise_floors(table, examples, segments, told)
    return table


def _runs(part: Part, columns: Sequence[str]) -> pd.DataFrame:
    runs = read_part(part, columns)
    runs = runs[~runs["is_capped"]].drop(columns="is_capped")
    return runs.assign(bundle=query_bundles(runs["query_id"]))


def _counts(part: Part, segments: Segments) -> pd.DataFrame:
    columns = dict.fromkeys(name for keys in segments for name in columns_of(keys))
    return count_segments(read_part(part, list(columns)), segments)
