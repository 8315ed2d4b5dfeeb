"""What a request says before it is sent, for every family that reads prompts: text statistics, TF-IDF, settings."""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...arrays import Codes, Floats, load_arrays, save_arrays
from ..boosting import map_blocks, row_slices
from .embedded import EmbeddedTexts, TextRecords
from .terms import TermWeights, count_terms

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

TEXTS_LEARNT = 50_000
"""Of more distinct texts, vocabularies and axes are learnt from as many, drawn by a hash of the text."""

MIN_TEXTS_OF_TERM = 5
"""A term is kept only if it stands in as many distinct texts: what fewer hold, such as a name, is no one's to read."""

TEXTS_AT_ONCE = 20_000
"""Distinct texts that are embedded together: a block of work, the same wherever it is done."""

BLOCKS_AT_ONCE = 10
"""Blocks whose features wait to be put in their place."""

_DIGITS, _CAPITALS, _ASCII = b"0123456789", bytes(range(65, 91)), bytes(range(128))
_NO_WORD = bytes(code for code in range(128) if not (chr(code).isalnum() or code == ord("_")))
_SPACED = bytes(32 if code in _NO_WORD else code for code in range(256))
_WORD = re.compile(r"\w+")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_PROOF = re.compile(r"\b(?:prove|proof|show that|derive)\b", re.IGNORECASE)
_STEPS = re.compile(r"\bstep[- ]by[- ]step\b|\bexplain\b|\breason\b", re.IGNORECASE)
_OPTIONS = re.compile(r"^\s*\(?[A-J][).:]\s", re.MULTILINE)
_CODE = re.compile(r"```|\bdef \w+\(|\bclass \w+|#include|\bpublic static\b|\bSELECT\b.+\bFROM\b")
_PROOF_PARTS = ("prove", "proof", "show that", "derive")
_STEPS_PARTS = ("step", "explain", "reason")
_CODE_PARTS = ("```", "def ", "class ", "#include", "public static", "SELECT")


def _has(pattern: re.Pattern[str], parts: Sequence[str], text: str, searched: str) -> float:
    """Whether `pattern` is in `text`; most texts hold none of its parts, which is found out sooner."""
    for part in parts:
        if part in searched:
            return float(pattern.search(text) is not None)
    return 0.0


def _statistics(text: str) -> list[float]:
    n_characters = max(len(text), 1)
    lowered = text.lower()
    encoded = text.encode("utf-8", "replace")
    n_digits = len(encoded) - len(encoded.translate(None, _DIGITS))
    n_capitals = len(encoded) - len(encoded.translate(None, _CAPITALS))
    if text.isascii():
        n_wide, n_words = 0, len(encoded.translate(_SPACED).split())
        in_words = len(encoded.translate(None, _NO_WORD))
    else:  # other letters, and among the wide ones other digits
        n_wide, words = len(text) - len(encoded) + len(encoded.translate(None, _ASCII)), _WORD.findall(text)
        n_words, in_words = len(words), sum(map(len, words))
    return [
        math.log1p(len(text)),
        math.log1p(n_words),
        math.log1p(text.count("\n")),
        n_digits / n_characters,
        n_capitals / n_characters,
        n_wide / n_characters,
        math.log1p(text.count("$")),
        math.log1p(text.count("\\")),
        math.log1p(text.count("?")),
        math.log1p(len(_NUMBER.findall(text)) if n_digits or n_wide else 0),
        in_words / max(n_words, 1),
        100 * text.count(",") / n_characters,
        _has(_PROOF, _PROOF_PARTS, text, lowered),
        _has(_STEPS, _STEPS_PARTS, text, lowered),
        float(_OPTIONS.search(text) is not None),
        _has(_CODE, _CODE_PARTS, text, text),
    ]


def text_statistics(texts: Sequence[str]) -> Floats:
    """Lengths and lexical counts of each text, shape (n_texts, 16), columns `TEXT_STATISTICS`.

    An empty text has length 0 and no share of anything.

    >>> dict(zip(TEXT_STATISTICS, text_statistics(["Prove 1+1=2."])[0]))["asks_for_proof"]
    np.float64(1.0)
    """
    if not len(texts):
        return np.empty((0, len(TEXT_STATISTICS)))
    return np.array([_statistics(text) for text in texts], dtype=np.float64)


def settings_matrix(X: pd.DataFrame) -> Floats:
    """Columns `SETTINGS` of `X` (log1p of token counts), NaN where absent or null; shape (n_samples, 4)."""
    columns = []
    for name in SETTINGS:
        values = X[name].to_numpy(dtype=np.float64) if name in X else np.full(len(X), np.nan)
        columns.append(np.log1p(values) if name.endswith("_tokens") else values)
    return np.column_stack(columns) if len(X) else np.empty((0, len(SETTINGS)))


def _drawn(texts: Sequence[str]) -> Sequence[str]:
    """All texts, or the `TEXTS_LEARNT` of least hash, in order."""
    if len(texts) <= TEXTS_LEARNT:
        return sorted(texts)
    hashes = np.array([sha256(text.encode("utf-8", "surrogatepass")).digest()[:8] for text in texts], dtype="S8")
    kept = np.argsort(hashes, kind="stable")[:TEXTS_LEARNT]
    return sorted(texts[i] for i in kept)


def shortened(text: str) -> str:
    """A text, or its first and last half of `MAX_CHARACTERS`."""
    half = MAX_CHARACTERS // 2
    return text if len(text) <= MAX_CHARACTERS else f"{text[:half]} {text[-half:]}"


@dataclass(kw_only=True, eq=False, repr=False)
class TextEmbedding:
    """Text statistics beside TF-IDF of words and of characters, each reduced by SVD.

    Fitted on the texts of training only. The parts are scaled to unit mean square, so that a ridge
    penalty means the same in each; a null text becomes the zero vector, the centre of the training texts.

    Each of `parts` (``word``, ``char``) has `n_components` dimensions (fewer where there are fewer texts or terms) of
    the `max_terms` most frequent terms; `statistics_scale` is that of each standardised text statistic, relative to a
    part of unit mean square.
    """

    parts: tuple[str, ...] = ("word", "char")
    n_components: int = 150
    max_terms: int = 20_000
    statistics_scale: float = 0.08
    random_state: int | None = 0

    def __post_init__(self) -> None:
        self._kept: tuple[pd.Index, TextRecords] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Without the texts that are kept: they are of this process, and large."""
        return {**vars(self), "_kept": None}

    def fit(self, texts: Sequence[str]) -> Self:
        """Learn vocabularies, weights and axes from `texts` (distinct, not null), or from `TEXTS_LEARNT` of them."""
        texts = _drawn(texts)
        statistics = text_statistics(texts)
        self.statistics_mean_ = statistics.mean(axis=0) if len(texts) else np.zeros(len(TEXT_STATISTICS))
        spread = statistics.std(axis=0) if len(texts) else np.zeros(len(TEXT_STATISTICS))
        self.statistics_spread_ = np.where(spread > 1e-9, spread, np.inf)
        short = [shortened(text) for text in texts]
        self.terms_: dict[str, TermWeights] = {}
        self.axes_: dict[str, NDArray[np.float32]] = {}
        self.centres_: dict[str, NDArray[np.float32]] = {}
        for part in self.parts:
            self._fit_terms(part, short)
        return self

    def _fit_terms(self, part: str, texts: Sequence[str]) -> None:
        from sklearn.feature_extraction.text import TfidfTransformer

        vocabulary, counts = count_terms(part, texts, MIN_TEXTS_OF_TERM, self.max_terms)
        if vocabulary:
            weighting = TfidfTransformer(sublinear_tf=True).fit(counts)
            if self._fit_axes(part, weighting.transform(counts, copy=False)):
                self.terms_[part] = TermWeights(part, vocabulary, weighting.idf_)

    def _fit_axes(self, part: str, weights: Any) -> bool:
        """Learn the leading axes of a part from a row per text; False where the texts do not differ in it."""
        from sklearn.utils.extmath import randomized_svd

        k = min(self.n_components, min(weights.shape) - 1)
        if k < 1:
            return False
        _, _, axes = randomized_svd(weights, k, n_iter=3, random_state=self.random_state)
        coordinates = weights @ axes.T
        centre = coordinates.mean(axis=0)
        size = float(np.sqrt(((coordinates - centre) ** 2).sum(axis=1).mean()))
        if size < 1e-9:
            return False
        self.axes_[part] = np.asarray(axes / size, dtype=np.float32)
        self.centres_[part] = np.asarray(centre / size, dtype=np.float32)
        return True

    def leading(self, n: int) -> Codes:
        """Columns of `transform` with the first `n` axes of each part and the text statistics, shape (n_chosen,)."""
        columns, at = [], 0
        for axes in self.axes_.values():
            columns += list(range(at, at + min(n, len(axes))))
            at += len(axes)
        return np.array([*columns, *range(at, at + len(TEXT_STATISTICS))], dtype=np.intp)

    @property
    def n_features(self) -> int:
        """Columns of `transform`."""
        return sum(len(axes) for axes in self.axes_.values()) + len(TEXT_STATISTICS)

    def transform(self, texts: Sequence[str | None]) -> Floats:
        """TF-IDF axes and scaled statistics of texts, shape (n_texts, n_features); zero where a text is null."""
        codes, distinct = pd.factorize(pd.Series(list(texts), dtype=object))
        return np.vstack([np.zeros((1, self.n_features)), *map(np.hstack, self._read(distinct))])[codes + 1]

    def fit_embedded(self, texts: pd.Series) -> EmbeddedTexts:
        """`fit` to texts (strings or null), and what `transform` returns of them, without a row in memory for each.

        More than `TEXTS_LEARNT` distinct ones are kept for the next such call, until `release`. If all of them are
        among its own, of which to learn anew would draw no others, only the new ones are read.
        """
        held = np.flatnonzero(texts.notna())
        blocks = (np.asarray(texts.iloc[held[rows]], dtype=object) for rows in row_slices(len(held)))
        of_held, names = pd.factorize(np.concatenate([pd.util.hash_array(block, categorize=False) for block in blocks]))
        first = held[np.unique(of_held, return_index=True)[1]]
        known, records = self._kept or (pd.Index(names[:0]), None)
        if records is None or not known.isin(names).all():
            self.fit(texts.iloc[first].array)
            known, records = known[:0], TextRecords(self.n_features - len(TEXT_STATISTICS), len(TEXT_STATISTICS))
        at = known.get_indexer(pd.Index(names))
        new = np.flatnonzero(at < 0)
        at[new] = len(known) + np.arange(len(new))
        for axes, statistics in self._read(texts.iloc[first[new]].array):
            records.append(axes, statistics)
        self._kept = (known.append(pd.Index(names[new])), records) if len(names) > TEXTS_LEARNT else None
        codes = np.zeros(len(texts), dtype=np.intp)
        codes[held] = 1 + at[of_held]
        return EmbeddedTexts(records, codes)

    def release(self) -> None:
        """Drop the texts that `fit_embedded` has kept."""
        self._kept = None

    def _read(self, texts: Any) -> Iterator[tuple[NDArray[Any], Floats]]:
        """Axes and statistics of distinct texts, in blocks that are done where `fitting.boosting.map_blocks` says."""
        for wave in row_slices(len(texts), TEXTS_AT_ONCE * BLOCKS_AT_ONCE):
            here = [str(text) for text in texts[wave]]
            yield from map_blocks(self._embed_block, [here[rows] for rows in row_slices(len(here), TEXTS_AT_ONCE)])

    def _embed_block(self, texts: Sequence[str]) -> tuple[NDArray[Any], Floats]:
        """Axes and scaled statistics of distinct texts."""
        short = [shortened(text) for text in texts]
        blocks: list[NDArray[Any]] = [np.empty((len(texts), 0), dtype=np.float32)]
        for part, axes in self.axes_.items():
            blocks.append(np.asarray(self.terms_[part].transform(short) @ axes.T) - self.centres_[part])
        standardised = (text_statistics(texts) - self.statistics_mean_) / self.statistics_spread_
        return np.hstack(blocks), np.clip(standardised, -5, 5) * self.statistics_scale

    def save(self, path: Path) -> dict[str, Any]:
        """Write arrays to `path` (safetensors) and return vocabularies and sizes for a JSON manifest."""
        arrays: dict[str, NDArray[Any]] = {
            "statistics_mean": self.statistics_mean_,
            "statistics_spread": self.statistics_spread_,
        }
        vocabularies = {}
        for part, axes in self.axes_.items():
            arrays[f"{part}.axes"] = np.ascontiguousarray(axes)
            arrays[f"{part}.centre"] = self.centres_[part]
        for part, terms in self.terms_.items():
            arrays[f"{part}.idf"] = terms.idf
            vocabularies[part] = terms.vocabulary
        save_arrays(path, arrays)
        return {"parts": list(self.axes_), "vocabularies": vocabularies, "statistics_scale": self.statistics_scale}

    @classmethod
    def load(cls, path: Path, state: dict[str, Any]) -> Self:
        """Restore what `save` wrote."""
        arrays = load_arrays(path)
        # Fits of before there were other parts do not name theirs.
        parts = state.get("parts", [part for part in ("word", "char") if part in state["vocabularies"]])
        embedding = cls(parts=tuple(parts), statistics_scale=state["statistics_scale"])
        embedding.statistics_mean_ = arrays["statistics_mean"]
        embedding.statistics_spread_ = arrays["statistics_spread"]
        embedding.terms_, embedding.axes_, embedding.centres_ = {}, {}, {}
        for part in embedding.parts:
            embedding.axes_[part] = arrays[f"{part}.axes"]
            embedding.centres_[part] = arrays[f"{part}.centre"]
            embedding.terms_[part] = TermWeights(part, state["vocabularies"][part], arrays[f"{part}.idf"])
        return embedding
