"""One record of every format that is read, and files of them."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tests.assets.trace_lines import chat


def span(i):
    attributes = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m", "gen_ai.usage.output_tokens": str(i)}
    return {
        "resourceSpans": [
            {
                "scopeSpans": [
                    {
                        "spans": [
                            {
                                "traceId": "a" * 32,
                                "spanId": f"{i:016x}",
                                "name": "chat",
                                "attributes": [
                                    {"key": k, "value": {"intValue" if "tokens" in k else "stringValue": v}}
                                    for k, v in attributes.items()
                                ],
                            }
                        ]
                    }
                ]
            }
        ]
    }


def litellm(i):
    return {
        "id": f"p{i}",
        "litellm_call_id": f"c{i}",
        "call_type": "completion",
        "model": "m",
        "prompt_tokens": 5,
        "metadata": {},
        "completion_tokens": i,
        "startTime": 1795314295.5,
        "endTime": 1795314297.5,
        "messages": [],
        "model_parameters": {"temperature": 0.5},
    }


def trace(i):
    usage = json.dumps({"input_tokens": 5, "output_tokens": i})
    return {
        "info": {"trace_id": f"tr-{i}"},
        "data": {
            "spans": [
                {
                    "trace_id": "x",
                    "span_id": f"s{i}",
                    "name": "chat",
                    "attributes": {
                        "mlflow.spanType": '"LLM"',
                        "mlflow.llm.model": '"m"',
                        "mlflow.chat.tokenUsage": usage,
                    },
                }
            ]
        },
    }


def table(i):
    return {"model": "m", "output_tokens": i, "input_tokens": 5, "prompt": f"q{i}", "request_id": f"r{i}"}


def eval_archive(path: Path, members: dict[str, bytes], method=zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


HEADER = json.dumps(
    {"version": 2, "eval": {"eval_id": "e", "task": "t", "task_id": "i", "model": "openai/gpt-5"}}
).encode()


def sample(i=0):
    return json.dumps(
        {
            "id": f"q{i}",
            "epoch": 1,
            "input": "Hi",
            "scores": {"s": {"value": "C"}},
            "events": [],
            "model_usage": {"openai/gpt-5": {"input_tokens": 5, "output_tokens": 7, "total_tokens": 12}},
        }
    ).encode()


def responses(i):
    """A call of OpenAI's Responses."""
    usage = {"input_tokens": 5, "output_tokens": 7 + i, "total_tokens": 12 + i}
    usage["output_tokens_details"] = {"reasoning_tokens": 3}
    body = {"id": f"resp-{i}", "object": "response", "model": "gpt-5", "status": "completed", "usage": usage}
    return {"request": {"model": "gpt-5", "input": f"question {i}"}, "response": {**body, "created_at": 1_795_315_000}}


def anthropic(i):
    """A call of Anthropic's messages."""
    body = {"id": f"msg-{i}", "type": "message", "model": "claude-haiku-4-5", "stop_reason": "end_turn"}
    body["usage"] = {"input_tokens": 5, "output_tokens": 7 + i}
    request = {
        "model": "claude-haiku-4-5",
        "max_tokens": 99,
        "messages": [{"role": "user", "content": f"question {i}"}],
    }
    return {"request": request, "response": body, "started_at": 1_795_315_000}


def gemini(i):
    """A call of Gemini's generateContent."""
    usage = {"promptTokenCount": 5, "candidatesTokenCount": 7 + i, "thoughtsTokenCount": 2, "totalTokenCount": 14 + i}
    body = {"responseId": f"g-{i}", "modelVersion": "gemini-3-flash", "usageMetadata": usage}
    body["candidates"] = [{"finishReason": "STOP", "content": {"parts": [{"text": "yes"}]}}]
    request = {"model": "gemini-3-flash", "contents": [{"role": "user", "parts": [{"text": f"question {i}"}]}]}
    request["generationConfig"] = {"maxOutputTokens": 99, "topK": 40}
    return {"request": request, "response": body, "started_at": 1_795_315_000}


def batch_output(i):
    """A line of OpenAI's batch output."""
    return {
        "id": f"b-{i}",
        "custom_id": f"q{i}",
        "response": {"status_code": 200, "body": chat(i)["response"]},
        "error": None,
    }


def console(i):
    """A span as the console exporter prints it."""
    attributes = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m", "gen_ai.usage.output_tokens": 7 + i,
                  "gen_ai.usage.input_tokens": 5, "gen_ai.prompt": f"question {i}"}  # fmt: skip
    context = {"trace_id": "0x" + "a" * 32, "span_id": f"0x{i:016x}"}
    times = {"start_time": "2026-11-22T02:36:40.000000Z", "end_time": "2026-11-22T02:36:42.000000Z"}
    return {"name": "chat m", "context": context, "parent_id": None, **times, "attributes": attributes}


def langfuse(i):
    """An observation of Langfuse's export."""
    usage = json.dumps({"input": 5, "output": 7 + i, "total": 12 + i})
    row = {"id": f"o-{i}", "trace_id": "t", "type": "GENERATION", "start_time": "2026-11-22 02:36:40.000000"}
    return row | {
        "provided_model_name": "m",
        "usage_details": usage,
        "model_parameters": "{}",
        "input": f"question {i}",
    }


def helicone(i):
    """A request of Helicone's export."""
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": f"question {i}"}]})
    row = {"request_id": f"h-{i}", "request_created_at": "2026-11-22T02:36:40Z", "request_model": "m"}
    return row | {"prompt_tokens": 5, "completion_tokens": 7 + i, "response_status": 200, "request_body": body}


def spend(i):
    """A row of LiteLLM's table of spend."""
    row = {"request_id": f"s-{i}", "spend": 0.1, "startTime": "2026-11-22T02:36:40Z", "model": "m"}
    return row | {"prompt_tokens": 5, "completion_tokens": 7 + i, "total_tokens": 12 + i, "messages": f"question {i}"}


def reversal(i):
    """A record of the Price Reversal data."""
    counts = {"prompt_tokens": 5, "completion_tokens": 7 + i, "thinking_tokens": 2}
    return {"index": i, "prompt": f"question {i}", **counts, "cost": 0.1, "score": 1}


def claude_code(i):
    """An answer in a session of Claude Code."""
    usage = {"input_tokens": 5, "cache_read_input_tokens": 9, "output_tokens": 7 + i}
    message = {"id": f"m-{i}", "type": "message", "model": "claude-opus-4-8", "stop_reason": "end_turn", "usage": usage}
    line = {"parentUuid": None, "sessionId": "s", "type": "assistant", "uuid": f"u{i}", "requestId": f"q{i}"}
    return {**line, "message": message, "timestamp": "2026-11-22T02:36:40Z"}


def langsmith(i):
    """A run of LangSmith's export."""
    row = {"id": f"l-{i}", "run_type": "llm", "start_time": "2026-11-22T02:36:40Z", "error": None}
    row |= {"prompt_tokens": 5, "completion_tokens": 7 + i, "extra": {"metadata": {"ls_model_name": "m"}}}
    return row | {"inputs": {"messages": [[{"role": "user", "content": f"question {i}"}]]}}


LINES = {
    "openai_jsonl": chat,
    "responses": responses,
    "anthropic": anthropic,
    "gemini": gemini,
    "batch_output": batch_output,
    "otlp_json": span,
    "console": console,
    "litellm": litellm,
    "mlflow_traces": trace,
    "tabular": table,
    "langfuse": langfuse,
    "helicone": helicone,
    "litellm_spend": spend,
    "claude_code": claude_code,
    "langsmith": langsmith,
}
"""A maker of one record by its number, for every format that has one a line."""

TABLES = ("tabular", "langfuse", "helicone", "litellm_spend")
"""The formats that come as CSV and Parquet too."""


def jsonl(records: Sequence[object]) -> bytes:
    """One record a line; a text stands as it is."""
    return b"".join((r if isinstance(r, str) else json.dumps(r)).encode() + b"\n" for r in records)


def as_csv(records: Sequence[dict]) -> bytes:
    """A CSV file of flat records."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(records[0]))
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue().encode()


def as_parquet(columns: dict, **options: object) -> bytes:
    """A Parquet file of columns."""
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink, **options)
    return sink.getvalue().to_pybytes()


def as_eval(samples: Sequence[bytes], header: bytes = HEADER) -> bytes:
    """An Inspect log of samples, each the bytes of its member."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("header.json", header)
        for i, content in enumerate(samples, start=1):
            archive.writestr(f"samples/{i}_epoch_1.json", content)
    return file.getvalue()


def as_document(records: Sequence[object]) -> bytes:
    """A document of the Price Reversal data."""
    head = {"model_name": "gpt-5-mini", "dataset_name": "aime", "split": "test"}
    return json.dumps({**head, "records": list(records)}).encode()
