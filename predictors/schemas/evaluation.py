"""The Evaluation table: what every evaluation returns and every report reads."""

import pandas as pd
import pandera.pandas as pa
from pandera.typing import Series

from .contracts import Table


class Evaluation(Table):
    """One row per predictor, dataset, split, segment and metric.

    `value` is the error (lower is better unless docs/metrics.md says otherwise), `noise_floor` the part
    of it that no predictor can remove, `excess_error` the rest, `skill` the share of the removable error
    of the `baseline` that was removed (1 = all of it, 0 = none). Each stands with its 95 % interval.
    `skill_note` says why a skill is NaN although there is a baseline. `n_queries` counts independent
    queries, `n_replicates` all their runs.
    `floor_source` is ``repeats``, ``ipw`` or ``model``, or ``none: <reason>`` where `noise_floor` is NaN; in a table of
    floors alone it names the estimator too (``repeats: unbiased variance``).
    """

    predictor: Series[str]
    family: Series[str]
    dataset: Series[str]
    split: Series[str]
    segment: Series[str]
    metric: Series[str]
    value: Series[float] = pa.Field(nullable=True)
    ci_lower: Series[float] = pa.Field(nullable=True)
    ci_upper: Series[float] = pa.Field(nullable=True)
    noise_floor: Series[float] = pa.Field(nullable=True)
    floor_ci_lower: Series[float] = pa.Field(nullable=True)
    floor_ci_upper: Series[float] = pa.Field(nullable=True)
    floor_source: Series[str]
    excess_error: Series[float] = pa.Field(nullable=True)
    excess_ci_lower: Series[float] = pa.Field(nullable=True)
    excess_ci_upper: Series[float] = pa.Field(nullable=True)
    baseline: Series[str] = pa.Field(nullable=True)
    baseline_value: Series[float] = pa.Field(nullable=True)
    gain: Series[float] = pa.Field(nullable=True)
    gain_ci_lower: Series[float] = pa.Field(nullable=True)
    gain_ci_upper: Series[float] = pa.Field(nullable=True)
    gain_mde: Series[float] = pa.Field(nullable=True)
    skill: Series[float] = pa.Field(nullable=True)
    skill_ci_lower: Series[float] = pa.Field(nullable=True)
    skill_ci_upper: Series[float] = pa.Field(nullable=True)
    skill_note: Series[str] = pa.Field(nullable=True)
    n_queries: Series[int] = pa.Field(ge=0)
    n_replicates: Series[int] = pa.Field(ge=0)

    class Config:
        unique = ["predictor", "family", "dataset", "split", "segment", "metric"]  # noqa: RUF012

    @pa.dataframe_check(error="a missing floor must say why in `floor_source`")
    def floor_has_reason(cls, df: pd.DataFrame) -> pd.Series:
        return df["noise_floor"].notna() == ~df["floor_source"].str.startswith("none:")

    @pa.dataframe_check(error="an interval must hold its estimate")
    def interval_holds_value(cls, df: pd.DataFrame) -> pd.Series:
        held = (df["ci_lower"] <= df["value"]) & (df["value"] <= df["ci_upper"])
        return held | df["value"].isna() | df["ci_lower"].isna()


def as_evaluation(rows: list[dict[str, object]]) -> pd.DataFrame:
    """Build a valid Evaluation table from rows; absent columns become NaN (or None for text)."""
    columns = list(Evaluation.to_schema().columns)
    return Evaluation.validate(pd.DataFrame(rows, columns=columns), lazy=True)
