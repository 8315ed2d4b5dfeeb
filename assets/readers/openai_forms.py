"""Calls of chat models column by column: what `openai_jsonl` reads line by line, for lines with the same keys.

A `CallForm` gathers the lines of one file whose objects have the same keys in the same places. Which columns
a call gives follows from its keys, so it is found once per form; values are then read as whole columns by
the functions that read single lines, each distinct request once. A value of an unusual type makes the form
hand back the lines in doubt (`NotCommonError`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from operator import itemgetter
from typing import Any, TypeAlias

import orjson
import pyarrow as pa

from assets.readers.base import Columns, NotCommonError, Row, Single
from assets.readers.memo import Memo
from assets.readers.normalise import epoch_us, epochs_us, first, normal_finish_reason, seconds
from assets.readers.requests import finish_of, request_columns, time_to_first_token_of
from assets.readers.token_columns import token_columns

__all__ = ["CallForm", "CallForms"]

Objects: TypeAlias = "list[dict[str, Any]]"
LineReader: TypeAlias = Callable[[Any, int], Single]

MAX_FORMS = 1_000

_RESPONSE_KEYS = {"usage", "usageMetadata", "usage_metadata", "choices", "candidates"}
_NO_BODY = {"resourceSpans", "spans", "litellm_call_id", "response_cost"}
_RARE_IN_LINE = {*_RESPONSE_KEYS, "custom_id", "result", "input"}
_RARE_IN_BODY = {*_NO_BODY, "body", "status_code", "response", "request", "result", "custom_id"}
_REQUEST = tuple(request_columns({}))


class CallForms:
    """The forms of one file's lines."""

    def __init__(self, record: LineReader) -> None:
        self._record = record
        self._known: dict[object, CallForm | None] = {}
        self._requests = Requests()

    def of(self, line: dict[str, Any]) -> CallForm | None:
        """Form of a line; None if it must be read by itself."""
        response = line.get("response")
        is_wrapped = type(response) is dict
        body: dict[str, Any] = response if is_wrapped else line  # type: ignore[assignment]
        usage = body.get("usage")
        if type(usage) is not dict or not usage or not body.get("id") or line.get("metadata"):
            return None
        inner = [tuple(value) for value in usage.values() if type(value) is dict]
        key = (tuple(line), tuple(body), tuple(usage), *inner)
        try:
            return self._known[key]
        except KeyError:
            form = None
            if len(self._known) < MAX_FORMS:
                rare = line.keys() & _RARE_IN_LINE if is_wrapped else set()
                if not rare and not body.keys() & _RARE_IN_BODY:
                    form = CallForm(is_wrapped, self._requests, self._record)
                self._known[key] = form
            return form


class CallForm:
    """Lines with the same keys; see the module's docstring."""

    def __init__(self, is_wrapped: bool, requests: Requests, record: LineReader) -> None:
        self._is_wrapped = is_wrapped
        self._requests = requests
        self._record = record

    def record(self, value: Any, number: int) -> Single:
        """Read one line."""
        return self._record(value, number)

    def columns(self, values: list[Any], numbers: list[int]) -> Columns:
        """Read many lines of this form."""
        lines: Objects = values
        bodies: Objects = [line["response"] for line in lines] if self._is_wrapped else lines
        usages: Objects = [body["usage"] for body in bodies]
        for holders in (lines, bodies):
            if any(error for error in _get(holders, "error") or ()):
                raise NotCommonError
        columns: Columns = {
            **token_columns(usages, is_anthropic=_is_anthropic(bodies)),
            **_response_columns(bodies, usages),
            **self._requests.columns(lines if self._is_wrapped else []),
            **(_line_columns(lines) if self._is_wrapped else {}),
        }
        ids = [_get(lines, "request_id"), [body["id"] for body in bodies]]
        columns["request_id"] = _coalesced(ids)
        models = [columns.get("request_model"), columns.get("response_model")]
        columns["model"] = _coalesced(models)
        created = _first(bodies, "created", "created_at", "createTime")
        started = columns.get("started_at")
        if started is None:
            columns["started_at"] = None if created is None else epochs_us(created)
        elif created is not None and None in started:
            told = zip(started, created, strict=True)
            columns["started_at"] = [epoch_us(other) if us is None else us for us, other in told]
        return {name: column for name, column in columns.items() if column is not None}


class Requests:
    """Columns of requests, each distinct one read once."""

    def __init__(self) -> None:
        self._values = itemgetter(*_REQUEST)
        # "null" may also stand for NaN, which is read otherwise.
        self._memo = Memo(self._read, may_keep=lambda key: b"null" not in key)

    def columns(self, lines: Objects) -> Columns:
        """Columns that the requests of some lines give; none where they carry none."""
        requests = _get(lines, "request")
        if requests is None:
            return {}
        try:
            keys = list(map(orjson.dumps, requests))
        except TypeError:  # a number that JSON cannot hold
            raise NotCommonError from None
        rows = self._memo.all(keys, requests)
        return dict(zip(_REQUEST, map(list, zip(*rows, strict=True)), strict=True))

    def _read(self, request: Any) -> tuple[Any, ...]:
        row: tuple[Any, ...] = self._values(request_columns(request if isinstance(request, dict) else {}))
        return row


def _get(objects: Objects, name: str) -> list[Any] | None:
    """Values under a key that all of them have, or none."""
    return [item[name] for item in objects] if objects and name in objects[0] else None


def _first(objects: Objects, *names: str) -> list[Any] | None:
    return _coalesced([_get(objects, name) for name in names])


def _coalesced(columns: list[list[Any] | pa.Array | None]) -> list[Any] | None:
    """`first` of each row."""
    present: list[list[Any]] = [column for column in columns if column is not None]
    if not present:
        return None
    if None not in present[0] and "" not in present[0]:
        return present[0]
    return [first(*row) for row in zip(*present, strict=True)]


def _is_anthropic(bodies: Objects) -> bool:
    if "stop_reason" in bodies[0]:
        return True
    kinds = [kind == "message" for kind in _get(bodies, "type") or ()]
    if any(kinds) and not all(kinds):
        raise NotCommonError
    return any(kinds)


def _response_columns(bodies: Objects, usages: Objects) -> Columns:
    """Columns of `requests.response_columns`."""
    has_times = "metrics" in bodies[0] or "timings" in bodies[0]
    columns: dict[str, list[Any] | None] = {
        "response_model": _first(bodies, "model", "modelVersion", "model_version"),
        "provider": _get(bodies, "provider"),
        "finish_reason": [_finish_reason(body) for body in bodies],
        "service_tier": _coalesced([_get(bodies, "service_tier"), _get(usages, "service_tier")]),
        "cost_reported_usd": _get(usages, "cost"),
        "time_to_first_token_s": [time_to_first_token_of(body) for body in bodies] if has_times else None,
    }
    return {name: column for name, column in columns.items() if column is not None}


def _finish_reason(body: dict[str, Any]) -> str | None:
    try:
        (choice,) = body["choices"]
        return _normal_word(choice["finish_reason"])
    except (KeyError, TypeError, ValueError):
        return finish_of(body)


@lru_cache(maxsize=1024)
def _normal_word(word: Any) -> str | None:
    if not isinstance(word, str) or not word:
        raise ValueError
    return normal_finish_reason(word)


def _seconds(values: list[Any]) -> list[float | None]:
    if set(map(type, values)) == {float} and min(values) >= 0 and math.isfinite(sum(values)):
        return values
    return [seconds(value) for value in values]


def _line_columns(lines: Objects) -> Row:
    """Columns of what stands beside request and response."""
    moments = _first(lines, "started_at", "timestamp", "start_time")
    seconds_told = _first(lines, "latency_s", "duration_s")
    ms_told = _first(lines, "latency_ms", "duration_ms")
    latencies = [
        None if seconds_told is None else _seconds(seconds_told),
        None if ms_told is None else [seconds(value, unit=1e-3) for value in ms_told],
    ]
    return {
        "trace_id": _get(lines, "trace_id"),
        "benchmark": _get(lines, "benchmark"),
        "item_id": _first(lines, "item_id", "query_id"),
        "replicate": _first(lines, "replicate", "repeat", "epoch"),
        "repeat_prob": _get(lines, "repeat_prob"),
        "score": _get(lines, "score"),
        "latency_s": _coalesced(latencies),
        "is_cached_answer": _first(lines, "cache_hit", "cached"),
        "started_at": None if moments is None else [epoch_us(moment) for moment in moments],
    }
