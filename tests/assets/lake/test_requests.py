"""Requests that were not sent yet, in the forms in which providers take them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from foretell.assets.lake.requests import models_named, read_requests
from foretell.predictors.errors import InvalidInputError

MESSAGES = [{"role": "user", "content": "Why?"}]
CONTENTS = [{"role": "user", "parts": [{"text": "Why?"}]}]


def read_lines(folder: Path, *lines: Any) -> tuple[pd.DataFrame, list[str]]:
    path = folder / "requests.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    return read_requests(path)


def test_batches_of_every_provider_are_one_query_with_their_limits(tmp_path: Path) -> None:
    # Anthropic's lines were "no request here", Gemini's limit was ignored.
    read, problems = read_lines(
        tmp_path,
        {"custom_id": "a", "body": {"model": "gpt-5", "messages": MESSAGES, "max_completion_tokens": 100}},
        {"custom_id": "b", "params": {"model": "claude-haiku-4-5", "messages": MESSAGES, "max_tokens": 100}},
        {"key": "c", "request": {"contents": CONTENTS, "generation_config": {"max_output_tokens": 100}}},
        {"key": "d", "request": {"contents": CONTENTS, "generationConfig": {"maxOutputTokens": 100}}},
        {"model": "gemini-3-flash", "contents": CONTENTS, "config": {"max_output_tokens": 100, "top_p": 0.5}},
    )
    assert problems == []
    assert read["max_tokens"].tolist() == [100] * 5
    assert read["custom_id"].tolist()[:4] == ["a", "b", "c", "d"]
    assert len(set(read["query_id"])) == 1
    assert read["top_p"].tolist()[-1] == 0.5


def test_gemini_says_how_much_it_is_to_think_in_either_spelling(tmp_path: Path) -> None:
    configs = ({"thinking_config": {"thinking_budget": 512}}, {"thinkingConfig": {"thinkingBudget": 512}})
    read, _ = read_lines(tmp_path, *({"contents": CONTENTS, "generation_config": config} for config in configs))
    assert read["reasoning_effort"].tolist() == ["budget:512"] * 2


@pytest.mark.parametrize("value", [-5, 0, "many", True, 1e30, [5]])
def test_an_impossible_limit_is_a_problem_of_its_request_alone(tmp_path: Path, value: Any) -> None:
    good = {"messages": MESSAGES, "max_tokens": 10}
    read, problems = read_lines(tmp_path, good, {"messages": MESSAGES, "max_tokens": value}, good)
    assert read["max_tokens"].tolist() == [10, 10]
    (problem,) = problems
    assert "requests.jsonl:2: `max_tokens` must be a number of tokens above 0" in problem


def test_rows_of_a_table_are_checked_too(tmp_path: Path) -> None:
    table = pd.DataFrame({"prompt_text": ["a", "b", "c"], "top_p": [0.5, 7, None], "max_tokens": [None, 5, -1]})
    table.to_csv(tmp_path / "requests.csv", index=False)
    read, problems = read_requests(tmp_path / "requests.csv")
    assert read["prompt_text"].tolist() == ["a"]
    assert [problem.split("`")[1] for problem in problems] == ["top_p", "max_tokens"]


@pytest.mark.parametrize("name", ["prompt_text", "prompt", "Prompt", " Question "])
@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".json", ".jsonl", ".parquet"])
def test_a_table_calls_the_prompt_as_people_do(tmp_path: Path, name: str, suffix: str) -> None:
    table = pd.DataFrame({name: ["a", "b; c", "d"], "Max Tokens": [5, 6, 7]})
    file = tmp_path / f"requests{suffix}"
    if suffix == ".parquet":
        table.to_parquet(file)
    elif suffix == ".json":
        table.to_json(file, orient="records")  # a list in one line, of which every object is a request
    elif suffix == ".jsonl":
        table.to_json(file, orient="records", lines=True)
    else:
        table.to_csv(file, index=False, sep="\t" if suffix == ".tsv" else ";")
    read, problems = read_requests(file)
    assert problems == []
    assert read["prompt_text"].tolist() == ["a", "b; c", "d"]
    assert read["max_tokens"].tolist() == [5, 6, 7]


def test_our_own_name_of_a_column_comes_before_others(tmp_path: Path) -> None:
    read, _ = read_lines(tmp_path, {"prompt_text": "ours", "question": "theirs", "model": "m"})
    assert read["prompt_text"].tolist() == ["ours"]


def test_a_file_of_requests_names_its_model(tmp_path: Path) -> None:
    file = tmp_path / "requests.csv"
    file.write_text("prompt,model\na,gpt-5\nb,gpt-5\n")
    assert models_named(file) == ["gpt-5"]
    file.write_text("prompt\na\n")
    assert models_named(file) == []
    file.write_text("prompt,model\na,gpt-5\nb,gpt-5-mini\n")
    with pytest.raises(InvalidInputError, match=r"name 2 models; .* --model gpt-5 --model gpt-5-mini"):
        models_named(file)


def test_what_stands_beside_a_chat_request_is_read_too(tmp_path: Path) -> None:
    read, _ = read_lines(tmp_path, {"messages": MESSAGES, "benchmark": "gsm8k", "id": 7, "Input Tokens": 9})
    assert read["benchmark"].tolist() == ["gsm8k"]
    assert read["input_tokens"].tolist() == [9]
    assert "id" not in read
