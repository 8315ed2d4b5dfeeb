"""TF-IDF by distinct words against scikit-learn's, and sentence embeddings as a part of the text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer

from predictors.sentence_embeddings import WIDTH, EmbeddingCache, use_embedding_cache
from predictors.thinking_tokens.features import TextEmbedding
from predictors.thinking_tokens.predictor import ThinkingTokensPredictor
from predictors.thinking_tokens.terms import CHARACTER_SPAN, WORD_SPAN, TermWeights
from tests.predictors.thinking_tokens.synthetic_runs import INPUTS, make_runs

TEXTS = [
    "How many apples are in the box?",
    "Prove that how many apples there are is how many there were.",
    "The box, the box and THE box: 12 apples!",
    "a I 7 x",
    "  tabs\tand \n\n lines  ",
    "Straße ΩΜΕΓΑ İstanbul naïve",
]
SPANS = {"word": {"ngram_range": WORD_SPAN}, "char": {"analyzer": "char_wb", "ngram_range": CHARACTER_SPAN}}
WORDS = st.sampled_from(["the", "box", "apples", "a", "I", "how", "many", "x7", "Ünder", "\n", ".", "don't", "new"])


def _both(part: str) -> tuple[TfidfVectorizer, TermWeights]:
    vectorizer = TfidfVectorizer(**SPANS[part], sublinear_tf=True, dtype=np.float32).fit(TEXTS)
    return vectorizer, TermWeights(part, vectorizer.get_feature_names_out().tolist(), vectorizer.idf_)


@pytest.mark.parametrize("part", list(SPANS))
@given(texts=st.lists(st.lists(WORDS, max_size=12).map(" ".join), min_size=1, max_size=5))
@settings(max_examples=40, deadline=None)
def test_weights_are_those_of_the_slow_way(part: str, texts: list[str]) -> None:
    vectorizer, weights = _both(part)
    asked = [*texts, *TEXTS, "", "nothing familiar 三"]
    expected, found = vectorizer.transform(asked), weights.transform(asked)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found.toarray(), expected.toarray(), atol=1e-6)


@pytest.mark.parametrize("part", list(SPANS))
def test_no_text_and_no_term_are_fine(part: str) -> None:
    _, weights = _both(part)
    assert weights.transform([]).shape == (0, len(weights.vocabulary))
    assert TermWeights(part, [], np.empty(0, dtype=np.float32)).transform(["a b"]).shape == (1, 0)


def _lengths_as_meaning(texts: Sequence[str]) -> np.ndarray:
    """A made-up encoder: the direction says how often "prove" is in the text."""
    angle = np.array([0.3 * text.count("prove") for text in texts])
    out = np.zeros((len(texts), WIDTH), dtype=np.float32)
    out[:, 0], out[:, 1] = np.cos(angle), np.sin(angle)
    return out


@pytest.fixture
def _made_up_meaning() -> Iterator[None]:
    use_embedding_cache(EmbeddingCache(load=lambda: _lengths_as_meaning))
    yield
    use_embedding_cache(EmbeddingCache())


@pytest.mark.usefixtures("_made_up_meaning")
def test_sentence_embeddings_alone_tell_what_they_encode(tmp_path: Path) -> None:
    runs = make_runs(120, query_spread=0.05, run_spread=0.05)
    predictor = ThinkingTokensPredictor(text_parts=("sentence",), n_estimators=10)
    predictor.fit(runs[INPUTS], runs["output_tokens"], groups=runs["query_id"])
    asked = runs.iloc[:2].assign(prompt_text=["zzz", "prove prove prove"], model="medium", benchmark="sums")
    few, many = np.log(predictor.predict(asked[INPUTS]))
    assert many - few == pytest.approx(1.2, abs=0.4)
    loaded = ThinkingTokensPredictor.load(predictor.save(tmp_path / "saved"))
    np.testing.assert_allclose(loaded.predict(asked[INPUTS]), predictor.predict(asked[INPUTS]))


@pytest.mark.usefixtures("_made_up_meaning")
def test_the_parts_of_a_text_stand_side_by_side() -> None:
    both = TextEmbedding(parts=("word", "sentence"), n_components=3).fit(["prove it", "prove prove it", "show it now"])
    words = TextEmbedding(parts=("word",), n_components=3).fit(["prove it", "prove prove it", "show it now"])
    found, alone = both.transform(["prove", None]), words.transform(["prove", None])
    n = len(words.axes_["word"])
    np.testing.assert_allclose(found[:, :n], alone[:, :n])
    assert found.shape[1] == both.n_features > words.n_features
    assert not found[1].any()
