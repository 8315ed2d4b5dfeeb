"""Which fit becomes champion: only one that is better by more than luck."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from assets.datasets import load_traces
from assets.family import decide, evaluate_family, fit_family
from assets.policy import Policy, load_policies
from assets.thinking_tokens import PIPELINE, examples_from_traces
from predictors.errors import InvalidInputError
from predictors.thinking_tokens.cost import price_requests


@pytest.fixture(scope="module")
def judged(starter_traces: Path, tmp_path_factory: pytest.TempPathFactory):
    traces = load_traces(
        "starter", starter=starter_traces, cache=tmp_path_factory.mktemp("cache"), mirror=None, price=price_requests
    ).traces
    examples = examples_from_traces(traces)
    return examples, fit_family(PIPELINE, examples)


def decision(examples, fitted, champion):
    table = evaluate_family(PIPELINE, fitted, examples, dataset="starter")
    return decide(PIPELINE, fitted, champion, examples, table, Policy())


def test_first_fit_that_only_equals_its_baseline_is_not_named(judged) -> None:
    examples, fitted = judged
    idle = replace(fitted, predictor=fitted.baselines[PIPELINE.reference])
    found = decision(examples, idle, None)
    assert not found.promote
    assert "no champion is named" in found.reason


def test_first_fit_that_beats_its_baseline_is_named(judged) -> None:
    examples, fitted = judged
    assert decision(examples, fitted, None).promote


def test_better_fit_replaces_the_champion_and_a_worse_or_equal_one_does_not(judged) -> None:
    examples, fitted = judged
    weak = fitted.baselines["global"]
    assert decision(examples, fitted, weak).promote
    assert not decision(examples, replace(fitted, predictor=weak), fitted.predictor).promote
    assert not decision(examples, fitted, fitted.predictor).promote


@pytest.mark.parametrize(
    "content", ["thinking_tokens: {metrik: crps}", "thinking_tokens: {false_promotions_per_year: 2}"]
)
def test_unknown_or_impossible_policy_is_named(tmp_path: Path, content: str) -> None:
    file = tmp_path / "registry.yaml"
    file.write_text(content, "utf-8")
    with pytest.raises(InvalidInputError, match=r"registry\.yaml: thinking_tokens"):
        load_policies(file)
