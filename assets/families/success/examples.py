"""Scored `request_traces` -> one row per run to learn from or be judged on: was the answer right?"""

import pandas as pd

from foretell.assets.engine import Table
from foretell.assets.judging.family import LAKE
from foretell.assets.lake.datasets import TRACE_DATASETS
from foretell.assets.store.sources import Sources
from foretell.predictors.errors import DatasetError

DATASETS = (*TRACE_DATASETS, LAKE)


def scored(examples: pd.DataFrame) -> pd.DataFrame:
    """Examples of tokens as examples of success: `value` is 1 where the score is 1, a part of the points is none.

    An answer that was cut off counts as it was scored; runs without a score are left out.
    """
    rows = examples[examples["run_score"].notna()]
    right = (rows["run_score"] >= 1).astype("float64")
    return rows.assign(value=right, is_censored=False, is_capped=False).reset_index(drop=True)


def examples_of_dataset(dataset: str, sources: Sources) -> pd.DataFrame:
    """`scored` runs of a named data set.

    Raises
    ------
    DatasetError
        If none of its runs has a score, or its files can neither be fetched nor found in the mirror.
    """
    from foretell.assets.families.thinking_tokens.examples import examples_from_dataset

    rows = scored(examples_from_dataset(dataset, sources))
    if rows.empty:
        raise DatasetError(f"{dataset}: no run has a score; ingest logs with scores (Inspect) or a column score")
    return rows


def lake_examples(traces: Table, sources: Sources, learn_rows: int | None) -> pd.DataFrame:
    """The scored runs of the lake, or the bundled ones where these are not of both kinds.

    A night must not end because nobody scores anything.
    """
    from foretell.assets.families.thinking_tokens.examples import token_examples

    own = scored(token_examples(traces, learn_rows=learn_rows))
    if len(own["value"].unique()) > 1:
        return own
    return examples_of_dataset(TRACE_DATASETS[0], sources)
