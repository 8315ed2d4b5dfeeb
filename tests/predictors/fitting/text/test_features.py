"""What a text embedding learns, and what it must not."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from foretell.predictors.fitting.text.features import MIN_TEXTS_OF_TERM, TextEmbedding
from foretell.predictors.thinking_tokens.predictor import ThinkingTokensPredictor
from tests.predictors.thinking_tokens.synthetic_runs import INPUTS, make_runs


def texts_with(name: str, n: int) -> list[str]:
    """Sixty distinct texts, of which `n` hold a name."""
    return [f"count the apples of box {i}" + (f" of {name}" if i < n else "") for i in range(60)]


def terms_of(texts: list[str]) -> set[str]:
    embedding = TextEmbedding(n_components=5).fit(texts)
    return {term for weights in embedding.terms_.values() for term in weights.vocabulary}


def test_a_term_of_few_texts_is_not_learnt() -> None:
    rare = terms_of(texts_with("zyxwq", MIN_TEXTS_OF_TERM - 1))
    shared = terms_of(texts_with("zyxwq", MIN_TEXTS_OF_TERM))
    assert not any("zy" in term or "yx" in term or "wq" in term for term in rare)
    assert {"zyxwq", "of zyxwq", " zyx"} <= shared
    assert "apples" in rare


def test_few_texts_leave_their_statistics_alone() -> None:
    embedding = TextEmbedding().fit(["one text of alice", "another of bob"])
    assert embedding.terms_ == {}
    assert np.isfinite(embedding.transform(["a third", None])).all()


def test_no_byte_of_a_saved_predictor_holds_a_rare_word_of_a_prompt(tmp_path: Path) -> None:
    # "alice secret0" and part of an e-mail stood in a registered model.
    runs = make_runs(60, seed=1)
    first = runs["query_id"].unique()[: MIN_TEXTS_OF_TERM - 1]
    is_planted = runs["query_id"].isin(first)
    runs["prompt_text"] = runs["prompt_text"].where(~is_planted, runs["prompt_text"] + " mail zyxwq@vwkzj.example")
    predictor = ThinkingTokensPredictor(n_estimators=5, refit=False)
    predictor.fit(runs[INPUTS], runs["output_tokens"], groups=runs["query_id"]).save(tmp_path / "model")
    content = b"".join(path.read_bytes() for path in (tmp_path / "model").rglob("*") if path.is_file())
    assert b"prove" in content  # the vocabulary is in plain sight
    assert not [part for part in (b"zyx", b"xwq", b"vwk", b"kzj", b"example") if part in content]
    assert runs["prompt_text"].iloc[0].encode() not in content
