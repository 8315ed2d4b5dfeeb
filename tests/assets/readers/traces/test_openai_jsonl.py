"""Every spelling of a chat model's answer gives the same inclusive counts, and unknown stays unknown."""

import json
import math

import pytest

from foretell.assets.readers.core.records import ReadOptions
from foretell.assets.readers.core.usage import UsageError, tokens_of
from foretell.assets.readers.reading import detect, read_traces
from tests.assets.trace_lines import SHARED, chat, needs_formats, write_jsonl


def one(tmp_path, line):
    read = read_traces(write_jsonl(tmp_path / "a.jsonl", line))
    assert read.rejects.empty, read.rejects.to_dict("records")
    assert read.format == "openai_jsonl"
    return read.rows.iloc[0]


def test_request_and_response_fill_the_canonical_columns(tmp_path):
    row = one(
        tmp_path, chat(3, request={"max_completion_tokens": 99, "reasoning_effort": "low", "seed": 7, "top_k": 4})
    )
    assert row["request_id"] == "chatcmpl-3"
    assert (row["model"], row["request_model"], row["response_model"]) == ("gpt-5", "gpt-5", "gpt-5-2026-08-07")
    assert (row["input_tokens"], row["output_tokens"], row["total_tokens"]) == (10, 23, 33)
    assert (row["temperature"], row["max_tokens"], row["reasoning_effort"], row["seed"]) == (0.5, 99, "low", 7)
    assert (row["finish_reason"], row["latency_s"], row["prompt_text"]) == ("stop", 1.5, "question 3")
    assert row["started_at"].isoformat() == "2026-11-22T02:36:43+00:00"
    assert json.loads(row["settings"]) == {"top_k": 4}
    assert (row["source_file"], row["source_line"]) == ("a.jsonl", 1)


def logprobs_of(content):
    return {"response": chat(0)["response"] | {"choices": [{"finish_reason": "stop", "logprobs": content}]}}


def test_log_probability_of_an_answer_is_the_mean_over_its_tokens(tmp_path):
    tokens = [{"token": "a", "logprob": -0.5}, {"token": "b", "logprob": -1}, {"token": "c", "logprob": 0.0}]
    assert one(tmp_path, chat(0) | logprobs_of({"content": tokens}))["answer_logprob"] == -0.5
    parts = [{"type": "output_text", "logprobs": tokens[:1]}, {"type": "output_text", "logprobs": tokens[1:]}]
    output = [{"type": "reasoning", "content": None}, {"type": "message", "content": parts}]
    response = {key: value for key, value in chat(0)["response"].items() if key != "choices"}
    assert one(tmp_path, chat(0) | {"response": response | {"output": output}})["answer_logprob"] == -0.5


@pytest.mark.parametrize(
    "logprobs",
    [
        None, {}, [], "x", {"content": None}, {"content": []}, {"content": "abc"}, {"content": [None]},
        {"content": [{"logprob": "-0.5"}]}, {"content": [{"logprob": None}]}, {"content": [{"logprob": 0.1}]},
        {"content": [{"logprob": True}]}, {"content": [{"logprob": -0.5}, {"logprob": -9999.0}]},
        {"content": [{"logprob": -0.5}, {}]}, {"content": {"logprob": -0.5}}, {"content": [[-0.5]]},
    ],
)  # fmt: skip
def test_log_probabilities_that_are_none_are_unknown_and_cost_no_record(tmp_path, logprobs):
    assert math.isnan(one(tmp_path, chat(0) | logprobs_of(logprobs))["answer_logprob"])


@pytest.mark.parametrize("value", ["-Infinity", "NaN", "-1e400"])
def test_a_log_probability_that_json_does_not_know_is_never_a_number(tmp_path, value):
    line = json.dumps(chat(0) | logprobs_of({"content": [{"logprob": 7.5}]})).replace("7.5", value)
    read = read_traces(write_jsonl(tmp_path / "a.jsonl", line))
    assert len(read.rows) + len(read.rejects) == 1
    assert read.rows["answer_logprob"].isna().all()


# -- unknown is null, none is 0 ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("details", "expected"),
    [
        ({}, None),
        ({"completion_tokens_details": None}, None),
        ({"completion_tokens_details": {}}, None),
        ({"completion_tokens_details": {"reasoning_tokens": None}}, None),
        ({"completion_tokens_details": {"reasoning_tokens": 0}}, 0),
        ({"completion_tokens_details": {"reasoning_tokens": 12}}, 12),
    ],
)
def test_reasoning_tokens_are_null_unless_the_provider_says_so(details, expected):
    usage = {"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30, **details}
    assert tokens_of(usage)["reasoning_tokens"] == expected


def test_vllm_reports_no_reasoning_so_it_is_unknown(tmp_path):
    """vllm#14472: reasoning is not counted apart; 0 would claim that there was none."""
    body = chat(0)["response"] | {"metrics": {"time_to_first_token_ms": 250.0, "queue_time_ms": 1.0}}
    row = one(tmp_path, body)
    assert row.isna()["reasoning_tokens"]
    assert row["time_to_first_token_s"] == 0.25


# -- what users complained about ----------------------------------------------------------------------


def test_langfuse_12531_gemini_thoughts_are_part_of_the_output():
    usage = {"promptTokenCount": 324, "candidatesTokenCount": 1364, "thoughtsTokenCount": 495, "totalTokenCount": 2183}
    tokens = tokens_of(usage)
    assert (tokens["input_tokens"], tokens["output_tokens"], tokens["reasoning_tokens"]) == (324, 1859, 495)
    assert tokens["input_tokens"] + tokens["output_tokens"] == tokens["total_tokens"]


def test_langfuse_11244_openai_reasoning_is_not_counted_twice():
    usage = {
        "prompt_tokens": 10,
        "completion_tokens": 500,
        "total_tokens": 510,
        "completion_tokens_details": {"reasoning_tokens": 448},
    }
    assert tokens_of(usage)["output_tokens"] == 500


def test_langfuse_14987_reasoning_left_out_of_the_output_is_added_where_the_total_proves_it():
    usage = {
        "prompt_tokens": 50,
        "completion_tokens": 102,
        "total_tokens": 261,
        "completion_tokens_details": {"reasoning_tokens": 109},
    }
    tokens = tokens_of(usage)
    assert (tokens["output_tokens"], tokens["reasoning_tokens"]) == (211, 109)


def test_langfuse_10592_cached_tokens_are_not_counted_twice():
    openai = {"prompt_tokens": 100, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 80}}
    assert (tokens_of(openai)["input_tokens"], tokens_of(openai)["cache_read_tokens"]) == (100, 80)
    anthropic = {"input_tokens": 10, "output_tokens": 5, "cache_creation_input_tokens": 5, "cache_read_input_tokens": 7}
    found = tokens_of(anthropic)
    assert (found["input_tokens"], found["cache_read_tokens"], found["cache_write_tokens"]) == (22, 7, 5)


def test_gemini_that_spent_everything_on_thoughts_has_that_as_its_output():
    tokens = tokens_of({"promptTokenCount": 12, "thoughtsTokenCount": 2048, "totalTokenCount": 2060})
    assert (tokens["output_tokens"], tokens["reasoning_tokens"]) == (2048, 2048)


def test_gemini_in_the_spelling_of_the_python_sdk():
    tokens = tokens_of(
        {
            "prompt_token_count": 10,
            "candidates_token_count": 30,
            "thoughts_token_count": 500,
            "cached_content_token_count": 4,
            "total_token_count": 540,
        }
    )
    assert (tokens["input_tokens"], tokens["output_tokens"], tokens["cache_read_tokens"]) == (10, 530, 4)


def test_anthropic_output_details_are_read_and_older_logs_stay_unknown():
    usage = {"input_tokens": 10, "output_tokens": 20, "output_tokens_details": {"thinking_tokens": 3}}
    assert tokens_of(usage, is_anthropic=True)["reasoning_tokens"] == 3
    assert tokens_of({"input_tokens": 10, "output_tokens": 20}, is_anthropic=True)["reasoning_tokens"] is None


@pytest.mark.parametrize("usage", [None, {}, {"cost": 1.0}, {"prompt_tokens": -1, "completion_tokens": 2}, "text"])
def test_usage_that_says_nothing_is_an_error_not_zero(usage):
    with pytest.raises(UsageError):
        tokens_of(usage)


# -- shapes -----------------------------------------------------------------------------------------------


def test_responses_api(tmp_path):
    body = {
        "id": "resp_1",
        "object": "response",
        "created_at": 1_795_315_000,
        "model": "gpt-5",
        "status": "incomplete",
        "incomplete_details": {"reason": "max_output_tokens"},
        "output": [],
        "usage": {
            "input_tokens": 10,
            "output_tokens": 64,
            "total_tokens": 74,
            "input_tokens_details": {"cached_tokens": 2},
            "output_tokens_details": {"reasoning_tokens": 64},
        },
    }
    row = one(
        tmp_path,
        {
            "request": {"model": "gpt-5", "input": "hello", "reasoning": {"effort": "high"}, "max_output_tokens": 64},
            "response": body,
        },
    )
    assert (row["output_tokens"], row["reasoning_tokens"], row["cache_read_tokens"]) == (64, 64, 2)
    assert (row["finish_reason"], row["reasoning_effort"], row["max_tokens"]) == ("length", "high", 64)
    assert row["prompt_text"] == "hello"


def test_anthropic_message(tmp_path):
    body = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-opus-4-6",
        "content": [],
        "stop_reason": "max_tokens",
        "usage": {"input_tokens": 7, "output_tokens": 9, "service_tier": "standard"},
    }
    request = {
        "model": "claude-opus-4-6",
        "system": "Be brief.",
        "max_tokens": 9,
        "thinking": {"type": "enabled", "budget_tokens": 2000},
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hello"}]}],
    }
    row = one(tmp_path, {"request": request, "response": body, "timestamp": "2026-11-22T01:00:00Z"})
    assert (row["finish_reason"], row["reasoning_effort"], row["service_tier"]) == ("length", "budget:2000", "standard")
    assert row["prompt_text"] == "Be brief.\n\nhello"
    assert row["started_at"].isoformat() == "2026-11-22T01:00:00+00:00"


def test_gemini_response(tmp_path):
    body = {
        "responseId": "g1",
        "modelVersion": "gemini-2.5-pro",
        "createTime": "2026-11-22T01:00:00.123456789Z",
        "candidates": [{"finishReason": "MAX_TOKENS", "content": {"parts": []}, "avgLogprobs": -0.125}],
        "usageMetadata": {"promptTokenCount": 5, "thoughtsTokenCount": 90, "totalTokenCount": 95},
    }
    request = {
        "contents": [{"role": "user", "parts": [{"text": "hello"}]}],
        "generationConfig": {"maxOutputTokens": 90, "temperature": 1.0, "thinkingConfig": {"thinkingBudget": 90}},
    }
    row = one(tmp_path, {"request": request, "response": body})
    assert (row["request_id"], row["model"], row["finish_reason"]) == ("g1", "gemini-2.5-pro", "length")
    assert (row["output_tokens"], row["max_tokens"], row["reasoning_effort"]) == (90, 90, "budget:90")
    assert (row["prompt_text"], row["answer_logprob"]) == ("hello", -0.125)


def test_openrouter_cost_is_kept_as_reported(tmp_path):
    row = one(tmp_path, chat(0, usage={"cost": 0.25}, response={"provider": "DeepInfra"})["response"])
    assert row["cost_reported_usd"] == 0.25
    assert row["provider"] == "DeepInfra"


def test_same_query_has_one_id_whatever_the_provider(tmp_path):
    openai = chat(
        0, request={"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi "}]}
    )
    anthropic = {
        "request": {"system": "Be brief.", "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]},
        "response": chat(1)["response"],
    }
    gemini = {
        "request": {
            "systemInstruction": {"parts": [{"text": "Be brief."}]},
            "contents": [{"role": "user", "parts": [{"text": "Hi\r\n"}]}],
        },
        "response": chat(2)["response"],
    }
    rows = read_traces(write_jsonl(tmp_path / "a.jsonl", openai, anthropic, gemini)).rows
    assert len(set(rows["query_id"])) == 1


def test_answers_without_an_id_stay_apart_in_one_file_and_meet_in_two(tmp_path):
    line = chat(0)
    del line["response"]["id"]
    one_file = read_traces(write_jsonl(tmp_path / "a.jsonl", line, line)).rows["request_id"]
    other = read_traces(write_jsonl(tmp_path / "b.jsonl", line)).rows["request_id"]
    assert one_file.nunique() == 2
    assert other[0] == one_file[0]


def test_anthropic_batch_results(tmp_path):
    message = {
        "id": "msg_1",
        "type": "message",
        "model": "claude-opus-4-6",
        "usage": {"input_tokens": 7, "output_tokens": 9},
    }
    good = {"custom_id": "q1", "result": {"type": "succeeded", "message": message}}
    bad = {"custom_id": "q2", "result": {"type": "expired"}}
    read = read_traces(write_jsonl(tmp_path / "a.jsonl", good, bad))
    assert read.rows["output_tokens"].tolist() == [9]
    assert read.rejects["reason"].tolist() == ["a failed call: batch result expired"]


# -- several calls, one logical request -----------------------------------------------------------------


def call(index, n_calls, output, **changes):
    metadata = {
        "request_id": "r1",
        "call_index": index,
        "n_calls": n_calls,
        "prompt": "q",
        "benchmark": "logic",
        "item_id": "logic-1",
        "reasoning_effort": "cot_check",
        "replicate": 2,
        "repeat_prob": 0.4,
        "score": 1.0 if index == n_calls - 1 else None,
    }
    line = chat(index, usage={"completion_tokens": output, "total_tokens": output + 10}, request={"max_tokens": 100})
    line["response"]["choices"][0]["finish_reason"] = changes.get("finish_reason", "stop")
    return line | {"metadata": metadata}


def test_calls_fold_into_one_request_with_all_but_the_last_as_reasoning(tmp_path):
    lines = [call(0, 3, 50), call(1, 3, 30, finish_reason="length"), call(2, 3, 20)]
    read = read_traces(write_jsonl(tmp_path / "a.jsonl", *lines))
    (row,) = read.rows.to_dict("records")
    assert read.n_read == 1
    assert (row["input_tokens"], row["output_tokens"], row["reasoning_tokens"]) == (30, 100, 80)
    assert (row["max_tokens"], row["latency_s"], row["finish_reason"]) == (300, 4.5, "length")
    assert (row["benchmark"], row["item_id"], row["reasoning_effort"]) == ("logic", "logic-1", "cot_check")
    assert (row["replicate"], row["repeat_prob"], row["score"]) == (2, 0.4, 1.0)
    assert row["prompt_text"] == "q"


def test_one_call_of_a_harness_that_counts_calls_has_no_reasoning(tmp_path):
    assert one(tmp_path, call(0, 1, 50))["reasoning_tokens"] == 0


def test_incomplete_set_of_calls_is_one_reject(tmp_path):
    read = read_traces(write_jsonl(tmp_path / "a.jsonl", chat(9), call(0, 3, 50), call(2, 3, 20)))
    assert len(read.rows) == 1
    assert read.rejects["reason"].tolist() == ["request r1: 2 of its 3 calls are here"]
    assert read.rejects["source_line"].tolist() == [2]


@pytest.mark.parametrize(("index", "n_calls"), [(3, 3), (-1, 2), ("0", 2), (0, "2"), (0, 0)])
def test_impossible_call_position_is_rejected(tmp_path, index, n_calls):
    line = call(0, 3, 5)
    line["metadata"] |= {"call_index": index, "n_calls": n_calls}
    read = read_traces(write_jsonl(tmp_path / "a.jsonl", line))
    assert (len(read.rows), len(read.rejects)) == (0, 1)


def test_call_delivered_twice_costs_one_reject_only(tmp_path):
    read = read_traces(write_jsonl(tmp_path / "a.jsonl", call(0, 2, 5), call(0, 2, 5), call(1, 2, 5)))
    assert read.rows["output_tokens"].tolist() == [10]
    assert read.rejects["source_line"].tolist() == [2]


# -- real samples; totals added up by hand from the raw files ----------------------------------------------


@needs_formats
def test_real_chat_sample_totals():
    path = SHARED / "formats/openai_chat/smollm2_requests.jsonl"
    read = read_traces(path)
    assert (read.n_read, len(read.rows)) == (40, 40)
    totals = read.rows[["input_tokens", "output_tokens", "cache_read_tokens"]].sum().tolist()
    assert totals == [1560, 2657, 1334]
    assert read.rows["query_id"].nunique() == 5
    assert (read.rows["finish_reason"] == "length").sum() == 5
    assert read.rows["reasoning_tokens"].isna().all()


@needs_formats
def test_real_batch_sample_totals_and_join():
    folder = SHARED / "formats/openai_batch"
    assert detect(folder / "batch_output.jsonl") == detect(folder / "batch_input.jsonl") == "openai_jsonl"
    alone = read_traces(folder / "batch_output.jsonl")
    joined = read_traces(folder / "batch_output.jsonl", options=ReadOptions(companions=(folder / "batch_input.jsonl",)))
    assert (len(alone.rows), len(joined.rows)) == (40, 40)
    assert joined.rows[["input_tokens", "output_tokens"]].sum().tolist() == [1560, 2657]
    assert alone.rows["prompt_text"].isna().all()
    assert joined.rows["query_id"].nunique() == 5
    assert joined.rows["max_tokens"].tolist() == [120] * 40


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("is_list", [True, False])
def test_answers_as_one_json_document(tmp_path, indent, is_list):
    answer = {
        "id": "c", "model": "m", "created": 1793000000, "choices": [{"message": {"content": "x"}}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2},
    }  # fmt: skip
    answers = [answer, {**answer, "id": "d"}]
    path = tmp_path / "answers.json"
    path.write_text(json.dumps(answers if is_list else answer, indent=indent), "utf-8")
    read = read_traces(path)
    assert (read.format, len(read.rejects)) == ("openai_jsonl", 0)
    assert read.rows["request_id"].tolist() == (["c", "d"] if is_list else ["c"])
