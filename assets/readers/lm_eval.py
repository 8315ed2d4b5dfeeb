"""Per-item scores of the LM Evaluation Harness (``samples_<task>_<date>.jsonl``) with all their repeats.

With ``repeats: n`` the harness keeps n answers in ``resps`` but scores only the first (its default filter
takes the first). For a noise floor the others are needed: they are scored here by the same exact match,
and only where that gives the recorded score on every first answer. The format holds no token counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from assets.readers.base import Reject, rejects_frame
from assets.readers.normalise import as_number, dig, epoch_us, first
from assets.readers.stream import json_lines, loads
from predictors.errors import DatasetError
from predictors.schemas.benchmark_runs import BenchmarkRuns

__all__ = ["LmEvalSamples", "read_lm_eval_samples"]

_NAME = re.compile(r"samples_(?P<task>.+)_(?P<date>\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d+)\.jsonl")
_REMEDY = "one sample a line, as `lm_eval --log_samples` writes it"


@dataclass(frozen=True)
class LmEvalSamples:
    """What a samples file held.

    Attributes
    ----------
    runs : DataFrame
        Valid under `BenchmarkRuns`.
    rejects : DataFrame
        Lines that are no samples, with reason and remedy.
    is_rescored : bool
        True if answers after the first were scored too; False if there are none or exact match does not
        give the recorded scores.
    """

    runs: pd.DataFrame
    rejects: pd.DataFrame
    is_rescored: bool


def read_lm_eval_samples(path: Path | str, results: Path | str | None = None) -> LmEvalSamples:
    """Read a samples file.

    Parameters
    ----------
    path : path
        ``samples_<task>_<date>.jsonl``.
    results : path, optional
        The ``results_<date>.json`` beside it, which names model, versions and hashes. By default it is
        looked for in the same folder.

    Raises
    ------
    DatasetError
        If there is no such file, or no results file beside it.
    """
    path = Path(path)
    match = _NAME.fullmatch(path.name)
    if not path.is_file() or match is None:
        raise DatasetError(f"{path}: no samples file; expected samples_<task>_<date>.jsonl")
    results = Path(results) if results is not None else path.with_name(f"results_{match['date']}.json")
    header = _header(results)
    samples: list[dict[str, Any]] = []
    rejects: list[Reject] = []
    for item in json_lines(path):
        if isinstance(item, Reject):
            rejects.append(item)
        elif not isinstance(item[1], dict) or "doc_id" not in item[1] or "metrics" not in item[1]:
            rejects.append(Reject("no sample of lm-eval", item[0], _REMEDY))
        else:
            samples.append(item[1])
    is_rescored = _exact_match_explains(samples)
    rows = [row for sample in samples for row in _rows(sample, match["task"], header, is_rescored)]
    frame = pd.DataFrame(rows, columns=list(BenchmarkRuns.to_schema().columns))
    frame["started_at"] = pd.to_datetime(frame["started_at"], unit="us", utc=True)
    runs = BenchmarkRuns.validate(frame, lazy=True)
    return LmEvalSamples(runs, rejects_frame(rejects, path.name), is_rescored)


def _header(results: Path) -> dict[str, Any]:
    try:
        header = loads(results.read_bytes())
    except (OSError, ValueError) as error:
        raise DatasetError(f"{results}: the results of the run are not there ({error})") from None
    if not isinstance(header, dict):
        raise DatasetError(f"{results}: not the results of a run")
    return header


def _answers(sample: dict[str, Any]) -> list[str]:
    """Answers of one generating request; log-likelihoods and lists of requests have none."""
    resps = sample.get("resps")
    if isinstance(resps, list) and len(resps) == 1 and isinstance(resps[0], list):
        return resps[0] if all(isinstance(answer, str) for answer in resps[0]) else []
    return []


def _exact_match(answer: str, sample: dict[str, Any]) -> float:
    return float(answer == str(sample.get("target")))


def _exact_match_explains(samples: list[dict[str, Any]]) -> bool:
    repeated = [s for s in samples if len(_answers(s)) > 1]
    scored = [s for s in repeated if s.get("filter") == "none" and as_number(s.get("exact_match")) is not None]
    return bool(scored) and all(_exact_match(_answers(s)[0], s) == as_number(s["exact_match"]) for s in scored)


def _rows(sample: dict[str, Any], task: str, header: dict[str, Any], is_rescored: bool) -> Iterator[dict[str, Any]]:
    filter_name = str(sample.get("filter") or "none")
    directions = first(dig(header, "higher_is_better", task), {})
    shared = {
        "run_id": f"{first(header.get('model_name'), header.get('model_source'))}/{header.get('date')}",
        "item_id": str(sample["doc_id"]),
        "filter": filter_name,
        "benchmark": task,
        "model": str(first(header.get("model_name"), header.get("model_source"), "unknown")),
        "n_shot": dig(header, "n-shot", task),
        "started_at": epoch_us(header.get("date")),
        "harness": "lm_eval",
        "harness_version": header.get("lm_eval_version"),
        "task_hash": dig(header, "task_hashes", task),
        "git_commit": header.get("git_hash"),
    }
    for metric in sample["metrics"] if isinstance(sample["metrics"], list) else []:
        score = as_number(sample.get(metric))
        if score is None:
            continue
        scores = [score]
        if is_rescored and metric == "exact_match" and filter_name == "none":
            scores += [_exact_match(answer, sample) for answer in _answers(sample)[1:]]
        better = directions.get(metric, True) if isinstance(directions, dict) else True
        for replicate, value in enumerate(scores):
            yield {**shared, "replicate": replicate, "metric": str(metric), "score": value,
                   "higher_is_better": bool(better)}  # fmt: skip
