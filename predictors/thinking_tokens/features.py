"""What a request says about its length before it is sent: text statistics, TF-IDF, settings."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

__all__ = ["SETTINGS", "TEXT_STATISTICS", "TextEmbedding", "settings_matrix", "text_statistics"]

TEXT_STATISTICS: tuple[str, ...] = (
    "log_n_characters", "log_n_words", "log_n_lines", "share_digits", "share_capitals", "share_non_ascii",
    "log_n_dollars", "log_n_backslashes", "log_n_question_marks", "log_n_numbers", "mean_word_length",
    "commas_per_100", "asks_for_proof", "asks_for_steps", "has_options", "has_code",
)  # fmt: skip
"""Names of the columns of `text_statistics`."""

SETTINGS: tuple[str, ...] = ("input_tokens", "temperature", "top_p", "max_tokens")
"""Numeric columns of `Requests` that describe how a request is sent."""

MAX_CHARACTERS = 8_000
"""TF-IDF reads at most this much of a prompt: its first and its last half."""

_WORD = re.compile(r"\w+")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_PROOF = re.compile(r"\b(?:prove|proof|show that|derive)\b", re.IGNORECASE)
_STEPS = re.compile(r"\bstep[- ]by[- ]step\b|\bexplain\b|\breason\b", re.IGNORECASE)
_OPTIONS = re.compile(r"^\s*\(?[A-J][).:]\s", re.MULTILINE)
_CODE = re.compile(r"```|\bdef \w+\(|\bclass \w+|#include|\bpublic static\b|\bSELECT\b.+\bFROM\b")


def _statistics(text: str) -> list[float]:
    n_characters = max(len(text), 1)
    words = _WORD.findall(text)
    characters = np.frombuffer(text.encode("utf-32-le", "replace"), dtype=np.uint32)
    return [
        np.log1p(len(text)),
        np.log1p(len(words)),
        np.log1p(text.count("\n")),
        float(((characters >= 48) & (characters <= 57)).sum()) / n_characters,
        float(((characters >= 65) & (characters <= 90)).sum()) / n_characters,
        float((characters > 127).sum()) / n_characters,
        np.log1p(text.count("$")),
        np.log1p(text.count("\\")),
        np.log1p(text.count("?")),
        np.log1p(len(_NUMBER.findall(text))),
        sum(map(len, words)) / max(len(words), 1),
        100 * text.count(",") / n_characters,
        float(_PROOF.search(text) is not None),
        float(_STEPS.search(text) is not None),
        float(_OPTIONS.search(text) is not None),
        float(_CODE.search(text) is not None),
    ]


def text_statistics(texts: Sequence[str]) -> NDArray[np.float64]:
    """Lengths and lexical counts of each text.

    Returns
    -------
    ndarray of shape (n_texts, 16)
        Columns `TEXT_STATISTICS`. An empty text has length 0 and no share of anything.

    Examples
    --------
    >>> dict(zip(TEXT_STATISTICS, text_statistics(["Prove 1+1=2."])[0]))["asks_for_proof"]
    np.float64(1.0)
    """
    if not len(texts):
        return np.empty((0, len(TEXT_STATISTICS)))
    return np.array([_statistics(text) for text in texts], dtype=np.float64)


def settings_matrix(X: pd.DataFrame) -> NDArray[np.float64]:
    """Columns `SETTINGS` of `X` (log1p of token counts), NaN where absent or null; shape (n_samples, 4)."""
    columns = []
    for name in SETTINGS:
        values = X[name].to_numpy(dtype=np.float64) if name in X else np.full(len(X), np.nan)
        columns.append(np.log1p(values) if name.endswith("_tokens") else values)
    return np.column_stack(columns) if len(X) else np.empty((0, len(SETTINGS)))


def _shorten(text: str) -> str:
    half = MAX_CHARACTERS // 2
    return text if len(text) <= MAX_CHARACTERS else f"{text[:half]} {text[-half:]}"


class TextEmbedding:
    """Text statistics beside TF-IDF of words and of characters, each reduced by SVD.

    Fitted on the texts of training only. The parts are scaled to unit mean square, so that a ridge
    penalty means the same in each; a null text becomes the zero vector, the centre of the training texts.

    Parameters
    ----------
    n_components : int
        Dimensions of each of the two TF-IDF parts (fewer where there are fewer texts or terms).
    max_terms : int
        Most frequent terms kept in each vocabulary.
    statistics_scale : float
        Scale of each standardised text statistic, relative to a part of unit mean square.
    random_state : int, optional
        Seed of the randomised SVD.
    """

    PARTS: tuple[str, ...] = ("word", "char")

    def __init__(
        self,
        *,
        n_components: int = 150,
        max_terms: int = 20_000,
        statistics_scale: float = 0.08,
        random_state: int | None = 0,
    ) -> None:
        self.n_components = n_components
        self.max_terms = max_terms
        self.statistics_scale = statistics_scale
        self.random_state = random_state

    def _vectorizer(self, part: str, **arguments: Any) -> Any:
        from sklearn.feature_extraction.text import TfidfVectorizer

        if part == "word":
            return TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, dtype=np.float32, **arguments)
        return TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True, dtype=np.float32, **arguments)

    def fit(self, texts: Sequence[str]) -> Self:
        """Learn vocabularies, weights and axes from `texts` (distinct, not null)."""
        statistics = text_statistics(texts)
        self.statistics_mean_ = statistics.mean(axis=0) if len(texts) else np.zeros(len(TEXT_STATISTICS))
        spread = statistics.std(axis=0) if len(texts) else np.zeros(len(TEXT_STATISTICS))
        self.statistics_spread_ = np.where(spread > 1e-9, spread, np.inf)
        shortened = [_shorten(text) for text in texts]
        self.vectorizers_: dict[str, Any] = {}
        self.axes_: dict[str, NDArray[np.float32]] = {}
        self.centres_: dict[str, NDArray[np.float32]] = {}
        for part in self.PARTS:
            self._fit_part(part, shortened)
        return self

    def _fit_part(self, part: str, texts: Sequence[str]) -> None:
        from sklearn.utils.extmath import randomized_svd

        min_df = 2 if len(texts) >= 50 else 1
        vectorizer = self._vectorizer(part, min_df=min_df, max_features=self.max_terms)
        try:
            weights = vectorizer.fit_transform(texts)
        except ValueError:  # no text holds a term that two texts share
            return
        k = min(self.n_components, min(weights.shape) - 1)
        if k < 1:
            return
        _, _, axes = randomized_svd(weights, k, n_iter=3, random_state=self.random_state)
        coordinates = weights @ axes.T
        centre = coordinates.mean(axis=0)
        size = float(np.sqrt(((coordinates - centre) ** 2).sum(axis=1).mean()))
        if size < 1e-9:
            return
        self.vectorizers_[part] = vectorizer
        self.axes_[part] = np.asarray(axes / size, dtype=np.float32)
        self.centres_[part] = np.asarray(centre / size, dtype=np.float32)

    def leading(self, n: int) -> NDArray[np.intp]:
        """Columns of `transform` that hold the first `n` axes of each part, and the text statistics."""
        columns, at = [], 0
        for axes in self.axes_.values():
            columns += list(range(at, at + min(n, len(axes))))
            at += len(axes)
        return np.array([*columns, *range(at, at + len(TEXT_STATISTICS))], dtype=np.intp)

    @property
    def n_features(self) -> int:
        """Columns of `transform`."""
        return sum(len(axes) for axes in self.axes_.values()) + len(TEXT_STATISTICS)

    def transform(self, texts: Sequence[str | None]) -> NDArray[np.float64]:
        """Embed texts, each distinct one once.

        Returns
        -------
        ndarray of shape (n_texts, n_features)
            TF-IDF axes, then the scaled text statistics. Zero where the text is null.
        """
        codes, distinct = pd.factorize(pd.Series(list(texts), dtype=object), use_na_sentinel=True)
        known = [str(text) for text in distinct]
        shortened = [_shorten(text) for text in known]
        blocks: list[NDArray[Any]] = []
        for part, vectorizer in self.vectorizers_.items():
            weights = vectorizer.transform(shortened) if known else sparse.csr_matrix((0, self.axes_[part].shape[1]))
            blocks.append(np.asarray(weights @ self.axes_[part].T) - self.centres_[part])
        standardised = (text_statistics(known) - self.statistics_mean_) / self.statistics_spread_
        blocks.append(np.clip(standardised, -5, 5) * self.statistics_scale)
        table = np.vstack([np.hstack(blocks).astype(np.float64), np.zeros((1, self.n_features))])
        return np.asarray(table[codes])  # code -1, a null text, is the last row: zeros

    def save(self, path: Path) -> dict[str, Any]:
        """Write arrays to `path` (safetensors) and return vocabularies and sizes for a JSON manifest."""
        from safetensors.numpy import save_file

        arrays: dict[str, NDArray[Any]] = {
            "statistics_mean": self.statistics_mean_,
            "statistics_spread": self.statistics_spread_,
        }
        vocabularies = {}
        for part, vectorizer in self.vectorizers_.items():
            arrays[f"{part}.idf"] = np.asarray(vectorizer.idf_)
            arrays[f"{part}.axes"] = np.ascontiguousarray(self.axes_[part])
            arrays[f"{part}.centre"] = self.centres_[part]
            vocabularies[part] = vectorizer.get_feature_names_out().tolist()
        save_file(arrays, path)
        return {"vocabularies": vocabularies, "statistics_scale": self.statistics_scale}

    @classmethod
    def load(cls, path: Path, state: dict[str, Any]) -> Self:
        """Restore what `save` wrote."""
        from safetensors.numpy import load_file

        arrays = load_file(path)
        embedding = cls(statistics_scale=state["statistics_scale"])
        embedding.statistics_mean_ = arrays["statistics_mean"]
        embedding.statistics_spread_ = arrays["statistics_spread"]
        embedding.vectorizers_, embedding.axes_, embedding.centres_ = {}, {}, {}
        for part in (part for part in cls.PARTS if part in state["vocabularies"]):
            vectorizer = embedding._vectorizer(part, vocabulary=state["vocabularies"][part])
            vectorizer.idf_ = arrays[f"{part}.idf"]
            embedding.vectorizers_[part] = vectorizer
            embedding.axes_[part] = arrays[f"{part}.axes"]
            embedding.centres_[part] = arrays[f"{part}.centre"]
        return embedding
