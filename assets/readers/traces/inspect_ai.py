"""Logs of Inspect (``.eval`` and ``.json``), as requests and as benchmark runs; the library is not needed.

One request is one sample under one model: all its model calls together, which is what a forecast of the
bill of an evaluation needs (UKGovernmentBEIS/inspect_evals#901). Epochs are replicates, and every sample
has them, so `repeat_prob` is 1 where there are several.
"""

from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zipfile import ZipFile

from foretell.assets.readers.core.normalise import as_number, dig, epoch_us, first, normal_finish_reason, seconds
from foretell.assets.readers.core.records import TOKEN_COLUMNS, ReadOptions, Reject, Row, Single, records_of
from foretell.assets.readers.core.requests import answer_logprob_of, effort_of, prompt_columns
from foretell.assets.readers.core.secrets import word
from foretell.assets.readers.core.settings import settings_json
from foretell.assets.readers.core.stream import NOT_A_REQUEST, TOO_DEEP, is_too_deep, json_document, loads
from foretell.assets.readers.files.archives import MemberError, open_archive, read_member

_REMEDY = "deliver the log again; `inspect log convert` repairs some"
_GRADES = {"C": 1.0, "I": 0.0, "P": 0.5, "N": 0.0}
# Where Inspect's name of a model starts with one of these, the rest is the provider's own name.
_PROVIDERS = {"openai", "anthropic", "google", "mistral", "groq", "together", "grok", "bedrock", "azureai",
              "openrouter", "vertex", "deepseek", "fireworks", "perplexity", "cloudflare"}  # fmt: skip
_SETTINGS = {"temperature", "top_p", "max_tokens", "seed", "reasoning_effort", "reasoning_tokens", "max_retries",
             "timeout", "max_connections", "attempt_timeout", "cache"}  # fmt: skip

_COUNTS = {"cache_read_tokens": "input_tokens_cache_read", "cache_write_tokens": "input_tokens_cache_write",
           "cost_reported_usd": "total_cost"}  # fmt: skip

Item = tuple[int, dict[str, Any], dict[str, Any]]
"""Position, header of the log, sample."""


class InspectAI:
    """Reader of Inspect's logs; ``source_line`` is the position of the sample."""

    name = "inspect_ai"

    def sniff(self, head: bytes, path: Path) -> bool:
        """True for a zip archive that starts as Inspect's do, or a document with ``eval`` and ``task_id``."""
        if head[:4] == b"PK\x03\x04":
            return b"_journal/start.json" in head or b"header.json" in head or path.suffix == ".eval"
        return head.lstrip()[:1] == b"{" and b'"eval"' in head and b'"task_id"' in head and b'"version"' in head

    def read(self, path: Path, options: ReadOptions) -> Iterator[Single]:
        """Stream one row per sample and model."""
        yield from records_of(_samples(path), _rows)

    def rows(self, path: Path, options: ReadOptions) -> Iterator[tuple[str, Row] | Reject]:
        """Stream one row of `benchmark_runs` per sample, epoch and numeric score."""
        yield from records_of((item for item in _samples(path) if not isinstance(item, Reject)), _runs)


def _samples(path: Path) -> Iterator[Item | Reject]:
    with path.open("rb") as file:
        is_archive = file.read(4) == b"PK\x03\x04"
    if not is_archive:
        yield from _document(path)
        return
    try:
        with open_archive(path) as archive:
            yield from _members(archive)
    except MemberError as error:
        yield Reject(str(error), 1, _REMEDY, is_file=True)


def _members(archive: ZipFile) -> Iterator[Item | Reject]:
    names = archive.namelist()
    # A log of a run that was killed has its journal but no header yet.
    top = "header.json" if "header.json" in names else "_journal/start.json"
    try:
        header = loads(read_member(archive, top), is_document=True)
    except (MemberError, ValueError) as error:
        yield Reject(f"{top}: {error}", 1, _REMEDY, is_file=True)
        return
    members = (name for name in names if name.startswith("samples/") and name.endswith(".json"))
    for number, name in enumerate(members, start=1):
        try:
            sample = loads(read_member(archive, name))
        except (MemberError, ValueError) as error:
            yield Reject(f"sample {number}: {error}", number, _REMEDY)
            continue
        yield _item(number, header, sample)


def _document(path: Path) -> Iterator[Item | Reject]:
    log = json_document(path, f"{_REMEDY}, or write it as .eval")
    samples = dig(log, "samples")
    if not isinstance(samples, list):
        is_none = Reject("the log holds no samples", 1, "log samples: `--log-samples`", is_file=True)
        yield log if isinstance(log, Reject) else is_none
        return
    for number, sample in enumerate(samples, start=1):
        yield Reject(TOO_DEEP, number, NOT_A_REQUEST) if is_too_deep(sample) else _item(number, log, sample)


def _item(number: int, header: Any, sample: Any) -> Item | Reject:
    if not isinstance(header, dict) or not isinstance(header.get("eval"), dict) or not isinstance(sample, dict):
        return Reject(f"sample {number} is not an object", number, _REMEDY)
    return number, header, sample


def _rows(number: int, header: dict[str, Any], sample: dict[str, Any]) -> Iterator[Single]:
    failure = sample.get("error")
    usage = sample.get("model_usage")
    if failure:
        kind = word(first(dig(failure, "type"), dig(failure, "message"), failure)) or "it ended with an error"
        yield Reject(f"a failed sample: {kind}", number, "run it again: `inspect eval-retry`")
        return
    if not isinstance(usage, dict) or not usage:
        yield Reject("the sample carries no model_usage", number, "the provider reports no usage")
        return
    task, subject = header["eval"], str(header["eval"].get("model"))
    asked = asked if isinstance(asked := task.get("model_generate_config"), dict) else {}
    epochs = as_number(dig(task, "config", "epochs"))
    events = sample.get("events")
    model_events = [e for e in events if dig(e, "event") == "model"] if isinstance(events, list) else []
    shared: Row = {
        "trace_id": sample.get("uuid"),
        "started_at": first(epoch_us(sample.get("started_at")), epoch_us(task.get("created"))),
        **{name: asked.get(name) for name in ("temperature", "top_p", "max_tokens", "seed")},
        "reasoning_effort": _effort(asked),
        "settings": settings_json({k: v for k, v in asked.items() if k not in _SETTINGS}),
        **prompt_columns(sample.get("input")),
        "benchmark": first(task.get("task_display_name"), task.get("task")),
        "item_id": None if sample.get("id") is None else str(sample["id"]),
        "replicate": sample.get("epoch"),
        "repeat_prob": 1.0 if epochs is not None and epochs > 1 else None,
        "source_line": number,
    }
    for name, counts in usage.items():
        row = {**shared, **_model(str(name)), **_tokens(counts)}
        log = task.get("eval_id") or task.get("task_id")
        row["request_id"] = f"{log}/{sample.get('id')}/{sample.get('epoch')}/{name}"
        calls = [event for event in model_events if event.get("model") in (name, None)]
        row["finish_reason"] = _finish(sample, calls)
        # Of several calls the last one is the answer.
        answer = dig(calls[-1] if calls else sample, "output")
        row["answer_logprob"] = answer_logprob_of(answer) if isinstance(answer, dict) else None
        row["is_cached_answer"] = any(event.get("cache") == "read" for event in calls) or None
        if name == subject:
            row["latency_s"] = first(seconds(sample.get("working_time")), seconds(sample.get("total_time")))
            row["score"] = next(iter(_scores(sample).values()), None)
        yield row
    deque(_runs(number, header, sample), maxlen=0)  # what is wrong with the scores is told here


def _effort(asked: Any) -> str | None:
    budget = dig(asked, "reasoning_tokens")
    effort = effort_of(asked) if isinstance(asked, dict) else None
    return effort if effort is not None or budget is None else f"budget:{budget}"


def _model(name: str) -> Row:
    provider, _, rest = name.partition("/")
    is_listed = bool(rest) and provider in _PROVIDERS
    return {"provider": provider if rest else None, "model": rest if is_listed else name, "request_model": name}


def _tokens(counts: Any) -> Row:
    row = {name: dig(counts, _COUNTS.get(name, name)) for name in (*TOKEN_COLUMNS, "cost_reported_usd")}
    n_in, n_out, total = (row[name] for name in ("input_tokens", "output_tokens", "total_tokens"))
    cache = sum(n for n in (row["cache_read_tokens"], row["cache_write_tokens"]) if isinstance(n, int))
    if all(isinstance(n, int) for n in (n_in, n_out, total)) and cache and total == n_in + n_out + cache:
        row["input_tokens"] += cache  # the provider's own input leaves out the cache
    return row


def _finish(sample: dict[str, Any], calls: list[dict[str, Any]]) -> str | None:
    if sample.get("limit"):
        return "length"  # the sample ran into its token, time or message limit
    outputs = [dig(event, "output", "choices") for event in calls] or [dig(sample, "output", "choices")]
    reasons = [dig(choice, "stop_reason") for choices in outputs if isinstance(choices, list) for choice in choices]
    if normal_finish_reason(reasons) == "length":
        return "length"
    return normal_finish_reason(reasons[-1:])  # of several calls the last one ends the sample


def _scores(sample: dict[str, Any]) -> dict[str, float]:
    """Numeric scores by scorer; grades C, P, I, N count as in Inspect."""
    numeric = {}
    scores = sample.get("scores")
    for scorer, score in scores.items() if isinstance(scores, dict) else ():
        value = dig(score, "value")
        number = float(value) if isinstance(value, bool) else as_number(_GRADES.get(value, value) if
                                                                        isinstance(value, str) else value)  # fmt: skip
        if number is not None:
            numeric[str(scorer)] = number
    return numeric


def _runs(number: int, header: dict[str, Any], sample: dict[str, Any]) -> Iterator[tuple[str, Row]]:
    if sample.get("error"):
        return
    task = header["eval"]
    usage = sample.get("model_usage")
    counts = usage.get(task.get("model")) if isinstance(usage, dict) else None
    epoch = as_number(sample.get("epoch"))
    for scorer, score in _scores(sample).items():
        row = {
            "run_id": str(first(task.get("eval_id"), task.get("task_id"))),
            "item_id": str(sample.get("id")),
            "replicate": 0 if epoch is None else int(epoch) - 1,
            "metric": scorer,
            "filter": "none",
            "benchmark": str(first(task.get("task_display_name"), task.get("task"))),
            "model": _model(str(task.get("model")))["model"],
            "score": score,
            "higher_is_better": True,
            "tokens": dig(counts, "output_tokens"),
            "started_at": first(epoch_us(sample.get("started_at")), epoch_us(task.get("created"))),
            "harness": "inspect_ai",
            "harness_version": dig(task, "packages", "inspect_ai"),
            "git_commit": dig(task, "revision", "commit"),
            "config": _effort(first(task.get("model_generate_config"), {})),
            "source_line": number,
        }
        yield "benchmark_runs", row
