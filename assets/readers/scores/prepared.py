"""Prepared tables of public scores: MTEB, and the harness runs that others published.

Both snapshots give descriptions (`BenchmarkDescriptions`, not redacted), runs (`BenchmarkRuns`: aggregates in points,
0-100) and models (`BenchmarkModels`).

- ``mteb/``: 81,415 scores (``mteb_scores.parquet``), 1,485 tasks, 969 models, made from
  github:embeddings-benchmark/results at f4cc6c8b365a3c779dbc708d6affe0b0355b2ddf (CC0) and the metadata of the package
  ``mteb`` (Apache-2.0). Citation: Muennighoff et al. (2023), MTEB: Massive Text Embedding Benchmark.
- ``llm_harness/``: 135,356 scores (``llm_harness_results.parquet``) and 236 READMEs
  (``lm_eval_task_readmes.parquet``), made from github:EleutherAI/pythia at
  a19eecb807ec2c79a39ebf18108816e6ffffc1d5, EleutherAI/lm-evaluation-harness at
  e131a5976ed2f9cff7f1905fb3a7e5e532173220 (READMEs at 4e7e0d47f33bc71070c1d38394bafbb52b117163) and
  bigscience-workshop/evaluation-results at 676f6a8cf27d4df30b073fb490deb9e359da64aa (Apache-2.0, MIT, no licence
  file). Citation: Gao et al., A framework for few-shot language model evaluation.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from foretell.assets.readers.spellings import spellings
from foretell.predictors.benchmark_scores.description.leakage import leak_groups
from foretell.predictors.errors import DatasetError
from foretell.predictors.schemas.benchmark_runs import AGGREGATE_ITEM, BenchmarkRuns
from foretell.predictors.schemas.contracts import completed
from foretell.predictors.schemas.descriptions import BenchmarkDescriptions, BenchmarkModels

LENGTH_BANDS = ((60, "very short"), (200, "short"), (1000, "medium-length"), (4000, "long"))
"""Characters up to which a text counts as such; longer is "very long". Bands, because exact counts are redacted."""

_FORMATS = spellings("mteb_tasks")
GENERATED = re.compile(
    r"^(?:gsm8k|math_|triviaqa|webqs|arithmetic_|lambada|squad|drop|coqa|anagrams|cycle|random_|rever)"
)
_TASKS = spellings("harness_tasks")
_FOLDERS, _LANGUAGES, _CHOICES = (_TASKS[name] for name in ("folders", "languages", "choices"))


def load_mteb_snapshot(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Descriptions, runs and models of MTEB: text tasks that have a description, scores also outside 0-100.

    Raises `DatasetError` if a file of the snapshot is missing.
    """
    scores, tasks, models = _read(folder, "mteb_scores", "mteb_tasks", "mteb_models")
    tasks = tasks.query("modalities == 'text'").drop_duplicates("task")
    scores = scores[scores["task"].isin(tasks["task"])]
    tasks = tasks[tasks["task"].isin(scores["task"])].sort_values("task", ignore_index=True)
    descriptions = describe_mteb_tasks(tasks)
    items = descriptions.set_index("benchmark")[["n_items", "metric"]]
    return descriptions, _mteb_runs(scores, items), _mteb_models(models, scores)


def load_llm_harness_snapshot(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Descriptions, runs and models of the harness: the accuracy of every model's last checkpoint.

    One run per model, task and number of shots; several prompts or re-runs of one are averaged, and are its replicates.

    Raises `DatasetError` if a file of the snapshot is missing.
    """
    results, readmes = _read(folder, "llm_harness_results", "lm_eval_task_readmes")
    results = results[results["metric"].isin(["acc", "acc,none"])]
    last = results.groupby("model")["step"].transform("max")
    results = results[results["step"].isna() | (results["step"] == last)]
    abstracts = {
        str(folder): body_of_readme(str(readme), abstract)
        for folder, readme, abstract in zip(readmes["folder"], readmes["readme"], readmes["abstract"], strict=True)
    }
    descriptions = describe_harness_tasks(sorted(results["task"].unique()), abstracts)
    models = results.groupby("model", as_index=False).agg(
        model_family=("family", "first"), n_params=("params", "first")
    )
    return descriptions, _harness_runs(results), completed(models.assign(open_weights=1.0), BenchmarkModels)


def _read(folder: Path, *names: str) -> list[pd.DataFrame]:
    paths = [folder / f"{name}.parquet" for name in names]
    for path in paths:
        if not path.is_file():
            raise DatasetError(f"{path}: the snapshot lacks this file; see docs/benchmark_scores.md")
    return [pd.read_parquet(path) for path in paths]


def _runs(columns: Mapping[str, Any]) -> pd.DataFrame:
    constant = {"item_id": AGGREGATE_ITEM, "replicate": 0, "filter": "none", "higher_is_better": True}
    return completed(pd.DataFrame({**constant, "n_replicates": 1, **columns}).reset_index(drop=True), BenchmarkRuns)


# -- MTEB ---------------------------------------------------------------------------------------------
def describe_mteb_tasks(tasks: pd.DataFrame) -> pd.DataFrame:
    """Task metadata in the form of the package ``mteb`` to PRECOG's fields, not redacted."""
    texts = tasks["description"].fillna("").astype("str")
    collected = (tasks[name] for name in ("sample_creation", "annotations", "domains"))
    tail = pd.DataFrame({
        "data_collection": _phrases(map(_words, collected), "The texts were {}."),
        "evaluation": tasks["main_metric"].map(lambda m: f"The metric is {str(m).replace('_', ' ')}."),
        "difficulty": _difficulty(tasks),
        "subset": tasks["languages"].map(_language_phrase),
    })  # fmt: skip
    groups = leak_groups(tasks["task"].tolist(), texts.tolist(), tasks["reference"].fillna("").tolist())
    ends = tasks["date"].astype("str").str.extract(r"(?s).*(\d{4}-\d{2}-\d{2})", expand=False)
    kinds = tasks["type"].astype("str").str.replace(r"\(.*\)", "", regex=True)
    out = pd.DataFrame({
        "benchmark": tasks["task"], "task": texts.where(texts.str.strip() != "", None), **tail,
        "prompting_strategy": None, "other_settings": kinds.map(lambda k: f"The model {_FORMATS.get(k, k)}."),
        "domain": tasks["domains"], "answer_format": kinds, "metric": tasks["main_metric"],
        "languages": tasks["languages"], "n_items": _positive(tasks, "st_num_samples"),
        "n_classes": _positive(tasks, "st_label_statistics__unique_labels", "st_labels_statistics__unique_labels"),
        "leak_group": groups, "licence": tasks["license"], "source_url": tasks["reference"],
        "published_at": pd.to_datetime(ends, utc=True, errors="coerce"),
    })  # fmt: skip
    return completed(out.reset_index(drop=True), BenchmarkDescriptions)


def _mteb_runs(scores: pd.DataFrame, items: pd.DataFrame) -> pd.DataFrame:
    count = scores["n_exp"].where(scores["n_exp"] > 1)
    sd = scores["exp_std_single"].where(scores["n_exp"] > 1)
    known = items.reindex(scores["task"])
    return _runs({
        "run_id": scores["model"] + "/" + scores["revision"] + "/" + scores["task"], "benchmark": scores["task"],
        "model": scores["model"], "metric": known["metric"].to_numpy(), "score": scores["score"],
        "standard_error_reported": sd / np.sqrt(count), "n_replicates": count.fillna(1), "replicate_sd": sd,
        "n_items": known["n_items"].to_numpy(), "harness": "mteb", "harness_version": scores["mteb_version"],
    })  # fmt: skip


def _mteb_models(models: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    known = models.assign(model=models["name"].str.replace("/", "__", regex=False)).drop_duplicates("model")
    known = known.set_index("model").reindex(sorted(scores["model"].unique()))
    out = pd.DataFrame({
        "model": known.index, "model_family": pd.Series(known.index).str.split("__").str[0].to_numpy(),
        "n_params": known["n_parameters"].to_numpy(),
        "embed_dim": known["embed_dim"].where(known["embed_dim"] > 0).to_numpy(),
        "context_tokens": known["max_tokens"].where(known["max_tokens"].between(1, 1e8)).to_numpy(),
        "n_languages": known["languages"].where(known["languages"] > 0).to_numpy(dtype="float64"),
        "uses_instructions": known["use_instructions"].map({True: 1.0, False: 0.0}).to_numpy(dtype="float64"),
        "open_weights": known["open_weights"].map({True: 1.0, False: 0.0}).to_numpy(dtype="float64"),
        "released_at": pd.to_datetime(known["release_date"], utc=True, errors="coerce").to_numpy(),
    })  # fmt: skip
    return completed(out, BenchmarkModels)


def _phrases(parts: Iterable[pd.Series | pd.DataFrame], template: str) -> pd.Series:
    """The words of each row, joined; null without any."""
    table = pd.concat(parts, axis=1)
    joined = ["; ".join(w for w in row if isinstance(w, str) and w) for row in table.itertuples(index=False)]
    return pd.Series([template.format(text) if text else None for text in joined], index=table.index, dtype="object")


def _words(values: pd.Series) -> pd.Series:
    return values.where(values != "None").str.replace("|", ", ").str.lower()


def _difficulty(tasks: pd.DataFrame) -> pd.Series:
    """Subtypes, and the typical length of the texts as a band."""
    lengths = tasks.filter(regex="average_text_length$")
    of_documents = lengths.columns.str.contains("documents")
    parts = {"documents": lengths.loc[:, of_documents], "texts": lengths.loc[:, ~of_documents]}
    bands = [part.bfill(axis=1).iloc[:, :1].map(_band, na_action="ignore") + f" {what}" for what, part in parts.items()]
    return _phrases([_words(tasks["subtypes"]), *bands], "{}.")


def _band(characters: float) -> str:
    return next((name for limit, name in LENGTH_BANDS if characters <= limit), "very long")


def _language_phrase(codes: object) -> str | None:
    if not isinstance(codes, str) or not codes:
        return None
    parts = codes.split("|")
    return f"Languages: {' '.join(parts)}." if len(parts) <= 8 else "Languages: massively multilingual."


def _positive(tasks: pd.DataFrame, *columns: str) -> pd.Series:
    """Whole numbers above 0 of the first of these columns that has one."""
    numbers = tasks.reindex(columns=list(columns)).apply(pd.to_numeric, errors="coerce").bfill(axis=1).iloc[:, 0]
    whole: pd.Series = numbers.round().where(numbers.round() > 0).astype("Int64")
    return whole


# -- LM Evaluation Harness ----------------------------------------------------------------------------
def describe_harness_tasks(tasks: Iterable[str], abstracts: Mapping[str, str | None]) -> pd.DataFrame:
    """Harness tasks and the text of their READMEs (by folder) to PRECOG's fields, not redacted."""
    rows = []
    for task in tasks:
        folder = _folder(task, abstracts)
        text = abstracts.get(folder) if folder else None
        is_generated = GENERATED.match(task) is not None
        _, *parts = re.split(r"[_-]", task)  # the first names the collection
        part = " ".join(w for w in parts if not w.isdigit() and w.lower() not in _LANGUAGES).lower()
        language = str(_LANGUAGES.get(parts[-1] if parts else task, "eng"))
        rows.append({
            "benchmark": task, "task": text, "metric": "acc", "languages": language, "source": folder or task,
            "evaluation": "The share of exact answers." if is_generated else "The share of right choices.",
            "difficulty": f"Part: {part}." if part else None, "subset": f"Languages: {language}.",
            "other_settings": "The model generates its answer." if is_generated
            else "The model chooses among given answers by likelihood.",
            "answer_format": "generation" if is_generated else "multiple_choice",
            "n_classes": None if is_generated else _CHOICES.get(folder or "", _CHOICES.get(task)),
        })  # fmt: skip
    table = pd.DataFrame(rows)
    # One README describes all tasks of its folder, so they are one source.
    names, texts, sources = (table[name].fillna("").tolist() for name in ("benchmark", "task", "source"))
    table["leak_group"] = leak_groups(names, texts, sources)
    return completed(table, BenchmarkDescriptions)


def _harness_runs(results: pd.DataFrame) -> pd.DataFrame:
    means = results.groupby(["model", "task", "shots"], as_index=False).agg(
        score=("score", "mean"), stderr=("stderr", "mean"), items=("n_examples_inferred", "median"),
    )  # fmt: skip
    return _runs({
        "run_id": means["model"] + "/" + means["shots"].astype("str") + "/" + means["task"],
        "benchmark": means["task"], "model": means["model"], "metric": "acc", "n_shot": means["shots"],
        "score": means["score"] * 100, "standard_error_reported": means["stderr"] * 100,
        "n_items": means["items"].where(np.isfinite(means["items"]) & (means["items"] >= 1)).round(),
        "harness": "lm-evaluation-harness",
    })  # fmt: skip


def _folder(task: str, abstracts: Mapping[str, str | None]) -> str | None:
    for start, folder in _FOLDERS.items():
        if task == start or task.startswith((f"{start}_", f"{start}-")):
            return str(folder)
    parts = re.split(r"[_-]", task)
    return next((f for n in range(len(parts), 0, -1) if (f := "_".join(parts[:n])) in abstracts), None)


def body_of_readme(readme: str, abstract: object) -> str | None:
    """Abstract of a README: as prepared, or its prose without titles, code, links and lists."""
    if isinstance(abstract, str) and abstract.strip():
        return abstract.strip()
    text = re.sub(r"```.*?```", " ", readme, flags=re.S)
    text = re.split(r"(?m)^#+\s*(?:Citation|Groups|Tasks|Checklist|Changelog)", text)[0]
    other = re.compile(r"\s*(?:#|\*|-|\||Homepage|Title|http)")
    lines = [line.strip() for line in text.splitlines() if line.strip() and not other.match(line)]
    return " ".join(lines) or None
