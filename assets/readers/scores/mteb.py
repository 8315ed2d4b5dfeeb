"""MTEB: scores of embedding models on text tasks, and what is known about the tasks and the models.

Two layouts are read:

- the prepared snapshot (``mteb_scores.parquet``, 81,415 scores; ``mteb_tasks.parquet``, 1,485 tasks;
  ``mteb_models.parquet``, 969 models), made from github:embeddings-benchmark/results at commit
  f4cc6c8b365a3c779dbc708d6affe0b0355b2ddf (CC0) and the metadata of the package ``mteb`` (Apache-2.0);
- the results layout itself, ``results/<model>/<revision>/<task>.json``, with its repeated experiments.

Task metadata comes from the snapshot, or from the package ``mteb`` (`mteb_package`). Scores are in points (0-100).
Citation: Muennighoff et al. (2023), MTEB: Massive Text Embedding Benchmark.
"""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from foretell.assets.readers.scores.mteb_package import package_tasks
from foretell.predictors.benchmark_scores.description.leakage import leak_groups
from foretell.predictors.errors import DatasetError
from foretell.predictors.schemas.benchmark_runs import AGGREGATE_ITEM, BenchmarkRuns
from foretell.predictors.schemas.descriptions import BenchmarkDescriptions, BenchmarkModels

LENGTH_BANDS = ((60, "very short"), (200, "short"), (1000, "medium-length"), (4000, "long"))
"""Characters up to which a text counts as such; longer is "very long". Bands, because exact counts are redacted."""

_FORMATS = {
    "Classification": "assigns each text to one class",
    "MultilabelClassification": "assigns each text any number of labels",
    "Retrieval": "ranks the documents of a corpus for each query",
    "InstructionRetrieval": "ranks the documents of a corpus for each query with an instruction",
    "Reranking": "reorders a short list of candidates for each query",
    "InstructionReranking": "reorders candidates for each query under changed instructions",
    "Clustering": "groups texts without labels",
    "STS": "grades how similar two sentences are",
    "PairClassification": "decides whether two texts match",
    "BitextMining": "finds the translation of each sentence in another language",
    "Summarization": "grades machine summaries against human ones",
}


def load_mteb_snapshot(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Read the prepared snapshot: text tasks that have a description.

    Without ``mteb_tasks.parquet`` the tasks are described by the package ``mteb``, where it is installed.

    Returns
    -------
    descriptions : DataFrame
        Valid under `BenchmarkDescriptions`, not redacted.
    runs : DataFrame
        Valid under `BenchmarkRuns`: one aggregate per model and task, in points, also those outside 0-100.
    models : DataFrame
        Valid under `BenchmarkModels`.

    Raises
    ------
    DatasetError
        If a file of the snapshot is missing.
    """
    tables = {}
    for name in ("scores", "tasks", "models"):
        path = folder / f"mteb_{name}.parquet"
        if path.is_file():
            tables[name] = pd.read_parquet(path)
        elif name == "tasks" and find_spec("mteb") is not None:
            tables[name] = package_tasks()
        else:
            raise DatasetError(f"{path}: the MTEB snapshot lacks this file; see docs/benchmark_scores.md")
    tasks = tables["tasks"].query("modalities == 'text'").drop_duplicates("task")
    scores = tables["scores"][tables["scores"]["task"].isin(tasks["task"])]
    tasks = tasks[tasks["task"].isin(scores["task"])].sort_values("task", ignore_index=True)
    descriptions = describe_tasks(tasks)
    items = descriptions.set_index("benchmark")[["n_items", "metric"]]
    return descriptions, _snapshot_runs(scores, items), _models(tables["models"], scores)


def describe_tasks(tasks: pd.DataFrame) -> pd.DataFrame:
    """Task metadata in the form of the package ``mteb`` to PRECOG's fields, not redacted."""
    texts = tasks["description"].fillna("").astype("str")
    tail = pd.DataFrame({
        "data_collection": _phrases(tasks, ("sample_creation", "annotations", "domains"), "The texts were {}."),
        "evaluation": tasks["main_metric"].map(lambda m: f"The metric is {str(m).replace('_', ' ')}."),
        "difficulty": _difficulty(tasks),
        "subset": tasks["languages"].map(_language_phrase),
    })  # fmt: skip
    groups = leak_groups(tasks["task"].tolist(), texts.tolist(), tasks["reference"].fillna("").tolist())
    kinds = tasks["type"].astype("str").str.replace(r"\(.*\)", "", regex=True)
    out = pd.DataFrame({
        "benchmark": tasks["task"], "task": texts.where(texts.str.strip() != "", None), **tail,
        "prompting_strategy": None, "other_settings": kinds.map(lambda k: f"The model {_FORMATS.get(k, k)}."),
        "domain": tasks["domains"], "answer_format": kinds, "metric": tasks["main_metric"],
        "languages": tasks["languages"], "n_items": _positive(tasks.get("st_num_samples"), tasks.index),
        "n_classes": _positive(_first_known(tasks, ("st_label_statistics__unique_labels",
                                                    "st_labels_statistics__unique_labels")), tasks.index),
        "leak_group": groups, "licence": tasks["license"], "source_url": tasks["reference"],
        "published_at": pd.to_datetime(tasks["date"].map(_end_of_dates), utc=True, errors="coerce"),
    })  # fmt: skip
    return BenchmarkDescriptions.validate(out.reset_index(drop=True), lazy=True)


def _snapshot_runs(scores: pd.DataFrame, items: pd.DataFrame) -> pd.DataFrame:
    sd = scores["exp_std_single"].where(scores["n_exp"] > 1)
    count = scores["n_exp"].where(scores["n_exp"] > 1)
    known = items.reindex(scores["task"])
    out = pd.DataFrame({
        **_constants(known["metric"].to_numpy(), scores["model"], scores["task"]),
        "run_id": scores["model"] + "/" + scores["revision"] + "/" + scores["task"], "score": scores["score"],
        "standard_error_reported": sd / np.sqrt(count), "n_replicates": count.fillna(1), "replicate_sd": sd,
        "n_items": known["n_items"].to_numpy(), "harness_version": scores["mteb_version"],
    }, index=scores.index)  # fmt: skip
    out = out.reindex(columns=list(BenchmarkRuns.to_schema().columns)).reset_index(drop=True)
    return BenchmarkRuns.validate(out, lazy=True)


def _constants(metric: Any, model: Any, benchmark: Any) -> dict[str, Any]:
    return {
        "item_id": AGGREGATE_ITEM, "replicate": 0, "metric": metric, "filter": "none", "benchmark": benchmark,
        "model": model, "n_shot": None, "higher_is_better": True, "n_items": None, "tokens": None,
        "started_at": pd.NaT, "harness": "mteb", "git_commit": None,
    }  # fmt: skip


def _models(models: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    known = models.assign(model=models["name"].str.replace("/", "__", regex=False)).drop_duplicates("model")
    known = known.set_index("model").reindex(sorted(scores["model"].unique()))
    flags = known["use_instructions"].map(lambda flag: {True: 1.0, False: 0.0}.get(flag))
    out = pd.DataFrame({
        "model": known.index, "model_family": pd.Series(known.index).str.split("__").str[0].to_numpy(),
        "n_params": known["n_parameters"].to_numpy(),
        "embed_dim": known["embed_dim"].where(known["embed_dim"] > 0).to_numpy(),
        "context_tokens": known["max_tokens"].where(known["max_tokens"].between(1, 1e8)).to_numpy(),
        "n_languages": known["languages"].where(known["languages"] > 0).to_numpy(dtype="float64"),
        "uses_instructions": flags.to_numpy(dtype="float64"),
        "open_weights": known["open_weights"].map({True: 1.0, False: 0.0}).to_numpy(dtype="float64"),
        "released_at": pd.to_datetime(known["release_date"], utc=True, errors="coerce").to_numpy(),
    })  # fmt: skip
    return BenchmarkModels.validate(out, lazy=True)


def _phrases(tasks: pd.DataFrame, columns: tuple[str, ...], template: str) -> pd.Series:
    joined = []
    for values in tasks[list(columns)].itertuples(index=False):
        words = [str(v).replace("|", ", ").lower() for v in values if isinstance(v, str) and v not in ("", "None")]
        joined.append(template.format("; ".join(words)) if words else None)
    return pd.Series(joined, index=tasks.index, dtype="object")


def _difficulty(tasks: pd.DataFrame) -> pd.Series:
    """Subtypes, and the typical length of the texts as a band."""
    kinds = tasks["subtypes"].fillna("").str.replace("|", ", ").str.lower()
    named = [c for c in map(str, tasks.columns) if c.endswith("average_text_length")]
    lengths = {"documents": [c for c in named if "documents" in c], "texts": [c for c in named if "documents" not in c]}
    phrases = []
    for i, kind in enumerate(kinds):
        parts = [kind] if kind else []
        for what, columns in lengths.items():
            values = tasks[columns].iloc[i].dropna()
            if len(values):
                parts.append(f"{_band(float(values.iloc[0]))} {what}")
        phrases.append("; ".join(parts) + "." if parts else None)
    return pd.Series(phrases, index=tasks.index, dtype="object")


def _band(characters: float) -> str:
    return next((name for limit, name in LENGTH_BANDS if characters <= limit), "very long")


def _language_phrase(codes: object) -> str | None:
    if not isinstance(codes, str) or not codes:
        return None
    parts = codes.split("|")
    return f"Languages: {' '.join(parts)}." if len(parts) <= 8 else "Languages: massively multilingual."


def _end_of_dates(text: object) -> str | None:
    found = re.findall(r"\d{4}-\d{2}-\d{2}", str(text))
    return found[-1] if found else None


def _first_known(tasks: pd.DataFrame, columns: tuple[str, ...]) -> pd.Series | None:
    present = [tasks[name] for name in columns if name in tasks]
    return present[0] if len(present) == 1 else (present[0].fillna(present[1]) if present else None)


def _positive(values: pd.Series | None, index: pd.Index) -> pd.Series:
    if values is None:
        return pd.Series(pd.NA, index=index, dtype="Int64")
    numbers = pd.to_numeric(values, errors="coerce").round()
    return numbers.where(numbers > 0).astype("Int64")
