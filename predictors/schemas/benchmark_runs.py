"""The contract of `benchmark_runs`: scores of models on benchmarks, per item or as one aggregate."""

import pandas as pd
import pandera.pandas as pa
from pandera.typing import Series

from .contracts import Table

AGGREGATE_ITEM = "*"
"""`item_id` of a row that holds the score over all items of a run."""


class BenchmarkRuns(Table):
    """One row per run, item, replicate, metric and filter.

    An aggregate over all items has the item `AGGREGATE_ITEM`; bounded metrics are then in points (0-100),
    as is `standard_error_reported` (of the score, as the harness says). Where an aggregate is the mean of
    repeated experiments, `n_replicates` counts them and `replicate_sd` is the standard deviation of one.
    `config` is how the model was asked (reasoning effort, prompt) in the source's words; `is_self_reported` says
    whether the score is the maker's own.
    """

    run_id: Series[str]
    item_id: Series[str]
    replicate: Series[pd.Int64Dtype] = pa.Field(ge=0)
    metric: Series[str]
    filter: Series[str]
    benchmark: Series[str]
    model: Series[str]
    n_shot: Series[pd.Int64Dtype] = pa.Field(nullable=True, ge=0)
    config: Series[str] = pa.Field(nullable=True)
    is_self_reported: Series[pd.BooleanDtype] = pa.Field(nullable=True)
    score: Series[float]
    higher_is_better: Series[bool]
    standard_error_reported: Series[float] = pa.Field(nullable=True, ge=0)
    n_replicates: Series[pd.Int64Dtype] = pa.Field(nullable=True, ge=1)
    replicate_sd: Series[float] = pa.Field(nullable=True, ge=0)
    n_items: Series[pd.Int64Dtype] = pa.Field(nullable=True, ge=1)
    tokens: Series[pd.Int64Dtype] = pa.Field(nullable=True, ge=0)
    started_at: Series[pd.DatetimeTZDtype] = pa.Field(nullable=True, dtype_kwargs={"unit": "us", "tz": "UTC"})
    harness: Series[str]
    harness_version: Series[str] = pa.Field(nullable=True)
    task_hash: Series[str] = pa.Field(nullable=True)
    git_commit: Series[str] = pa.Field(nullable=True)

    class Config:
        unique = ["run_id", "item_id", "replicate", "metric", "filter"]  # noqa: RUF012

    @pa.dataframe_check(error="score must be finite")
    def score_is_finite(cls, df: pd.DataFrame) -> pd.Series:
        return df["score"].abs() < float("inf")
