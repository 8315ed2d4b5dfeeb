"""Requests that were not sent yet, in the forms in which providers take them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from foretell.assets.lake.requests import read_requests

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
