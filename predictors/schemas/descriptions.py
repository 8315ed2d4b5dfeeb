"""Contracts of what is known about benchmarks and models before a run, and of a score forecast's input."""

from typing import Any

import pandas as pd
import pandera.pandas as pa
from pandera.typing import Series

from .contracts import Asked, Table

DESCRIPTION_FIELDS: tuple[str, ...] = (
    "task",
    "data_collection",
    "evaluation",
    "difficulty",
    "subset",
    "prompting_strategy",
    "other_settings",
)
"""The seven fields in which PRECOG describes a benchmark and its intended configuration."""


class BenchmarkDescriptions(Table):
    """One row per benchmark, key `benchmark`.

    The seven text fields are those of PRECOG (arXiv 2509.20645), null where nothing is known. `answer_format`
    is what a model must return (a class, a ranking, a cluster), `metric` how it is scored. `n_items` is for
    noise floors only: redaction forbids exact counts, classes excepted. `leak_group` names what must not
    straddle a split; `published_at` is when the benchmark's data ended or its paper appeared.
    """

    benchmark: Series[str] = pa.Field(unique=True)
    task: Series[str] = pa.Field(nullable=True)
    data_collection: Series[str] = pa.Field(nullable=True)
    evaluation: Series[str] = pa.Field(nullable=True)
    difficulty: Series[str] = pa.Field(nullable=True)
    subset: Series[str] = pa.Field(nullable=True)
    prompting_strategy: Series[str] = pa.Field(nullable=True)
    other_settings: Series[str] = pa.Field(nullable=True)
    domain: Series[str] = pa.Field(nullable=True)
    answer_format: Series[str] = pa.Field(nullable=True)
    metric: Series[str] = pa.Field(nullable=True)
    languages: Series[str] = pa.Field(nullable=True)
    n_items: Series[pd.Int64Dtype] = pa.Field(nullable=True, gt=0)
    n_classes: Series[pd.Int64Dtype] = pa.Field(nullable=True, gt=0)
    leak_group: Series[str]
    licence: Series[str] = pa.Field(nullable=True)
    source_url: Series[str] = pa.Field(nullable=True)
    published_at: Series[pd.DatetimeTZDtype] = pa.Field(nullable=True, dtype_kwargs={"unit": "us", "tz": "UTC"})


class BenchmarkModels(Table):
    """One row per model, key `model`: what its makers publish; null where unknown."""

    model: Series[str] = pa.Field(unique=True)
    model_family: Series[str] = pa.Field(nullable=True)
    n_params: Series[float] = pa.Field(nullable=True, ge=0)
    embed_dim: Series[float] = pa.Field(nullable=True, gt=0)
    context_tokens: Series[float] = pa.Field(nullable=True, gt=0)
    n_languages: Series[float] = pa.Field(nullable=True, ge=0)
    uses_instructions: Series[float] = pa.Field(nullable=True, isin=[0.0, 1.0])
    open_weights: Series[float] = pa.Field(nullable=True, isin=[0.0, 1.0])
    released_at: Series[pd.DatetimeTZDtype] = pa.Field(nullable=True, dtype_kwargs={"unit": "us", "tz": "UTC"})


class ScoreRequests(Asked):
    """One row per score to forecast: a described benchmark, an intended configuration and a model.

    Every column may be absent or null. `benchmark` and `leak_group` are never features: they name what
    evidence must not be used. `known_models` and `known_scores` (lists of equal length, points) are runs of
    *other* models on the same benchmark, `own_benchmarks` and `own_scores` runs of *this* model on other benchmarks,
    by the names that training knew. `release_year` (of the model) and `published_year` (of the benchmark: where only
    that is known, of its newest text, which may be an old one) are decimal years.
    """

    benchmark: Series[str] | None = pa.Field(nullable=True)
    leak_group: Series[str] | None = pa.Field(nullable=True)
    task: Series[str] | None = pa.Field(nullable=True)
    data_collection: Series[str] | None = pa.Field(nullable=True)
    evaluation: Series[str] | None = pa.Field(nullable=True)
    difficulty: Series[str] | None = pa.Field(nullable=True)
    subset: Series[str] | None = pa.Field(nullable=True)
    prompting_strategy: Series[str] | None = pa.Field(nullable=True)
    other_settings: Series[str] | None = pa.Field(nullable=True)
    domain: Series[str] | None = pa.Field(nullable=True)
    answer_format: Series[str] | None = pa.Field(nullable=True)
    metric: Series[str] | None = pa.Field(nullable=True)
    languages: Series[str] | None = pa.Field(nullable=True)
    n_classes: Series[float] | None = pa.Field(nullable=True, gt=0)
    n_items: Series[float] | None = pa.Field(nullable=True, gt=0)
    n_shot: Series[float] | None = pa.Field(nullable=True, ge=0)
    model: Series[str] | None = pa.Field(nullable=True)
    model_family: Series[str] | None = pa.Field(nullable=True)
    n_params: Series[float] | None = pa.Field(nullable=True, ge=0)
    embed_dim: Series[float] | None = pa.Field(nullable=True, gt=0)
    context_tokens: Series[float] | None = pa.Field(nullable=True, gt=0)
    n_languages: Series[float] | None = pa.Field(nullable=True, ge=0)
    uses_instructions: Series[float] | None = pa.Field(nullable=True, isin=[0.0, 1.0])
    open_weights: Series[float] | None = pa.Field(nullable=True, isin=[0.0, 1.0])
    release_year: Series[float] | None = pa.Field(nullable=True, ge=1950, le=2100)
    published_year: Series[float] | None = pa.Field(nullable=True, ge=1000, le=2100)
    is_reasoning: Series[float] | None = pa.Field(nullable=True, isin=[0.0, 1.0])
    input_usd_per_million: Series[float] | None = pa.Field(nullable=True, ge=0)
    output_usd_per_million: Series[float] | None = pa.Field(nullable=True, ge=0)
    known_models: Series[object] | None = pa.Field(nullable=True)
    known_scores: Series[object] | None = pa.Field(nullable=True)
    own_benchmarks: Series[object] | None = pa.Field(nullable=True)
    own_scores: Series[object] | None = pa.Field(nullable=True)

    @pa.dataframe_check(error="`known_models` and `known_scores` must be lists of equal length, scores in [0, 100]")
    def known_scores_match(cls, df: pd.DataFrame) -> pd.Series:
        return _lists_match(df, "known_models", "known_scores")

    @pa.dataframe_check(error="`own_benchmarks` and `own_scores` must be lists of equal length, scores in [0, 100]")
    def own_scores_match(cls, df: pd.DataFrame) -> pd.Series:
        return _lists_match(df, "own_benchmarks", "own_scores")


def _lists_match(df: pd.DataFrame, names: str, scores: str) -> pd.Series:
    if names not in df or scores not in df:
        return pd.Series((names in df) == (scores in df), index=df.index)
    pairs = zip(df[names], df[scores], strict=True)
    return pd.Series([_is_evidence(which, values) for which, values in pairs], index=df.index)


def _is_evidence(models: Any, scores: Any) -> bool:
    if not hasattr(models, "__len__") or not hasattr(scores, "__len__"):
        return not hasattr(models, "__len__") and not hasattr(scores, "__len__")
    return len(models) == len(scores) and all(0.0 <= float(score) <= 100.0 for score in scores)
