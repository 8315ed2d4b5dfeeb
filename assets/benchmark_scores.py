"""The benchmark-score family: its examples, and how it is fitted and judged over leak groups."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import numpy as np
import pandas as pd

from assets.family import family_pipeline
from assets.family_assets import build_family_assets
from assets.input_tables import read_input_table
from assets.resources import Workspace
from assets.sources import Sources
from predictors.errors import DatasetError, InvalidInputError
from predictors.splits import assign_split

__all__ = [
    "DATASETS",
    "PIPELINE",
    "ScoreTables",
    "benchmark_scores_assets",
    "evaluate_dataset",
    "examples_from_dataset",
    "examples_from_scores",
    "load_precog_jsonl",
    "load_score_tables",
    "read_inputs",
]

DATASETS = ("ladder", "llm-harness", "mteb")
MODELS_PER_BENCHMARK = 40
SAMPLE_SEED = 0


PIPELINE = family_pipeline("benchmark_scores", scale="identity", segments=("answer_format",), dataset="ladder")


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

    ``ladder`` is committed with the project; the others are prepared tables that lie beside a mirror.

    Raises
    ------
    InvalidInputError
        If the set is not known, or a name or score survives redaction.
    DatasetError
        If a file is missing.
    """
    from assets.ladder import ladder_scores
    from assets.readers.lm_eval_scores import load_llm_harness_snapshot
    from assets.readers.mteb import load_mteb_snapshot

    readers = {"mteb": (load_mteb_snapshot, "mteb"), "llm-harness": (load_llm_harness_snapshot, "llm_harness")}
    if dataset not in DATASETS:
        raise InvalidInputError(f"`dataset` must be one of {list(DATASETS)}, got {dataset!r}")
    if dataset == "ladder":
        return prepare_tables(*ladder_scores(sources.starter))
    read, folder = readers[dataset]
    return prepare_tables(*read(sources.snapshots / folder))


def prepare_tables(descriptions: pd.DataFrame, runs: pd.DataFrame, models: pd.DataFrame) -> ScoreTables:
    """Redact, check for leaks and separate what is no score in points."""
    from predictors.benchmark_scores.redaction import check_leaks, redact_descriptions

    redacted, report = redact_descriptions(descriptions)
    check_leaks(redacted, {str(name): scores.tolist() for name, scores in runs.groupby("benchmark")["score"]})
    outside = ~runs["score"].between(0, 100)
    unknown = ~runs["benchmark"].isin(redacted["benchmark"])
    reason = np.where(unknown, "the benchmark has no description", "the score is outside 0-100 points")
    bad = outside | unknown | ~runs["higher_is_better"]
    reason = np.where(runs["higher_is_better"], reason, "a metric of which lower is better has no score in points")
    return ScoreTables(redacted, runs[~bad], models, report, runs[bad].assign(reason=reason[bad.to_numpy()]))


def read_inputs(path: Path) -> pd.DataFrame:
    """Described benchmarks and models of a file, redacted as the training texts were; columns of `ScoreRequests`.

    Raises
    ------
    InvalidInputError
        If the file cannot be read, or says nothing about a benchmark or a model.
    """
    from predictors.benchmark_scores.redaction import redact_descriptions
    from predictors.schemas.descriptions import ScoreRequests

    columns = ScoreRequests.to_schema().columns
    rows = read_input_table(path, known=columns, lists=("known_models", "known_scores"))
    names = rows["benchmark"].fillna("").astype("str") if "benchmark" in rows else ""
    redacted, _ = redact_descriptions(rows.assign(benchmark=names))
    return redacted


def load_precog_jsonl(path: Path) -> pd.DataFrame:
    """Read descriptions from JSON lines in PRECOG's form, for users who hold that corpus.

    Each line has ``benchmark`` and any of the seven fields, and may have ``sources`` (paper identifiers) beside
    the other columns of `BenchmarkDescriptions`. Leak groups are made anew, from names, texts and sources.
    """
    from predictors.benchmark_scores.leakage import description_text, leak_groups
    from predictors.schemas.descriptions import BenchmarkDescriptions

    try:
        table = pd.read_json(path, lines=True, dtype=False)
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path}: not JSON lines ({error})") from error
    if "benchmark" not in table:
        raise DatasetError(f"{path}: the records lack `benchmark`")
    sources = table["sources"].map(_joined).tolist() if "sources" in table else [None] * len(table)
    columns = list(BenchmarkDescriptions.to_schema().columns)
    table = table.reindex(columns=[name for name in columns if name != "leak_group"])
    table["leak_group"] = leak_groups(table["benchmark"].tolist(), description_text(table).tolist(), sources)
    return BenchmarkDescriptions.validate(table[columns], lazy=True)


def _joined(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value or "")


def examples_from_scores(tables: ScoreTables, *, per_benchmark: int | None = MODELS_PER_BENCHMARK) -> pd.DataFrame:
    """One row per score to learn from or be judged on, at most `per_benchmark` models of each benchmark.

    `value` is the score in points, `query_id` the leak group (what intervals resample), `cell_id` the run.
    `standard_error` is the score's own noise, NaN where it cannot be known.
    """
    from predictors.benchmark_scores.noise import score_standard_error

    runs = tables.runs.sort_values(["benchmark", "model", "run_id"], kind="stable", ignore_index=True)
    if per_benchmark is not None:
        order = pd.Series(np.random.default_rng(SAMPLE_SEED).random(len(runs)), index=runs.index)
        runs = runs[order.groupby(runs["benchmark"]).rank() <= per_benchmark].reset_index(drop=True)
    error = score_standard_error(runs)
    known = tables.descriptions.drop(columns=["metric", "licence", "source_url"])
    out = runs.drop(columns=["n_items", "started_at"]).merge(known, on="benchmark", how="left", validate="m:1")
    out = out.merge(tables.models, on="model", how="left", validate="m:1")
    out = out.assign(
        cell_id=out["run_id"], query_id=out["leak_group"], replicate=0, split=assign_split(out["leak_group"]),
        value=out["score"].astype("float64"), is_censored=False, is_capped=False, repeat_prob=1.0,
        release_year=out["released_at"].dt.year + (out["released_at"].dt.month - 1) / 12, standard_error=error,
        has_noise=np.where(np.isnan(error), "unknown", "known"), n_items=out["n_items"].astype("float64"),
        n_classes=out["n_classes"].astype("float64"), n_shot=out["n_shot"].astype("float64"),
    )  # fmt: skip
    return out[[
        "cell_id", "query_id", "replicate", "split", "value", "is_censored", "is_capped", "repeat_prob",
        "standard_error", "has_noise", "published_at", "benchmark", "leak_group", "task", "data_collection",
        "evaluation", "difficulty", "subset", "prompting_strategy", "other_settings", "domain", "answer_format",
        "metric", "languages", "n_classes", "n_items", "n_shot", "model", "model_family", "n_params", "embed_dim",
        "context_tokens", "n_languages", "uses_instructions", "open_weights", "release_year",
    ]]  # fmt: skip


def examples_from_dataset(dataset: str, sources: Sources) -> pd.DataFrame:
    """`examples_from_scores` of a named data set."""
    return examples_from_scores(load_score_tables(dataset, sources), per_benchmark=_per_benchmark(dataset))


def _per_benchmark(dataset: str) -> int | None:
    return MODELS_PER_BENCHMARK if dataset == "mteb" else None


def evaluate_dataset(
    dataset: str, sources: Sources, *, optimistic: bool = True, progress: Callable[[str], None] = lambda _: None
) -> pd.DataFrame:
    """The Evaluation table of `FOLDS` folds over leak groups, all folds together and one by one.

    The splits and segments are those of `assets.score_evaluation.evaluate_scores`.

    Parameters
    ----------
    dataset : str
        One of `DATASETS`.
    sources : Sources
        Where the prepared tables lie.
    optimistic : bool, optional
        Whether to add the optimistic split, which takes as long again.
    progress : callable, optional
        Told what has been done.
    """
    from assets.score_evaluation import evaluate_scores

    tables = load_score_tables(dataset, sources)
    examples = examples_from_scores(tables, per_benchmark=_per_benchmark(dataset))
    return evaluate_scores(PIPELINE, examples, tables.descriptions, dataset, optimistic=optimistic, progress=progress)


# -- Dagster ------------------------------------------------------------------------------------------
class ScoreSource(dg.Config):
    """Which data set the examples are made from."""

    dataset: str = "ladder"


@dg.asset(
    group_name="benchmark_scores",
    kinds={"parquet"},
    description="One row per score: the redacted description, the model, the score and its split.",
)
def benchmark_scores_examples(config: ScoreSource, workspace: Workspace) -> dg.MaterializeResult:
    tables = load_score_tables(config.dataset, workspace.sources)
    examples = examples_from_scores(tables, per_benchmark=MODELS_PER_BENCHMARK)
    return dg.MaterializeResult(
        value=examples,
        metadata={
            "benchmarks": int(examples["benchmark"].nunique()),
            "leak_groups": int(examples["query_id"].nunique()),
            "models": int(examples["model"].nunique()),
            "redactions": len(tables.redactions),
            "quarantined": len(tables.quarantine),
        },
    )


benchmark_scores_assets = [benchmark_scores_examples, *build_family_assets(PIPELINE, fresh_hours=8 * 24)]
