"""Spans of every tracing dialect give one row per model call, with inclusive counts."""

import base64
import gzip
import json

import pandas as pd
import pytest

from foretell.assets.readers.core.spans import ALIASES
from foretell.assets.readers.reading import detect, read_traces
from tests.assets.trace_lines import SHARED, needs_formats, write_jsonl

T0 = 1_795_314_295_506_231_566


def value(v):
    if isinstance(v, bool):
        return {"boolValue": v}
    if isinstance(v, int):
        return {"intValue": str(v)}
    if isinstance(v, float):
        return {"doubleValue": v}
    if isinstance(v, list):
        return {"arrayValue": {"values": [value(item) for item in v]}}
    return {"stringValue": v}


def span(span_id="a" * 16, parent=None, start=0, seconds=2, name="chat m", trace="b" * 32, **attributes):
    found = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "m",
        "gen_ai.usage.input_tokens": 10,
        "gen_ai.usage.output_tokens": 20,
    } | attributes.pop("attributes", {})
    return {
        "traceId": trace,
        "spanId": span_id,
        **({"parentSpanId": parent} if parent else {}),
        "name": name,
        "kind": 3,
        "startTimeUnixNano": str(T0 + start),
        "endTimeUnixNano": str(T0 + start + seconds * 10**9),
        "attributes": [{"key": k, "value": value(v)} for k, v in found.items() if v is not None],
        "status": {},
    } | attributes


def batch(*spans):
    return {
        "resourceSpans": [
            {"resource": {"attributes": []}, "scopeSpans": [{"scope": {"name": "s"}, "spans": list(spans)}]}
        ]
    }


def rows_of(tmp_path, *lines, name="a.jsonl"):
    path = write_jsonl(tmp_path / name, *lines)
    assert detect(path) == "otlp_json"
    read = read_traces(path)
    assert read.rejects.empty, read.rejects.to_dict("records")
    return read.rows


def test_ids_stay_hex_and_text_integers_become_integers(tmp_path):
    (row,) = rows_of(tmp_path, batch(span())).to_dict("records")
    assert row["request_id"] == "b" * 32 + "/" + "a" * 16
    assert row["trace_id"] == "b" * 32
    assert (row["input_tokens"], row["output_tokens"]) == (10, 20)
    assert row["latency_s"] == 2.0
    assert row["started_at"].isoformat() == "2026-11-22T02:24:55.506231+00:00"


# Each dialect under the names its own instrumentation writes.
DIALECTS = {
    "semconv": {"gen_ai.usage.reasoning.output_tokens": 7, "gen_ai.usage.cache_read.input_tokens": 4},
    "deprecated": {
        "gen_ai.usage.input_tokens": None,
        "gen_ai.usage.output_tokens": None,
        "gen_ai.usage.prompt_tokens": 10,
        "gen_ai.usage.completion_tokens": 20,
        "gen_ai.usage.reasoning_tokens": 7,
        "gen_ai.usage.cache_read_input_tokens": 4,
    },
    "sentry": {"gen_ai.usage.output_tokens.reasoning": 7, "gen_ai.usage.input_tokens.cached": 4},
    "pydantic-ai": {"gen_ai.usage.details.reasoning_tokens": 7, "gen_ai.usage.details.cache_read_tokens": 4},
    "vercel": {
        "gen_ai.usage.input_tokens": None,
        "gen_ai.usage.output_tokens": None,
        "ai.usage.inputTokens": 10,
        "ai.usage.outputTokens": 20,
        "ai.usage.reasoningTokens": 7,
        "ai.usage.cachedInputTokens": 4,
    },
    "openinference": {
        "gen_ai.operation.name": None,
        "gen_ai.request.model": None,
        "gen_ai.usage.input_tokens": None,
        "gen_ai.usage.output_tokens": None,
        "openinference.span.kind": "LLM",
        "llm.model_name": "m",
        "llm.token_count.prompt": 10,
        "llm.token_count.completion": 20,
        "llm.token_count.completion_details.reasoning": 7,
        "llm.token_count.prompt_details.cache_read": 4,
    },
}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_dialect_gives_the_same_counts(tmp_path, dialect):
    (row,) = rows_of(tmp_path, batch(span(attributes=DIALECTS[dialect]))).to_dict("records")
    counts = [row[c] for c in ("input_tokens", "output_tokens", "reasoning_tokens", "cache_read_tokens")]
    assert counts == [10, 20, 7, 4]
    assert row["model"] == "m"


@pytest.mark.parametrize("alias", ALIASES["reasoning_tokens"])
def test_every_alias_of_reasoning_is_read(tmp_path, alias):
    assert rows_of(tmp_path, batch(span(attributes={alias: 7})))["reasoning_tokens"].tolist() == [7]


def test_pydantic_ai_6559_reasoning_that_is_not_reported_is_unknown(tmp_path):
    assert rows_of(tmp_path, batch(span()))["reasoning_tokens"].isna().all()


def test_exclusive_cache_and_exclusive_reasoning_are_added_where_the_counts_prove_it(tmp_path):
    cache = span(attributes={"gen_ai.usage.cache_read.input_tokens": 90, "gen_ai.usage.cache_creation.input_tokens": 5})
    thoughts = span("c" * 16, attributes={"gen_ai.usage.reasoning.output_tokens": 50, "gen_ai.usage.total_tokens": 80})
    rows = rows_of(tmp_path, batch(cache, thoughts))
    assert rows["input_tokens"].tolist() == [105, 10]
    assert rows["output_tokens"].tolist() == [20, 70]


def test_root_and_leaf_count_once_also_across_batches_and_over_a_span_between(tmp_path):
    leaf = span("1" * 16, parent="2" * 16, start=5)
    between = span(
        "2" * 16,
        parent="3" * 16,
        start=2,
        seconds=3,
        name="step",
        attributes={"gen_ai.operation.name": "execute_tool", "gen_ai.usage.output_tokens": None},
    )
    root = span(
        "3" * 16,
        seconds=9,
        name="ai.generateText",
        attributes={"gen_ai.operation.name": None, "gen_ai.usage.output_tokens": None, "ai.usage.outputTokens": 20},
    )
    for lines in ([batch(root, between, leaf)], [batch(leaf), batch(between), batch(root)]):
        assert rows_of(tmp_path, *lines)["request_id"].str.endswith("1" * 16).tolist() == [True]


@pytest.mark.parametrize("operation", ["invoke_agent", "execute_tool", "embeddings"])
def test_agents_tools_and_embeddings_are_no_requests(tmp_path, operation):
    other = span("c" * 16, attributes={"gen_ai.operation.name": operation})
    assert len(rows_of(tmp_path, batch(span(), other))) == 1


def test_spans_of_other_work_are_passed_over_and_a_call_without_usage_is_told(tmp_path):
    http = {"traceId": "b" * 32, "spanId": "d" * 16, "name": "GET /", "attributes": []}
    mute = span("e" * 16, attributes={"gen_ai.usage.output_tokens": None})
    failed = span("f" * 16, attributes={"gen_ai.usage.output_tokens": None, "error.type": "RateLimitError"})
    read = read_traces(write_jsonl(tmp_path / "a.jsonl", batch(http, mute, failed, span())))
    assert (len(read.rows), len(read.rejects)) == (1, 2)
    assert read.rejects["reason"].tolist() == [
        "the span carries no usage",
        "a failed call: RateLimitError",
    ]


def test_messages_of_the_conventions_and_of_openinference_are_one_query(tmp_path):
    conventions = span(
        "1" * 16,
        attributes={
            "gen_ai.input.messages": json.dumps([{"role": "user", "parts": [{"type": "text", "content": "Hello"}]}])
        },
    )
    indexed = span(
        "2" * 16,
        attributes={"llm.input_messages.0.message.role": "user", "llm.input_messages.0.message.content": "Hello"},
    )
    traceloop = span("3" * 16, attributes={"gen_ai.prompt.0.role": "user", "gen_ai.prompt.0.content": "Hello"})
    rows = rows_of(tmp_path, batch(conventions, indexed, traceloop))
    assert rows["prompt_text"].tolist() == ["Hello"] * 3
    assert len(set(rows["query_id"])) == 1


def test_turns_of_one_conversation_are_not_taken_for_repeats_of_one_query(tmp_path):
    turns = [span(str(i) * 16, attributes={"gen_ai.conversation.id": "c1"}) for i in (1, 2)]
    rows = rows_of(tmp_path, batch(*turns))
    assert rows["item_id"].isna().all()


def test_console_exporter_prints_over_several_lines_with_other_ids(tmp_path):
    def printed(span_id):
        return {
            "name": "chat m",
            "context": {"trace_id": "0x" + "b" * 32, "span_id": span_id, "trace_state": "[]"},
            "kind": "SpanKind.CLIENT",
            "parent_id": None,
            "start_time": "2026-11-22T02:24:55.506231Z",
            "end_time": "2026-11-22T02:24:56.506231Z",
            "status": {"status_code": "UNSET"},
            "attributes": {
                "gen_ai.operation.name": "chat",
                "gen_ai.request.model": "m",
                "gen_ai.usage.input_tokens": 10,
                "gen_ai.usage.output_tokens": 20,
                "gen_ai.response.finish_reasons": ["length"],
            },
        }

    lines = [json.dumps(printed("0x" + "1" * 16), indent=4), json.dumps(printed("0x" + "2" * 16))]
    rows = rows_of(tmp_path, *lines)
    assert rows["request_id"].tolist() == ["b" * 32 + "/" + "1" * 16, "b" * 32 + "/" + "2" * 16]
    assert rows["latency_s"].tolist() == [1.0, 1.0]
    assert rows["finish_reason"].tolist() == ["length", "length"]
    assert rows["source_line"].tolist() == [1, lines[0].count("\n") + 2]


def test_one_cut_record_does_not_swallow_the_next(tmp_path):
    read = read_traces(write_jsonl(tmp_path / "a.jsonl", batch(span()), "{", batch(span("c" * 16)), "{"))
    assert len(read.rows) == 2
    assert read.rejects["source_line"].tolist() == [2, 4]


def test_clock_that_runs_backwards_gives_an_unknown_latency(tmp_path):
    assert rows_of(tmp_path, batch(span(seconds=-3)))["latency_s"].isna().all()


def test_infinite_numbers_cost_no_row(tmp_path):
    # int(inf) raised OverflowError out of the reader.
    timeless = span() | {"startTimeUnixNano": float("inf")}
    settings = [{"key": "gen_ai.request.seed", "value": {"intValue": float("inf")}}]
    odd = span("c" * 16) | {"attributes": span()["attributes"] + settings}
    read = read_traces(write_jsonl(tmp_path / "a.jsonl", batch(timeless, odd)))
    assert sorted(read.rows["started_at"].isna()) == [False, True]
    assert read.rows["seed"].isna().all()


@needs_formats
def test_real_otlp_sample_totals():
    """Added up by hand from the raw spans: 24 chats, of which 16 report reasoning."""
    read = read_traces(SHARED / "formats/otlp/otlp_json_file_exporter.jsonl")
    assert (read.format, read.n_read, len(read.rows)) == ("otlp_json", 24, 24)
    assert read.rows[["input_tokens", "output_tokens", "reasoning_tokens"]].sum().tolist() == [1560, 8255, 4185]
    assert read.rows["reasoning_tokens"].isna().sum() == 8
    assert read.rows["trace_id"].str.fullmatch("[0-9a-f]{32}").all()
    assert read.rows["model"].value_counts().to_dict() == {
        "gpt-5-mini": 8,
        "claude-sonnet-4-5": 8,
        "gemini-2.5-flash": 8,
    }


@needs_formats
def test_real_mlflow_sample_counts_leaf_model_spans_only():
    """By hand: 12 chat spans below 12 chains that also name the model; reasoning stands in the raw answers."""
    read = read_traces(SHARED / "formats/mlflow_traces/traces.jsonl")
    assert (read.format, read.n_read, len(read.rows)) == ("mlflow_traces", 12, 12)
    assert read.rows[["input_tokens", "output_tokens", "reasoning_tokens"]].sum().tolist() == [186, 3931, 3455]
    assert read.rows["cost_reported_usd"].sum() == pytest.approx(0.00895765)
    assert read.rows["trace_id"].str.fullmatch("[0-9a-f]{32}").all()
    assert sorted(set(read.rows["replicate"])) == [0, 1, 2]


def test_mlflow_23000_reasoning_is_found_in_the_raw_answer(tmp_path):
    attributes = {
        "mlflow.spanType": '"CHAT_MODEL"',
        "mlflow.llm.model": '"o3"',
        "mlflow.chat.tokenUsage": '{"input_tokens": 5, "output_tokens": 9, "total_tokens": 14}',
        "mlflow.spanOutputs": '{"usage": {"completion_tokens_details": {"reasoning_tokens": 6}}}',
    }
    trace = {
        "info": {"trace_id": "tr-1", "tags": {"query_id": "q7", "repeat": "1"}},
        "data": {
            "spans": [
                {
                    "trace_id": "aip4tqaxpqy9sY7SSD7I+w==",
                    "span_id": "Q9KmtQUhT1Y=",
                    "parent_span_id": None,
                    "name": "chat",
                    "start_time_unix_nano": T0,
                    "end_time_unix_nano": T0 + 10**9,
                    "attributes": attributes,
                }
            ]
        },
    }
    read = read_traces(write_jsonl(tmp_path / "a.jsonl", trace))
    (row,) = read.rows.to_dict("records")
    assert (row["output_tokens"], row["reasoning_tokens"], row["item_id"], row["replicate"]) == (9, 6, "q7", 1)
    assert len(row["trace_id"]) == 32


@pytest.mark.parametrize("resources", [5, None, {}, [5], [{"scopeSpans": 5}], [{"scopeSpans": [{"spans": "x"}]}]])
def test_what_stands_where_spans_belong_is_counted(tmp_path, resources):
    # Two of 13 lines vanished: no row, no reject.
    read = read_traces(write_jsonl(tmp_path / "a.jsonl", batch(span()), {"resourceSpans": resources}))
    assert (len(read.rows), read.rejects["source_line"].tolist()) == (1, [2])


def test_resources_without_spans_are_no_fault(tmp_path):
    read = read_traces(write_jsonl(tmp_path / "a.jsonl", batch(span()), {"resourceSpans": []}, batch()))
    assert (len(read.rows), len(read.rejects)) == (1, 0)


def as_protobuf(batch):
    """One export as the exporters send it: identifiers are bytes."""
    from google.protobuf.json_format import ParseDict
    from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

    def with_bytes(node):
        if isinstance(node, list):
            return [with_bytes(item) for item in node]
        if not isinstance(node, dict):
            return node
        ids = {"traceId", "spanId", "parentSpanId"}
        return {
            key: base64.b64encode(bytes.fromhex(item)).decode() if key in ids else with_bytes(item)
            for key, item in node.items()
        }

    return ParseDict(with_bytes(batch), TracesData(), ignore_unknown_fields=True).SerializeToString()


@pytest.mark.parametrize("packing", [bytes, gzip.compress])
def test_protobuf_gives_the_rows_that_json_gives(tmp_path, packing):
    batches = [
        batch(span(), span("c" * 16, start=10, attributes={"gen_ai.usage.reasoning_tokens": 7})),
        batch(span("d" * 16)),
    ]
    framed = b"".join(len(m := as_protobuf(b)).to_bytes(4, "big") + m for b in batches)
    (tmp_path / "framed.bin").write_bytes(packing(framed))
    (tmp_path / "one.bin").write_bytes(packing(as_protobuf(batches[0])))
    expected = read_traces(write_jsonl(tmp_path / "a.jsonl", batches))
    for name, n in (("framed.bin", 3), ("one.bin", 2)):
        assert detect(tmp_path / name) == "otlp_json"
        read = read_traces(tmp_path / name)
        assert (read.n_read, len(read.rejects)) == (n, 0)
        same = [column for column in read.rows if column not in ("source_file", "source_line")]
        pd.testing.assert_frame_equal(read.rows[same], expected.rows[same].head(n))


def test_protobuf_that_is_cut_or_damaged_costs_no_other_export(tmp_path):
    whole = as_protobuf(batch(span()))
    framed = [len(whole).to_bytes(4, "big") + whole, (9).to_bytes(4, "big") + b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff"]
    (tmp_path / "a.bin").write_bytes(framed[0] + framed[1] + framed[0] + framed[0][:-3])
    read = read_traces(tmp_path / "a.bin")
    assert (len(read.rows), read.n_read) == (2, 4)
    assert [reason.split("(")[0] for reason in read.rejects["reason"]] == [
        "no whole export of OTLP in protobuf ", "the file ends within an export",
    ]  # fmt: skip


LANGFUSE = {
    "langfuse.observation.type": "generation",
    "langfuse.observation.model.name": "gpt-5",
    "langfuse.observation.model.parameters": '{"temperature": 0.2, "max_completion_tokens": 900}',
    "langfuse.observation.input": '[{"role": "user", "content": "Why?"}]',
    "langfuse.observation.usage_details": '{"input": 60, "input_cached_tokens": 40, "output": 30, '
    '"output_reasoning_tokens": 70, "total": 200}',
    "langfuse.observation.cost_details": '{"total": 0.01}',
}


def test_spans_of_langfuse_itself_are_read_and_its_other_observations_passed_over(tmp_path):
    spans = [
        only(span(), LANGFUSE),
        only(span("c" * 16), {"langfuse.observation.type": "tool"}),
        only(span("d" * 16), LANGFUSE | {"langfuse.observation.usage_details": '{"input": -5}'}),
    ]
    read = read_traces(write_jsonl(tmp_path / "a.jsonl", [batch(*spans)]))
    (row,) = read.rows.to_dict("records")
    wanted = {"model": "gpt-5", "input_tokens": 100, "output_tokens": 100, "reasoning_tokens": 70,
              "cache_read_tokens": 40, "total_tokens": 200, "temperature": 0.2, "max_tokens": 900,
              "cost_reported_usd": 0.01, "prompt_text": "Why?"}  # fmt: skip
    assert {name: row[name] for name in wanted} == wanted
    assert read.rejects["reason"].tolist() == ["the span carries no usage"]


def only(span, attributes):
    """A span with these attributes and no other."""
    return span | {"attributes": [{"key": key, "value": value(item)} for key, item in attributes.items()]}
