"""What public prompts have taught about texts: closed forms, where it counts, and that it stays."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.predictors.arrays import load_arrays, save_arrays
from foretell.predictors.fitting.text.features import TEXT_STATISTICS
from foretell.predictors.thinking_tokens.predictor import ThinkingTokensPredictor
from foretell.predictors.thinking_tokens.shift.texts import (
    N_BUCKETS,
    WORDS_SCALE,
    TextEffects,
    hashed_words,
    of_any_source,
    public_texts,
)
from foretell.predictors.thinking_tokens.shift.unseen import LEVEL_SLOPE

LEVELS = [0.05, 0.5, 0.95]
SHORT, LONG = "What is the capital of France?", "Prove, step by step, that $x^2 + y^2 \\geq 2xy$ holds and explain why."


def effects(weights: dict[int, float]) -> TextEffects:
    """Weights by place, the others 0."""
    n = len(TEXT_STATISTICS)
    values = np.zeros(n + N_BUCKETS)
    values[list(weights)] = list(weights.values())
    return TextEffects(np.zeros(n), np.ones(n), values, 1.0, 0.3, {}, np.zeros(2))


def test_words_are_hashed_alike_everywhere() -> None:
    rows = hashed_words(["alpha beta", "beta  ALPHA!", "alpha", "", "a b c"]).toarray()
    assert np.flatnonzero(rows[2]).tolist() == [2410], "the weights that ship rest on this place"
    assert np.allclose(rows[0], rows[1])
    assert np.allclose(np.sqrt((rows**2).sum(axis=1)), [WORDS_SCALE] * 3 + [0, 0]), "single letters are no words"


def test_an_effect_is_the_weighted_sum_of_what_a_text_holds() -> None:
    n_lines = TEXT_STATISTICS.index("log_n_lines")
    bucket = len(TEXT_STATISTICS) + int(np.flatnonzero(hashed_words(["alpha"]).toarray()[0])[0])
    sign = np.sign(hashed_words(["alpha"]).toarray().sum())
    told = effects({n_lines: 0.5, bucket: 0.2})
    assert told.of(["one line"]) == pytest.approx([0.0])
    assert told.of(["3\n4\n5"]) == pytest.approx([0.5 * np.log(3)])
    assert told.of(["alpha"]) == pytest.approx([0.2 * sign * WORDS_SCALE])
    assert told.of(["\n" * 1000]) == pytest.approx([0.5 * 3.0]), "no statistic counts for more than three deviations"


@given(st.lists(st.text(max_size=60), max_size=5))
def test_any_text_has_a_finite_effect_that_others_do_not_move(texts: list[str]) -> None:
    together = public_texts().of(texts)
    assert np.isfinite(together).all()
    assert np.allclose(together, [public_texts().of([text])[0] for text in texts])


def test_the_file_holds_numbers_and_names_of_benchmarks_alone() -> None:
    told = json.loads((files("foretell") / "public" / "token_texts.json").read_text("utf-8"))
    assert set(told) == {"centre", "scale", "weights", "slope", "slope_sd", "benchmarks"}
    for name in ("centre", "scale", "weights"):
        assert all(isinstance(value, float) for value in told[name])
    assert all(len(row) == 4 and all(isinstance(v, float) for v in row[2:]) for row in told["benchmarks"])
    assert told["slope"] > 0
    assert told["slope_sd"] > 0


def test_what_was_learnt_is_saved_and_older_versions_have_none(tmp_path: Path) -> None:
    told = public_texts()
    save_arrays(tmp_path / "texts", told.state())
    again = TextEffects.from_state(load_arrays(tmp_path / "texts"))
    assert again is not None
    assert np.array_equal(again.of([SHORT, LONG]), told.of([SHORT, LONG]))
    assert (again.slope, again.slope_sd) == (told.slope, told.slope_sd)
    assert TextEffects.from_state({}) is None


@pytest.fixture(scope="module")
def fresh() -> ThinkingTokensPredictor:
    """Knows public figures and one own run without a text."""
    X = pd.DataFrame({"model": ["some-model"], "source": ["elsewhere"]})
    return ThinkingTokensPredictor(heads=False, public=True).fit(X, pd.Series([100.0]), groups=pd.Series(["q"]))


def asked(prompts: list[str | None], **columns: object) -> pd.DataFrame:
    """Requests of one model."""
    return pd.DataFrame({"prompt_text": prompts, "model": "gpt-5-mini", **columns})


def test_before_anchors_texts_move_forecasts_on_public_benchmarks_and_on_work_of_no_known_source(
    fresh: ThinkingTokensPredictor,
) -> None:
    known = np.log(fresh.predict_quantiles(asked([SHORT, LONG, None], benchmark="simpleqa"), LEVELS))
    line = fresh.unseen_.lines_["pricing-reversal", "simpleqa"]
    expected = line.slope * (public_texts().of([SHORT, LONG]) - line.centre)
    assert known[0.5].to_numpy()[:2] - known.loc[2, 0.5] == pytest.approx(expected, abs=1e-6)
    assert expected[1] > expected[0], "a proof takes longer than a capital"
    new = np.log(fresh.predict_quantiles(asked([SHORT, LONG, None], benchmark="new", source="mine"), LEVELS))
    usual = fresh.unseen_.texts_.elsewhere[0]
    expected = LEVEL_SLOPE * (public_texts().of([SHORT, LONG]) - usual)
    assert new[0.5].to_numpy()[:2] - new.loc[2, 0.5] == pytest.approx(expected, abs=1e-6)
    alone = asked([SHORT, SHORT[::-1]], benchmark="new", source="lineage-bench")
    assert fresh.predict_quantiles(alone, LEVELS).nunique().eq(1).all(), "a text says nothing there, its length does"


def test_texts_of_any_source_are_a_mean_over_sources() -> None:
    told = {("a", "x"): (1.0, 0.2), ("a", "y"): (3.0, 0.4), ("b", "z"): (6.0, 0.1)}
    assert of_any_source(told).tolist() == pytest.approx([4.0, 0.2])


def test_anchors_of_a_new_workload_say_how_far_to_follow_texts(fresh: ThinkingTokensPredictor) -> None:
    rng = np.random.default_rng(0)
    words = ["prove", "capital", "list", "explain", "derive", "name", "integral", "year", "show", "city"]
    n_words, n_lines = rng.integers(2, 60, 400), rng.integers(0, 9, 400)
    prompts = [" ".join(rng.choice(words, n)) + "\n" * lines for n, lines in zip(n_words, n_lines, strict=True)]
    said = public_texts().of(prompts)
    X = asked(prompts, benchmark="new", source="mine").assign(query_id=[f"q{i}" for i in range(400)])
    slopes, spans = [], []
    for follow in (0.0, 2.0):
        y = np.exp(6.0 + follow * (said - said.mean()) + 0.1 * rng.normal(size=400))
        adapted = fresh.adapt(X.iloc[:360], pd.Series(y[:360]))
        assert adapted.unseen_.texts_ is fresh.unseen_.texts_
        slopes.append(adapted.unseen_.lines_["mine", "new"].slope)
        centre = np.log(adapted.predict_quantiles(X.iloc[360:].drop(columns="query_id"), LEVELS)[0.5].to_numpy())
        spans.append(np.polyfit(said[360:], centre, 1)[0])
    assert abs(slopes[0]) < 0.4 < 1.6 < slopes[1]
    assert spans == pytest.approx(slopes, abs=0.05)
    assert ("mine", "new") not in fresh.unseen_.lines_


def test_one_refit_on_own_runs_without_a_public_prompt_keeps_what_texts_say(fresh: ThinkingTokensPredictor) -> None:
    rng = np.random.default_rng(1)
    X = asked([f"Request number {i}" for i in range(40)], source="mine", benchmark="own")
    y = pd.Series(np.exp(5 + 0.2 * rng.normal(size=40)))
    refit = ThinkingTokensPredictor(heads=False, public=True).fit(X, y, groups=X["prompt_text"])
    rows = asked([SHORT, LONG], benchmark="gpqa")
    before, after = (np.log(p.predict_quantiles(rows, LEVELS)[0.5].to_numpy()) for p in (fresh, refit))
    assert np.diff(after) == pytest.approx(np.diff(before), abs=1e-9)
    assert np.diff(after)[0] > 0.1
