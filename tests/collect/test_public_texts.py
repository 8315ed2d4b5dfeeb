"""Weights of texts: what is planted is found, each source is left out, and slopes are those of sources left out."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from foretell.collect.public_texts import described, learnt, left_out, query_effects, slopes

WORDS = ["prove", "capital", "list", "explain", "derive", "name", "integral", "year", "show", "city"]
EFFECT = dict(zip(WORDS, np.linspace(-1, 1, len(WORDS)), strict=True))


def runs(n: int, source: str, follow: float, seed: int) -> pd.DataFrame:
    """Two models on `n` texts, whose answers follow the words of the text."""
    rng = np.random.default_rng(seed)
    chosen = [rng.choice(WORDS, 6) for _ in range(n)]
    said = follow * np.array([np.mean([EFFECT[word] for word in words]) for words in chosen])
    rows = [
        pd.DataFrame({
            "source": source, "benchmark": "b", "model": model, "reasoning_effort": "",
            "text": [" ".join(words) for words in chosen],
            "output_tokens": np.exp(level + said + 0.1 * rng.normal(size=n)),
        })
        for model, level in (("one", 5.0), ("two", 7.0))
    ]  # fmt: skip
    return pd.concat(rows, ignore_index=True)


def test_effects_of_queries_are_about_their_benchmark_whatever_the_models() -> None:
    own = runs(30, "a", 1.0, 0)
    effects = query_effects(own)
    half = query_effects(own[(own["model"] == "one") | (own.index % 2 == 0)])
    assert len(effects) == own["text"].nunique()
    assert effects["effect"].mean() == pytest.approx(0, abs=1e-9)
    both = effects.merge(half, on="text")
    assert np.corrcoef(both["effect_x"], both["effect_y"])[0, 1] > 0.8, "a model that is missing moves no effect"


def test_what_words_say_is_found_and_carries_to_a_source_left_out() -> None:
    queries = pd.concat([query_effects(runs(80, source, 1.0, i)) for i, source in enumerate("abc")])
    effects = learnt(queries)
    assert effects.of(["integral city show"])[0] > effects.of(["prove capital list"])[0] + 0.3
    table = pd.DataFrame(left_out(queries))
    assert table["source"].tolist() == ["a", "b", "c"]
    assert (table["r"] > 0.6).all()
    mean, sd = slopes(table)
    assert 0.8 < mean < 2.5
    assert sd < 1.0


def test_a_source_whose_answers_go_the_other_way_makes_slopes_doubtful() -> None:
    follow = {"a": 1.0, "b": 1.0, "c": -1.0}
    queries = pd.concat([query_effects(runs(80, source, of, i)) for i, (source, of) in enumerate(follow.items())])
    table = pd.DataFrame(left_out(queries)).set_index("source")
    assert table.loc["c", "slope"] < 0
    assert slopes(table.reset_index())[1] > 0.3


def test_few_queries_teach_nothing_and_one_text_has_no_variance() -> None:
    many, few = query_effects(runs(80, "a", 1.0, 0)), query_effects(runs(3, "b", -50.0, 1))
    alone, beside = learnt(many), learnt(pd.concat([many, few]))
    assert np.array_equal(alone.weights, beside.weights)
    assert set(beside.benchmarks) == {("a", "b"), ("b", "b")}


def test_a_text_counts_as_often_as_it_was_asked_where_the_texts_of_a_benchmark_lie() -> None:
    own = runs(80, "a", 1.0, 0)
    first = own["text"].iloc[0]
    often = pd.concat([own, *[own[own["text"] == first]] * 400])
    effects = learnt(query_effects(own))
    alike, close = described(effects, query_effects(own)), described(effects, query_effects(often))
    expected = effects.of([first])[0]
    assert abs(close.benchmarks["a", "b"][0] - expected) < 0.2 * abs(alike.benchmarks["a", "b"][0] - expected)
    assert close.benchmarks["a", "b"][1] < 0.5 * alike.benchmarks["a", "b"][1]
