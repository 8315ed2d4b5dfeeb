"""Described benchmarks and their scores -> one row per score to learn from or be judged on."""

from pathlib import Path
from typing import TypeAlias

import numpy as np
import pandas as pd

from foretell.assets.families.benchmark_scores.own import own_tables
from foretell.assets.judging.family import LAKE
from foretell.assets.lake.tables.contracts import TABLES
from foretell.assets.store.sources import Sources, read_public
from foretell.predictors.errors import InvalidInputError
from foretell.predictors.splits import assign_split

MODERN = "modern"
DATASETS = ("ladder", MODERN, "llm-harness", "mteb", LAKE)
MODELS_PER_BENCHMARK = 40
SAMPLE_SEED = 0
ScoreTables: TypeAlias = tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]
"""Canonical tables of one data set: descriptions, runs and models."""


def load_score_tables(dataset: str, sources: Sources) -> ScoreTables:
    """Read a set and make it ready by `prepare_tables`.

    ``ladder`` and ``modern`` are committed with the project; the others are prepared tables that lie beside a mirror.

    Raises
    ------
    InvalidInputError
        If the set is not known, or a name or score survives redaction.
    DatasetError
        If a file is missing.
    """
    from foretell.assets.families.downstream_scaling.ladder import ladder_scores
    from foretell.assets.readers.scores.prepared import load_llm_harness_snapshot, load_mteb_snapshot

    readers = {
        MODERN: lambda: load_modern(sources.public),
        "ladder": lambda: ladder_scores(sources.starter),
        "mteb": lambda: load_mteb_snapshot(sources.snapshots / "mteb"),
        "llm-harness": lambda: load_llm_harness_snapshot(sources.snapshots / "llm_harness"),
        LAKE: lambda: own_tables(sources.home / "lake", sources.public),
    }
    if dataset not in readers:
        raise InvalidInputError(f"`dataset` must be one of {list(readers)}, got {dataset!r}")
    return prepare_tables(*readers[dataset]())


def load_modern(public: Path) -> ScoreTables:
    """The set ``modern``: scores of the models people use, on benchmarks that this project described in its own words.

    One score per model and benchmark, the model thinking as hard as any source reports; made with its standard errors
    by ``data/collect/public_scores.py`` and committed in ``data/public``.
    """
    described = read_public(public, "benchmark_descriptions").drop(columns=["chance_level", "human_level"])
    cells = read_public(public, "modern_scores").rename(columns={"standard_error": "standard_error_reported"})
    models = read_public(public, "models").rename(columns={"vendor": "model_family"})
    runs = cells.assign(
        run_id=cells["model"] + "|" + cells["benchmark"], metric="score", higher_is_better=True,
        n_shot=np.nan, n_replicates=np.nan, replicate_sd=np.nan,
        started_at=pd.Series(pd.NaT, index=cells.index, dtype="datetime64[us, UTC]"),
    )  # fmt: skip
    used = models[models["model"].isin(runs["model"])]
    return (
        described[described["benchmark"].isin(runs["benchmark"])], runs,
        used.assign(embed_dim=np.nan, n_languages=np.nan, uses_instructions=np.nan),
    )  # fmt: skip


def prepare_tables(descriptions: pd.DataFrame, runs: pd.DataFrame, models: pd.DataFrame) -> ScoreTables:
    """Redact descriptions, check that nothing leaks, and leave out runs that are no score of a described benchmark.

    These are runs outside 0-100 points, and those of a metric of which lower is better.
    """
    from foretell.predictors.benchmark_scores.description.redaction import check_leaks, redact_descriptions

    redacted, _ = redact_descriptions(descriptions)
    check_leaks(redacted, {str(name): scores.tolist() for name, scores in runs.groupby("benchmark")["score"]})
    is_score = runs["score"].between(0, 100) & runs["benchmark"].isin(redacted["benchmark"]) & runs["higher_is_better"]
    return redacted, runs[is_score], models


def examples_from_scores(
    tables: ScoreTables, *, source: str | None, per_benchmark: int | None = MODELS_PER_BENCHMARK
) -> pd.DataFrame:
    """One row per score to learn from or be judged on, at most `per_benchmark` models of each benchmark.

    `value` is the score in points, `query_id` the leak group (what intervals resample), `cell_id` the run.
    `standard_error` is the score's own noise, NaN where it cannot be known. Without `source` the runs tell theirs, and
    runs of one model asked alike are replicates of a cell.
    """
    from foretell.predictors.benchmark_scores.scale import score_standard_error

    order_of_runs = ["benchmark", "model", *(["started_at"] if source is None else []), "run_id"]
    descriptions, runs, models = tables
    runs = runs.sort_values(order_of_runs, kind="stable", ignore_index=True)
    if per_benchmark is not None:
        order = pd.Series(np.random.default_rng(SAMPLE_SEED).random(len(runs)), index=runs.index)
        runs = runs[order.groupby(runs["benchmark"]).rank() <= per_benchmark].reset_index(drop=True)
    error = score_standard_error(runs)
    described = descriptions.drop(columns=["metric", "licence", "source_url"])
    out = runs.drop(columns="n_items").merge(described, on="benchmark", how="left", validate="m:1")
    out = out.merge(models, on="model", how="left", validate="m:1")
    cell = out["run_id"]
    if source is None:
        asked = ["source", "benchmark", "model", "n_shot", "config"]
        cell = out[asked].astype(object).fillna("").astype("str").agg("|".join, axis=1)
    out = out.assign(
        source=source or out["source"], cell_id=cell, query_id=out["leak_group"],
        replicate=cell.groupby(cell).cumcount(),
        split=assign_split(out["leak_group"]), value=out["score"].astype("float64"), is_censored=False,
        is_capped=False, repeat_prob=1.0,
        release_year=out["released_at"].dt.year + (out["released_at"].dt.month - 1) / 12, standard_error=error,
        published_year=out["published_at"].dt.year + (out["published_at"].dt.month - 1) / 12,
        has_noise=np.where(np.isnan(error), "unknown", "known"), n_items=out["n_items"].astype("float64"),
        n_classes=out["n_classes"].astype("float64"), n_shot=out["n_shot"].astype("float64"),
    )  # fmt: skip
    return out.reindex(columns=[
        "cell_id", "query_id", "replicate", "split", "value", "is_censored", "is_capped", "repeat_prob",
        "started_at", "source", "standard_error", "has_noise", "published_at", "benchmark", "leak_group", "task",
        "data_collection",
        "evaluation", "difficulty", "subset", "prompting_strategy", "other_settings", "domain", "answer_format",
        "metric", "languages", "n_classes", "n_items", "n_shot", "model", "model_family", "n_params", "embed_dim",
        "context_tokens", "n_languages", "uses_instructions", "open_weights", "release_year",
        "published_year", "is_reasoning", "input_usd_per_million", "output_usd_per_million",
    ])  # fmt: skip


def examples_from_dataset(dataset: str, sources: Sources) -> pd.DataFrame:
    """`examples_from_scores` of a named data set; none where the lake holds no run."""
    if dataset == LAKE and TABLES["benchmark_runs"].read(sources.home / "lake").empty:
        return pd.DataFrame()
    per_benchmark = MODELS_PER_BENCHMARK if dataset == "mteb" else None
    source = None if dataset == LAKE else dataset
    return examples_from_scores(load_score_tables(dataset, sources), source=source, per_benchmark=per_benchmark)
