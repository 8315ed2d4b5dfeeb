"""The examples of every family: what it learns from and is judged on, one row per outcome."""

import pandas as pd
import pandera.pandas as pa
from pandera.errors import SchemaErrors
from pandera.typing import Series

from ..errors import InvalidInputError


class Examples(pa.DataFrameModel):
    """One row per run; a family adds the columns that its predictor reads and that its segments are made by.

    `cell_id` names what shares one forecast, `query_id` what is independent of the rest; the runs of a cell are
    numbered by `replicate`. `value` is the outcome in the unit of the family. `is_censored`: it is a lower bound.
    `is_capped`: most of its group were cut off, so that it is judged apart. `repeat_prob` is the probability with
    which the cell was drawn for repetition, null where unknown. `started_at` is null where no day is known: such rows
    are judged, but nothing later can be. `source` names where the row comes from.
    """

    cell_id: Series[str]
    query_id: Series[str]
    replicate: Series[int] = pa.Field(ge=0)
    value: Series[float]
    is_censored: Series[bool]
    is_capped: Series[bool]
    repeat_prob: Series[float] = pa.Field(nullable=True, gt=0, le=1)
    split: Series[str] = pa.Field(isin=("train", "calibration", "test"))
    started_at: Series[pd.DatetimeTZDtype] = pa.Field(
        nullable=True, coerce=True, dtype_kwargs={"unit": "us", "tz": "UTC"}
    )
    source: Series[str]

    class Config:
        unique = ["cell_id", "replicate"]  # noqa: RUF012

    @pa.dataframe_check(error="all runs of a query must be in one split")
    def queries_in_one_split(cls, df: pd.DataFrame) -> bool:
        pairs = df[["query_id", "split"]].drop_duplicates()
        return bool(pairs["query_id"].is_unique)


def as_examples(frame: pd.DataFrame) -> pd.DataFrame:
    """Check examples; an InvalidInputError names the columns and rules that are broken, with a value of each."""
    try:
        return Examples.validate(frame, lazy=True)
    except SchemaErrors as error:
        cases = error.failure_cases.drop_duplicates(["column", "check"]).head(5)
        broken = "; ".join(f"{row.column}: {row.check} (saw {row.failure_case!r})" for row in cases.itertuples())
        raise InvalidInputError(
            f"these are no examples: {broken}; see `foretell.predictors.schemas.examples`"
        ) from None


def has_days(examples: pd.DataFrame) -> bool:
    """Whether the day of any row is known."""
    return bool(examples["started_at"].notna().any())
