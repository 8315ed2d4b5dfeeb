"""Spellings of one model meet; different models never do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.predictors.model_names import ModelNames, model_keys

SAME = {
    "claude-haiku-4-5": [
        "claude-haiku-4.5",
        "anthropic/claude-haiku-4.5",
        "openrouter/anthropic/claude-haiku-4.5",
        "claude-haiku-4-5-20251001",
        "claude-haiku-4-5@20251001",
        "us.anthropic.claude-haiku-4-5-20251001-v1:0",
        "bedrock/eu.anthropic.claude-haiku-4-5-20251001-v1:0",
        "vertex_ai/claude-haiku-4-5@20251001",
        "claude-4.5-haiku",
        "Claude-Haiku-4.5",
    ],
    "gpt-5": ["openai/gpt-5", "azure/gpt-5", "gpt-5-2025-08-07", "GPT-5", "litellm_proxy/openai/gpt-5"],
    "gpt-4.1-mini": ["gpt-4.1-mini-2025-04-14", "openai/gpt-4.1-mini"],
    "gpt-3.5-turbo": ["gpt-35-turbo", "gpt-3.5-turbo-0125"],
    "gemini-3.1-pro-preview": [
        "models/gemini-3.1-pro-preview",
        "google/gemini-3.1-pro",
        "gemini/gemini-3.1-pro-preview",
    ],
    "claude-sonnet-4-0": ["claude-sonnet-4", "claude-4-sonnet", "claude-sonnet-4-20250514"],
    "claude-3-7-sonnet-latest": ["claude-3.7-sonnet", "claude-sonnet-3-7", "anthropic/claude-3-7-sonnet-20250219"],
    "deepseek/deepseek-r1": ["deepseek-ai/DeepSeek-R1", "deepseek/deepseek-r1:free", "deepseek-r1-0528"],
    "meta-llama/Llama-3.1-8B-Instruct": [
        "Meta-Llama-3.1-8B-Instruct",
        "accounts/fireworks/models/llama-v3p1-8b-instruct",
        "llama3.1-8b-instruct",
    ],
    "kimi-k2": ["moonshotai/kimi-k2-0905-preview", "kimi-k2-0711-preview"],
}
DIFFERENT = [
    ("gpt-5", "gpt-5-mini"),
    ("gpt-5", "gpt-5.1"),
    ("gpt-4o", "gpt-4o-mini"),
    ("claude-haiku-4-5", "claude-haiku-5-5"),
    ("claude-sonnet-4", "claude-sonnet-4-5"),
    ("claude-3-7-sonnet", "claude-3-7-sonnet:thinking"),
    ("llama-3.1-8b-instruct", "llama-3.1-70b-instruct"),
    ("o1", "o1-mini"),
    ("kimi-k2", "kimi-k2-thinking"),
    ("ft:gpt-4o-mini-2024-07-18:acme::abc", "gpt-4o-mini"),
    ("deepseek-v3", "deepseek-v3.1"),
]


@pytest.mark.parametrize(("name", "spelling"), [(name, s) for name, spellings in SAME.items() for s in spellings])
def test_a_spelling_finds_its_model_and_the_model_finds_the_spelling(name: str, spelling: str) -> None:
    assert ModelNames([name, "some-other-model"]).find(spelling) == name
    assert ModelNames([spelling, "some-other-model"]).find(name) == spelling


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_different_models_are_kept_apart(one: str, other: str) -> None:
    assert ModelNames([one]).find(other) is None
    assert ModelNames([other]).find(one) is None


def test_of_several_releases_the_named_one_comes_first_then_the_undated_then_the_newest() -> None:
    releases = ["gpt-4o-2024-05-13", "gpt-4o-2024-08-06", "gpt-4o"]
    assert ModelNames(releases).find("openai/gpt-4o-2024-05-13") == "gpt-4o-2024-05-13"
    assert ModelNames(releases).find("openai/gpt-4o-2024-11-20") == "gpt-4o"
    assert ModelNames(releases[:2]).find("openai/gpt-4o") == "gpt-4o-2024-08-06"


def test_near_misses_are_suggested_and_far_ones_are_not() -> None:
    names = ModelNames(["gpt-5-mini", "gpt-4o-mini", "claude-haiku-4-5", "SmolLM2-135M-Instruct"])
    assert names.suggest("gpt5-mini")[0] == "gpt-5-mini"
    assert names.suggest("claude-hiku-4.5") == ["claude-haiku-4-5"]
    assert names.suggest("my-own-finetune") == []


@given(st.text(max_size=60))
def test_every_text_has_a_form_and_finds_itself(name: str) -> None:
    assert model_keys(name)
    assert ModelNames([name]).find(name) == name
