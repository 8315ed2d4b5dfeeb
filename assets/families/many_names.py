"""Tables of the lake that name more benchmarks or models than a family can learn from."""

import logging

import pandas as pd

from foretell.predictors.arrays import most_frequent

MOST_NAMES = 1_000
"""Models, or benchmarks, of the lake's scores and ladders: matrices of a fit have a line for each."""
MOST_OF_LADDER = 100
"""Models of a ladder on one benchmark: each is asked about by all those below it."""
log = logging.getLogger(__name__)


def of_most_rows(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """Rows of the `MOST_NAMES` values of `column` that have most, ties by name; what is left out stands in the log."""
    kept = table[column].isin(most_frequent(table[column], MOST_NAMES))
    if not kept.all():
        log.warning("%d of %d rows are of a %s beyond the %d with most rows, and are not learnt from or judged",
                    (~kept).sum(), len(kept), column, MOST_NAMES)  # fmt: skip
    return table[kept]


def of_most_compute(table: pd.DataFrame) -> pd.DataFrame:
    """Measurements of the `MOST_OF_LADDER` models with most compute of each ladder and benchmark; others are logged."""
    ladder, of_model = ["source", "family", "benchmark"], ["source", "family", "benchmark", "model"]
    largest = table.groupby(of_model)["train_flops"].max().sort_values(ascending=False, kind="stable")
    largest = largest[largest.groupby(level=ladder).cumcount() < MOST_OF_LADDER]
    kept = pd.MultiIndex.from_frame(table[of_model]).isin(largest.index)
    if not kept.all():
        log.warning("%d of %d rows are of models beyond the %d largest of their ladder, and are not learnt from or "
                    "judged", (~kept).sum(), len(kept), MOST_OF_LADDER)  # fmt: skip
    return table[kept]
