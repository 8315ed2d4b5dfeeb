"""Traces of OpenTelemetry as JSON, and what prints spans alike.

Understood: OTLP JSON (one export batch a line, as the file exporter and the Collector write it, or one
document), the console exporter's spans (printed over several lines or on one), and MLflow's traces as
``Trace.to_json`` writes them. Only calls of generative models become rows; all other spans are passed
over, and of a root and a leaf that report the same tokens only the leaf counts.

Identifiers are hex, 64-bit integers are text: both are kept by reading plain JSON. (The protobuf parser
takes the hex ids for base64 and returns others.)
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from assets.readers.base import ReadOptions, Record, Reject
from assets.readers.normalise import dig, epoch_us, first
from assets.readers.span_forms import SpanForms
from assets.readers.spans import Span, SpanFilter, span_record
from assets.readers.stream import json_lines, json_texts, loads

__all__ = ["MLflowTraces", "OtlpJson"]

_OTHER = "one export batch or one span a line; name another format with --format"


class OtlpJson:
    """Reader of OTLP JSON and of the console exporter."""

    name = "otlp_json"

    def __init__(self, *, by_column: bool = True) -> None:
        self.by_column = by_column

    def sniff(self, head: bytes, path: Path) -> bool:
        """True if the head speaks of resource spans, or of a span context with attributes."""
        if b'"resourceSpans"' in head or b'"resource_spans"' in head:
            return True
        return b'"context"' in head and b'"trace_id"' in head and b'"span_id"' in head and b'"attributes"' in head

    def read(self, path: Path, options: ReadOptions) -> Iterator[Record]:
        """Stream the model calls; those of a common form come out packed, unless `by_column` is False."""
        calls = SpanFilter()
        form_of = SpanForms().of if self.by_column else _no_form
        for item in json_texts(path):
            if isinstance(item, Reject):
                yield item
                continue
            number, value, _ = item
            spans = _spans(value)
            if spans is None:
                shown = sorted(value)[:6] if isinstance(value, dict) else type(value).__name__
                yield Reject(f"no spans here, found {shown}", number, _OTHER)
                continue
            for span in calls.calls(spans):
                form = form_of(span)
                yield span_record(span, number) if form is None else (form, number, span)


class MLflowTraces:
    """Reader of MLflow traces as JSON, one trace a line."""

    name = "mlflow_traces"

    def sniff(self, head: bytes, path: Path) -> bool:
        """True if a trace starts with MLflow's info and spans."""
        return b'"trace_id"' in head and b'"spans"' in head and b"mlflow." in head and b'"resourceSpans"' not in head

    def read(self, path: Path, options: ReadOptions) -> Iterator[Record]:
        """Stream the model calls; tags of the trace give item, replicate, benchmark and score."""
        for item in json_lines(path):
            if isinstance(item, Reject):
                yield item
                continue
            number, value = item
            listed = dig(value, "data", "spans") if isinstance(value, dict) else None
            spans = listed if isinstance(listed, list) else dig(value, "spans")
            if not isinstance(spans, list):
                yield Reject("no MLflow trace: it has no spans", number, _OTHER)
                continue
            tags = first(dig(value, "info", "tags"), dig(value, "tags"), {})
            parsed = [_mlflow_span(span) for span in spans if isinstance(span, dict)]
            for span in SpanFilter().calls(parsed):
                record = span_record(span, number)
                if isinstance(record, dict) and isinstance(tags, dict):
                    told = {"item_id": first(tags.get("item_id"), tags.get("query_id")), "score": tags.get("score"),
                            "benchmark": tags.get("benchmark"),
                            "replicate": first(tags.get("replicate"), tags.get("repeat"))}  # fmt: skip
                    record |= {key: told_value for key, told_value in told.items() if told_value is not None}
                yield record


def _spans(value: Any) -> list[Span] | None:
    if not isinstance(value, dict):
        return None
    resources = first(value.get("resourceSpans"), value.get("resource_spans"))
    if resources is not None or "resourceSpans" in value:
        return [_otlp_span(raw) for raw in _raw_spans(resources)]
    if isinstance(value.get("context"), dict) and "attributes" in value:
        return [_console_span(value)]
    return None


def _raw_spans(resources: Any) -> Iterator[dict[str, Any]]:
    for resource in resources if isinstance(resources, list) else []:
        for scope in _list(resource, "scopeSpans", "scope_spans", "instrumentationLibrarySpans"):
            for span in _list(scope, "spans"):
                if isinstance(span, dict):
                    yield span


def _list(value: Any, *keys: str) -> list[Any]:
    if isinstance(value, dict):
        for key in keys:
            if isinstance(found := value.get(key), list):
                return found
    return []


def _no_form(span: Span) -> None:
    return None


def _otlp_span(raw: dict[str, Any]) -> Span:
    return Span(
        trace_id=_hex(_either(raw, "traceId", "trace_id")),
        span_id=_hex(_either(raw, "spanId", "span_id")),
        parent_id=_hex(_either(raw, "parentSpanId", "parent_span_id")) or None,
        name=str(raw.get("name")),
        start=_ns(_either(raw, "startTimeUnixNano", "start_time_unix_nano")),
        end=_ns(_either(raw, "endTimeUnixNano", "end_time_unix_nano")),
        attributes=_attributes(raw.get("attributes")),
        is_error=bool(raw.get("status")) and dig(raw, "status", "code") in (2, "2", "STATUS_CODE_ERROR"),
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
    if not isinstance(value, dict) or depth > 50:
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
            return [_value(item, depth + 1) for item in _list(inner, "values")]
        if kind == "kvlistvalue":
            pairs = (pair for pair in _list(inner, "values") if isinstance(pair, dict))
            return {str(pair.get("key")): _value(pair.get("value"), depth + 1) for pair in pairs}
    return None


def _console_span(raw: dict[str, Any]) -> Span:
    context = raw["context"]
    attributes = raw["attributes"] if isinstance(raw["attributes"], dict) else {}
    start, end = epoch_us(raw.get("start_time")), epoch_us(raw.get("end_time"))
    return Span(
        trace_id=_hex(context.get("trace_id")),
        span_id=_hex(context.get("span_id")),
        parent_id=_hex(raw.get("parent_id")) or None,
        name=str(raw.get("name")),
        start=None if start is None else start * 1000,
        end=None if end is None else end * 1000,
        attributes=attributes,
        is_error=dig(raw, "status", "status_code") == "ERROR",
    )


def _mlflow_span(raw: dict[str, Any]) -> Span:
    attributes: dict[str, Any] = {}
    told = raw.get("attributes")
    for key, value in told.items() if isinstance(told, dict) else ():
        attributes[key] = value
        if isinstance(value, str):
            with suppress(ValueError):  # every attribute is JSON text
                attributes[key] = loads(value.encode("utf-8", "replace"))
    return Span(
        trace_id=_hex(first(raw.get("trace_id"))),
        span_id=_hex(first(raw.get("span_id"))),
        parent_id=_hex(first(raw.get("parent_span_id"), raw.get("parent_id"))) or None,
        name=str(raw.get("name")),
        start=_ns(first(raw.get("start_time_unix_nano"), raw.get("start_time"))),
        end=_ns(first(raw.get("end_time_unix_nano"), raw.get("end_time"))),
        attributes=attributes,
        is_error=first(dig(raw, "status", "code"), dig(raw, "status_code")) in ("STATUS_CODE_ERROR", "ERROR"),
    )


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
