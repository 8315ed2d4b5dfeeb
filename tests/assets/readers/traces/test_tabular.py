"""Tables of every tool, found by their columns, and the caller's own map."""

import csv
import gzip
import json
import random

import pandas as pd
import pytest

from foretell.assets.catalog import fetch
from foretell.assets.lake.traces.curation import curate
from foretell.assets.readers.core.records import ReadOptions
from foretell.assets.readers.core.usage import tokens_of_parts
from foretell.assets.readers.reading import READERS, detect, read_traces
from foretell.predictors.errors import InvalidInputError
from tests.assets.trace_lines import MIRROR, SHARED, needs_formats, needs_mirror, no_price, write_jsonl


def write_csv(path, rows, **options):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), **options)
        writer.writeheader()
        writer.writerows(rows)
    return path


def langfuse(**changes):
    return {
        "id": "o1",
        "trace_id": "t1",
        "type": "GENERATION",
        "start_time": "2026-11-22 01:00:00.123456",
        "provided_model_name": "gpt-5",
        "model_parameters": '{"temperature": 0.5, "max_tokens": 90}',
        "input": '{"messages": [{"role": "user", "content": "Hi"}]}',
        "latency": "1.5",
        "time_to_first_token": "0.25",
        "usage_details": '{"input": 100, "output": 40, "input_cached_tokens": 20, "output_reasoning_tokens": 60,'
        ' "total": 220}',
        "total_cost": "0.5",
    } | changes


def test_langfuse_parts_are_added_up_and_other_observations_passed_over(tmp_path):
    path = write_csv(tmp_path / "a.csv", [langfuse(), langfuse(id="o2", type="SPAN")])
    assert detect(path) == "langfuse"
    (row,) = read_traces(path).rows.to_dict("records")
    counts = [
        row[c] for c in ("input_tokens", "cache_read_tokens", "output_tokens", "reasoning_tokens", "total_tokens")
    ]
    assert counts == [120, 20, 100, 60, 220]
    assert (row["temperature"], row["max_tokens"], row["prompt_text"], row["cost_reported_usd"]) == (0.5, 90, "Hi", 0.5)
    assert (row["latency_s"], row["time_to_first_token_s"]) == (1.5, 0.25)
    assert row["started_at"].isoformat() == "2026-11-22T01:00:00.123456+00:00"


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ({"input": 10, "output": 20}, (10, 20, None)),
        (
            {"input": 10, "output": 20, "output_reasoning_tokens": 5, "total": 30},
            (10, 20, 5),
        ),  # the total includes them
        ({"input": 10, "output": 20, "output_reasoning_tokens": 5, "total": 35}, (10, 25, 5)),
        ({"input": 10, "output": 20, "output_reasoning_tokens": 5}, (10, 25, 5)),
        ({"input": 10, "output": 102, "reasoning_tokens": 109, "total": 221}, (10, 211, 109)),  # langfuse#14987
        ({"input": 10, "output": 20, "output_reasoning_tokens": 0, "total": 30}, (10, 20, 0)),
    ],
)
def test_parts_include_or_exclude_by_what_the_total_says(parts, expected):
    found = tokens_of_parts(parts)
    assert (found["input_tokens"], found["output_tokens"], found["reasoning_tokens"]) == expected


def test_langfuse_parquet_with_a_map_column(tmp_path):
    frame = pd.DataFrame([langfuse(usage_details={"input": 7, "output": 9})])
    frame.to_parquet(tmp_path / "a.parquet")
    read = read_traces(tmp_path / "a.parquet")
    assert (read.format, read.rows["output_tokens"].tolist()) == ("langfuse", [9])


def test_helicone_reasoning_units_and_failures(tmp_path):
    good = {
        "request_id": "r1",
        "request_created_at": "2026-11-22T01:00:00Z",
        "request_model": "gpt-5",
        "response_model": "",
        "provider": "OPENAI",
        "prompt_tokens": 10,
        "completion_tokens": 20,
        "reasoning_tokens": 12,
        "cost": 0.5,
        "delay_ms": 1500,
        "time_to_first_token": 250,
        "response_status": 200,
        "request_body": json.dumps({"messages": [{"role": "user", "content": "Hi"}], "temperature": 0.5}),
    }
    path = write_csv(
        tmp_path / "a.csv", [good, good | {"request_id": "r2", "response_status": 429, "completion_tokens": ""}]
    )
    read = read_traces(path)
    assert read.format == "helicone"
    (row,) = read.rows.to_dict("records")
    assert (row["output_tokens"], row["reasoning_tokens"], row["latency_s"], row["time_to_first_token_s"]) == (
        20,
        12,
        1.5,
        0.25,
    )
    assert (row["prompt_text"], row["temperature"]) == ("Hi", 0.5)
    assert read.rejects["reason"].tolist() == ["a failed call: response_status is 429"]


def test_openrouter_bills_native_counts(tmp_path):
    line = {
        "id": "gen-1",
        "model": "openai/gpt-5",
        "provider_name": "OpenAI",
        "created_at": "2026-11-22T01:00:00Z",
        "total_cost": 0.5,
        "tokens_prompt": 9,
        "tokens_completion": 18,
        "native_tokens_prompt": 10,
        "native_tokens_completion": 20,
        "native_tokens_reasoning": 12,
        "native_tokens_cached": 4,
        "latency": 250,
        "generation_time": 1500,
        "finish_reason": "length",
    }
    read = read_traces(write_jsonl(tmp_path / "a.jsonl", line))
    assert read.format == "openrouter"
    (row,) = read.rows.to_dict("records")
    assert [row[c] for c in ("input_tokens", "output_tokens", "reasoning_tokens", "cache_read_tokens")] == [
        10,
        20,
        12,
        4,
    ]
    assert (row["latency_s"], row["finish_reason"], row["cost_reported_usd"]) == (1.5, "length", 0.5)


def spend(**changes):
    return {
        "request_id": "r1",
        "call_type": "acompletion",
        "spend": 0.5,
        "total_tokens": 30,
        "prompt_tokens": 10,
        "completion_tokens": 20,
        "startTime": "2026-11-22 01:00:00.000",
        "endTime": "2026-11-22 01:00:02.000",
        "completionStartTime": "2026-11-22 01:00:00.500",
        "model": "gpt-5-2026",
        "model_group": "gpt-5",
        "custom_llm_provider": "openai",
        "cache_hit": "False",
        "metadata": "{}",
        "session_id": "s1",
    } | changes


def test_litellm_spend_logs_have_no_reasoning_column_so_it_is_unknown(tmp_path):
    usage = {
        "usage_object": {
            "prompt_tokens": 10,
            "completion_tokens": 20,
            "completion_tokens_details": {"reasoning_tokens": 6},
        }
    }
    rows = [spend(), spend(request_id="r2", metadata=json.dumps(usage)), spend(request_id="r3", cache_hit="True")]
    read = read_traces(write_csv(tmp_path / "a.csv", rows))
    assert read.format == "litellm_spend"
    assert read.rows["reasoning_tokens"].tolist()[1] == 6
    assert read.rows["reasoning_tokens"].isna().tolist() == [True, False, True]
    assert read.rows["latency_s"].tolist() == [2.0] * 3
    assert read.rows["time_to_first_token_s"].tolist() == [0.5] * 3
    curated = curate(read.rows, price=no_price)
    assert curated.quarantine["reason"].tolist() == ["answered from a response cache: the model was not run"]


def test_half_a_token_is_refused_and_half_a_repeat_unknown_in_tables_of_numbers_too(tmp_path):
    path = tmp_path / "a.parquet"
    pd.DataFrame({"model": "m", "output_tokens": [5.0, 5.5, 7.0], "replicate": [1.0, 2.0, 2.5]}).to_parquet(path)
    read = read_traces(path)
    assert read.rows["output_tokens"].tolist() == [5, 7]
    assert read.rows["replicate"].fillna(-1).tolist() == [1, -1]
    assert read.rejects["reason"].tolist() == ["output_tokens is 5.5, not a whole number"]


def test_log_probabilities_come_with_a_kept_response_or_as_a_column(tmp_path):
    tokens = {"content": [{"token": "a", "logprob": -0.5}, {"token": "b", "logprob": -0.25}]}
    kept = {"model": "gpt-5-2026", "choices": [{"finish_reason": "stop", "logprobs": tokens}]}
    rows = read_traces(
        write_jsonl(tmp_path / "a.jsonl", payload(response=kept), payload(id="p2"), payload(id="p3", response="{}"))
    ).rows
    assert rows["answer_logprob"].fillna(1).tolist() == [-0.375, 1, 1]
    told = [-0.5, "", "high", 0.5, "-inf", -9]
    own = [{"model": "m", "output_tokens": 5, "id": i, "answer_logprob": value} for i, value in enumerate(told)]
    curated = curate(read_traces(write_csv(tmp_path / "a.csv", own)).rows, price=no_price)
    assert curated.quarantine.empty
    found = curated.traces.set_index("request_id")["answer_logprob"].fillna(1)
    assert found.loc[list("012345")].tolist() == [-0.5, 1, 1, 1, 1, -9]


def test_a_gateway_names_who_is_to_pay_and_never_a_key(tmp_path):
    digest, names = "ab" * 32, {"user_api_key_alias": "ci", "user_api_key_team_alias": "search"}
    spends = [
        spend(api_key=digest, team_id=""),
        spend(request_id="r2", api_key=digest, team_id="", metadata=json.dumps(names)),
        spend(request_id="r3", api_key="sk-" + "x" * 30, team_id="t1"),
    ]
    rows = read_traces(write_csv(tmp_path / "a.csv", spends)).rows
    assert rows["key_name"].tolist() == [digest, "ci", "[secret]"]
    assert rows["project"].fillna("").tolist() == ["", "search", "t1"]
    usage = payload()["metadata"]
    named = {**names, "user_api_key_project_alias": "ranking", "user_api_key_hash": digest}
    rows = read_traces(write_jsonl(tmp_path / "a.jsonl", payload(metadata=usage | named), payload(id="p2"))).rows
    assert rows["key_name"].fillna("").tolist() == ["ci", ""]
    assert rows["project"].fillna("").tolist() == ["ranking", ""]


def payload(**changes):
    return {
        "id": "p1",
        "litellm_call_id": "c1",
        "call_type": "acompletion",
        "status": "success",
        "trace_id": "t1",
        "custom_llm_provider": "openai",
        "model": "gpt-5-2026",
        "model_group": "gpt-5",
        "response_cost": 0.5,
        "model_parameters": {"temperature": 0.5, "reasoning_effort": "low", "top_k": 3},
        "prompt_tokens": 10,
        "completion_tokens": 20,
        "total_tokens": 30,
        "startTime": 1795314295.5,
        "completionStartTime": 1795314296.0,
        "endTime": 1795314297.5,
        "cache_hit": False,
        "messages": [{"role": "user", "content": "Hi"}],
        "response": {"model": "gpt-5-2026", "choices": [{"finish_reason": "stop"}]},
        "request_tags": ["item_id:i7", "replicate:2", "team:x"],
        "metadata": {
            "usage_object": {
                "prompt_tokens": 10,
                "completion_tokens": 20,
                "total_tokens": 30,
                "completion_tokens_details": {"reasoning_tokens": 12},
            }
        },
    } | changes


def test_litellm_payload(tmp_path):
    read = read_traces(write_jsonl(tmp_path / "a.jsonl", payload(), payload(id="p2", status="failure"), {"other": 1}))
    assert read.format == "litellm"
    (row,) = read.rows.to_dict("records")
    assert [row[c] for c in ("input_tokens", "output_tokens", "reasoning_tokens")] == [10, 20, 12]
    assert (row["latency_s"], row["time_to_first_token_s"], row["cost_reported_usd"]) == (2.0, 0.5, 0.5)
    assert (row["reasoning_effort"], row["temperature"], row["prompt_text"]) == ("low", 0.5, "Hi")
    assert (row["item_id"], row["replicate"]) == ("i7", 2)
    assert json.loads(row["settings"]) == {"top_k": 3}
    assert read.rejects["reason"].tolist() == ["a failed call: status failure", "no StandardLoggingPayload"]


def test_columns_as_a_spreadsheet_calls_them(tmp_path):
    path = tmp_path / "own.csv"
    path.write_text("Model,Prompt,Prompt Tokens,Completion Tokens,Time,Task\nm,Why?,3,7,2026-11-01T00:00:00Z,riddles\n")
    read = read_traces(path)
    assert len(read.rejects) == 0
    (row,) = read.rows.to_dict("records")
    assert (row["model"], row["prompt_text"], row["benchmark"]) == ("m", "Why?", "riddles")
    assert (row["input_tokens"], row["output_tokens"]) == (3, 7)
    assert str(row["started_at"]).startswith("2026-11-01")


def test_own_words_are_read_without_a_map_and_other_words_with_one(tmp_path):
    known = write_csv(tmp_path / "a.csv", [{"model": "m", "prompt": "Hi", "input_tokens": 1, "output_tokens": 2}])
    assert (detect(known), read_traces(known).rows["output_tokens"].tolist()) == ("tabular", [2])
    other = write_csv(tmp_path / "b.csv", [{"Modell": "m", "Frage": "Hi", "aus": 2}])
    assert detect(other) is None
    columns = {"model": "Modell", "output_tokens": "aus", "prompt_text": "Frage"}
    rows = read_traces(other, "tabular", options=ReadOptions(columns=columns)).rows
    assert rows[["model", "output_tokens", "prompt_text"]].to_numpy().tolist() == [["m", 2, "Hi"]]
    with pytest.raises(InvalidInputError, match="no canonical columns"):
        read_traces(other, "tabular", options=ReadOptions(columns={"tokens": "aus"}))
    with pytest.raises(InvalidInputError, match="output_tokens"):
        read_traces(other, "tabular", options=ReadOptions(columns={"model": "Modell"}))


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiters_quotes_and_breaks_within_a_field(tmp_path, delimiter):
    prompt = f'two\n\nlines, "quoted"{delimiter} and more'
    rows = [{"model": "m", "prompt": prompt, "output_tokens": i} for i in (2, 3)]
    read = read_traces(write_csv(tmp_path / "a.csv", rows, delimiter=delimiter))
    assert read.rows["prompt_text"].tolist() == [prompt] * 2
    assert read.rows["source_line"].tolist() == [2, 5]
    assert read.rejects.empty


def test_bad_lines_of_a_csv_are_told_and_cost_no_other(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("model,output_tokens\nm,1\nm\nm,2,3\nm,many\n\nm,-4\nm,5\n")
    read = read_traces(path)
    curated = curate(read.rows, price=no_price, rejects=read.rejects)
    assert sorted(curated.traces["output_tokens"]) == [1, 5]
    assert sorted(curated.quarantine["source_line"]) == [3, 4, 5, 7]


def test_csv_cut_short_in_a_gzip_yields_the_rows_before_the_cut(tmp_path):
    rng = random.Random(4)
    text = "model,prompt,output_tokens\n" + "".join(f"m,{rng.randbytes(200).hex()},{i}\n" for i in range(500))
    raw = gzip.compress(text.encode())
    path = tmp_path / "a.csv.gz"
    path.write_bytes(raw[: len(raw) // 2])
    read = read_traces(path)
    n_good = len(read.rows)
    assert 200 < n_good < 300
    assert read.rows["output_tokens"].tolist() == list(range(n_good))
    assert read.rejects["source_line"].tolist() == [n_good + 2]
    assert "ends before its end mark" in read.rejects["reason"][0]


def test_damaged_parquet_is_one_reject(tmp_path):
    pd.DataFrame({"model": ["m"], "output_tokens": [1]}).to_parquet(tmp_path / "a.parquet")
    raw = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "a.parquet").write_bytes(raw[: len(raw) // 2])
    read = read_traces(tmp_path / "a.parquet")
    assert (len(read.rows), len(read.rejects)) == (0, 1)


def test_equal_rows_without_ids_stay_apart_in_one_table(tmp_path):
    """Runs at temperature 0 may be equal to the last byte: dropping them would fake a noise floor."""
    rows = [{"model": "m", "prompt": "Hi", "output_tokens": 2}] * 3
    curated = curate(read_traces(write_csv(tmp_path / "a.csv", rows)).rows, price=no_price)
    assert curated.traces["replicate"].tolist() == [0, 1, 2]


def test_serving_traces_count_time_from_the_day_that_is_given(tmp_path):
    lines = [{"timestamp": 1500, "input_length": 10, "output_length": 20, "hash_ids": [1]}]
    path = write_jsonl(tmp_path / "a.jsonl", *lines)
    assert read_traces(path).rows["started_at"].isna().all()
    dated = read_traces(path, options=ReadOptions(date="2026-05-04")).rows
    assert dated["started_at"][0].isoformat() == "2026-05-04T00:00:01.500000+00:00"


def test_burstgpt_answers_of_no_tokens_are_failures(tmp_path):
    base = {
        "Timestamp": 5,
        "Model": "GPT-4",
        "Request tokens": 10,
        "Response tokens": 20,
        "Total tokens": 30,
        "Log Type": "API log",
    }
    read = read_traces(write_csv(tmp_path / "a.csv", [base, base | {"Response tokens": 0}]))
    assert read.format == "burstgpt"
    assert (read.rows["output_tokens"].tolist(), len(read.rejects)) == ([20], 1)


@needs_mirror
@pytest.mark.mirror
@pytest.mark.parametrize(
    ("name", "expected"),
    # Rows, input and output tokens, added up with awk and jq from the raw files.
    [
        ("azure-llm-2023", (28_185, 40_421_844, 4_334_561)),
        ("mooncake", (16_024, 205_988_451, 4_717_480)),
        ("lrm-token-economy", (2178, 0, 9_209_812)),
    ],
)
def test_public_tables_have_their_totals(name, expected, tmp_path):
    paths = [p for p in fetch(name, cache=tmp_path, mirror=MIRROR) if detect(p) in READERS]
    reads = [read_traces(p, options=ReadOptions(date="2026-01-01")) for p in paths]
    rows = pd.concat([read.rows for read in reads])
    assert sum(len(read.rejects) for read in reads) == 0
    assert (len(rows), rows["input_tokens"].sum(), rows["output_tokens"].sum()) == expected


def test_inspect_tells_log_probabilities_of_the_last_answer_of_each_model(tmp_path):
    def output(*values):
        tokens = [{"token": "a", "logprob": value, "bytes": None} for value in values]
        return {"model": "m", "choices": [{"stop_reason": "stop", "logprobs": {"content": tokens}}]}

    usage = {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}
    events = [
        {"event": "model", "model": name, "output": output(*values)}
        for name, values in (("openai/m", [-4]), ("openai/judge", [-0.125]), ("openai/m", [-0.5, -0.25]))
    ]
    judged = {
        "id": "a",
        "epoch": 1,
        "input": "q",
        "events": events,
        "model_usage": dict.fromkeys(("openai/m", "openai/judge"), usage),
    }
    alone = {"id": "b", "epoch": 1, "input": "r", "output": output(-1), "model_usage": {"openai/m": usage}}
    task = {"task": "t", "task_id": "i", "model": "openai/m", "created": "2026-11-22T01:00:00Z"}
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"version": 2, "status": "success", "eval": task, "samples": [judged, alone]}), "utf-8")
    rows = read_traces(path).rows
    assert rows[["item_id", "model", "answer_logprob"]].to_numpy().tolist() == [
        ["a", "m", -0.375], ["a", "judge", -0.125], ["b", "m", -1.0],
    ]  # fmt: skip


@needs_formats
@pytest.mark.parametrize("pattern", ["*.eval", "*.json"])
def test_real_inspect_logs_have_their_totals(pattern):
    """By hand from the samples: 15 runs of 5 items, 736 in, 2,934 out, of which 2,675 reasoning."""
    (path,) = (SHARED / "formats/inspect_ai").glob(pattern)
    read = read_traces(path)
    assert (read.format, read.n_read, len(read.rows)) == ("inspect_ai", 15, 15)
    assert read.rows[["input_tokens", "output_tokens", "reasoning_tokens"]].sum().tolist() == [736, 2934, 2675]
    traces = curate(read.rows, price=no_price).traces
    assert traces.groupby("query_id")["replicate"].max().tolist() == [2] * 5
    assert (traces["repeat_prob"] == 1).all()


@pytest.mark.parametrize("form", ["document", "printed", "lines"])
def test_what_the_api_of_langfuse_answers_is_its_generations(tmp_path, form):
    generation = {
        "id": "g1", "traceId": "t", "type": "GENERATION", "startTime": "2026-11-20T10:00:00Z",
        "endTime": "2026-11-20T10:00:02.5Z", "completionStartTime": "2026-11-20T10:00:00.5Z", "model": "gpt-5",
        "modelParameters": {"max_tokens": 100, "reasoning_effort": "low"},
        "input": [{"role": "user", "content": "Why?"}],
        "usageDetails": {"input": 10, "output": 20, "output_reasoning_tokens": 12, "total": 42},
        "costDetails": {"total": 0.01},
    }  # fmt: skip
    span = {"id": "s1", "traceId": "t", "type": "SPAN", "startTime": "2026-11-20T10:00:00Z", "usageDetails": {}}
    path = tmp_path / "observations.json"
    answer = {"data": [span, generation], "meta": {"page": 1}}
    text = json.dumps(answer, indent=2 if form == "printed" else None)
    path.write_text(text if form != "lines" else f"{json.dumps(span)}\n{json.dumps(generation)}\n", "utf-8")
    read = read_traces(path)
    assert (read.format, len(read.rejects)) == ("langfuse_api", 0)
    row = read.rows.iloc[0]
    assert (row["request_id"], row["model"], row["latency_s"], row["time_to_first_token_s"]) == (
        "g1",
        "gpt-5",
        2.5,
        0.5,
    )
    assert (row["input_tokens"], row["reasoning_tokens"], row["cost_reported_usd"]) == (10, 12, 0.01)
    assert row["reasoning_effort"] == "low"
