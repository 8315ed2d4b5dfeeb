"""Reading by column gives what reading record by record gives: rows, types, order and rejects."""

import json

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from foretell.assets.readers.core.records import ReadOptions
from foretell.assets.readers.core.spans import ALIASES
from foretell.assets.readers.core.tables import tables, unpacked
from foretell.assets.readers.reading import READERS
from foretell.assets.readers.traces.openai_jsonl import OpenAIJsonl
from foretell.assets.readers.traces.otlp_json import OtlpJson
from tests.assets.json_mutations import json_values, paths_within, place, replaced
from tests.assets.trace_lines import ROOT, SHARED, chat, needs_formats, write_jsonl

BY_COLUMN = {"openai_jsonl": OpenAIJsonl(), "otlp_json": OtlpJson()}
ONE_BY_ONE = {"openai_jsonl": OpenAIJsonl(by_column=False), "otlp_json": OtlpJson(by_column=False)}


def read(reader, path, batch_rows=7, options=None):
    found = list(
        tables(reader.read(path, options or ReadOptions()), source="s", source_file="f", batch_rows=batch_rows)
    )
    return pa.concat_tables([table for table, _ in found]), [reject for _, rejects in found for reject in rejects]


def assert_same(path, name, batch_rows=7):
    rows, rejects = read(BY_COLUMN[name], path, batch_rows)
    slow_rows, slow_rejects = read(ONE_BY_ONE[name], path, batch_rows)
    for column in slow_rows.column_names:
        assert rows.column(column).to_pylist() == slow_rows.column(column).to_pylist(), column
    assert rows.schema == slow_rows.schema
    assert rejects == slow_rejects


def n_by_column(path, name):
    """Records that are read as columns, all of the file at once."""
    groups: dict = {}
    for record in BY_COLUMN[name].read(path, ReadOptions()):
        if isinstance(record, tuple):
            groups.setdefault(record[0], []).append((0, *record[1:3]))
    parts = [part for form, records in groups.items() for part, _ in unpacked(form, records)]
    return sum(len(part) for part in parts if len(part) > 1)


# -- what is common --------------------------------------------------------------------------------------------


def chat_bare(i=0):
    return chat(i)["response"] | {"service_tier": "default", "system_fingerprint": None, "error": None}


def chat_details(i=0):
    details = {
        "prompt_tokens_details": {"cached_tokens": i % 3, "audio_tokens": 0, "cache_write_tokens": None},
        "completion_tokens_details": {"reasoning_tokens": 7 if i % 2 else None, "audio_tokens": 0},
        "cost": 0.25,
    }
    beside = {"request_id": f"r{i}", "item_id": f"i{i}", "replicate": i, "timestamp": "2026-11-22T00:00:01.5Z"}
    return chat(i, usage=details) | beside | {"latency_ms": 20, "score": 1, "cached": False, "benchmark": "b"}


def chat_logprobs(i=0):
    line = chat(i)
    tokens = [{"token": "a", "logprob": -0.5, "top_logprobs": []}, {"token": "b", "logprob": -0.25 * (i % 3)}]
    line["response"]["choices"][0]["logprobs"] = {"content": tokens, "refusal": None}
    return line


def responses(i=0):
    usage = {"input_tokens": 10, "output_tokens": 64, "total_tokens": 74, "output_tokens_details": {}}
    usage["output_tokens_details"] = {"reasoning_tokens": i}
    body = {"id": f"resp_{i}", "object": "response", "created_at": 1_795_315_000, "model": "gpt-5", "usage": usage}
    body |= {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}, "metadata": {}}
    part = {"type": "output_text", "text": "a", "logprobs": [{"token": "a", "logprob": -i / 4}]}
    body["output"] = [{"type": "reasoning"}, {"type": "message", "content": [part]}]
    request = {"model": "gpt-5", "input": f"hello {i}", "reasoning": {"effort": "high"}, "max_output_tokens": 64}
    return {"request": request, "response": body}


def anthropic(i=0):
    usage = {"input_tokens": 10, "cache_creation_input_tokens": 5, "cache_read_input_tokens": 7, "output_tokens": i}
    usage |= {"output_tokens_details": {"thinking_tokens": 1}, "service_tier": "standard"}
    message = {"id": f"msg_{i}", "type": "message", "role": "assistant", "model": "claude-sonnet-5", "content": []}
    request = {"model": "claude-sonnet-5", "max_tokens": 99, "messages": [{"role": "user", "content": "Hi"}]}
    request["thinking"] = {"type": "enabled", "budget_tokens": 50}
    return {"request": request, "response": message | {"stop_reason": "end_turn", "usage": usage}}


def vllm(i=0):
    return chat(i)["response"] | {"metrics": {"time_to_first_token_ms": 12.5}, "timings": {"prompt_ms": i}}


def value(v):
    if isinstance(v, list):
        return {"arrayValue": {"values": [value(item) for item in v]}}
    kinds = {bool: "boolValue", int: "intValue", float: "doubleValue", str: "stringValue"}
    return {kinds[type(v)]: str(v) if type(v) is int else v}


def export_batch(*spans):
    return {"resourceSpans": [{"resource": {}, "scopeSpans": [{"scope": {"name": "s"}, "spans": list(spans)}]}]}


def span(i, parent=None, **attributes):
    start = 1_795_314_295_506_231_566 + i
    return {
        "traceId": "b" * 32,
        "spanId": f"{i:016X}",
        **({"parentSpanId": f"{parent:016x}"} if parent is not None else {}),
        "name": "chat",
        "startTimeUnixNano": str(start),
        "endTimeUnixNano": str(start + 10**9 + i),
        "attributes": [{"key": k, "value": value(v)} for k, v in attributes.items()],
        "status": {},
    }


def otel(i=0):
    messages = json.dumps([{"role": "user", "parts": [{"type": "text", "content": f"question {i % 2}"}]}])
    found = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-5",
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.top_k": i,
        "gen_ai.usage.input_tokens": 10,
        "gen_ai.usage.output_tokens": 20 + i,
        "gen_ai.usage.reasoning.output_tokens": i,
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.response.time_to_first_chunk": 0.5,
        "gen_ai.input.messages": messages,
    }
    return export_batch(span(i, **found))


def otel_tree(i=0):
    leaf = {"gen_ai.request.model": "m", "gen_ai.usage.input_tokens": 3, "gen_ai.usage.output_tokens": i}
    leaf |= {"gen_ai.usage.cache_read.input_tokens": 5, "gen_ai.usage.total_tokens": 8 + i}
    root = {"gen_ai.operation.name": "chat", "gen_ai.usage.output_tokens": i}
    ids = 10 * i
    return export_batch(
        span(ids, **root), span(ids + 1, parent=ids, **leaf), span(ids + 2, **leaf), span(ids + 3, **{"http.url": "x"})
    )


def openinference(i=0):
    found = {"openinference.span.kind": "LLM", "llm.model_name": "m", "llm.token_count.prompt": 9}
    found |= {"llm.token_count.completion": 20, "llm.token_count.completion_details.reasoning": i}
    found |= {"llm.input_messages.0.message.role": "user", "llm.input_messages.0.message.content": f"q{i}"}
    found |= {"foretell.query_id": "", "foretell.request_id": f"r{i}", "foretell.score": 0.5, "foretell.source": "o"}
    return export_batch(span(i, **found))


SHAPES = {
    "openai_jsonl": [chat, chat_bare, chat_details, chat_logprobs, responses, anthropic, vllm],
    "otlp_json": [otel, otel_tree, openinference],
}


@pytest.mark.parametrize(("name", "shape"), [(name, shape) for name, shapes in SHAPES.items() for shape in shapes])
def test_common_shapes_are_read_by_column_and_give_the_same(tmp_path, name, shape):
    path = write_jsonl(tmp_path / "a.jsonl", *[shape(i) for i in range(20)])
    assert_same(path, name)
    assert n_by_column(path, name) >= 20


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_shapes_that_alternate_keep_their_order(tmp_path, name):
    lines = [shape(i) for i in range(9) for shape in SHAPES[name]]
    lines += ["no JSON", '{"a": 1}', lines[0], lines[1]]
    path = write_jsonl(tmp_path / "a.jsonl", *lines)
    assert_same(path, name)
    rows, _ = read(BY_COLUMN[name], path, batch_rows=1000)
    numbers = rows.column("source_line").to_pylist()
    assert numbers == sorted(numbers)


@needs_formats
def test_sample_files_read_the_same():
    folders = (SHARED / "formats", ROOT / "data")
    samples = [path for folder in folders for path in folder.rglob("*.json*")]
    assert len(samples) > 5
    for path in samples:
        for name in BY_COLUMN:
            if path.stat().st_size < 3 << 20:
                assert_same(path, name, batch_rows=50)


# -- what is not -----------------------------------------------------------------------------------------------

ODD = [
    "",
    "5",
    5,
    5.0,
    5.5,
    -1,
    0,
    True,
    None,
    [],
    {},
    [1],
    ["stop"],
    {"a": 1},
    10**13,
    2**63,
    2**70,
    "length",
    1e308,
    -0.5,
    -9999.0,
]
CONSULTED = [
    "error", "response", "request", "output", "completion", "input", "metadata", "request_id", "trace_id", "benchmark",
    "project", "item_id", "query_id", "replicate", "repeat", "epoch", "repeat_prob", "score", "latency_s", "duration_s",
    "latency_ms", "duration_ms", "cache_hit", "cached", "started_at", "timestamp", "start_time", "custom_id", "result",
    "usage", "usageMetadata", "choices", "candidates", "id", "responseId", "created", "created_at",
    "createTime", "model",
    "modelVersion", "provider", "service_tier", "type", "stop_reason", "status", "incomplete_details", "object",
    "resourceSpans", "spans", "litellm_call_id", "response_cost", "body", "status_code", "metrics", "timings", "seed",
    "total_tokens", "prompt_tokens", "input_tokens", "cache_read_input_tokens", "cost", "reasoning_tokens",
    "finishReason", "logprobs", "avgLogprobs", "content",
    "prompt_tokens_details", "traceId", "trace_id", "parentSpanId", "startTimeUnixNano", "attributes",
]  # fmt: skip
SPAN_KEYS = [
    *(alias for aliases in ALIASES.values() for alias in aliases), "gen_ai.operation.name", "openinference.span.kind",
    "mlflow.spanType", "mlflow.spanOutputs", "mlflow.chat.tokenUsage", "llm.invocation_parameters", "error.type",
    "gen_ai.prompt", "ai.prompt", "ai.prompt.messages", "input.value", "gen_ai.system_instructions", "foretell.item_id",
    "foretell.replicate", "gen_ai.request.stop_sequences", "ai.response.msToFirstChunk",
]  # fmt: skip


ODD_FEW = ["5", 5, True, -1, {"a": 1}, 10**16]


def odd_lines(name, shape):
    """Every place of a line with every odd value, and every key that the readers look at, among whole lines."""
    lines = [shape(i) for i in range(3)]
    for path in list(paths_within(shape(0)))[1:]:
        lines += [replaced(shape(len(lines) + i), path, odd) for i, odd in enumerate(ODD)]
    for odd in ODD_FEW:
        for key in CONSULTED:
            line = shape(len(lines))
            inner = line.get("response")
            lines.append({**line, key: odd})
            lines.append({**line, "response": {**inner, key: odd}} if inner else {**line, key: odd, "cached": odd})
        for key in SPAN_KEYS if name == "otlp_json" else ():
            spans = shape(len(lines))["resourceSpans"][0]["scopeSpans"][0]["spans"]
            kind = {int: "intValue", bool: "boolValue", dict: "kvlistValue"}.get(type(odd), "stringValue")
            more = [{"key": key, "value": {kind: odd}}]
            lines.append(export_batch(*[s | {"attributes": s["attributes"] + more} for s in spans]))
    return lines


@pytest.mark.parametrize(("name", "shape"), [(name, shape) for name, shapes in SHAPES.items() for shape in shapes])
def test_every_odd_value_in_every_place_reads_the_same(tmp_path, name, shape):
    assert_same(write_jsonl(tmp_path / "a.jsonl", *odd_lines(name, shape)), name, batch_rows=2000)


def test_a_setting_of_true_is_no_number_whatever_is_read_beside_it(tmp_path):
    for others in ([], [{"request": {"temperature": "hot"}}]):
        lines = [chat(i, **changes) for i, changes in enumerate([{"request": {"temperature": True}}, *others])]
        rows, _ = read(BY_COLUMN["openai_jsonl"], write_jsonl(tmp_path / "a.jsonl", *lines))
        assert rows.column("temperature").to_pylist()[0] is None


def corrupted(data, line):
    """The line with a value replaced, a key removed, or a key added that the readers look at."""
    path = data.draw(st.sampled_from(list(paths_within(line))))
    new = data.draw(st.sampled_from(ODD) | json_values)
    how = data.draw(st.sampled_from(["replace", "remove", "add", "attribute"]))
    held = place(line, path)
    if how == "attribute" and path and path[-1] == "attributes" and isinstance(held, list):
        kind = data.draw(
            st.sampled_from(["stringValue", "intValue", "doubleValue", "boolValue", "arrayValue", "kvlist"])
        )
        return replaced(line, path, [*held, {"key": data.draw(st.sampled_from(SPAN_KEYS)), "value": {kind: new}}])
    if isinstance(held, dict) and how == "remove" and held:
        gone = data.draw(st.sampled_from(sorted(held)))
        return replaced(line, path, {key: inner for key, inner in held.items() if key != gone})
    if isinstance(held, dict) and how != "replace":
        return replaced(line, path, {**held, data.draw(st.sampled_from(CONSULTED)): new})
    return replaced(line, path, new)


def check_corrupted(folder, data, name):
    shape = data.draw(st.sampled_from(SHAPES[name]))
    lines = [shape(i) for i in range(data.draw(st.integers(1, 12)))]
    for i in range(len(lines)):
        if data.draw(st.integers(0, 3)) == 0:
            lines[i] = corrupted(data, lines[i])
    if data.draw(st.booleans()):  # the same fault in all lines, so that it makes a form of its own
        path = data.draw(st.sampled_from(list(paths_within(shape(0)))))
        fault = data.draw(st.sampled_from(ODD))
        lines = [
            replaced(shape(i), path, fault if data.draw(st.booleans()) else place(shape(i), path)) for i in range(5)
        ]
    path = folder / "a.jsonl"
    path.write_text("\n".join(json.dumps(line) for line in lines) + "\n", "utf-8", "surrogatepass")
    assert_same(path, name, batch_rows=data.draw(st.sampled_from([3, 100])))


quick = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
thorough = settings(max_examples=1500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@quick
@given(data=st.data(), name=st.sampled_from(sorted(SHAPES)))
def test_whatever_is_odd_reads_the_same(tmp_path, data, name):
    check_corrupted(tmp_path, data, name)


@pytest.mark.slow
@thorough
@given(data=st.data(), name=st.sampled_from(sorted(SHAPES)))
def test_whatever_is_odd_reads_the_same_thoroughly(tmp_path, data, name):
    check_corrupted(tmp_path, data, name)


def test_a_form_in_doubt_is_read_line_by_line_only_where_it_must(tmp_path):
    lines = [chat(i) for i in range(64)]
    lines[20]["response"]["usage"]["completion_tokens"] = -1
    path = write_jsonl(tmp_path / "a.jsonl", *lines)
    assert_same(path, "openai_jsonl", batch_rows=100)
    assert n_by_column(path, "openai_jsonl") == 62  # the odd line and its neighbour


def test_readers_by_column_are_the_default():
    assert READERS["openai_jsonl"].by_column
    assert READERS["otlp_json"].by_column
