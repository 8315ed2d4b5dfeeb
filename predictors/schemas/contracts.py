"""What contracts share: a table holds its columns alone, in their order; of a request other columns are dropped."""

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
