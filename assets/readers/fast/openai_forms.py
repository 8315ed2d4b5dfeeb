"""Calls of chat models column by column: what `openai_jsonl` reads line by line, for lines with the same keys.

A `CallForm` gathers the lines of one file whose objects have the same keys in the same places. Which columns
a call gives follows from its keys, so it is found once per form. Of a parsed line only the values that count
are kept, while they are in the processor's cache; they are then read as whole columns by the functions that
read single lines, each distinct request once. A value of an unusual type makes the form hand back the lines in
doubt (`NotCommonError`), which are parsed again.
"""

import math
from collections.abc import Callable
from functools import lru_cache
from operator import itemgetter
from typing import Any, TypeAlias

import orjson

from foretell.assets.readers.core.normalise import coalesced, epoch_us, epochs_us, normal_finish_reason, seconds
from foretell.assets.readers.core.records import Columns, NotCommonError, Packed, Row, Single
from foretell.assets.readers.core.requests import (
    BESIDE,
    CREATED,
    LATENCY_MS,
    LATENCY_S,
    MOMENTS,
    RESPONSE_MODELS,
    answer_logprob_of,
    finish_of,
    request_columns,
    time_to_first_token_of,
)
from foretell.assets.readers.core.usage import is_count_key
from foretell.assets.readers.fast.memo import Memo
from foretell.assets.readers.fast.token_columns import token_columns

LineReader: TypeAlias = Callable[[Any, int], Single]

MAX_FORMS = 1_000

_RESPONSE_KEYS = {"usage", "usageMetadata", "usage_metadata", "choices", "candidates"}
_NO_BODY = {"resourceSpans", "spans", "litellm_call_id", "response_cost"}
_RARE_IN_LINE = {*_RESPONSE_KEYS, "result", "input"}
_RARE_IN_BODY = {*_NO_BODY, "body", "status_code", "response", "request", "result", "custom_id"}
_BESIDE = ("request_id", *(name for names in BESIDE.values() for name in names), *LATENCY_S, *LATENCY_MS, *MOMENTS)
_IN_BODY = ("id", *RESPONSE_MODELS, "provider", "service_tier", *CREATED, "type")
_ODD_COUNTS = (bool, float, str, list, dict)
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
        of_usage = usage.values()
        key = (*line, None, *body, None, *usage, *map(type, of_usage))
        for value in of_usage:
            if type(value) is dict:
                key += (*value, *map(type, value.values()))
        try:
            form = self._known[key]
        except KeyError:
            form = None
            if len(self._known) < MAX_FORMS:
                form = self._known[key] = self._new_form(line, body, usage)
        if form is None or (form.may_fail and (line.get("error") or body.get("error"))):
            return None
        return form, number, form.values(line, body, usage, text), len(text)

    def _new_form(self, line: dict[str, Any], body: dict[str, Any], usage: dict[str, Any]) -> "CallForm | None":
        """The form of a line; None if such lines must be read one by one."""
        rare = line.keys() & _RARE_IN_LINE if body is not line else set()
        if rare or body.keys() & _RARE_IN_BODY or "" in usage:
            return None
        counts: dict[str, list[str]] = {"": []}  # those of the block itself first
        blocks = [("", usage), *((key, value) for key, value in usage.items() if type(value) is dict)]
        for above, block in blocks:
            for key, value in block.items():
                if type(value) is int:
                    counts.setdefault(above, []).append(key)
                elif (type(value) is dict and above) or (type(value) in _ODD_COUNTS and is_count_key(key)):
                    return None
        return CallForm(line, body, counts, self._requests, self._record) if any(counts.values()) else None


class CallForm:
    """Lines with the same keys; see the module's docstring."""

    def __init__(
        self,
        line: dict[str, Any],
        body: dict[str, Any],
        counts: dict[str, list[str]],
        requests: Memo[tuple[Any, ...]],
        record: LineReader,
    ) -> None:
        is_wrapped = body is not line
        beside = _BESIDE if is_wrapped else ("request_id",)
        self._beside = tuple(key for key in beside if key in line)
        self._in_body = tuple(key for key in _IN_BODY if key in body)
        self._take_beside, self._take_body = _taker(self._beside), _taker(self._in_body)
        self._paths = tuple((above, key) if above else (key,) for above in counts for key in counts[above])
        self._take_counts = _taker(tuple(counts.pop("")))
        self._take_nested = [(above, _taker(tuple(keys))) for above, keys in counts.items()]
        self._has_request = is_wrapped and "request" in line
        self._has_times = "metrics" in body or "timings" in body
        self._has_stop_reason = "stop_reason" in body
        self._requests = requests
        self._record = record
        self.may_fail = "error" in line or "error" in body

    def values(self, line: dict[str, Any], body: dict[str, Any], usage: dict[str, Any], text: bytes) -> tuple[Any, ...]:
        """What counts of one line."""
        counts = self._take_counts(usage)
        for above, take in self._take_nested:
            counts += take(usage[above])
        return (
            text,
            usage,
            counts,
            self._take_beside(line),
            self._take_body(body),
            orjson.dumps(line["request"]) if self._has_request else None,
            _finish_reason(body),
            time_to_first_token_of(body) if self._has_times else None,
            answer_logprob_of(body),
        )

    def record(self, value: Any, number: int) -> Single:
        """Read one line."""
        return self._record(orjson.loads(value[0]), number)

    def columns(self, values: list[Any], numbers: list[int]) -> Columns:
        """Read many lines of this form."""
        _, usages, counts, beside, bodies, requests, reasons, times, log_probabilities = (
            list(column) for column in zip(*values, strict=True)
        )
        answered = _columns_of(self._in_body, bodies)
        columns: dict[str, Any] = {
            **token_columns(self._paths, counts, is_anthropic=self._is_anthropic(answered)),
            **self._line_columns(_columns_of(self._beside, beside), answered),
            "response_model": coalesced(answered, *RESPONSE_MODELS),
            "provider": answered.get("provider"),
            "finish_reason": reasons,
            "answer_logprob": log_probabilities,
            "time_to_first_token_s": times if self._has_times else None,
            "cost_reported_usd": [usage["cost"] for usage in usages] if "cost" in usages[0] else None,
        }
        if "service_tier" in usages[0]:
            answered["service_tier_of_usage"] = [usage["service_tier"] for usage in usages]
        columns["service_tier"] = coalesced(answered, "service_tier", "service_tier_of_usage")
        if self._has_request:
            rows = self._requests.all(requests, requests)
            columns |= _columns_of(_REQUEST, rows)
        columns["model"] = coalesced(columns, "request_model", "response_model")
        return {name: column for name, column in columns.items() if column is not None}

    def _is_anthropic(self, answered: dict[str, list[Any]]) -> bool:
        kinds = [kind == "message" for kind in answered.get("type", ())]
        if not self._has_stop_reason and any(kinds) and not all(kinds):
            raise NotCommonError
        return self._has_stop_reason or any(kinds)

    def _line_columns(self, beside: dict[str, list[Any]], answered: dict[str, list[Any]]) -> dict[str, Any]:
        """Columns of what stands beside request and response, with id and time of the response where it is silent."""
        moments, created = coalesced(beside, *MOMENTS), coalesced(answered, *CREATED)
        started: Any = None if created is None else epochs_us(created)
        if moments is not None:
            others = created or [None] * len(moments)
            started = [epoch_us(moment) or epoch_us(other) for moment, other in zip(moments, others, strict=True)]
        in_s, in_ms = coalesced(beside, *LATENCY_S), coalesced(beside, *LATENCY_MS)
        latencies: dict[str, Any] = {
            "s": None if in_s is None else _seconds(in_s),
            "ms": None if in_ms is None else [seconds(value, unit=1e-3) for value in in_ms],
        }
        return {
            **{column: beside.get(names[0]) if len(names) == 1 else coalesced(beside, *names)
               for column, names in BESIDE.items()},
            "request_id": coalesced({**beside, "id": answered["id"]}, "request_id", "id"),
            "latency_s": coalesced(latencies, "s", "ms"),
            "started_at": started,
        }  # fmt: skip


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
