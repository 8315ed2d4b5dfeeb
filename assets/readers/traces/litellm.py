"""LiteLLM's StandardLoggingPayload as JSONL, one call a line (what its loggers and callbacks write).

The table LiteLLM_SpendLogs is read by `foretell.assets.readers.traces.tabular` (preset ``litellm_spend``).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from foretell.assets.readers.core.normalise import dig, epoch_us, first, seconds
from foretell.assets.readers.core.records import ReadOptions, Record, Reject, records_of
from foretell.assets.readers.core.secrets import word
from foretell.assets.readers.core.stream import json_lines
from foretell.assets.readers.traces.openai_jsonl import read_call


class LiteLLM:
    """Reader of StandardLoggingPayload."""

    name = "litellm"

    def sniff(self, head: bytes, path: Path) -> bool:
        """True if the head names LiteLLM's call id, or its response cost beside a call type."""
        if head.lstrip()[:1] not in (b"{", b"["):
            return False
        return b'"litellm_call_id"' in head or (b'"response_cost"' in head and b'"call_type"' in head)

    def read(self, path: Path, options: ReadOptions) -> Iterator[Record]:
        """Stream the calls."""
        return records_of(json_lines(path), _records)


def _records(number: int, line: Any) -> Iterator[Record]:
    payload = first(dig(line, "standard_logging_object"), line)
    if not isinstance(payload, dict) or "call_type" not in payload:
        yield Reject("no StandardLoggingPayload", number, "one payload a line; see docs/formats.md")
        return
    if payload.get("status") == "failure":
        why = first(dig(payload, "error_information", "error_class"), payload.get("error_str"))
        yield Reject(f"a failed call: {word(why) or 'status failure'}", number, "nothing was measured; leave it out")
        return
    asked, response, beside = (
        part if isinstance(part := payload.get(name), dict) else {}
        for name in ("model_parameters", "response", "metadata")
    )
    block, messages = first(beside.get("usage_object"), response.get("usage")), payload.get("messages")
    counts = {key: payload.get(key) for key in ("prompt_tokens", "completion_tokens", "total_tokens")}
    tags = payload.get("request_tags")  # user metadata do not survive in the payload; tags do
    told = dict(str(tag).split(":", 1) for tag in tags if ":" in str(tag)) if isinstance(tags, list) else {}
    row = read_call({
        "response": {
            **response, "usage": block if isinstance(block, dict) and block else counts,
            "model": first(response.get("model"), payload.get("model")),
        },
        "request": {
            **{name: value for name, value in asked.items() if name != "extra_body"},
            "model": first(payload.get("model_group"), payload.get("model")),
            "messages": messages.get("messages") if isinstance(messages, dict) else messages,
        },
        **{name: told[name] for name in ("benchmark", "item_id", "replicate", "repeat_prob", "score") if name in told},
        "request_id": first(payload.get("id"), payload.get("litellm_call_id")),
        "trace_id": first(payload.get("trace_id"), payload.get("session_id")),
        "project": first(*(beside.get(f"user_api_key_{name}") for name in ("project_alias", "team_alias", "team_id"))),
        "key_name": first(beside.get("user_api_key_alias"), beside.get("user_api_key_hash")),
        "timestamp": payload.get("startTime"),
        "cache_hit": payload.get("cache_hit"),
    }, number, {})  # fmt: skip
    start, first_token, end = (epoch_us(payload.get(k)) for k in ("startTime", "completionStartTime", "endTime"))
    yield row if isinstance(row, Reject) else {
        **row,
        "latency_s": _between(start, end),
        # A call that was not streamed has its first token with its last.
        "time_to_first_token_s": _between(start, first_token) if first_token != end else None,
        "provider": payload.get("custom_llm_provider"),
        "service_tier": dig(payload, "cost_breakdown", "service_tier"),
        "cost_reported_usd": payload.get("response_cost"),
    }  # fmt: skip


def _between(start: int | None, end: int | None) -> float | None:
    return None if start is None or end is None else seconds(end - start, unit=1e-6)
