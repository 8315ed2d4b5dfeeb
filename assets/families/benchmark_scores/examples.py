"""Described benchmarks and their scores -> one row per score to learn from or be judged on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from foretell.assets.families.benchmark_scores.own import own_tables
from foretell.assets.judging.family import LAKE
from foretell.assets.lake.tables.contracts import TABLES
from foretell.assets.store.sources import Sources
from foretell.predictors.errors import InvalidInputError
from foretell.predictors.splits import assign_split

DATASETS = ("ladder", "modern", "llm-harness", "mteb", LAKE)
MODELS_PER_BENCHMARK = 40
SAMPLE_SEED = 0


@dataclass(frozen=True)
class ScoreTables:
    """Canonical tables of one data set: redacted descriptions, scorable runs, models, and what was removed."""

    descriptions: pd.DataFrame
    runs: pd.DataFrame
    models: pd.DataFrame
    redactions: pd.DataFrame
    quarantine: pd.DataFrame


def load_score_tables(dataset: str, sources: Sources) -> ScoreTables:
    """Read a set, redact its descriptions, check that nothing leaks, and quarantine what is no score.

    ``ladder`` and ``modern`` are committed with the project; the others are prepared tables that lie beside a mirror.

    Raises
    ------
    InvalidInputError
        If the set is not known, or a name or score survives redaction.
    DatasetError
        If a file is missing.
    """
    from foretell.assets.families.benchmark_scores.modern import load_modern
    from foretell.assets.families.downstream_scaling.ladder import ladder_scores
    from foretell.assets.readers.scores.prepared import load_llm_harness_snapshot, load_mteb_snapshot

    readers = {"mteb": (load_mteb_snapshot, "mteb"), "llm-harness": (load_llm_harness_snapshot, "llm_harness")}
    if dataset not in DATASETS:
        raise InvalidInputError(f"`dataset` must be one of {list(DATASETS)}, got {dataset!r}")
    if dataset == "modern":
        return prepare_tables(*load_modern(sources.public))
    if dataset == "ladder":
        return prepare_tables(*ladder_scores(sources.starter))
    read, folder = readers[dataset]
    return prepare_tables(*read(sources.snapshots / folder))


def prepare_tables(descriptions: pd.DataFrame, runs: pd.DataFrame, models: pd.DataFrame) -> ScoreTables:
    """Redact, check for leaks and separate what is no score in points."""
    from foretell.predictors.benchmark_scores.description.redaction import check_leaks, redact_descriptions

    redacted, report = redact_descriptions(descriptions)
    check_leaks(redacted, {str(name): scores.tolist() for name, scores in runs.groupby("benchmark")["score"]})
    outside = ~runs["score"].between(0, 100)
    unknown = ~runs["benchmark"].isin(redacted["benchmark"])
    reason = np.where(unknown, "the benchmark has no description", "the score is outside 0-100 points")
    bad = outside | unknown | ~runs["higher_is_better"]
    reason = np.where(runs["higher_is_better"], reason, "a metric of which lower is better has no score in points")
    return ScoreTables(redacted, runs[~bad], models, report, runs[bad].assign(reason=reason[bad.to_numpy()]))


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
    runs = tables.runs.sort_values(order_of_runs, kind="stable", ignore_index=True)
    if per_benchmark is not None:
        order = pd.Series(np.random.default_rng(SAMPLE_SEED).random(len(runs)), index=runs.index)
        runs = runs[order.groupby(runs["benchmark"]).rank() <= per_benchmark].reset_index(drop=True)
    error = score_standard_error(runs)
    described = tables.descriptions.drop(columns=["metric", "licence", "source_url"])
    out = runs.drop(columns="n_items").merge(described, on="benchmark", how="left", validate="m:1")
    out = out.merge(tables.models, on="model", how="left", validate="m:1")
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
    """`examples_from_scores` of a named data set."""
    if dataset == LAKE:
        if TABLES["benchmark_runs"].read(sources.home / "lake").empty:
            return pd.DataFrame()
        tables = prepare_tables(*own_tables(sources.home / "lake", sources.public))
        return examples_from_scores(tables, source=None, per_benchmark=None)
    per_benchmark = MODELS_PER_BENCHMARK if dataset == "mteb" else None
    return examples_from_scores(load_score_tables(dataset, sources), source=dataset, per_benchmark=per_benchmark)
