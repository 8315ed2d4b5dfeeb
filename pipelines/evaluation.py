"""`foretell evaluate`: one family on one data set, split by query, judged against its floor."""

from __future__ import annotations

from functools import partial

import pandas as pd

from pipelines.settings import Settings
from predictors.errors import DatasetError, InvalidInputError

FAMILIES = ("thinking_tokens",)


def evaluate_dataset(settings: Settings, family: str, dataset: str) -> pd.DataFrame:
    """The Evaluation table of `family` on `dataset`.

    Raises
    ------
    InvalidInputError
        If the family is unknown.
    DatasetError
        If the data set is unknown, or its files can neither be fetched nor found in the mirror.
    """
    from assets.family import evaluate_family, fit_family
    from assets.thinking_tokens import PIPELINE

    if family == "benchmark_scores":
        return _evaluate_scores(settings, dataset)
    examples = _examples(settings, family, dataset)
    fitted = fit_family(PIPELINE, examples, store=settings.home / "models")
    return evaluate_family(PIPELINE, fitted, examples, dataset=dataset)


def _evaluate_scores(settings: Settings, dataset: str) -> pd.DataFrame:
    from pathlib import Path

    from assets.benchmark_scores import SCORE_DATASETS, evaluate_benchmark_scores
    from pipelines.console import say

    if dataset not in SCORE_DATASETS:
        raise InvalidInputError(f"unknown data set {dataset!r}; benchmark_scores has {', '.join(SCORE_DATASETS)}")
    if settings.mirror is None or "://" in settings.mirror:
        raise DatasetError("the prepared scores lie beside a mirror: set FORETELL_MIRROR to a folder")
    return evaluate_benchmark_scores(dataset, snapshots=Path(settings.mirror).parent / "snapshots", progress=say)


def floors_of_dataset(settings: Settings, family: str, dataset: str) -> pd.DataFrame:
    """The noise floor of every segment of `dataset`, over all splits; raises as `evaluate_dataset` does."""
    from assets.family import floor_table
    from assets.thinking_tokens import PIPELINE

    return floor_table(PIPELINE, _examples(settings, family, dataset), dataset=dataset)


def _examples(settings: Settings, family: str, dataset: str) -> pd.DataFrame:
    from assets.thinking_tokens import examples_from_traces

    if family not in FAMILIES:
        raise InvalidInputError(f"unknown family {family!r}; there is {', '.join(FAMILIES)}")
    return examples_from_traces(load_dataset(settings, dataset))


def load_dataset(settings: Settings, dataset: str) -> pd.DataFrame:
    """The curated traces of a data set; `lake` is what this installation has ingested."""
    from assets.datasets import load_traces
    from assets.io import read_table
    from predictors.thinking_tokens.cost import price_requests

    if dataset == "lake":
        try:
            return read_table(settings.home / "lake", "request_traces")
        except FileNotFoundError as error:
            raise DatasetError("nothing was ingested yet: run `foretell ingest PATH` or `foretell demo`") from error
    curated = load_traces(
        dataset,
        starter=settings.starter_traces,
        cache=settings.cache,
        mirror=settings.mirror,
        price=partial(price_requests, price_file=settings.price_file),
    )
    return curated.traces
