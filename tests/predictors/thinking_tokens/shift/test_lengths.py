"""What the lengths of prompts say: of benchmarks within a source, not of a source."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from foretell.predictors.thinking_tokens.shift.lengths import log_lengths
from foretell.predictors.thinking_tokens.shift.unseen import Anchors, UnseenCells
from tests.predictors.thinking_tokens.shift.synthetic_cells import make_source_runs

OF_BENCHMARK = {"b0": 50.0, "b1": 400.0, "b2": 3000.0}


@pytest.fixture(scope="module")
def runs() -> pd.DataFrame:
    """Answers grow by half of the log of the prompt's length, from a level that is the source's own."""
    runs = make_source_runs(4, 3, 12, seed=3)
    tokens = runs["benchmark"].map(OF_BENCHMARK)
    return runs.assign(input_tokens=tokens, log_tokens=runs["log_tokens"] + 0.8 * np.log(tokens / 400))


@pytest.fixture(scope="module")
def fitted(runs: pd.DataFrame) -> UnseenCells:
    cut = np.zeros(len(runs), dtype=bool)
    return UnseenCells().fit(runs, runs["log_tokens"].to_numpy(), cut, runs["query_id"].to_numpy(object))


def _asked(source: str, tokens: list[float], **columns: Any) -> pd.DataFrame:
    cell = {"source": source, "benchmark": "new", "model": "gpt-5", "reasoning_effort": ""}
    return pd.DataFrame({"input_tokens": tokens}).assign(**cell, **columns)


def test_lengths_are_characters_or_four_to_a_token() -> None:
    X = pd.DataFrame({"prompt_text": ["a" * 20, None, None, ""], "input_tokens": [900.0, 25.0, np.nan, np.nan]})
    np.testing.assert_allclose(np.exp(log_lengths(X)), [20, 100, np.nan, 1])
    np.testing.assert_allclose(np.exp(log_lengths(X[["input_tokens"]])), [3600, 100, np.nan, np.nan])
    assert np.isnan(log_lengths(X[[]])).all()
    public = pd.DataFrame({"prompt_chars": [7, None], "input_tokens": [1000, 10]}, dtype="Int32")
    np.testing.assert_allclose(np.exp(log_lengths(public)), [7, 40])


def test_longer_prompts_have_longer_answers_in_a_source_that_was_seen(fitted: UnseenCells) -> None:
    short, usual, long = fitted.forecast(_asked("s1", [50.0, 400.0, 3000.0])).centre
    assert 1.5 < long - short < 4.0
    assert short < usual < long
    elsewhere = fitted.forecast(_asked("unheard of", [50.0, 3000.0]))
    assert elsewhere.centre[0] == elsewhere.centre[1]


def test_a_forecast_does_not_depend_on_what_is_asked_beside_it(fitted: UnseenCells) -> None:
    together = fitted.forecast(_asked("s1", [50.0, 400.0, 3000.0, 410.0]))
    alone = fitted.forecast(_asked("s1", [3000.0]))
    np.testing.assert_allclose(together.centre[2], alone.centre[0], rtol=1e-9)
    np.testing.assert_allclose(together.variance[2], alone.variance[0], rtol=1e-6)
    assert together.cell[1] == together.cell[3]  # lengths are rounded where the benchmark is not known


def test_a_benchmark_that_is_known_has_the_length_of_its_prompts(fitted: UnseenCells, runs: pd.DataFrame) -> None:
    known = _asked("s1", [1.0, 1e6]).assign(benchmark="b1", model="another")
    assert fitted.forecast(known).centre[0] == fitted.forecast(known).centre[1]
    rows = _asked("s1", [100.0, 140.0], query_id=["q1", "q2"])
    zero = np.zeros(2)
    adapted = fitted.adapted(Anchors(rows, zero + 6.0, zero > 0, rows["query_id"].to_numpy(object), zero * np.nan))
    two = adapted.forecast(_asked("s1", [50.0, 3000.0])).centre
    assert two[0] == two[1]
    assert adapted.lengths_.source == fitted.lengths_.source


def test_lengths_are_restored_as_they_were(fitted: UnseenCells) -> None:
    asked = _asked("s1", [50.0, 3000.0])
    again = UnseenCells.from_state(*fitted.state())
    np.testing.assert_array_equal(again.forecast(asked).centre, fitted.forecast(asked).centre)
