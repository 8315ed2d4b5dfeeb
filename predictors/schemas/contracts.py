"""What contracts share: a table holds its columns alone, in their order; of a request other columns are dropped."""

import pandas as pd
import pandera.pandas as pa


class Table(pa.DataFrameModel):
    """Columns of a table, all of them and no other."""

    class Config:
        coerce = True
        strict = True
        ordered = True


class Asked(pa.DataFrameModel):
    """Columns of what a forecast is asked for; others are left out."""

    class Config:
        coerce = True
        strict = "filter"


def completed(frame: pd.DataFrame, contract: type[pa.DataFrameModel]) -> pd.DataFrame:
    """The columns of `contract`, null where `frame` has none, valid under it."""
    table: pd.DataFrame = contract.validate(frame.reindex(columns=list(contract.to_schema().columns)), lazy=True)
    return table
