"""Calls of chat models column by column: what `openai_jsonl` reads line by line, for lines with the same keys.

A `CallForm` gathers the lines of one file whose objects have the same keys in the same places. Which columns
a call gives follows from its keys, so it is found once per form. Of a parsed line only the values that count
are kept, while they are in the processor's cache; they are then read as whole columns by the functions that
read single lines, each distinct request once. A value of an unusual type makes the form hand back the lines in
doubt (`NotCommonError`), which are parsed again.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from operator import itemgetter
from typing import Any, TypeAlias

import orjson

from assets.readers.base import Columns, NotCommonError, Packed, Row, Single
from assets.readers.memo import Memo
from assets.readers.normalise import coalesced, epoch_us, epochs_us, normal_finish_reason, seconds
from assets.readers.requests import finish_of, request_columns, time_to_first_token_of
from assets.readers.token_columns import token_columns

__all__ = ["CallForm", "CallForms"]

LineReader: TypeAlias = Callable[[Any, int], Single]

MAX_FORMS = 1_000

_RESPONSE_KEYS = {"usage", "usageMetadata", "usage_metadata", "choices", "candidates"}
_NO_BODY = {"resourceSpans", "spans", "litellm_call_id", "response_cost"}
_RARE_IN_LINE = {*_RESPONSE_KEYS, "result", "input"}
_RARE_IN_BODY = {*_NO_BODY, "body", "status_code", "response", "request", "result", "custom_id"}
_BESIDE = (
    "request_id", "trace_id", "benchmark", "item_id", "query_id", "replicate", "repeat", "epoch", "repeat_prob",
    "score", "latency_s", "duration_s", "latency_ms", "duration_ms", "cache_hit", "cached", "started_at", "timestamp",
    "start_time",
)  # fmt: skip
_IN_BODY = (
    "id", "model", "modelVersion", "model_version", "provider", "service_tier", "created", "created_at", "createTime",
    "type",
)  # fmt: skip
_REQUEST = tuple(request_columns({}))


class CallForms:
    """The forms of one file's lines."""

    def __init__(self, record: LineReader) -> None:
        self._record = record
        self._known: dict[object, CallForm | None] = {}
        read = itemgetter(*_REQUEST)
        self._requests: Memo[tuple[Any, ...]] = Memo(lambda key: read(_request_columns(orjson.loads(key))))

    def pack(self, line: dict[str, Any], text: bytes, number: int) -> Packed | None:
        """Keep what counts of a line, which is the JSON of `text`; None if it must be read by itself."""
        response = line.get("response")
        is_wrapped = type(response) is dict
        body: dict[str, Any] = response if is_wrapped else line  # type: ignore[assignment]
        usage = body.get("usage")
        if type(usage) is not dict or not usage or not body.get("id") or line.get("metadata"):
            return None
        inner = [tuple(value) for value in usage.values() if type(value) is dict]
        key = (tuple(line), tuple(body), tuple(usage), *inner)
        try:
            form = self._known[key]
        except KeyError:
            form = None
            if len(self._known) < MAX_FORMS:
                rare = line.keys() & _RARE_IN_LINE if is_wrapped else set()
                if not rare and not body.keys() & _RARE_IN_BODY:
                    form = CallForm(line, body, self._requests, self._record)
                self._known[key] = form
        if form is None or (form.may_fail and (line.get("error") or body.get("error"))):
            return None
        return form, number, form.values(line, body, usage, text)


class CallForm:
    """Lines with the same keys; see the module's docstring."""

    def __init__(
        self, line: dict[str, Any], body: dict[str, Any], requests: Memo[tuple[Any, ...]], record: LineReader
    ) -> None:
        is_wrapped = body is not line
        beside = _BESIDE if is_wrapped else ("request_id",)
        self._beside = tuple(key for key in beside if key in line)
        self._in_body = tuple(key for key in _IN_BODY if key in body)
        self._take_beside, self._take_body = _taker(self._beside), _taker(self._in_body)
        self._has_request = is_wrapped and "request" in line
        self._has_times = "metrics" in body or "timings" in body
        self._has_stop_reason = "stop_reason" in body
        self._requests = requests
        self._record = record
        self.may_fail = "error" in line or "error" in body

    def values(self, line: dict[str, Any], body: dict[str, Any], usage: dict[str, Any], text: bytes) -> tuple[Any, ...]:
        """What counts of one line."""
        return (
            text,
            usage,
            self._take_beside(line),
            self._take_body(body),
            orjson.dumps(line["request"]) if self._has_request else None,
            _finish_reason(body),
            time_to_first_token_of(body) if self._has_times else None,
        )

    def record(self, value: Any, number: int) -> Single:
        """Read one line."""
        return self._record(orjson.loads(value[0]), number)

    def columns(self, values: list[Any], numbers: list[int]) -> Columns:
        """Read many lines of this form."""
        _, usages, beside, bodies, requests, reasons, times = (list(column) for column in zip(*values, strict=True))
        told = _columns_of(self._in_body, bodies)
        columns: dict[str, Any] = {
            **token_columns(usages, is_anthropic=self._is_anthropic(told)),
            **self._line_columns(_columns_of(self._beside, beside), told),
            "response_model": coalesced(told, "model", "modelVersion", "model_version"),
            "provider": told.get("provider"),
            "finish_reason": reasons,
            "time_to_first_token_s": times if self._has_times else None,
            "cost_reported_usd": [usage["cost"] for usage in usages] if "cost" in usages[0] else None,
        }
        if "service_tier" in usages[0]:
            told["service_tier_of_usage"] = [usage["service_tier"] for usage in usages]
        columns["service_tier"] = coalesced(told, "service_tier", "service_tier_of_usage")
        if self._has_request:
            rows = self._requests.all(requests, requests)
            columns |= _columns_of(_REQUEST, rows)
        columns["model"] = coalesced(columns, "request_model", "response_model")
        return {name: column for name, column in columns.items() if column is not None}

    def _is_anthropic(self, told: dict[str, list[Any]]) -> bool:
        kinds = [kind == "message" for kind in told.get("type", ())]
        if not self._has_stop_reason and any(kinds) and not all(kinds):
            raise NotCommonError
        return self._has_stop_reason or any(kinds)

    def _line_columns(self, beside: dict[str, list[Any]], told: dict[str, list[Any]]) -> dict[str, Any]:
        """Columns of what stands beside request and response, with id and time of the response where it is silent."""
        moments = coalesced(beside, "started_at", "timestamp", "start_time")
        created = coalesced(told, "created", "created_at", "createTime")
        started: Any = None if created is None else epochs_us(created)
        if moments is not None:
            others = created or [None] * len(moments)
            started = [epoch_us(moment) or epoch_us(other) for moment, other in zip(moments, others, strict=True)]
        in_s, in_ms = coalesced(beside, "latency_s", "duration_s"), coalesced(beside, "latency_ms", "duration_ms")
        latencies: dict[str, Any] = {
            "s": None if in_s is None else _seconds(in_s),
            "ms": None if in_ms is None else [seconds(value, unit=1e-3) for value in in_ms],
        }
        return {
            "request_id": coalesced({**beside, "id": told["id"]}, "request_id", "id"),
            "trace_id": beside.get("trace_id"),
            "benchmark": beside.get("benchmark"),
            "item_id": coalesced(beside, "item_id", "query_id"),
            "replicate": coalesced(beside, "replicate", "repeat", "epoch"),
            "repeat_prob": beside.get("repeat_prob"),
            "score": beside.get("score"),
            "latency_s": coalesced(latencies, "s", "ms"),
            "is_cached_answer": coalesced(beside, "cache_hit", "cached"),
            "started_at": started,
        }


def _request_columns(request: Any) -> Row:
    return request_columns(request if isinstance(request, dict) else {})


def _taker(keys: tuple[str, ...]) -> Callable[[dict[str, Any]], tuple[Any, ...]]:
    """Values of a dict under some keys."""
    return itemgetter(*keys) if len(keys) > 1 else lambda held: tuple(held[key] for key in keys)


def _columns_of(names: tuple[str, ...], rows: list[tuple[Any, ...]]) -> dict[str, list[Any]]:
    return dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))


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
