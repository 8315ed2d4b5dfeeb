"""TF-IDF by distinct words against scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

from foretell.predictors.fitting.text.terms import CHARACTER_SPAN, WORD_SPAN, TermWeights, count_terms

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


@pytest.mark.parametrize("max_terms", [20_000, 40])
@pytest.mark.parametrize("part", ["word", "char"])
def test_terms_are_counted_as_by_scikit_learn_to_the_bit(part: str, max_terms: int) -> None:
    rng = np.random.default_rng(0)
    words = ["one", "two", "Prüfung", "x", "12.5", "ABC-def", "\n", "zz", "naïve", "a"]
    texts = [*TEXTS, *(" ".join(rng.choice(words, rng.integers(0, 12))) for _ in range(60))]
    vectorizer = CountVectorizer(**SPANS[part], dtype=np.float32, min_df=3, max_features=max_terms)
    expected = vectorizer.fit_transform(texts)
    vocabulary, counts = count_terms(part, texts, 3, max_terms)
    assert vocabulary == vectorizer.get_feature_names_out().tolist()
    for name in ("data", "indices", "indptr"):
        found, same = getattr(counts, name), getattr(expected, name)
        assert found.dtype == same.dtype
        np.testing.assert_array_equal(found, same)
    assert count_terms(part, ["a b", "c"], 3, max_terms)[0] == []
    assert count_terms(part, [], 3, max_terms)[0] == []
