"""Requests that were not sent yet: chat JSONL, batch input, a table, or an Inspect log to send to another model."""

from pathlib import Path
from typing import Any

import pandas as pd

from foretell.assets.lake.input_tables import check_file, read_jsonl, read_rows
from foretell.assets.lake.prompt_files import CONFIGS, PromptfooConfig, read_folder
from foretell.assets.readers.core.presets_schema import load_presets
from foretell.assets.readers.core.requests import request_columns
from foretell.assets.readers.core.stream import head_of
from foretell.assets.readers.spellings import plain, spelt
from foretell.predictors.errors import InvalidInputError

SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet", ".eval", ".json", *CONFIGS)
_BODIES = ("body", "params", "request")
_CONTENT = ("messages", "input", "contents", "prompt")
_OF_REQUEST = ("query_id", "prompt_text", "benchmark", "input_tokens", "temperature", "top_p", "max_tokens")
_OF_LOG = (
    *_OF_REQUEST, "replicate", "model", "reasoning_effort", "output_tokens", "reasoning_tokens", "score",
    "finish_reason",
)  # fmt: skip

_COLUMNS = {
    ours: (theirs,) if isinstance(theirs, str) else tuple(theirs)
    for ours, theirs in load_presets()["canonical"].columns.items()
    if ours in (*_OF_REQUEST, "model", "reasoning_effort")
}
"""Columns of requests, each with the names under which it is read."""
_NAMES = {name for names in _COLUMNS.values() for name in names}
_MOST_TOKENS = 1e12
_BOUNDS = {
    "max_tokens": (1, _MOST_TOKENS, "a number of tokens above 0"),
    "input_tokens": (0, _MOST_TOKENS, "a number of tokens"),
    "temperature": (0, 100, "a number not below 0"),
    "top_p": (0, 1, "a share between 0 and 1"),
}
"""Numbers that a request may give: the lowest, the highest, and what they are."""


def read_requests(file: Path) -> tuple[pd.DataFrame, list[str]]:
    """Read requests in the order of the file.

    A line of JSONL, or an object of a JSON list, is a chat request (``messages``, ``contents``), a line of batch input
    (``body`` of OpenAI, ``params`` of Anthropic, ``request`` of Gemini), a logged call (``request``), or an object of
    our own columns (``prompt_text``, ``max_tokens``, ...), which like those of a table are read under the names that
    `ingest` reads too (``Prompt``). An Inspect log gives one request per sample and epoch, and its runs are what is
    known of each query: the forecast for another model is warm. A folder holds a prompt a file; a configuration of
    promptfoo gives its prompts times its tests. A request with a setting that no provider takes (``max_tokens: -5``) is
    a problem of that request and leaves the others alone.

    Returns a row per readable request, by line (JSONL), row (tables) or place in the log from 1, and a line of text per
    request that cannot be read. Raises `InvalidInputError` if the file is missing, of another kind, or holds none.
    """
    if file.is_dir():
        return read_folder(file)
    check_file(file, SUFFIXES)
    try:
        if file.suffix == ".jsonl" or (file.suffix == ".json" and head_of(file).lstrip()[:1] == b"["):
            requests, problems = read_jsonl(file, _row)
        elif file.suffix in CONFIGS:
            requests, problems = PromptfooConfig(file).requests()
        elif file.suffix in (".eval", ".json"):
            requests, problems = _read_log(file)
        else:
            requests, problems = read_rows(file), []
        requests, more = _possible(in_our_words(requests.rename_axis("request")), file)
    except UnicodeDecodeError as error:
        raise InvalidInputError(f"{file}: not UTF-8 at byte {error.start}; save it as UTF-8") from None
    except (ValueError, OSError) as error:
        raise InvalidInputError(f"{file}: {error}") from error
    problems += more
    if requests.empty:
        raise InvalidInputError("; ".join([f"{file}: holds no request", *problems[:3]]))
    return requests, problems


def models_named(file: Path) -> list[str]:
    """Models that the file itself says it goes to: those of a configuration of promptfoo, or the one of all requests.

    Raises `InvalidInputError` where requests name several: what all would cost on each is not what is sent.
    """
    if file.suffix in CONFIGS and file.is_file():
        return PromptfooConfig(file).models
    requests = read_requests(file)[0]
    names = sorted({str(name) for name in requests["model"].dropna()}) if "model" in requests else []
    if len(names) > 1:
        raise InvalidInputError(
            f"{file}: its requests name {len(names)} models; say on which to quote them all: "
            + " ".join(f"--model {name}" for name in names[:4])
        )
    return names


def in_our_words(requests: pd.DataFrame) -> pd.DataFrame:
    """Columns by our names where a table calls them otherwise, ``prompt`` or ``Max Tokens``."""
    known = spelt(map(str, requests.columns))
    found = {ours: next((known[name] for name in names if name in known), ours) for ours, names in _COLUMNS.items()}
    return requests.rename(columns={theirs: ours for ours, theirs in found.items() if ours not in requests})


def _possible(requests: pd.DataFrame, file: Path) -> tuple[pd.DataFrame, list[str]]:
    """Requests whose settings a provider would take, with numbers as numbers; a line per request that is left out."""
    problems: dict[int, str] = {}
    columns: dict[str, pd.Series] = {}
    for name, (lowest, highest, what) in _BOUNDS.items():
        if name not in requests:
            continue
        values = requests[name].astype("object")
        # A truth value is no number, whatever pandas makes of it.
        numbers = pd.to_numeric(values.map(lambda value: None if isinstance(value, bool) else value), errors="coerce")
        columns[name] = numbers.astype("float64")
        is_bad = values.notna() & ~columns[name].between(lowest, highest)
        for at, value in zip(requests.index[is_bad].tolist(), values[is_bad].tolist(), strict=True):
            problems.setdefault(at, f"{file}:{at}: `{name}` must be {what}, got {str(value)[:20]!r}; correct it")
    requests = requests.assign(**columns).drop(index=list(problems))
    return requests, [problems[at] for at in sorted(problems)]


def _read_log(file: Path) -> tuple[pd.DataFrame, list[str]]:
    """Samples of an Inspect log as requests, with the log's own runs as what is known of their query."""
    from foretell.assets.readers.core.records import ReadOptions, Reject
    from foretell.assets.readers.traces.inspect_ai import InspectAI
    from foretell.predictors.thinking_tokens.known_runs.context import attach_context

    rows, problems = [], []
    for record in InspectAI().read(file, ReadOptions()):
        if isinstance(record, Reject):
            problems.append(f"{file}: sample {record.source_line}: {record.reason}; {record.remedy}")
        else:
            rows.append({name: record.get(name) for name in _OF_LOG})
    runs = pd.DataFrame(rows, columns=list(_OF_LOG))
    if runs.empty:
        return runs, problems
    runs["output_tokens"] = pd.to_numeric(runs["output_tokens"], errors="coerce")
    runs["is_censored"] = runs["finish_reason"] == "length"
    requests = runs.drop_duplicates(["query_id", "replicate"])
    requests = requests.set_axis(pd.RangeIndex(1, len(requests) + 1, name="request"))
    known = runs[runs["output_tokens"].notna()]
    # The effort of the log belongs to its model: another one has names of its own.
    return attach_context(requests[list(_OF_REQUEST)].assign(model=""), known).drop(columns="model"), problems


def _row(line: object) -> dict[str, Any] | str:
    nothing = "no request here; give `messages`, a batch `body` or `prompt_text`"
    if not isinstance(line, dict):
        return nothing
    body = next((line[key] for key in _BODIES if isinstance(line.get(key), dict)), line)
    if any(key in body for key in _CONTENT):
        columns = request_columns(body)
        columns["model"] = columns.pop("request_model")
        columns.pop("settings")
        name = line.get("custom_id") or line.get("key")  # by which a batch gives its answers back; Gemini's is `key`
        if isinstance(name, str):
            columns["custom_id"] = name
        given = {key: value for key, value in columns.items() if value is not None}
        beside = {key: value for key, value in line.items() if key not in _CONTENT and plain(key) in _NAMES}
        return {"prompt_text": None, **beside, **given}
    return line if {*_COLUMNS["prompt_text"], "model"}.intersection(map(plain, line)) else nothing
