"""Runs of LangSmith as its exports write them: bulk export, `list_runs`, the API's answer."""

import json

import pandas as pd
import pytest

from foretell.assets.readers.core.messages import query_id_of_text
from foretell.assets.readers.reading import read_traces
from tests.assets.trace_lines import write_jsonl

MESSAGE = {"lc": 1, "type": "constructor", "id": ["langchain", "schema", "messages", "HumanMessage"],
           "kwargs": {"content": "Why?", "type": "human"}}  # fmt: skip


def run(**changes):
    return {
        "id": "r1", "trace_id": "t1", "session_id": "p1", "run_type": "llm", "name": "ChatOpenAI", "status": "success",
        "start_time": "2026-11-20T10:00:00.000000", "end_time": "2026-11-20T10:00:02.500000",
        "first_token_time": "2026-11-20T10:00:00.500000", "error": None, "dotted_order": "x",
        "inputs": {"messages": [[MESSAGE]]},
        "outputs": {"generations": [[{"text": "secret", "generation_info": {"finish_reason": "length"}}]]},
        "extra": {
            "metadata": {"ls_provider": "openai", "ls_model_name": "gpt-5", "ls_temperature": 0.5},
            "invocation_params": {"model": "gpt-5", "max_completion_tokens": 90, "reasoning_effort": "low"},
        },
        "prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30, "total_cost": 0.01,
        "prompt_token_details": {"cache_read": 4}, "completion_token_details": {"reasoning": 12},
    } | changes  # fmt: skip


CHAIN = {key: value for key, value in run(id="c1", run_type="chain").items() if "token" not in key}


def as_texts(row):
    return {key: json.dumps(value) if isinstance(value, dict) else value for key, value in row.items()}


def write(tmp_path, form, *runs):
    path = tmp_path / f"runs.{form.split('-')[0]}"
    if form == "jsonl":
        return write_jsonl(path, *runs)
    if form.startswith("json"):
        document = {"runs": list(runs), "cursors": {"next": None}} if form == "json-answer" else list(runs)
        path.write_text(json.dumps(document, indent=2 if form == "json-printed" else None))
    elif form == "csv":
        pd.DataFrame(map(as_texts, runs)).to_csv(path, index=False)
    else:
        pd.DataFrame(map(as_texts, runs)).to_parquet(path)
    return path


@pytest.mark.parametrize("form", ["jsonl", "json", "json-printed", "json-answer", "csv", "parquet"])
def test_runs_of_models_are_requests(tmp_path, form):
    read = read_traces(write(tmp_path, form, CHAIN, run()))
    assert (read.format, len(read.rejects)) == ("langsmith", 0)
    (row,) = read.rows.to_dict("records")
    assert (row["request_id"], row["trace_id"], row["project"]) == ("r1", "t1", "p1")
    assert (row["provider"], row["model"], row["temperature"], row["max_tokens"]) == ("openai", "gpt-5", 0.5, 90)
    counts = ["input_tokens", "cache_read_tokens", "output_tokens", "reasoning_tokens", "total_tokens"]
    assert [row[name] for name in counts] == [10, 4, 20, 12, 30]
    assert (row["latency_s"], row["time_to_first_token_s"], row["cost_reported_usd"]) == (2.5, 0.5, 0.01)
    assert (row["finish_reason"], row["reasoning_effort"]) == ("length", "low")
    assert (row["prompt_text"], row["query_id"]) == ("Why?", query_id_of_text("Why?"))


def test_plain_messages_and_usage_beside_the_answer_are_read(tmp_path):
    plain = run(inputs={"messages": [{"role": "user", "content": "Why?"}]}, completion_token_details=None)
    usage = {"input_tokens": 10, "output_tokens": 20, "total_tokens": 30, "output_token_details": {"reasoning": 7}}
    plain["extra"]["metadata"]["usage_metadata"] = usage
    for name in ("prompt_tokens", "completion_tokens", "total_tokens", "prompt_token_details"):
        plain[name] = None
    (row,) = read_traces(write_jsonl(tmp_path / "a.jsonl", plain)).rows.to_dict("records")
    assert (row["input_tokens"], row["output_tokens"], row["reasoning_tokens"]) == (10, 20, 7)
    assert pd.isna(row["cache_read_tokens"]), "unknown is null"
    assert row["query_id"] == query_id_of_text("Why?")


def test_a_run_that_failed_is_a_reject_that_quotes_nothing(tmp_path):
    failed = run(id="r2", error="RateLimitError('of Acme')Traceback (most recent call last)", completion_tokens=0)
    other = run(id="r3", error="the merger is off")
    read = read_traces(write(tmp_path, "csv", run(), failed, other))
    assert read.rows["request_id"].tolist() == ["r1"]
    assert read.rejects["reason"].tolist() == [
        "a failed call: error is RateLimitError",
        "a failed call: error is a text of 17 characters",
    ]
