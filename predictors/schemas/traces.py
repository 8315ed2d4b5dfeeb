"""The contract of `request_traces`: one row per logical request that was sent to a model."""

import numpy as np
import pandas as pd
import pandera.pandas as pa
from pandera.typing import Series

from .contracts import Table

DIGEST = r"^[0-9a-f]{64}$"


class RequestTraces(Table):
    """One row per logical request, key (`source`, `request_id`).

    Tokens are inclusive: output includes reasoning, input includes cache reads and writes. A null
    `reasoning_tokens` means unknown, 0 means none. Where `is_censored`, `output_tokens` is a lower
    bound. Times are UTC, money is USD. `answer_logprob` is the mean
    natural log probability of the answer's tokens, nats per token: of the visible answer, without reasoning.
    """

    source: Series[str]
    request_id: Series[str]
    trace_id: Series[str] = pa.Field(nullable=True)
    query_id: Series[str]
    replicate: Series[pd.Int64Dtype] = pa.Field(ge=0)
    started_at: Series[pd.DatetimeTZDtype] = pa.Field(nullable=True, dtype_kwargs={"unit": "us", "tz": "UTC"})
    provider: Series[str] = pa.Field(nullable=True)
    project: Series[str] = pa.Field(nullable=True)
    key_name: Series[str] = pa.Field(nullable=True)
    model: Series[str]
    request_model: Series[str] = pa.Field(nullable=True)
    response_model: Series[str] = pa.Field(nullable=True)
    config_hash: Series[str]
    temperature: Series[float] = pa.Field(nullable=True, ge=0)
    top_p: Series[float] = pa.Field(nullable=True, ge=0, le=1)
    max_tokens: Series[pd.Int64Dtype] = pa.Field(nullable=True, gt=0)
    reasoning_effort: Series[str] = pa.Field(nullable=True)
    seed: Series[pd.Int64Dtype] = pa.Field(nullable=True)
    prompt_text: Series[str] = pa.Field(nullable=True)
    input_tokens: Series[pd.Int64Dtype] = pa.Field(nullable=True, ge=0)
    cache_read_tokens: Series[pd.Int64Dtype] = pa.Field(nullable=True, ge=0)
    cache_write_tokens: Series[pd.Int64Dtype] = pa.Field(nullable=True, ge=0)
    output_tokens: Series[pd.Int64Dtype] = pa.Field(ge=0)
    reasoning_tokens: Series[pd.Int64Dtype] = pa.Field(nullable=True, ge=0)
    finish_reason: Series[str] = pa.Field(nullable=True)
    is_censored: Series[bool]
    latency_s: Series[float] = pa.Field(nullable=True, ge=0)
    time_to_first_token_s: Series[float] = pa.Field(nullable=True, ge=0)
    service_tier: Series[str] = pa.Field(nullable=True)
    cost_usd: Series[float] = pa.Field(nullable=True, ge=0)
    cost_reported_usd: Series[float] = pa.Field(nullable=True, ge=0)
    price_version: Series[str] = pa.Field(nullable=True)
    benchmark: Series[str] = pa.Field(nullable=True)
    item_id: Series[str] = pa.Field(nullable=True)
    score: Series[float] = pa.Field(nullable=True)
    answer_logprob: Series[float] = pa.Field(nullable=True, le=0)
    repeat_prob: Series[float] = pa.Field(nullable=True, gt=0, le=1)
    source_file: Series[str]
    source_line: Series[pd.Int64Dtype] = pa.Field(nullable=True, ge=1)

    class Config:
        unique = ["source", "request_id"]  # noqa: RUF012

    @pa.check("query_id", error=f"str_matches('{DIGEST}')")
    def query_is_digest(cls, ids: pd.Series) -> pd.Series:
        codes, distinct = pd.factorize(ids)  # a query has many runs; of null the code is -1, the last
        return pd.Series(np.append(distinct.str.match(DIGEST), False).astype(bool)[codes], index=ids.index)

    @pa.dataframe_check(error="reasoning_tokens exceed output_tokens (output must include reasoning)")
    def reasoning_within_output(cls, df: pd.DataFrame) -> pd.Series:
        return (df["reasoning_tokens"] <= df["output_tokens"]).fillna(True).astype(bool)

    @pa.dataframe_check(error="cache reads and writes exceed input_tokens (input must include the cache)")
    def cache_within_input(cls, df: pd.DataFrame) -> pd.Series:
        cache = df["cache_read_tokens"].fillna(0) + df["cache_write_tokens"].fillna(0)
        return (cache <= df["input_tokens"]).fillna(True).astype(bool)

    @pa.dataframe_check(error="a request without any token (a failed call kept as zeros)")
    def has_tokens(cls, df: pd.DataFrame) -> pd.Series:
        return (df["input_tokens"].fillna(0) + df["output_tokens"] > 0).astype(bool)
