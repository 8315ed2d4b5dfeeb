"""Responses of chat models as JSONL: the response, or request and response, of one call a line.

Understood, told apart by content, line by line: OpenAI chat completions and Responses, Anthropic
messages, Gemini ``generateContent``, and what speaks their language (OpenRouter, vLLM, llama.cpp); each
bare, or as ``{"request": ..., "response": ...}``; batch output of OpenAI and Anthropic (joined with the
batch input on ``custom_id``, for the prompts); and the calls written by `foretell.assets.collect.local_llm`,
of which several make one logical request (``metadata.request_id``, ``call_index``, ``n_calls``).
"""

import hashlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from foretell.assets.readers.core.normalise import canonical_json, dig, epoch_us, first, seconds
from foretell.assets.readers.core.records import (
    TOKEN_COLUMNS,
    UNREADABLE,
    Packed,
    ReadOptions,
    Record,
    Reject,
    Row,
    Single,
    records_of,
)
from foretell.assets.readers.core.requests import (
    BESIDE,
    CREATED,
    LATENCY_MS,
    LATENCY_S,
    MOMENTS,
    request_columns,
    response_columns,
)
from foretell.assets.readers.core.secrets import described, shown_names, word
from foretell.assets.readers.core.stream import head_of, json_lines, json_texts
from foretell.assets.readers.core.usage import UsageError, tokens_of
from foretell.assets.readers.fast.openai_forms import CallForms

_NO_USAGE = "log the usage block; when streaming, ask for it (OpenAI: stream_options.include_usage)"
_OTHER = "one call a line: a response, or request and response; name another format with --format"


class OpenAIJsonl:
    """Reader of one call a line; see the module's docstring."""

    name = "openai_jsonl"

    def __init__(self, *, by_column: bool = True) -> None:
        self.by_column = by_column

    def sniff(self, head: bytes, path: Path) -> bool:
        """True if one of the first whole lines is a response, a call, or a line of a batch."""
        items = _head_objects(head)
        return any(_is_batch_input(item) or any(map(_is_response, (item, *_bodies(item)))) for item in items)

    def read(self, path: Path, options: ReadOptions) -> Iterator[Record]:
        """Stream the calls; lines of one logical request become one row.

        Lines of a common form come out packed, to be read column by column, unless `by_column` is False.
        """
        lines = _Lines(_batch_prompts(path, options), by_column=self.by_column)
        for item in json_texts(path):
            packed = lines.packed(item)
            if packed is None:
                yield from records_of((item,), lines.records)
            else:
                yield packed
        yield from lines.folder.rest()


class _Lines:
    """What the lines of one file share: forms, calls of requests that are not whole yet, ids that were given."""

    def __init__(self, prompts: dict[str, Any], *, by_column: bool) -> None:
        self.folder = CallFolder()
        self._prompts = prompts
        self._seen: Counter[bytes] = Counter()
        self._forms = CallForms(lambda line, number: read_call(line, number, {})) if by_column and not prompts else None

    def packed(self, item: tuple[int, Any, bytes | None] | Reject) -> Packed | None:
        """A line of a common form; None for any other."""
        if self._forms is None or isinstance(item, Reject) or item[2] is None:
            return None
        try:
            return self._forms.pack(item[1], item[2], item[0])
        except UNREADABLE:
            return None

    def records(self, number: int, line: Any, text: bytes | None) -> Iterator[Record]:
        """Read one line."""
        if isinstance(line, dict) and _is_batch_input(line):
            yield Reject("the input of a batch: a request without an answer", number, "pass the batch output too")
            return
        record = read_call(line, number, self._prompts)
        if isinstance(record, dict) and record.get("request_id") is None:
            record["request_id"] = content_id(line, self._seen)
        if isinstance(record, dict) and isinstance(line, dict):
            yield from self.folder.add(record, line.get("metadata"))
        else:
            yield record


def content_id(line: Any, seen: Counter[bytes]) -> str:
    """Id of a record that brings none: hash of its content and how often that content came before.

    Two overlapping files give the same ids, and equal records within one file stay apart.
    """
    digest = hashlib.sha256(canonical_json(line))
    key = digest.digest()[:12]
    seen[key] += 1
    return f"sha256:{digest.hexdigest()[:24]}" + (f"#{seen[key]}" if seen[key] > 1 else "")


def _head_objects(head: bytes) -> list[dict[str, Any]]:
    objects = []
    for line in head.split(b"\n")[:20]:
        try:
            item = orjson.loads(line)
        except orjson.JSONDecodeError:
            continue
        objects += [one for one in (item if isinstance(item, list) else [item]) if isinstance(one, dict)]
    text = head.strip()
    if not objects and (b"\n" not in text or text.split(b"\n", 1)[0].strip() in (b"{", b"[")):
        # One line longer than the head, or a value printed over several lines: judge it by its words.
        words = (b'"choices"', b'"usage"', b'"candidates"', b'"usageMetadata"', b'"messages"')
        objects = [{"usage": {}}] if text[:1] in (b"{", b"[") and any(word in text for word in words) else []
    return objects


def _is_batch_input(line: dict[str, Any]) -> bool:
    return "custom_id" in line and "response" not in line and "result" not in line and "error" not in line


def is_batch_input(path: Path) -> bool:
    """True if the file holds the requests of a batch (its answers are in another file)."""
    try:
        objects = _head_objects(head_of(path))
    except OSError:
        return False  # whoever reads the file says why it cannot be read
    return bool(objects) and all(_is_batch_input(item) for item in objects)


def _is_response(body: Any) -> bool:
    if not isinstance(body, dict) or "resourceSpans" in body or "spans" in body:
        return False
    if "litellm_call_id" in body or "response_cost" in body:
        return False
    return any(key in body for key in ("usage", "usageMetadata", "usage_metadata", "choices", "candidates"))


def _bodies(line: dict[str, Any]) -> Iterator[Any]:
    response = first(line.get("response"), line.get("output"), line.get("completion"))
    yield dig(response, "body")
    yield response
    yield dig(line, "result", "message")
    yield dig(line, "result", "response")


def read_call(line: Any, number: int, prompts: dict[str, Any]) -> Single:
    """Row of one call, or why it is none; `prompts` are requests of a batch by their ``custom_id``."""
    if not isinstance(line, dict):
        return Reject(f"a JSON {type(line).__name__}, not an object", number, _OTHER)
    if failure := _failure(line):
        return Reject(f"a failed call: {failure}", number, "nothing was measured; leave it out or send it again")
    bodies = (body for body in _bodies(line) if _is_response(body))
    body = line if _is_response(line) else next(bodies, None)
    if body is None:
        return Reject(f"no response of a chat model, keys {shown_names(line)}", number, _OTHER)
    is_anthropic = body.get("type") == "message" or "stop_reason" in body
    try:
        tokens = tokens_of(
            first(body.get("usage"), body.get("usageMetadata"), body.get("usage_metadata")), is_anthropic=is_anthropic
        )
    except UsageError as error:
        return Reject(str(error), number, _NO_USAGE)
    custom_id = line.get("custom_id")
    request = first(line.get("request"), dig(line, "input") if body is not line else None, prompts.get(str(custom_id)))
    beside = line.get("metadata")
    metadata: dict[str, Any] = beside if isinstance(beside, dict) else {}
    row: Row = {**response_columns(body), **tokens}
    row |= request_columns(request if isinstance(request, dict) else {}, prompt=metadata.get("prompt"))
    row |= _line_columns(line, body, metadata)
    row["model"] = first(row["request_model"], row["response_model"])
    row["source_line"] = number
    return row


def _failure(line: dict[str, Any]) -> str | None:
    """Status and kind of a failure, not its text: providers quote the request in it."""
    response = line.get("response")
    status = dig(response, "status_code")
    if isinstance(status, int) and status >= 400:
        return f"status {status} {_kind(dig(response, 'body', 'error')) or ''}".strip()
    result = dig(line, "result", "type")
    if result in ("errored", "canceled", "expired"):
        return f"batch result {result}"
    for holder in (line, response):
        error = dig(holder, "error")
        if error:
            return _kind(error) or "it carries an error"
    return None


def _kind(error: Any) -> str | None:
    named = (dig(error, "code"), dig(error, "type"), dig(error, "status"), dig(error, "message"), error)
    return next((kind for value in named if (kind := word(value)) is not None), None)


def _line_columns(line: dict[str, Any], body: dict[str, Any], metadata: dict[str, Any]) -> Row:
    # What the harness says about the call counts more than what stands beside it on the line.
    get = (metadata if body is line else ({**line, **metadata} if metadata else line)).get
    columns: Row = {
        column: get(names[0]) if len(names) == 1 else first(*map(get, names)) for column, names in BESIDE.items()
    }
    ids = (metadata.get("request_id"), line.get("request_id"), body.get("id"), body.get("responseId"))
    columns["request_id"] = first(*ids, line.get("custom_id"))
    in_s, in_ms = (first(*map(get, names)) for names in (LATENCY_S, LATENCY_MS))
    columns["latency_s"] = first(seconds(in_s), seconds(in_ms, unit=1e-3))
    if metadata.get("reasoning_effort") is not None:
        columns["reasoning_effort"] = metadata["reasoning_effort"]
    moments = (first(*map(get, MOMENTS)), first(*map(body.get, CREATED)))
    columns["started_at"] = next((us for moment in moments if (us := epoch_us(moment)) is not None), None)
    return columns


def _batch_prompts(path: Path, options: ReadOptions) -> dict[str, Any]:
    """Requests by ``custom_id`` from the batch inputs delivered with this file."""
    prompts: dict[str, Any] = {}
    if not options.companions:
        return prompts
    if "custom_id" not in next(iter(_head_objects(head_of(path))), {}):
        return prompts
    for companion in options.companions:
        if companion == path or not is_batch_input(companion):
            continue
        for item in json_lines(companion):
            if not isinstance(item, Reject) and isinstance(item[1], dict) and "custom_id" in item[1]:
                request = first(item[1].get("body"), item[1].get("params"), item[1].get("request"))
                prompts.setdefault(str(item[1]["custom_id"]), request)
    return prompts


# -- calls of one request ------------------------------------------------------------------------------
_ALL_CALLS = "deliver all calls of the request in one file"
_SUMS = {*TOKEN_COLUMNS, "max_tokens", "latency_s", "cost_reported_usd"} - {"reasoning_tokens"}


class CallFolder:
    """Folds the calls of one logical request into one row, once all ``n_calls`` of ``metadata.request_id`` are there.

    A harness that makes a model think in a call of its own (zero-shot chain of thought, a critique) spends reasoning
    tokens in every call before the last: the logical request's output is all of them.
    """

    def __init__(self) -> None:
        self._open: dict[str, tuple[int, dict[int, Row]]] = {}

    def add(self, row: Row, metadata: Any) -> Iterator[Record]:
        """Take one call; yield the request if it is whole now, and the call itself if it stands alone."""
        n_calls = metadata.get("n_calls") if isinstance(metadata, dict) else None
        request_id = metadata.get("request_id") if isinstance(metadata, dict) else None
        if n_calls is None or request_id is None:
            yield row
            return
        index = metadata.get("call_index", 0)
        number = row["source_line"]
        if not (type(n_calls) is type(index) is int and 0 <= index < n_calls):
            why = f"call {described(index)} of {described(n_calls)} is no position"
            yield Reject(why, number, "call_index counts from 0 to n_calls - 1")
            return
        key = str(request_id)
        wanted, calls = self._open.setdefault(key, (n_calls, {}))
        if wanted != n_calls or index in calls:
            why = f"call {index} of request {key} came before" if index in calls else f"request {key} has two n_calls"
            yield Reject(why, number, "deliver each call once")
            return
        calls[index] = row
        if len(calls) == n_calls:
            del self._open[key]
            yield _fold([calls[i] for i in range(n_calls)])

    def rest(self) -> Iterator[Reject]:
        """Yield a reject for every request of which calls are missing."""
        for key, (n_calls, calls) in self._open.items():
            line = min(row["source_line"] for row in calls.values())
            yield Reject(f"request {key}: {len(calls)} of its {n_calls} calls are here", line, _ALL_CALLS)


def _fold(calls: list[Row]) -> Row:
    """Return the row of one logical request from its calls in order; the last one carries score and answer."""
    row = dict(calls[-1])
    head = calls[0]
    for column in ("started_at", "source_line", "seed", "settings"):
        row[column] = head.get(column)
    for column in _SUMS:
        values = [call.get(column) for call in calls]
        row[column] = None if any(value is None for value in values) else sum(values)
    before = [call["output_tokens"] for call in calls[:-1]]
    # A call of a harness that says how many calls it makes has no thinking of its own unless it says so.
    last = calls[-1].get("reasoning_tokens") or 0
    row["reasoning_tokens"] = None if any(value is None for value in before) else sum(before) + last
    if any(call.get("finish_reason") == "length" for call in calls):
        row["finish_reason"] = "length"
    if len(calls) > 1:
        row["time_to_first_token_s"] = None
    return row
