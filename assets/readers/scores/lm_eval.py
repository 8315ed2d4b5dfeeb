"""Results and samples of the LM Evaluation Harness, of today's form and of that before 0.4.

``results_<date>.json`` holds the score of each task with its standard error. ``samples_<task>_<date>.jsonl`` holds
every item; the results beside it name model, versions and hashes. With ``repeats: n`` the harness keeps n answers in
``resps`` but scores only the first (its default filter takes the first). For a noise floor the others are needed: they
are scored here by the same exact match, and only where that gives the recorded score on every first answer. Neither
holds token counts.

Shares come out in points (0-100) for a whole task and as they are for an item. A checkpoint (``revision=step1000``) is
a model of its own, ``name@step1000``; the checkpoints whose size and tokens are told feed `ladder_measurements` too.
"""

import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from foretell.assets.readers.core.normalise import as_number, canonical_json, dig, epoch_us, first
from foretell.assets.readers.core.records import ReadOptions, Reject, Row, records_of
from foretell.assets.readers.core.stream import json_document, json_lines

AGGREGATE_ITEM = "*"
RUNS, LADDER = "benchmark_runs", "ladder_measurements"
_SAMPLES = re.compile(r"samples_(?P<task>.+)_(?P<date>\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d+)\.jsonl(?:\.gz|\.zst)?")
_REMEDY = "one sample a line, as `lm_eval --log_samples` writes it"
_SIZE = re.compile(r"(?<![\d.])(\d+(?:\.\d+)?)([mb])(?![a-z])", re.I)
_TOKENS = re.compile(r"(\d+(?:\.\d+)?)([BT])[-_]?tok", re.I)
_NO_SHARES = ("perplexity", "bits_per_byte", "likelihood_diff", "brier")
"""Metrics that are no shares."""
_FALLING = (*_NO_SHARES, "pct_stereotype")
Item = tuple[str, Row]


class LmEvalResults:
    """Reader of ``results_<date>.json``."""

    name = "lm_eval_results"

    def sniff(self, head: bytes, path: Path) -> bool:
        """True for a JSON object that begins with ``results`` and speaks of the harness's configuration."""
        start = head.lstrip()[:40].replace(b" ", b"").replace(b"\n", b"")
        return start.startswith(b'{"results":{') and not path.name.startswith("samples_")

    def rows(self, path: Path, options: ReadOptions) -> Iterator[Item | Reject]:
        """Stream one row per task, metric and filter."""
        header = json_document(path, "deliver the file again: the harness writes it whole")
        results = dig(header, "results")
        if not isinstance(results, dict) or not results:
            is_none = Reject("no results of lm-eval", 1, "give the file that `--output_path` names", is_file=True)
            yield header if isinstance(header, Reject) else is_none
            return
        tasks = ((number, *task) for number, task in enumerate(results.items(), start=1))
        yield from records_of(tasks, partial(_scores, header=header, stem=path.stem, columns=options.columns))


class LmEvalSamples:
    """Reader of ``samples_<task>_<date>.jsonl``."""

    name = "lm_eval_samples"

    def sniff(self, head: bytes, path: Path) -> bool:
        """True for JSON lines with the keys of a sample."""
        line = head.split(b"\n", 1)[0]
        return line[:1] == b"{" and all(key in line for key in (b'"doc_id"', b'"resps"', b'"filtered_resps"'))

    def companions(self, path: Path) -> Sequence[Path]:
        """The results file of the same run, in the same folder."""
        match = _SAMPLES.fullmatch(path.name)
        results = None if match is None else path.with_name(f"results_{match['date']}.json")
        return [results] if results is not None and results.is_file() else []

    def rows(self, path: Path, options: ReadOptions) -> Iterator[Item | Reject]:
        """Stream one row per item, repeat, metric and filter."""
        match = _SAMPLES.fullmatch(path.name)
        header = json_document(Path(options.companions[0]), "") if options.companions else None
        if match is None or not isinstance(header, dict):
            remedy = "deliver samples_<task>_<date>.jsonl with the results_<date>.json that lies beside it"
            yield Reject("no results of the run beside the samples, so nobody can tell the model", 1, remedy, True)
            return
        samples: list[tuple[int, dict[str, Any]]] = []
        for item in json_lines(path):
            if isinstance(item, Reject):
                yield item
            elif not isinstance(item[1], dict) or "doc_id" not in item[1] or "metrics" not in item[1]:
                yield Reject("no sample of lm-eval", item[0], _REMEDY)
            else:
                samples.append((item[0], item[1]))
        is_rescored = _exact_match_explains([sample for _, sample in samples])
        rows = partial(_sample_rows, task=match["task"], header=header, is_rescored=is_rescored)
        yield from records_of(samples, rows)


def _shared(task: str, header: dict[str, Any], number: int, stem: str) -> Row:
    model, revision = _model(header)
    date, n_shot = header.get("date"), first(dig(header, "n-shot", task), dig(header, "config", "num_fewshot"))
    asked = {key: dig(header, "config", key) for key in ("gen_kwargs", "limit")}
    chat, version = header.get("chat_template_sha"), dig(header, "versions", task)
    version = first(header.get("lm_eval_version"), None if version is None else f"task {version}")
    config = {key: value for key, value in {**asked, "chat_template_sha": chat}.items() if value}
    return {
        "source": "lm_eval", "run_id": f"{model}{revision}/{task}/{n_shot}/{first(date, stem)}", "replicate": 0,
        "benchmark": task,
        "model": f"{model}{revision}", "n_shot": n_shot,
        "config": canonical_json(config).decode() if config else None, "started_at": epoch_us(date),
        "harness": "lm_eval", "harness_version": version,
        "task_hash": dig(header, "task_hashes", task), "git_commit": header.get("git_hash"), "source_line": number,
    }  # fmt: skip


def _model(header: dict[str, Any]) -> tuple[str, str]:
    """Name of the model and ``@revision`` of a checkpoint."""
    arguments = dig(header, "config", "model_args")
    if isinstance(arguments, str):
        arguments = dict(part.split("=", 1) for part in arguments.split(",") if "=" in part)
    arguments = arguments if isinstance(arguments, dict) else {}
    asked = first(arguments.get("pretrained"), arguments.get("model"), arguments.get("path"))
    name = first(asked, header.get("model_name"), header.get("model_source"), dig(header, "config", "model"))
    revision = first(arguments.get("revision"), "main")
    return str(first(name, "unknown")), "" if revision == "main" else f"@{revision}"


def _scores(
    number: int, task: str, scores: Any, *, header: dict[str, Any], stem: str, columns: dict[str, str]
) -> Iterator[Item | Reject]:
    """Rows of one task; a metric of today's form names its filter, ``acc,none``."""
    if not isinstance(scores, dict):
        yield Reject(f"task {number} has no scores", number, "run the task again")
        return
    shared = _shared(task, header, number, stem)
    items = dig(header, "n-samples", task, "effective")
    for key, value in scores.items():
        metric, _, filter_name = str(key).partition(",")
        score = as_number(value)
        if score is None or metric.endswith("_stderr") or metric in ("sample_len", "alias", "name", "sample_count"):
            continue
        is_share = 0 <= score <= 1 and not any(word in metric for word in _NO_SHARES)
        scale = 100.0 if is_share else 1.0
        error = as_number(scores.get(f"{metric}_stderr,{filter_name}" if filter_name else f"{metric}_stderr"))
        told = dig(header, "higher_is_better", task, metric)
        better = told if isinstance(told, bool) else not any(word in metric for word in _FALLING)
        row = {
            **shared, "item_id": AGGREGATE_ITEM, "metric": metric, "filter": filter_name or "none",
            "score": scale * score, "higher_is_better": better, "n_items": items if items else None,
            "standard_error_reported": None if error is None else scale * error,
        }  # fmt: skip
        yield RUNS, row
        if is_share and metric in ("acc", "exact_match"):
            yield from _rungs(row, as_number(columns.get("tokens_per_step", "").removeprefix("=")))


def _rungs(row: Row, tokens_per_step: float | None) -> Iterator[Item]:
    """A row of a ladder, where the name tells the size, and name or checkpoint the tokens of training."""
    name, _, revision = str(row["model"]).partition("@")
    size, tokens = _SIZE.search(name.rsplit("/", 1)[-1]), _TOKENS.search(revision or name)
    step = re.fullmatch(r"step(\d+)", revision)
    n_tokens = float(step[1]) * (tokens_per_step or 0.0) if step is not None else 0.0
    if tokens is not None:
        n_tokens = float(tokens[1]) * (1e9 if tokens[2].upper() == "B" else 1e12)
    if size is None or not n_tokens:
        return
    n_params = float(size[1]) * (1e6 if size[2].lower() == "m" else 1e9)
    yield LADDER, {
        "source": "lm_eval", "family": _SIZE.sub("*", name), "model": name,
        "benchmark": f"{row['benchmark']}/{row['n_shot']}-shot",
        "item_id": AGGREGATE_ITEM, "n_params": n_params, "n_train_tokens": n_tokens,
        "train_flops": 6 * n_params * n_tokens, "score": row["score"],
        "standard_error": row["standard_error_reported"], "n_items": row["n_items"], "is_final": not revision,
        "started_at": row["started_at"], "source_line": row["source_line"],
    }  # fmt: skip


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


def _sample_rows(
    number: int, sample: dict[str, Any], *, task: str, header: dict[str, Any], is_rescored: bool
) -> Iterator[Item]:
    filter_name = str(sample.get("filter") or "none")
    shared = {**_shared(task, header, number, ""), "item_id": str(sample["doc_id"]), "filter": filter_name}
    for metric in sample["metrics"] if isinstance(sample["metrics"], list) else []:
        score = as_number(sample.get(metric))
        if score is None:
            continue
        scores = [score]
        if is_rescored and metric == "exact_match" and filter_name == "none":
            scores += [_exact_match(answer, sample) for answer in _answers(sample)[1:]]
        better = dig(header, "higher_is_better", task, metric)
        for replicate, value in enumerate(scores):
            yield RUNS, {**shared, "replicate": replicate, "metric": str(metric), "score": value,
                         "higher_is_better": True if better is None else bool(better)}  # fmt: skip
