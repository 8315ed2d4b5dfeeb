"""Split a table into rows that keep a contract and rows that break it, with every reason."""

import pandas as pd
import pandera.pandas as pa
from pandera.errors import SchemaErrors
from pandera.typing import Series

from ..errors import InvalidInputError
from .contracts import Table


class Quarantine(Table):
    """One row per record that was read and is not in its table: why, where it came from, what to do."""

    reason: Series[str]
    remedy: Series[str]
    source_file: Series[str]
    source_line: Series[pd.Int64Dtype] = pa.Field(nullable=True, ge=1)
    source: Series[str] = pa.Field(nullable=True)
    request_id: Series[str] = pa.Field(nullable=True)
    model: Series[str] = pa.Field(nullable=True)


def split_valid(frame: pd.DataFrame, schema: type[pa.DataFrameModel]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Separate the rows of `frame` that break `schema`.

    Returns
    -------
    valid : DataFrame
        Rows that keep it, coerced to its types, index of `frame`.
    quarantined : DataFrame
        The other rows as they came, index of `frame`, with a column ``reason`` that joins all their faults by "; ".

    Raises
    ------
    InvalidInputError
        If a column is missing: that is no fault of a row.
    """
    numbered = frame.reset_index(drop=True)  # an index may repeat; positions do not
    try:
        valid = schema.validate(numbered, lazy=True, inplace=True)  # of `numbered`, which shares what stays as it is
    except SchemaErrors as error:
        reasons = _reasons(error.failure_cases, schema)
    else:
        return valid.set_axis(frame.index), frame.iloc[:0].assign(reason=pd.Series(dtype="str"))
    is_bad = numbered.index.isin(reasons.index)
    bad = frame[is_bad].assign(reason=reasons.sort_index().to_numpy())
    # Validated again because coercion of the whole table was undone by its bad rows.
    valid = schema.validate(numbered[~is_bad], lazy=True)
    return valid.set_axis(frame.index[~is_bad]), bad


def _reasons(cases: pd.DataFrame, schema: type[pa.DataFrameModel]) -> pd.Series:
    """One text per bad row, indexed by position."""
    structural = cases[cases["index"].isna()]
    if len(structural):
        missing = sorted(set(structural.loc[structural["check"] == "column_in_dataframe", "failure_case"].astype(str)))
        what = f"lacks the columns {missing}" if missing else f"breaks {sorted(set(structural['check'].astype(str)))}"
        raise InvalidInputError(f"the table {what} of {schema.__name__}")
    is_table = cases["schema_context"] == "DataFrameSchema"
    column = cases["column"].astype("str")
    seen = cases["failure_case"].map(lambda value: repr(value)[:40])
    text = column.str.cat(cases["check"].astype("str"), sep=": ").str.cat(seen, sep=" (saw ") + ")"
    # A check of the whole table is reported once per column, a null once per further check: one reason each.
    text = text.where(~is_table, cases["check"].astype("str"))
    causes = pd.DataFrame({"position": cases["index"].astype("int64"), "text": text}).drop_duplicates()
    return causes.groupby("position")["text"].agg("; ".join)
