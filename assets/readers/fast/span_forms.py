"""Model calls of tracing tools column by column: what `spans.span_record` reads span by span.

A `SpanForm` gathers the spans of one file with the same attributes. Which of them gives which column is found
once per form, prompts are read once per distinct text. A value of an unusual type makes the form hand back
the spans in doubt (`NotCommonError`).
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from foretell.assets.readers.core.normalise import coalesced, epochs_us, normal_finish_reason
from foretell.assets.readers.core.records import TOKEN_COLUMNS, Columns, NotCommonError, Row, Single
from foretell.assets.readers.core.spans import (
    ALIASES,
    FIRST_TOKEN,
    OURS,
    Span,
    as_count,
    first_token_of,
    latency_of,
    parsed,
    prompt_of,
    settings_of,
    span_record,
)
from foretell.assets.readers.fast.memo import Memo
from foretell.assets.readers.fast.token_columns import Counts, counts_of, with_reasoning

MAX_FORMS = 1_000
_RARE = ("mlflow.", "llm.invocation_parameters")
_PROMPTS = ("gen_ai.input.messages", "gen_ai.prompt", "gen_ai.system_instructions", "ai.prompt", "input.value",
            "llm.input_messages.", "llm.system_instructions")  # fmt: skip
Values: TypeAlias = "list[Any]"


class SpanForms:
    """The forms of one file's spans."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, ...], SpanForm | None] = {}
        self._prompts: Memo[Row] = Memo(prompt_of, size=lambda key: sum(map(len, key[1])))

    def of(self, span: Span) -> SpanForm | None:
        """Form of a span; None if it must be read by itself."""
        keys = tuple(span.attributes)
        try:
            form = self._known[keys]
        except KeyError:
            form = None
            if len(self._known) < MAX_FORMS:
                has_output = any(key in span.attributes for key in ALIASES["output_tokens"])
                if has_output and not any(key.startswith(_RARE) for key in keys):
                    form = SpanForm(keys, self._prompts)
                self._known[keys] = form
        return form if form is not None and form.has_output(span) else None


class SpanForm:
    """Spans with the same attributes; see the module's docstring."""

    def __init__(self, keys: tuple[str, ...], prompts: Memo[Row]) -> None:
        self._keys = keys
        self._output = next(key for key in ALIASES["output_tokens"] if key in keys)
        self._prompt_keys = tuple(key for key in keys if key.startswith(_PROMPTS))
        self._has_settings = bool(settings_of(dict.fromkeys(keys, 1)))
        self._prompts = prompts

    def has_output(self, span: Span) -> bool:
        """True if the span certainly tells its output tokens."""
        return span.attributes[self._output] not in (None, "")

    def record(self, value: Any, number: int) -> Single:
        """Read one span."""
        return span_record(value, number)

    def size(self, span: Span) -> int:
        """Characters of the prompt."""
        texts = (span.attributes[key] for key in self._prompt_keys)
        return sum(len(text) for text in texts if type(text) is str)

    def columns(self, values: list[Any], numbers: list[int]) -> Columns:
        """Read many spans of this form."""
        spans: list[Span] = values
        listed = zip(*[span.attributes.values() for span in spans], strict=True)
        told: dict[str, Values] = dict(zip(self._keys, map(list, listed), strict=True))
        found = {column: coalesced(told, *aliases) for column, aliases in ALIASES.items()}
        columns: dict[str, Any] = {**found, **_token_columns(found), **_times(spans)}
        finish = found["finish_reason"]
        columns["finish_reason"] = None if finish is None else _finish_reasons(finish)
        columns |= self._prompt_columns(told, len(spans))
        for name in OURS:
            columns[name] = told.get(f"foretell.{name}")
        if (ids := told.get("foretell.query_id")) is not None:
            others = columns.get("query_id") or [None] * len(spans)
            columns["query_id"] = [own or other for own, other in zip(ids, others, strict=True)]
        if self._has_settings:
            columns["settings"] = [settings_of(span.attributes) for span in spans]
        if any(key in told for key in FIRST_TOKEN):
            columns["time_to_first_token_s"] = [first_token_of(span.attributes) for span in spans]
        columns["trace_id"] = [span.trace_id for span in spans]
        columns["request_id"] = [f"{span.trace_id}/{span.span_id}" for span in spans]
        if (ids := told.get("foretell.request_id")) is not None:
            columns["request_id"] = [own or made for own, made in zip(ids, columns["request_id"], strict=True)]
        columns["model"] = coalesced(found, "request_model", "response_model")
        return {name: column for name, column in columns.items() if column is not None}

    def _prompt_columns(self, told: dict[str, Values], n: int) -> dict[str, list[str | None]]:
        keys = self._prompt_keys
        if not keys:
            return {}
        texts = list(zip(*[told[key] for key in keys], strict=True))
        if any(type(text) is not str for row in texts for text in row):
            raise NotCommonError
        rows = self._prompts.all([(keys, row) for row in texts], (dict(zip(keys, row, strict=True)) for row in texts))
        return {name: [row[name] for row in rows] for name in ("prompt_text", "query_id")}


def _token_columns(found: dict[str, Values | None]) -> Columns:
    """Counts as `spans.make_inclusive` leaves them."""
    counts = {column: _counts(found[column]) for column in TOKEN_COLUMNS}
    n_in, read, write = (counts[f"{name}_tokens"] for name in ("input", "cache_read", "cache_write"))
    if n_in is not None:
        cache = (0 if read is None else read) + (0 if write is None else write)
        counts["input_tokens"] = n_in + np.where(cache > n_in, cache, 0)
    return {**dict.fromkeys(TOKEN_COLUMNS), **with_reasoning(counts)}


def _counts(values: Values | None) -> Counts:
    if values is None:
        return None
    if set(map(type, values)) != {int}:
        values = list(map(as_count, values))
        if set(map(type, values)) != {int}:
            raise NotCommonError
    return counts_of(values)


def _finish_reasons(values: Values) -> list[str | None]:
    known: dict[Any, str | None] = {}
    reasons: list[str | None] = []
    for value in values:
        try:
            key = tuple(value) if type(value) is list else value
            reasons.append(known[key])
        except KeyError:
            known[key] = normal_finish_reason(parsed(value))
            reasons.append(known[key])
        except TypeError:  # no word and no list of words
            raise NotCommonError from None
    return reasons


def _times(spans: list[Span]) -> dict[str, Any]:
    starts, ends = [span.start for span in spans], [span.end for span in spans]
    spent = _nanoseconds(starts, ends)
    if spent is None:
        latencies: Any = [latency_of(span) for span in spans]
    else:
        latencies = pa.array(spent.astype(np.float64) * 1e-9, mask=spent < 0)
    return {"started_at": epochs_us(starts), "latency_s": latencies}


def _nanoseconds(starts: list[Any], ends: list[Any]) -> NDArray[np.int64] | None:
    """Differences, where all times are known and fit."""
    if (
        set(map(type, starts)) | set(map(type, ends)) != {int}
        or min(*starts, *ends) <= 0
        or max(*starts, *ends) >= 2**62
    ):
        return None
    return np.array(ends, dtype=np.int64) - np.array(starts, dtype=np.int64)
