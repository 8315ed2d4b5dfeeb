"""The thinking-token family: its examples, and how it is fitted and judged."""

from typing import Any

import dagster as dg
import pandas as pd

from assets.family import FamilyPipeline
from assets.family_assets import build_family_assets
from predictors.base import BasePredictor
from predictors.splits import assign_split

__all__ = ["PIPELINE", "examples_from_traces", "thinking_tokens_assets"]

MOSTLY_CENSORED = 0.2


def _predictor(**params: Any) -> BasePredictor:
    from predictors.thinking_tokens.predictor import ThinkingTokensPredictor

    return ThinkingTokensPredictor(**{"random_state": 0, **params})


def _baselines() -> dict[str, BasePredictor]:
    from predictors.thinking_tokens.baselines import GlobalBaseline, ModelBaseline, ModelBenchmarkBaseline

    return {"model_benchmark": ModelBenchmarkBaseline(), "model": ModelBaseline(), "global": GlobalBaseline()}


PIPELINE = FamilyPipeline(
    family="thinking_tokens",
    predictor=_predictor,
    baselines=_baselines,
    reference="model_benchmark",
    scale="log",
    segments=("benchmark", "model", "reasoning_effort", ("benchmark", "model"), ("benchmark", "reasoning_effort")),
    unit="output tokens (reasoning included), natural log",
)


def examples_from_traces(traces: pd.DataFrame) -> pd.DataFrame:
    """One row per run to learn from or be judged on.

    `value` is the output tokens, of which an empty answer counts as 1 because errors are taken on the
    log scale. `cell_id` names the runs that share one forecast: a query on a model and configuration.
    `is_capped` marks the groups (model, benchmark, effort) of which more than a fifth of the runs were cut off.
    Replicates are numbered over all days, because a query may come back on another one.
    """
    keys = ["query_id", "model", "config_hash"]
    examples = traces.sort_values([*keys, "started_at", "source", "request_id"], kind="stable", ignore_index=True)
    examples["replicate"] = examples.groupby(keys).cumcount()
    examples["cell_id"] = examples[keys].agg("|".join, axis=1)
    examples["value"] = examples["output_tokens"].clip(lower=1).astype("float64")
    examples["split"] = assign_split(examples["query_id"])
    groups = examples.groupby(["model", "benchmark", "reasoning_effort"], dropna=False)
    examples["is_capped"] = groups["is_censored"].transform("mean") > MOSTLY_CENSORED
    for column in ("input_tokens", "max_tokens"):
        examples[column] = examples[column].astype("float64")
    return examples[[
        "cell_id", "query_id", "replicate", "split", "value", "is_censored", "is_capped", "repeat_prob", "started_at",
        "provider", "model", "benchmark", "reasoning_effort", "temperature", "top_p", "max_tokens",
        "input_tokens", "prompt_text",
    ]]  # fmt: skip


@dg.asset(
    group_name="thinking_tokens",
    kinds={"parquet"},
    description="One row per run: what was known before the call, the tokens it took, and its split.",
)
def thinking_tokens_examples(request_traces: pd.DataFrame) -> dg.MaterializeResult:
    examples = examples_from_traces(request_traces)
    return dg.MaterializeResult(
        value=examples,
        metadata={
            "queries": int(examples["query_id"].nunique()),
            "cells": int(examples["cell_id"].nunique()),
            "censored": int(examples["is_censored"].sum()),
            **{f"{split}_rows": int(n) for split, n in examples["split"].value_counts().items()},
        },
    )


thinking_tokens_assets = [thinking_tokens_examples, *build_family_assets(PIPELINE)]
