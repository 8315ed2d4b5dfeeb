"""One model call of a tracing tool, whatever it calls its attributes (``spellings/spans.yaml``)."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from foretell.assets.readers.core.normalise import as_number, dig, epoch_us, first, normal_finish_reason, seconds
from foretell.assets.readers.core.records import TOKEN_COLUMNS, Reject, Row, Single
from foretell.assets.readers.core.requests import effort_of, prompt_columns
from foretell.assets.readers.core.secrets import word
from foretell.assets.readers.core.settings import settings_json
from foretell.assets.readers.core.stream import loads
from foretell.assets.readers.spellings import spellings

ALIASES: dict[str, tuple[str, ...]] = spellings("spans")

OURS = ("item_id", "benchmark", "replicate", "repeat_prob", "score", "source", "project", "key_name", "answer_logprob")
"""Columns for which the conventions have no word; not gen_ai.conversation.id, whose turns are different queries."""
FIRST_TOKEN = {
    "gen_ai.response.time_to_first_chunk": 1.0, "gen_ai.server.time_to_first_token": 1.0,
    "ai.response.msToFirstChunk": 1e-3,
}  # fmt: skip
"""Attribute with the time to the first token -> its unit in seconds."""
_CALLS = {"chat", "generate_content", "text_completion", "completion", "completions", "responses", "message"}
_NOT_CALLS = {"invoke_agent", "create_agent", "execute_tool", "embeddings", "rerank", "invoke_workflow", "retrieval",
              "plan"}  # fmt: skip
_MAX_OPEN = 200_000
_NO_USAGE = "switch on the usage attributes of the instrumentation (when streaming: include_usage)"


@dataclass(slots=True)
class Span:
    """One span with flat attributes; times in nanoseconds since 1970 or None."""

    trace_id: str
    span_id: str
    parent_id: str | None
    start: int | None
    end: int | None
    attributes: dict[str, Any]
    is_error: bool = False


class SpanFilter:
    """Leaves out spans that sum up model calls below them, so that root and leaf do not count twice.

    A child ends before its parent and is exported no later, so one pass in the order of ends is enough.
    """

    def __init__(self) -> None:
        self._above_a_call: dict[tuple[str, str], None] = {}

    def calls(self, batch: list[Span]) -> list[Span]:
        """Return the model calls of one export batch, in the order in which they ended."""
        if len(batch) > 1:
            batch = sorted(batch, key=lambda span: (span.end or 0, -(span.start or 0)))
        calls = []
        for span in batch:
            key = (span.trace_id, span.span_id)
            has_call_below = key in self._above_a_call
            self._above_a_call.pop(key, None)
            is_call = is_model_call(span)
            if span.parent_id and (has_call_below or (is_call and _has_usage(span))):
                self._above_a_call[span.trace_id, span.parent_id] = None
                if len(self._above_a_call) > _MAX_OPEN:  # parents that never come must not fill the memory
                    del self._above_a_call[next(iter(self._above_a_call))]
            if is_call and not has_call_below:
                calls.append(span)
        return calls


def _has_usage(span: Span) -> bool:
    return _one(span.attributes, "output_tokens") is not None or "mlflow.chat.tokenUsage" in span.attributes


def is_model_call(span: Span) -> bool:
    """True if the span is a call of a generative model (not of an agent, a tool or an embedding model)."""
    attributes = span.attributes
    kind = first(attributes.get("openinference.span.kind"), attributes.get("mlflow.spanType"))
    is_called = _is_called(str(attributes.get("gen_ai.operation.name") or ""), str(kind or ""))
    return _has_usage(span) if is_called is None else is_called


@lru_cache(maxsize=1024)
def _is_called(operation: str, kind: str) -> bool | None:
    """What operation and kind say; None if they say nothing."""
    if operation.lower() in _NOT_CALLS:
        return False
    if kind:
        return kind.upper() in ("LLM", "CHAT_MODEL")
    return True if operation.lower() in _CALLS else None


def _one(attributes: dict[str, Any], column: str) -> Any:
    return next((attributes[key] for key in ALIASES[column] if attributes.get(key) not in (None, "")), None)


def span_record(span: Span, number: int) -> Single:
    """Return the canonical row of a model call."""
    attributes = span.attributes
    row: Row = {column: _one(attributes, column) for column in ALIASES}
    _add_mlflow(row, attributes)
    if row["output_tokens"] is None:
        kind = attributes.get("error.type")
        if span.is_error or kind:
            return Reject(f"a failed call: {word(kind) or 'status error'}", number, "nothing was measured")
        return Reject("the span carries no usage", number, _NO_USAGE)
    for column in TOKEN_COLUMNS:
        row[column] = as_count(row[column])
    _make_inclusive(row)
    invocation = parsed(attributes.get("llm.invocation_parameters"))
    if isinstance(invocation, dict):  # OpenInference keeps the settings in one JSON text
        _add_invocation(row, invocation)
    row["finish_reason"] = normal_finish_reason(parsed(row["finish_reason"]))
    row |= prompt_of(attributes)
    row["query_id"] = attributes.get("foretell.query_id") or row["query_id"]
    row |= {
        "started_at": epoch_us(span.start),
        "latency_s": latency_of(span),
        "time_to_first_token_s": first_token_of(attributes),
        "settings": settings_of(attributes),
        "request_id": attributes.get("foretell.request_id") or f"{span.trace_id}/{span.span_id}",
        "trace_id": span.trace_id,
        "model": first(row["request_model"], row["response_model"]),
        **{name: attributes.get(f"foretell.{name}") for name in OURS},
        "source_line": number,
    }
    return row


def as_count(value: Any) -> Any:
    """Counts may be written as text or as a double; what is no number is left for the check of the row."""
    number = as_number(value)
    return int(number) if number is not None and number.is_integer() else value


def _make_inclusive(row: Row) -> None:
    """Repair counts that exclude the cache or the reasoning, where the counts themselves prove it."""
    values = {column: row[column] if isinstance(row[column], int) else None for column in TOKEN_COLUMNS}
    n_in, n_out, n_reasoning = values["input_tokens"], values["output_tokens"], values["reasoning_tokens"]
    cache = (values["cache_read_tokens"] or 0) + (values["cache_write_tokens"] or 0)
    if n_in is not None and cache > n_in:
        n_in = row["input_tokens"] = n_in + cache  # Anthropic's own spelling, passed through
    total = values["total_tokens"]
    if n_reasoning and n_out is not None and n_in is not None and total == n_in + n_out + n_reasoning:
        row["output_tokens"] = n_out + n_reasoning


def _add_mlflow(row: Row, attributes: dict[str, Any]) -> None:
    usage = parsed(attributes.get("mlflow.chat.tokenUsage"))
    if isinstance(usage, dict):
        names = {"cache_read_tokens": "cache_read_input_tokens", "cache_write_tokens": "cache_creation_input_tokens"}
        for name in TOKEN_COLUMNS:
            row[name] = first(row[name], usage.get(names.get(name, name)))
    outputs = parsed(attributes.get("mlflow.spanOutputs"))
    if row["reasoning_tokens"] is None:
        # MLflow's own usage has no key for reasoning (mlflow#23000): the provider's answer has.
        row["reasoning_tokens"] = first(dig(outputs, "usage", "completion_tokens_details", "reasoning_tokens"),
                                        dig(outputs, "usage", "output_tokens_details", "reasoning_tokens"))  # fmt: skip
    if row["cost_reported_usd"] is None:
        row["cost_reported_usd"] = dig(parsed(attributes.get("mlflow.llm.cost")), "total_cost")
    inputs = parsed(attributes.get("mlflow.spanInputs"))
    if isinstance(inputs, dict):
        _add_invocation(row, inputs)
    choices = dig(outputs, "choices")
    if row["finish_reason"] is None and isinstance(choices, list):
        row["finish_reason"] = [dig(choice, "finish_reason") for choice in choices]


def _add_invocation(row: Row, settings: dict[str, Any]) -> None:
    for column in ("temperature", "top_p", "seed"):
        row[column] = first(row[column], settings.get(column))
    row["max_tokens"] = first(row["max_tokens"], settings.get("max_completion_tokens"), settings.get("max_tokens"))
    row["reasoning_effort"] = first(row["reasoning_effort"], effort_of(settings))


def latency_of(span: Span) -> float | None:
    """Seconds that the call took."""
    return seconds(span.end - span.start, unit=1e-9) if span.start and span.end else None


def first_token_of(attributes: dict[str, Any]) -> float | None:
    """Seconds to the first token."""
    return next(
        (s for key, unit in FIRST_TOKEN.items() if (s := seconds(attributes.get(key), unit=unit)) is not None), None
    )


_MORE_SETTINGS = ("top_k", "frequency_penalty", "presence_penalty", "stop_sequences", "choice.count")


def settings_of(attributes: dict[str, Any]) -> str | None:
    """Settings of the request that have no column of their own, as JSON."""
    return settings_json({key: attributes.get(f"gen_ai.request.{key}") for key in _MORE_SETTINGS})


def prompt_of(attributes: dict[str, Any]) -> Row:
    """Text and hash of the messages."""
    names = ("gen_ai.input.messages", "ai.prompt.messages", "ai.prompt", "gen_ai.prompt", "input.value")
    messages = parsed(first(*map(attributes.get, names)))
    if messages is None:
        indexed = _indexed(attributes, "llm.input_messages.", "message.") or _indexed(attributes, "gen_ai.prompt.", "")
        messages = indexed or dig(parsed(attributes.get("mlflow.spanInputs")), "messages")
    if isinstance(messages, dict):
        messages = first(messages.get("messages"), messages.get("prompt"), messages.get("input"))
    system = parsed(first(attributes.get("gen_ai.system_instructions"), attributes.get("llm.system_instructions")))
    return prompt_columns(messages, system=system)


def _indexed(attributes: dict[str, Any], prefix: str, middle: str) -> list[dict[str, Any]]:
    """Messages spread over attributes such as ``llm.input_messages.0.message.content``."""
    messages = []
    for i in range(1000):
        stem = f"{prefix}{i}.{middle}"
        role, content = attributes.get(stem + "role"), attributes.get(stem + "content")
        if role is None and content is None:
            break
        messages.append({"role": role, "content": parsed(content)})
    return messages


def parsed(value: Any, starts: Sequence[str] = ("{", "[", '"')) -> Any:
    """Return the value of a JSON text that starts so; other values and other texts as they are."""
    if isinstance(value, str) and value[:1] in starts:
        try:
            return loads(value.encode("utf-8", "replace"))
        except ValueError:
            return value
    return value
