"""A user's finished runs, read from their logs, as anchors of a forecast."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from foretell.assets.lake.own_runs import learn_from_runs, read_runs, with_runs_of_queries
from foretell.predictors.errors import InvalidInputError
from foretell.predictors.thinking_tokens.baselines import GlobalBaseline
from foretell.predictors.thinking_tokens.predictor import ThinkingTokensPredictor
from tests.predictors.thinking_tokens.synthetic_runs import INPUTS, make_runs
from tests.synthetic import chat_call, write_jsonl


@pytest.fixture(scope="module")
def predictor() -> ThinkingTokensPredictor:
    runs = make_runs(40)
    fresh = ThinkingTokensPredictor(heads=False)
    return fresh.fit(runs[INPUTS].drop(columns="prompt_text"), runs["output_tokens"], groups=runs["query_id"])


def test_runs_of_a_log_move_the_forecast_of_their_work_in_any_order(
    predictor: ThinkingTokensPredictor, tmp_path: Path
) -> None:
    lines = [
        chat_call(
            f"id-{i}", prompt=f"Question {i}", output_tokens=3000 + 100 * i, created=1_790_000_000 + i, model="new-1"
        )
        for i in range(8)
    ]
    runs, problems = read_runs([write_jsonl(tmp_path / "runs.jsonl", lines)])
    assert (len(runs), problems) == (8, [])
    asked = pd.DataFrame({"model": ["New-1"], "prompt_text": ["Another question"]})
    before, after = predictor.predict(asked)[0], learn_from_runs(predictor, runs).predict(asked)[0]
    assert before < 2000
    assert 2500 < after < 4500
    assert learn_from_runs(predictor, runs[::-1]).predict(asked)[0] == pytest.approx(after, rel=1e-9)
    assert learn_from_runs(predictor, runs).known_of(asked).tolist() == ["cell"]


def test_runs_of_the_very_query_are_known_to_its_request() -> None:
    runs = pd.DataFrame({"model": ["small", "large"], "output_tokens": [900.0, 90.0], "prompt_text": ["one", "two"]})
    asked = with_runs_of_queries(pd.DataFrame({"prompt_text": ["two", "three"]}), runs)
    assert asked["context_output_tokens"].tolist() == [[90.0], []]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "no such file"),
        ("", "no finished run to learn from"),
        ('{"foo": 1}\n', "runs.jsonl:1: no log of requests that is known; give what `foretell ingest` reads"),
        ('{"messages": [{"role": "user", "content": "a request, not a run"}]}\n', "runs.jsonl:1: "),
    ],
)
def test_what_holds_no_run_is_refused_with_file_and_line(tmp_path: Path, content: str | None, words: str) -> None:
    file = tmp_path / "runs.jsonl"
    if content is not None:
        file.write_text(content)
    with pytest.raises(InvalidInputError, match=words):
        read_runs([file])


def test_predictors_without_anchors_and_tables_without_tokens_are_refused(predictor: ThinkingTokensPredictor) -> None:
    runs = make_runs(4)
    other = GlobalBaseline().fit(runs[INPUTS], runs["output_tokens"])
    with pytest.raises(InvalidInputError, match="GlobalBaseline learns from no single runs"):
        learn_from_runs(other, runs)
    with pytest.raises(InvalidInputError, match=r"lacks \['output_tokens'\]"):
        learn_from_runs(predictor, runs.drop(columns="output_tokens"))
    with pytest.raises(InvalidInputError, match="null in every row"):
        learn_from_runs(predictor, runs.assign(output_tokens=np.nan))
