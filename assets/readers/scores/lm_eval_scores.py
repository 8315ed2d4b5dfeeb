"""lm-evaluation-harness: scores of language models with their standard errors, and what task READMEs say.

The prepared snapshot is read (``llm_harness_results.parquet``, 135,356 scores; ``lm_eval_task_readmes.parquet``, 236
READMEs), made from github:EleutherAI/pythia at a19eecb807ec2c79a39ebf18108816e6ffffc1d5,
EleutherAI/lm-evaluation-harness at e131a5976ed2f9cff7f1905fb3a7e5e532173220 (READMEs at
4e7e0d47f33bc71070c1d38394bafbb52b117163) and bigscience-workshop/evaluation-results at
676f6a8cf27d4df30b073fb490deb9e359da64aa (Apache-2.0, MIT, no licence file).

Accuracy comes out in points (0-100). Citation: Gao et al., A framework for few-shot language model evaluation.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from foretell.predictors.benchmark_scores.description.leakage import leak_groups
from foretell.predictors.errors import DatasetError
from foretell.predictors.schemas.benchmark_runs import AGGREGATE_ITEM, BenchmarkRuns
from foretell.predictors.schemas.descriptions import BenchmarkDescriptions, BenchmarkModels

GENERATED = re.compile(
    r"^(?:gsm8k|math_|triviaqa|webqs|arithmetic_|lambada|squad|drop|coqa|anagrams|cycle|random_|rever)"
)
_FOLDERS = (
    ("hendrycksTest", "mmlu"), ("ethics", "hendrycks_ethics"), ("math_asdiv", "asdiv"), ("mathqa", "mathqa"),
    ("math", "hendrycks_math"), ("lambada_openai_mt", "lambada_multilingual"), ("lambada_mt", "lambada_multilingual"),
    ("lambada", "lambada"), ("pawsx", "paws-x"), ("xstory_cloze", "xstorycloze"), ("headqa", "headqa"),
    ("anagrams", "unscramble"), ("cycle_letters", "unscramble"), ("random_insertion", "unscramble"),
    ("reversed_words", "unscramble"), ("wsc273", "wsc273"), ("cola", "glue"), ("mnli", "glue"), ("mrpc", "glue"),
    ("qnli", "glue"), ("qqp", "glue"), ("rte", "glue"), ("sst", "glue"), ("wnli", "glue"), ("axb", "super_glue"),
    ("axg", "super_glue"), ("boolq", "super_glue"), ("cb", "super_glue"), ("copa", "super_glue"),
    ("multirc", "super_glue"), ("wic", "super_glue"), ("wsc", "super_glue"), ("record", "super_glue"),
)  # fmt: skip
"""First part of old task names to the folder that holds their README, where the two differ."""
_LANGUAGES = {
    "et": "est", "ht": "hat", "id": "ind", "it": "ita", "qu": "que", "sw": "swa", "ta": "tam", "th": "tha",
    "tr": "tur", "vi": "vie", "zh": "zho", "ar": "ara", "bg": "bul", "de": "deu", "el": "ell", "en": "eng",
    "es": "spa", "fr": "fra", "hi": "hin", "ru": "rus", "ur": "urd", "ja": "jpn", "jp": "jpn", "ko": "kor",
    "pt": "por", "eu": "eus", "my": "mya", "te": "tel", "english": "eng", "french": "fra",
}  # fmt: skip
_CHOICES = {
    "mmlu": 4, "arc_easy": 4, "arc_challenge": 4, "openbookqa": 4, "hellaswag": 4, "swag": 4, "race": 4, "logiqa": 4,
    "mathqa": 5, "sciq": 4, "piqa": 2, "winogrande": 2, "blimp": 2, "xcopa": 2, "xstorycloze": 2, "xwinograd": 2,
    "wsc273": 2, "paws-x": 2, "xnli": 3, "anli": 3, "hendrycks_ethics": 2, "pubmedqa": 3, "headqa": 4, "prost": 4,
    "crows_pairs": 2, "toxigen": 2, "boolq": 2, "cb": 3, "copa": 2, "multirc": 2, "wic": 2, "wsc": 2, "rte": 2,
    "wnli": 2, "qnli": 2, "qqp": 2, "mrpc": 2, "sst": 2, "cola": 2, "mnli": 3, "mnli_mismatched": 3, "axb": 2, "axg": 2,
}  # fmt: skip
"""Answers to choose from, as the tasks' papers say; redaction allows the number of classes."""


def load_llm_harness_snapshot(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Read the prepared snapshot: the accuracy of every model's last checkpoint.

    Returns
    -------
    descriptions : DataFrame
        Valid under `BenchmarkDescriptions`, not redacted.
    runs : DataFrame
        Valid under `BenchmarkRuns`: one aggregate per model, task and number of shots, in points; several
        prompts or re-runs of one are averaged, and are its replicates.
    models : DataFrame
        Valid under `BenchmarkModels`.

    Raises
    ------
    DatasetError
        If a file of the snapshot is missing.
    """
    paths = [folder / f"{name}.parquet" for name in ("llm_harness_results", "lm_eval_task_readmes")]
    for path in paths:
        if not path.is_file():
            raise DatasetError(f"{path}: the harness snapshot lacks this file; see docs/benchmark_scores.md")
    results, readmes = (pd.read_parquet(path) for path in paths)
    results = results[results["metric"].isin(["acc", "acc,none"])]
    last = results.groupby("model")["step"].transform("max")
    results = results[results["step"].isna() | (results["step"] == last)]
    abstracts = {
        str(folder): body_of_readme(str(readme), abstract)
        for folder, readme, abstract in zip(readmes["folder"], readmes["readme"], readmes["abstract"], strict=True)
    }
    descriptions = describe_tasks(sorted(results["task"].unique()), abstracts)
    return descriptions, _snapshot_runs(results), _models(results)


def describe_tasks(tasks: Iterable[str], abstracts: Mapping[str, str | None]) -> pd.DataFrame:
    """Harness tasks and the text of their READMEs (by folder) to PRECOG's fields, not redacted."""
    rows = []
    for task in tasks:
        folder = _folder(task, abstracts)
        text = abstracts.get(folder) if folder else None
        is_generated = GENERATED.match(task) is not None
        part = _subtask(task)
        rows.append({
            "benchmark": task, "task": text, "data_collection": None,
            "evaluation": "The share of exact answers." if is_generated else "The share of right choices.",
            "difficulty": f"Part: {part}." if part else None, "subset": f"Languages: {_language(task)}.",
            "prompting_strategy": None, "other_settings": "The model generates its answer." if is_generated
            else "The model chooses among given answers by likelihood.",
            "domain": None, "answer_format": "generation" if is_generated else "multiple_choice", "metric": "acc",
            "languages": _language(task), "n_items": None,
            "n_classes": None if is_generated else _CHOICES.get(folder or "", _CHOICES.get(task)),
            "source": folder or task, "licence": None, "source_url": None, "published_at": pd.NaT,
        })  # fmt: skip
    table = pd.DataFrame(rows)
    # One README describes all tasks of its folder, so they are one source.
    table["leak_group"] = leak_groups(
        table["benchmark"].tolist(), table["task"].fillna("").tolist(), table["source"].tolist()
    )
    columns = list(BenchmarkDescriptions.to_schema().columns)
    return BenchmarkDescriptions.validate(table.reindex(columns=columns), lazy=True)


def _constants(benchmark: Any, model: Any, metric: Any, filter_name: str) -> dict[str, Any]:
    return {
        "item_id": AGGREGATE_ITEM, "replicate": 0, "metric": metric, "filter": filter_name, "benchmark": benchmark,
        "model": model, "higher_is_better": True, "n_replicates": 1, "replicate_sd": None, "n_items": None,
        "tokens": None, "started_at": pd.NaT, "harness": "lm-evaluation-harness", "harness_version": None,
        "task_hash": None, "git_commit": None,
    }  # fmt: skip


def _snapshot_runs(results: pd.DataFrame) -> pd.DataFrame:
    means = results.groupby(["model", "task", "shots"], as_index=False).agg(
        score=("score", "mean"), stderr=("stderr", "mean"), n=("score", "size"), sd=("score", "std"),
        items=("n_examples_inferred", "median"),
    )  # fmt: skip
    items = means["items"].where(np.isfinite(means["items"]) & (means["items"] >= 1)).round()
    out = pd.DataFrame({
        **_constants(means["task"], means["model"], "acc", "none"),
        "run_id": means["model"] + "/" + means["shots"].astype("str") + "/" + means["task"], "n_shot": means["shots"],
        "score": means["score"] * 100, "standard_error_reported": means["stderr"] * 100, "n_items": items,
    })  # fmt: skip
    return BenchmarkRuns.validate(out.reindex(columns=list(BenchmarkRuns.to_schema().columns)), lazy=True)


def _models(results: pd.DataFrame) -> pd.DataFrame:
    known = results.groupby("model", as_index=False).agg(model_family=("family", "first"), n_params=("params", "first"))
    out = known.reindex(columns=list(BenchmarkModels.to_schema().columns))
    out["open_weights"] = 1.0
    return BenchmarkModels.validate(out, lazy=True)


def _folder(task: str, abstracts: Mapping[str, str | None]) -> str | None:
    for start, folder in _FOLDERS:
        if task == start or task.startswith((f"{start}_", f"{start}-")):
            return folder
    parts = re.split(r"[_-]", task)
    return next((f for n in range(len(parts), 0, -1) if (f := "_".join(parts[:n])) in abstracts), None)


def _subtask(task: str) -> str:
    """Words of the name after its first part, which names the collection."""
    return " ".join(w for w in re.split(r"[_-]", task)[1:] if not w.isdigit() and w.lower() not in _LANGUAGES).lower()


def _language(task: str) -> str:
    last = re.split(r"[_-]", task)[-1]
    return _LANGUAGES.get(last, "eng")


def body_of_readme(readme: str, abstract: object) -> str | None:
    """Abstract of a README: as prepared, or its prose without titles, code, links and lists."""
    if isinstance(abstract, str) and abstract.strip():
        return abstract.strip()
    text = re.sub(r"```.*?```", " ", readme, flags=re.S)
    text = re.split(r"(?m)^#+\s*(?:Citation|Groups|Tasks|Checklist|Changelog)", text)[0]
    other = re.compile(r"\s*(?:#|\*|-|\||Homepage|Title|http)")
    lines = [line.strip() for line in text.splitlines() if line.strip() and not other.match(line)]
    return " ".join(lines) or None
