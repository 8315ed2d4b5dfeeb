"""The contracts of the lake's tables beside `request_traces`: what readers land, whoever delivered it.

Every table has the columns of `Landed`. Null means unknown, never 0. What a family learns from is made of these rows
and has a contract of its own (`BenchmarkRuns`, `CurveRequests`, `LadderRequests`, `examples`).
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import pandera.pandas as pa
from pandera.typing import Series

from .benchmark_runs import BenchmarkRuns
from .descriptions import BenchmarkDescriptions, BenchmarkModels


class Landed(pa.DataFrameModel):
    """Where a row comes from.

    `source` is a client, a log, a file, or ``public/<name>``; `started_at` the time of the run, of the publication or
    of the release, null where none is told; `source_file` and `source_line` the record.
    """

    source: Series[str]
    started_at: Series[pd.DatetimeTZDtype] = pa.Field(nullable=True, dtype_kwargs={"unit": "us", "tz": "UTC"})
    source_file: Series[str]
    source_line: Series[pd.Int64Dtype] = pa.Field(nullable=True, ge=1)

    class Config:
        coerce = True
        strict = True


class BenchmarkRunRows(BenchmarkRuns, Landed):
    """`benchmark_runs`: one row per source, run, item, replicate, metric and filter, as in `BenchmarkRuns`."""

    class Config:
        ordered = False
        unique = ["source", "run_id", "item_id", "replicate", "metric", "filter"]  # noqa: RUF012


class DescriptionRows(BenchmarkDescriptions, Landed):
    """`benchmark_descriptions`: one row per source and benchmark; its leak group is told from all rows when read."""

    benchmark: Series[str]
    leak_group: Series[str] = pa.Field(nullable=True)

    class Config:
        ordered = False
        unique = ["source", "benchmark"]  # noqa: RUF012


class ModelRows(BenchmarkModels, Landed):
    """`models`: one row per source and model.

    `n_params` and `n_train_tokens` are counts, prices US dollars for a million tokens, flags 0 or 1.
    """

    model: Series[str]
    vendor: Series[str] = pa.Field(nullable=True)
    n_train_tokens: Series[float] = pa.Field(nullable=True, gt=0)
    is_reasoning: Series[float] = pa.Field(nullable=True, isin=[0.0, 1.0])
    input_usd_per_million: Series[float] = pa.Field(nullable=True, ge=0)
    output_usd_per_million: Series[float] = pa.Field(nullable=True, ge=0)

    class Config:
        ordered = False
        unique = ["source", "model"]  # noqa: RUF012


class TrainingCurves(Landed):
    """`training_curves`: one row per source, curve, step, metric and seed.

    A curve is one training run, `curve_id` its id there; `dataset` what it is measured on (the experiment, the task),
    `learner` what is trained. `step` counts `resource_unit` (steps, epochs, tokens, items); `target_step` is where the
    run is to end, as its parameters say. `is_finished`: it has ended as planned. `value` is in the unit of `metric`,
    NaN where training diverged. `standard_error` is that of the value, `wall_time_s` seconds since the start,
    `parent_id` the run that this one is nested in, `config` its parameters as JSON.
    """

    curve_id: Series[str]
    step: Series[float] = pa.Field(ge=0)
    metric: Series[str]
    seed: Series[pd.Int64Dtype] = pa.Field(nullable=True, ge=0)
    value: Series[float] = pa.Field(nullable=True)
    higher_is_better: Series[bool]
    dataset: Series[str]
    learner: Series[str]
    resource_unit: Series[str]
    target_step: Series[float] = pa.Field(nullable=True, gt=0)
    is_finished: Series[bool]
    standard_error: Series[float] = pa.Field(nullable=True, ge=0)
    n_params: Series[float] = pa.Field(nullable=True, gt=0)
    wall_time_s: Series[float] = pa.Field(nullable=True, ge=0)
    parent_id: Series[str] = pa.Field(nullable=True)
    config: Series[str] = pa.Field(nullable=True)

    class Config:
        unique = ["source", "curve_id", "step", "metric", "seed"]  # noqa: RUF012

    @pa.dataframe_check(error="step must be finite")
    def step_is_finite(cls, df: pd.DataFrame) -> pd.Series:
        return df["step"] < float("inf")


class LadderMeasurements(Landed):
    """`ladder_measurements`: one row per source, family, model, benchmark, item and tokens trained on.

    `family` names the ladder (models of one recipe), `model` a trained model, size and seed; `item_id` is
    `AGGREGATE_ITEM` for the score over all items. `score`, its `standard_error`, `chance_score` and `upper_score` are
    points (0-100), `loss` is in nats. `train_flops` is ``6 n_params n_train_tokens`` where it is not told.
    `is_final`: the model at the end of its training, no checkpoint.
    """

    family: Series[str]
    model: Series[str]
    benchmark: Series[str]
    item_id: Series[str]
    n_params: Series[float] = pa.Field(nullable=True, gt=0)
    n_train_tokens: Series[float] = pa.Field(nullable=True, gt=0)
    train_flops: Series[float] = pa.Field(gt=0)
    score: Series[float] = pa.Field(ge=0, le=100)
    standard_error: Series[float] = pa.Field(nullable=True, ge=0)
    loss: Series[float] = pa.Field(nullable=True)
    n_items: Series[float] = pa.Field(nullable=True, gt=0)
    chance_score: Series[float] = pa.Field(nullable=True, ge=0, lt=100)
    upper_score: Series[float] = pa.Field(nullable=True, gt=0, le=100)
    is_final: Series[bool]
    seed: Series[pd.Int64Dtype] = pa.Field(nullable=True, ge=0)

    class Config:
        unique = ["source", "family", "model", "benchmark", "item_id", "n_train_tokens"]  # noqa: RUF012

    @pa.dataframe_check(error="train_flops and loss must be finite")
    def numbers_are_finite(cls, df: pd.DataFrame) -> pd.Series:
        finite = np.isfinite(df["train_flops"].to_numpy("float64")) & ~np.isinf(df["loss"].to_numpy("float64"))
        return pd.Series(finite, index=df.index)


CONTRACTS: Mapping[str, type[Landed]] = {
    "benchmark_runs": BenchmarkRunRows,
    "benchmark_descriptions": DescriptionRows,
    "models": ModelRows,
    "training_curves": TrainingCurves,
    "ladder_measurements": LadderMeasurements,
}
"""The contract of each table, by its name."""
