"""Traces of OpenTelemetry, and what prints spans alike.

Understood: OTLP JSON (one export batch a line, as the file exporter and the Collector write it, or one
document), OTLP protobuf, the console exporter's spans (printed over several lines or on one), and MLflow's traces as
``Trace.to_json`` writes them. Only calls of generative models become rows; all other spans are passed
over, and of a root and a leaf that report the same tokens only the leaf counts.

Identifiers are hex, 64-bit integers are text: both are kept by reading plain JSON. (The protobuf parser
takes the hex ids for base64 and returns others.)
"""

import base64
import binascii
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from foretell.assets.readers.core.normalise import dig, epoch_us, first
from foretell.assets.readers.core.records import TOKEN_COLUMNS, ReadOptions, Record, Reject, records_of
from foretell.assets.readers.core.secrets import described, shown_names
from foretell.assets.readers.core.spans import ALIASES, Span, SpanFilter, parsed, span_record
from foretell.assets.readers.core.stream import (
    MAX_DEPTH,
    NOT_A_REQUEST,
    TOO_DEEP,
    head_of,
    is_too_deep,
    json_lines,
    json_texts,
    loads,
)
from foretell.assets.readers.core.usage import UsageError, tokens_of_parts
from foretell.assets.readers.fast.span_forms import SpanForm, SpanForms
from foretell.assets.readers.traces.otlp_proto import export_batches, is_protobuf

_OTHER = "one export batch or one span a line; name another format with --format"


class OtlpJson:
    """Reader of OTLP, as JSON or protobuf, and of the console exporter."""

    name = "otlp_json"

    def __init__(self, *, by_column: bool = True) -> None:
        self.by_column = by_column

    def sniff(self, head: bytes, path: Path) -> bool:
        """True if the head speaks of resource spans, or of a span context with attributes."""
        if b'"resourceSpans"' in head or b'"resource_spans"' in head or is_protobuf(head):
            return True
        return b'"context"' in head and b'"trace_id"' in head and b'"span_id"' in head and b'"attributes"' in head

    def read(self, path: Path, options: ReadOptions) -> Iterator[Record]:
        """Stream the model calls; those of a common form come out packed, unless `by_column` is False."""
        calls = SpanFilter()
        form_of = SpanForms().of if self.by_column else lambda span: None
        read = partial(_calls_of_line, calls=calls, form_of=form_of)
        batches = export_batches(path) if is_protobuf(head_of(path)) else json_texts(path, of_batches=True)
        return records_of(batches, read)


def _calls_of_line(
    number: int, value: Any, text: bytes | None, calls: SpanFilter, form_of: Callable[[Span], SpanForm | None]
) -> Iterator[Record]:
    spans, rejects = _spans(value, number)
    yield from rejects
    for span in calls.calls(spans):
        form = form_of(span)
        if form is None:
            yield from records_of([(number, span)], _one_record)
        else:
            yield form, number, span, form.size(span)


def _one_record(number: int, span: Span) -> Iterator[Record]:
    yield span_record(span, number)


class MLflowTraces:
    """Reader of MLflow traces as JSON, one trace a line."""

    name = "mlflow_traces"

    def sniff(self, head: bytes, path: Path) -> bool:
        """True if a trace starts with MLflow's info and spans."""
        return b'"trace_id"' in head and b'"spans"' in head and b"mlflow." in head and b'"resourceSpans"' not in head

    def read(self, path: Path, options: ReadOptions) -> Iterator[Record]:
        """Stream the model calls; tags of the trace give item, replicate, benchmark and score."""
        return records_of(json_lines(path), _calls_of_trace)


def _calls_of_trace(number: int, value: Any) -> Iterator[Record]:
    listed = dig(value, "data", "spans")
    spans = listed if isinstance(listed, list) else dig(value, "spans")
    if not isinstance(spans, list):
        yield Reject("no MLflow trace: it has no spans", number, _OTHER)
        return
    tags = first(dig(value, "info", "tags"), dig(value, "tags"), {})
    traced = [_mlflow_span(span) for span in spans if isinstance(span, dict)]
    yield from (_no_object("span", number) for span in spans if not isinstance(span, dict))
    tagged = {
        "item_id": first(dig(tags, "item_id"), dig(tags, "query_id")),
        "score": dig(tags, "score"),
        "benchmark": dig(tags, "benchmark"),
        "replicate": first(dig(tags, "replicate"), dig(tags, "repeat")),
    }
    tagged = {column: tag for column, tag in tagged.items() if tag is not None}
    for record in records_of(((number, span) for span in SpanFilter().calls(traced)), _one_record):
        yield {**record, **tagged} if isinstance(record, dict) else record


def _spans(value: Any, number: int) -> tuple[list[Span], list[Reject]]:
    """Spans of a line, and what stands where a span or a list of them should be."""
    if isinstance(value, dict) and ("resourceSpans" in value or "resource_spans" in value):
        rejects: list[Reject] = []
        return [_otlp_span(raw) for raw in _raw_spans(value, number, rejects)], rejects
    if isinstance(value, dict) and isinstance(value.get("context"), dict) and "attributes" in value:
        if is_too_deep(value):
            return [], [Reject(TOO_DEEP, number, NOT_A_REQUEST)]
        return [_console_span(value)], []
    shown = shown_names(value) if isinstance(value, dict) else type(value).__name__
    return [], [Reject(f"no spans here, only {shown}", number, _OTHER)]


def _raw_spans(batch: dict[str, Any], number: int, rejects: list[Reject]) -> Iterator[dict[str, Any]]:
    for resource in _objects(batch, number, rejects, "resourceSpans", "resource_spans"):
        for scope in _objects(resource, number, rejects, "scopeSpans", "scope_spans", "instrumentationLibrarySpans"):
            yield from _objects(scope, number, rejects, "spans")


def _objects(value: dict[str, Any], number: int, rejects: list[Reject], *keys: str) -> Iterator[dict[str, Any]]:
    """Objects of the list under the first of these keys; what is no list or no object is counted as a reject."""
    key = next((key for key in keys if key in value), None)
    if key is None:
        return  # an empty list is left out by the exporters
    listed = value[key]
    if not isinstance(listed, list):
        rejects.append(Reject(f"{key} is {described(listed)}, not a list", number, _OTHER))
        return
    for item in listed:
        if isinstance(item, dict):
            yield item
        else:
            rejects.append(_no_object(key, number))


def _no_object(key: str, number: int) -> Reject:
    return Reject(f"what stands in {key} is no object", number, _OTHER)


def _otlp_span(raw: dict[str, Any]) -> Span:
    is_error = bool(raw.get("status")) and dig(raw, "status", "code") in (2, "2", "STATUS_CODE_ERROR")
    return _span(raw, _in_conventions(_attributes(raw.get("attributes"))), is_error)


def _span(
    raw: dict[str, Any], attributes: dict[str, Any], is_error: bool, *, ids: dict[str, Any] | None = None,
    moment: Callable[[Any], int | None] | None = None,
) -> Span:  # fmt: skip
    ids, moment = raw if ids is None else ids, moment or _ns
    return Span(
        trace_id=_hex(_either(ids, "traceId", "trace_id")),
        span_id=_hex(_either(ids, "spanId", "span_id")),
        parent_id=_hex(_either(raw, "parentSpanId", "parent_span_id") or raw.get("parent_id")) or None,
        start=moment(_either(raw, "startTimeUnixNano", "start_time_unix_nano") or raw.get("start_time")),
        end=moment(_either(raw, "endTimeUnixNano", "end_time_unix_nano") or raw.get("end_time")),
        attributes=attributes,
        is_error=is_error,
    )


def _either(raw: dict[str, Any], name: str, other: str) -> Any:
    value = raw.get(name)
    return raw.get(other) if value is None or value == "" else value


def _attributes(listed: Any) -> dict[str, Any]:
    attributes: dict[str, Any] = {}
    for attribute in listed if isinstance(listed, list) else ():
        try:
            key, value = attribute["key"], attribute.get("value")
            ((kind, inner),) = value.items()
        except (AttributeError, KeyError, TypeError, ValueError):
            kind = inner = None
            if not isinstance(attribute, dict):
                continue
            key, value = attribute.get("key"), attribute.get("value")
        if isinstance(key, str):
            if kind in _PLAIN:
                attributes[key] = inner
            elif kind == "intValue" and type(inner) is str and inner.isdecimal():
                attributes[key] = int(inner)
            else:
                attributes[key] = _value(value)
    return attributes


_PLAIN = ("stringValue", "boolValue", "doubleValue")


def _value(value: Any, depth: int = 0) -> Any:
    if depth > MAX_DEPTH // 2:
        return None
    if not isinstance(value, dict):
        return value
    for key, inner in value.items():
        kind = key.replace("_", "").lower()
        if kind == "intvalue":
            try:
                return int(inner)
            except (OverflowError, TypeError, ValueError):
                return inner
        if kind in ("stringvalue", "boolvalue", "doublevalue", "bytesvalue"):
            return inner
        if kind == "arrayvalue":
            return [_value(item, depth + 1) for item in _values(inner)]
        if kind == "kvlistvalue":
            pairs = (pair for pair in _values(inner) if isinstance(pair, dict))
            return {str(pair.get("key")): _value(pair.get("value"), depth + 1) for pair in pairs}
    return None


def _values(value: Any) -> list[Any]:
    listed = dig(value, "values")
    return listed if isinstance(listed, list) else []


def _console_span(raw: dict[str, Any]) -> Span:
    attributes = _in_conventions(raw["attributes"] if isinstance(raw["attributes"], dict) else {})
    is_error = dig(raw, "status", "status_code") == "ERROR"
    return _span(raw, attributes, is_error, ids=raw["context"], moment=_ns_of_text)


def _ns_of_text(value: Any) -> int | None:
    us = epoch_us(value)
    return None if us is None else us * 1000


def _mlflow_span(raw: dict[str, Any]) -> Span:
    attributes: dict[str, Any] = {}
    encoded = raw.get("attributes")
    for key, value in encoded.items() if isinstance(encoded, dict) else ():
        attributes[key] = value
        if isinstance(value, str):
            with suppress(ValueError):  # every attribute is JSON text
                attributes[key] = loads(value.encode("utf-8", "replace"))
    is_error = first(dig(raw, "status", "code"), dig(raw, "status_code")) in ("STATUS_CODE_ERROR", "ERROR")
    return _span(raw, attributes, is_error)


def _hex(value: Any) -> str:
    """An id as lower-case hex: OTLP's as it is, the console's without 0x, MLflow's from base64."""
    if not value:
        return ""
    text = str(value).removeprefix("0x")
    if text.endswith("=") and len(text) in (12, 24):
        try:
            return base64.b64decode(text, validate=True).hex()
        except (binascii.Error, ValueError):
            return text
    return text.lower()


def _ns(value: Any) -> int | None:
    try:
        return int(value)
    except (OverflowError, TypeError, ValueError):
        return None


# -- Langfuse ------------------------------------------------------------------------------------------
_OBSERVATION = "langfuse.observation."
_OBSERVED = {"generation": "chat", "embedding": "embeddings"}
_PARAMETERS = ("temperature", "top_p", "max_tokens", "seed", "reasoning_effort")


def _in_conventions(attributes: dict[str, Any]) -> dict[str, Any]:
    """The attributes of a span, with those of Langfuse under the names of the GenAI conventions beside them.

    What the span says in the conventions' own words stays; an observation that is no generation is no model call.
    """
    kind = attributes.get(f"{_OBSERVATION}type")
    if kind is None:
        return attributes
    made: dict[str, Any] = {
        "gen_ai.operation.name": _OBSERVED.get(str(kind).lower(), "invoke_agent"),
        "gen_ai.request.model": attributes.get(f"{_OBSERVATION}model.name"),
        "gen_ai.input.messages": attributes.get(f"{_OBSERVATION}input"),
        "gen_ai.usage.cost": dig(parsed(attributes.get(f"{_OBSERVATION}cost_details")), "total"),
    }
    parameters = parsed(attributes.get(f"{_OBSERVATION}model.parameters"))
    if isinstance(parameters, dict):
        made |= {ALIASES[name][0]: parameters[name] for name in _PARAMETERS if name in parameters}
        if "max_completion_tokens" in parameters:
            made[ALIASES["max_tokens"][0]] = parameters["max_completion_tokens"]
    usage = parsed(attributes.get(f"{_OBSERVATION}usage_details"))
    if isinstance(usage, dict):
        try:
            counts = tokens_of_parts(usage)
        except UsageError:
            counts = {}  # the span then carries no usage, and its reject says so
        made |= {ALIASES[column][0]: counts.get(column) for column in TOKEN_COLUMNS}
    return {name: value for name, value in made.items() if value is not None} | attributes
