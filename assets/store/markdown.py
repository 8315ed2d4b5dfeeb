"""Tables as Markdown, for the pages of Dagster and MLflow."""

import re

import numpy as np
import pandas as pd


def markdown(table: pd.DataFrame) -> str:
    """A table in Markdown, numbers with four significant digits."""
    if table.empty:
        return "no rows"
    rows = [list(map(str, table.columns)), ["---"] * table.shape[1]]
    rows += [[cell(value) for value in row] for row in table.itertuples(index=False)]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def cell(value: object) -> str:
    """A value as text: four significant digits, a dash where it is missing."""
    if isinstance(value, float | np.floating):
        return "-" if np.isnan(value) else f"{value:.4g}"
    return "-" if value is None else re.sub(r"\s+", " ", str(value)).replace("|", "/")
