"""The thinking-token family: its examples, and how it is fitted and judged."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import dagster as dg
import pandas as pd

from assets.across_days import whole_traces
from assets.datasets import TRACE_DATASETS, load_traces
from assets.engine import LocalEngine, Table
from assets.family import FittedFamily, evaluate_family, family_pipeline, fit_family
from assets.family_assets import build_family_assets
from assets.resources import Workspace
from assets.sources import Sources
from assets.token_examples import token_examples
from assets.token_regimes import REGIMES, evaluate_regimes, query_folds
from predictors.errors import DatasetError

__all__ = [
    "DATASETS",
    "PIPELINE",
    "evaluate_dataset",
    "examples_from_dataset",
    "examples_from_traces",
    "lake_traces",
    "read_inputs",
    "thinking_tokens_assets",
    "traces_of_dataset",
]

DATASETS = (*TRACE_DATASETS, "lake")
MIN_QUERIES_OF_A_SPLIT = 100


PIPELINE = family_pipeline(
    "thinking_tokens",
    scale="log",
    segments=("benchmark", "model", "reasoning_effort", ("benchmark", "model"), ("benchmark", "reasoning_effort")),
)


def examples_from_traces(traces: pd.DataFrame) -> pd.DataFrame:
    """`token_examples` of traces that are in memory."""
    return token_examples(Table.of(traces), engine=LocalEngine())


def traces_of_dataset(dataset: str, sources: Sources) -> pd.DataFrame:
    """The curated traces of a data set; ``lake`` is what this installation has ingested.

    Raises
    ------
    DatasetError
        If nothing was ingested, or the files of a public set can neither be fetched nor found in the mirror.
    """
    from predictors.thinking_tokens.cost import price_requests

    if dataset == "lake":
        return whole_traces(lake_traces(sources))
    return load_traces(
        dataset,
        starter=sources.starter / "local_llm_traces.jsonl.gz",
        cache=sources.cache,
        mirror=sources.mirror,
        price=partial(price_requests, price_file=sources.price_file),
    ).traces


def lake_traces(sources: Sources) -> Table:
    """The curated days of this installation.

    Raises
    ------
    DatasetError
        If nothing was ingested.
    """
    try:
        return Table.under(sources.home / "lake" / "request_traces")
    except FileNotFoundError as error:
        raise DatasetError("nothing was ingested yet: run `foretell ingest PATH` or `foretell demo`") from error


def examples_from_dataset(dataset: str, sources: Sources) -> pd.DataFrame:
    """`token_examples` of a named data set."""
    if dataset == "lake":
        return token_examples(lake_traces(sources))
    return examples_from_traces(traces_of_dataset(dataset, sources))


def evaluate_dataset(
    dataset: str, sources: Sources, *, progress: Callable[[str], None] = lambda _: None
) -> pd.DataFrame:
    """Fit on the training queries of a data set and judge on the others: the Evaluation table.

    The split ``test`` holds cold forecasts, ``test_warm``, ``test_pilot`` and ``test_pilot_and_warm`` those that
    know other runs of their query (`assets.token_regimes`). A set of fewer than 100 queries is judged by five folds
    over queries, each forecast by a fit that has not seen it.
    """
    examples = examples_from_dataset(dataset, sources)
    store = sources.home / "models"
    if examples["query_id"].nunique() < MIN_QUERIES_OF_A_SPLIT:
        folds: list[tuple[FittedFamily, pd.DataFrame]] = []
        for fold in query_folds(examples):
            progress(f"fitting on {int((fold['split'] != 'test').sum())} runs, fold {len(folds) + 1}")
            folds.append((fit_family(PIPELINE, fold, store=store), fold))
        return evaluate_regimes(PIPELINE, folds, dataset=dataset, regimes=REGIMES)
    progress(f"fitting on {int((examples['split'] != 'test').sum())} runs")
    fitted = fit_family(PIPELINE, examples, store=store)
    progress("judging forecasts that know nothing of their query, then those that know other runs of it")
    cold = evaluate_family(PIPELINE, fitted, examples, dataset=dataset)
    informed = evaluate_regimes(PIPELINE, [(fitted, examples)], dataset=dataset, regimes=REGIMES[1:])
    return pd.concat([cold, informed], ignore_index=True)


def read_inputs(path: Path) -> pd.DataFrame:
    """The requests of a file, one row each, in order.

    Raises
    ------
    InvalidInputError
        At the first request that cannot be read: leaving one out would shift the forecasts of the others.
    """
    from assets.requests import read_requests
    from predictors.errors import InvalidInputError

    requests, problems = read_requests(path)
    if problems:
        raise InvalidInputError(problems[0])
    return requests


@dg.asset(
    group_name="thinking_tokens",
    kinds={"parquet"},
    description="One row per run: what was known before the call, the tokens it took, and its split.",
)
def thinking_tokens_examples(request_traces: Table, workspace: Workspace) -> dg.MaterializeResult:
    examples = token_examples(request_traces, learn_rows=workspace.learn_rows)
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
