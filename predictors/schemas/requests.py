"""What is known about a request before it is sent: the input of the thinking-token predictors."""

from __future__ import annotations

import pandera.pandas as pa
from pandera.typing import Series


class Requests(pa.DataFrameModel):
    """One row per request to forecast. Only `model` is required; every other column may be absent or null.

    `query_id` names the query across models and replicates; where it is absent it is derived from the text.
    `max_tokens` is a hard limit: no forecast exceeds it.
    """

    model: Series[str] = pa.Field(nullable=False)
    prompt_text: Series[str] | None = pa.Field(nullable=True)
    query_id: Series[str] | None = pa.Field(nullable=True)
    provider: Series[str] | None = pa.Field(nullable=True)
    benchmark: Series[str] | None = pa.Field(nullable=True)
    reasoning_effort: Series[str] | None = pa.Field(nullable=True)
    input_tokens: Series[float] | None = pa.Field(nullable=True, ge=0)
    temperature: Series[float] | None = pa.Field(nullable=True, ge=0)
    top_p: Series[float] | None = pa.Field(nullable=True, ge=0, le=1)
    max_tokens: Series[float] | None = pa.Field(nullable=True, gt=0)

    class Config:
        coerce = True
        strict = "filter"
