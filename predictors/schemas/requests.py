"""What is known about a request before it is sent: the input of the thinking-token predictors."""

import numpy as np
import pandas as pd
import pandera.pandas as pa
from pandera.typing import Series

from .contracts import Asked


class Requests(Asked):
    """One row per request to forecast. Only `model` is required; every other column may be absent or null.

    `query_id` names the query across models and replicates; where it is absent it is derived from the text.
    `max_tokens` is a hard limit: no forecast exceeds it. `source` names the workload or installation that a request is
    of; what runs of one source have in common is learnt where past runs name theirs.

    Past runs of this very query stand in list columns, one element per run, null or empty where there are
    none: `context_models` and `context_output_tokens`, and where known `context_reasoning_efforts` and
    `context_is_censored` (cut off, so that the tokens are a lower bound), `context_reasoning_tokens` and
    `context_scores` (null elements where unknown). Runs on other models make the forecast *warm*, runs of the
    same model and effort are *pilots*.

    `run_reasoning_tokens` and `run_score` tell `fit` what came out of a past run, so that it learns what such
    details of a known run say about the next; no forecast reads them.
    """

    model: Series[str] = pa.Field(nullable=False)
    prompt_text: Series[str] | None = pa.Field(nullable=True)
    query_id: Series[str] | None = pa.Field(nullable=True)
    source: Series[str] | None = pa.Field(nullable=True)
    provider: Series[str] | None = pa.Field(nullable=True)
    benchmark: Series[str] | None = pa.Field(nullable=True)
    reasoning_effort: Series[str] | None = pa.Field(nullable=True)
    input_tokens: Series[float] | None = pa.Field(nullable=True, ge=0)
    temperature: Series[float] | None = pa.Field(nullable=True, ge=0)
    top_p: Series[float] | None = pa.Field(nullable=True, ge=0, le=1)
    max_tokens: Series[float] | None = pa.Field(nullable=True, gt=0)
    context_models: Series[object] | None = pa.Field(nullable=True)
    context_reasoning_efforts: Series[object] | None = pa.Field(nullable=True)
    context_output_tokens: Series[object] | None = pa.Field(nullable=True)
    context_is_censored: Series[object] | None = pa.Field(nullable=True)
    context_reasoning_tokens: Series[object] | None = pa.Field(nullable=True)
    context_scores: Series[object] | None = pa.Field(nullable=True)
    run_reasoning_tokens: Series[float] | None = pa.Field(nullable=True)
    run_score: Series[float] | None = pa.Field(nullable=True)

    @pa.dataframe_check(error="context columns must hold lists of equal length, with both models and tokens")
    def context_lengths_agree(cls, df: pd.DataFrame) -> pd.Series:
        sizes = {name: context_sizes(df, name) for name in CONTEXT_COLUMNS if name in df}
        n_runs = sizes.get("context_models", pd.Series(0, index=df.index))
        good = n_runs == sizes.get("context_output_tokens", pd.Series(0, index=df.index))
        for name in sizes.keys() - {"context_models", "context_output_tokens"}:
            good &= (sizes[name] == n_runs) | (sizes[name] == 0)
        return good

    @pa.dataframe_check(error="context_output_tokens must be finite numbers, not negative")
    def context_tokens_are_counts(cls, df: pd.DataFrame) -> bool | pd.Series:
        if "context_output_tokens" not in df:
            return True
        sizes = context_sizes(df, "context_output_tokens")
        lists = [v if n > 0 else [v] * -n for v, n in zip(df["context_output_tokens"], sizes, strict=True)]
        flat = pd.Series([tokens for of_row in lists for tokens in of_row], dtype=object)
        tokens = pd.to_numeric(flat, errors="coerce").to_numpy(dtype=np.float64)
        rows = np.repeat(np.arange(len(df)), sizes.abs())
        is_bad = ~((tokens >= 0) & (tokens < np.inf))
        return pd.Series(np.bincount(rows, is_bad, len(df)) == 0, index=df.index)


CONTEXT_COLUMNS = tuple(name for name in Requests.__annotations__ if name.startswith("context_"))
"""List columns of `Requests` that hold past runs of the same query."""
RUN_COLUMNS = ("run_reasoning_tokens", "run_score")
"""Columns of `Requests` that tell of a past run what came out of it; read by `fit` alone."""


def context_sizes(df: pd.DataFrame, name: str) -> pd.Series:
    """Number of runs in a list column; 0 where it is null, -1 where it is no list."""
    sizes = [
        len(value) if hasattr(value, "__len__") and not isinstance(value, str) else 0 if pd.isna(value) else -1
        for value in df[name]
    ]
    return pd.Series(sizes, index=df.index)
