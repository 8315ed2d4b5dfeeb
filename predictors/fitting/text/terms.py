"""TF-IDF of words and of characters within words, by the distinct words of a batch rather than by every one.

The same numbers as scikit-learn's `TfidfVectorizer` with ``sublinear_tf`` (a test compares them), for a fraction of the
time: texts repeat their words, so the character n-grams of each distinct word are looked up once, and bigrams of words
are pairs of integers.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain, repeat
from operator import itemgetter
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

CHARACTER_SPAN = (2, 4)
"""Least and greatest length of the n-grams of characters; those at the ends of a word hold a space."""
WORD_SPAN = (1, 2)
"""Words and pairs of words."""
MAX_REMEMBERED = 100_000
TEXTS_AT_ONCE = 512

_WORD = re.compile(r"\b\w\w+\b")
Words: TypeAlias = NDArray[np.int64]


def count_terms(part: str, texts: Sequence[str], min_texts: int, max_terms: int) -> tuple[list[str], Any]:
    """The most frequent terms that stand in `min_texts` texts or more, and how often each text holds them.

    `part` is that of `TermWeights`. Returns at most `max_terms` terms in order, and a sparse float32 matrix of shape
    (n_texts, n_terms): those of scikit-learn's `CountVectorizer`, entries in the same places of memory.
    """
    counts, name = (_words_counted if part == "word" else _characters_counted)(texts)
    n_texts = np.bincount(counts.indices, minlength=counts.shape[1])
    kept = np.array(sorted(np.flatnonzero(n_texts >= min_texts).tolist(), key=name), dtype=np.intp)
    if len(kept) > max_terms:
        often = np.bincount(counts.indices, counts.data, counts.shape[1])[kept].astype(np.float32)
        kept = kept[np.sort((-often).argsort()[:max_terms])]
    return [name(column) for column in kept.tolist()], counts[:, kept]


def _words_counted(texts: Sequence[str]) -> tuple[Any, Callable[[int], str]]:
    """Words and pairs of words by text, columns in the order in which they appear; and what a column is called."""
    of_word: dict[str, int] = {}
    owned = [[of_word.setdefault(word, len(of_word)) for word in _WORD.findall(text.lower())] for text in texts]
    flat, rows = _flat(owned)
    follows = np.flatnonzero(rows[1:] == rows[:-1])
    pairs, of_pair = np.unique(flat[follows] * len(of_word) + flat[follows + 1], return_inverse=True)
    rows, terms = np.append(rows, rows[follows]), np.append(flat, len(of_word) + of_pair)
    first = np.unique(terms, return_index=True)[1]
    order = np.lexsort((first, rows[first]))  # of one text: its words, then its pairs
    place = np.argsort(order)
    words = list(of_word)

    def name(column: int) -> str:
        term = int(order[column])
        if term < len(words):
            return words[term]
        return " ".join(words[code] for code in divmod(int(pairs[term - len(words)]), len(words)))

    return _summed(rows, place[terms], np.ones(len(rows), np.float32), (len(texts), len(order))), name


def _characters_counted(texts: Sequence[str]) -> tuple[Any, Callable[[int], str]]:
    """The same of n-grams of characters within words."""
    of_word: dict[str, int] = {}
    of_gram: dict[str, int] = {}
    owned = [[of_word.setdefault(word, len(of_word)) for word in text.lower().split()] for text in texts]
    held = [[of_gram.setdefault(gram, len(of_gram)) for gram in grams(word)] for word in of_word]
    repeats, within = (
        _summed(rows, flat, np.ones(len(flat), np.float32), (len(lists), n))
        for lists, n in ((owned, len(of_word)), (held, len(of_gram)))
        for flat, rows in [_flat(lists)]
    )
    counts = repeats @ within
    counts.sort_indices()
    return counts, list(of_gram).__getitem__


def grams(word: str) -> list[str]:
    """n-grams of characters of a word with a space at both ends; of one that is shorter than n, the whole, once."""
    padded, found = f" {word} ", []
    for n in range(CHARACTER_SPAN[0], CHARACTER_SPAN[1] + 1):
        found += [padded[start : start + n] for start in range(max(len(padded) - n, 0) + 1)]
        if len(padded) <= n:
            break
    return found


def _flat(lists: Sequence[Sequence[int]]) -> tuple[Words, Words]:
    """The members of all lists on end, and the list of each."""
    sizes = np.array(list(map(len, lists)), dtype=np.int64)
    return np.fromiter(chain.from_iterable(lists), np.int64, int(sizes.sum())), np.repeat(np.arange(len(lists)), sizes)


def _summed(rows: Words, columns: Words, counts: NDArray[Any], shape: tuple[int, int]) -> Any:
    return sparse.csr_matrix((counts, (rows, columns)), shape=shape)


@dataclass
class TermWeights:
    """Weights of the terms of texts, rows of length 1.

    `part` is ``word`` or ``char``, `vocabulary` the terms, one per column, `idf` (n_terms,) the weight of each.
    """

    part: str
    vocabulary: list[str]
    idf: NDArray[np.float32]
    _column: dict[str, int] = field(init=False, repr=False)
    _codes: dict[str, int] = field(init=False, repr=False)
    _pairs: Words = field(init=False, repr=False)
    _pair_columns: Words = field(init=False, repr=False)
    _grams: dict[str, tuple[list[int], list[int]]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self._column = {term: i for i, term in enumerate(self.vocabulary)}
        if self.part != "word":
            return
        pairs = [(term.split(" "), i) for term, i in self._column.items() if " " in term]
        parts = {word for pair, _ in pairs for word in pair} | {term for term in self.vocabulary if " " not in term}
        self._codes = {word: i for i, word in enumerate(sorted(parts))}
        keys = np.array([self._codes[a] * len(self._codes) + self._codes[b] for (a, b), _ in pairs], dtype=np.int64)
        order = np.argsort(keys)
        self._pairs, self._pair_columns = keys[order], np.array([i for _, i in pairs], dtype=np.int64)[order]

    def transform(self, texts: Sequence[str]) -> Any:
        """Sparse matrix of shape (n_texts, n_terms), float32."""
        counts = (self._word_counts if self.part == "word" else self._character_counts)(texts)
        n = np.arange(int(counts.data.max(initial=0)) + 1)
        logarithms = (np.log(np.maximum(n, 1)) + 1.0).astype(np.float32)
        weights = np.empty(len(counts.data), dtype=np.float32)
        for start in range(0, len(texts), TEXTS_AT_ONCE):  # as many as a cache holds
            bounds = counts.indptr[start : start + TEXTS_AT_ONCE + 1]
            here, terms = slice(bounds[0], bounds[-1]), np.diff(bounds)
            of_text = logarithms[counts.data[here].astype(np.intp)]
            of_text *= self.idf[counts.indices[here]]
            squares = np.bincount(np.repeat(np.arange(len(terms)), terms), of_text**2, len(terms))
            weights[here] = of_text / np.repeat(np.sqrt(squares).astype(np.float32), terms)
        counts.data = weights
        return counts

    def _word_counts(self, texts: Sequence[str]) -> Any:
        words = [_WORD.findall(text.lower()) for text in texts]
        sizes = np.array([len(text_words) for text_words in words], dtype=np.int64)
        codes = np.fromiter(map(self._codes.get, chain.from_iterable(words), repeat(-1)), np.int64, int(sizes.sum()))
        names = list(self._codes)
        single = np.array([self._column.get(name, -1) for name in names] + [-1], dtype=np.int64)[codes]
        row = np.repeat(np.arange(len(texts)), sizes)
        follows = (row[1:] == row[:-1]) & (codes[1:] >= 0) & (codes[:-1] >= 0)
        keys = (codes[:-1] * len(names) + codes[1:])[follows]
        place = np.searchsorted(self._pairs, keys)
        is_in_vocabulary = np.append(self._pairs, -1)[place] == keys
        rows = np.concatenate([row[single >= 0], row[:-1][follows][is_in_vocabulary]])
        columns = np.concatenate([single[single >= 0], self._pair_columns[place[is_in_vocabulary]]])
        return _summed(rows, columns, np.ones(len(rows), dtype=np.float32), (len(texts), len(self.vocabulary)))

    def _character_counts(self, texts: Sequence[str]) -> Any:
        codes: dict[str, int] = {}
        flat, rows = _flat([[codes.setdefault(word, len(codes)) for word in text.lower().split()] for text in texts])
        repeats = _summed(rows, flat, np.ones(len(flat), dtype=np.float32), (len(texts), len(codes)))
        if len(self._grams) > MAX_REMEMBERED:
            self._grams.clear()
        word_grams = [self._grams[word] if word in self._grams else self._grams_of(word) for word in codes]
        columns, owner = _flat([columns for columns, _ in word_grams])
        counts = np.fromiter(chain.from_iterable(map(itemgetter(1), word_grams)), np.float32, len(columns))
        return repeats @ _summed(owner, columns, counts, (len(codes), len(self.vocabulary)))

    def _grams_of(self, word: str) -> tuple[list[int], list[int]]:
        """Columns of the n-grams of a word that are known, and how often it holds each."""
        held = Counter(column for gram in grams(word) if (column := self._column.get(gram)) is not None)
        self._grams[word] = list(held), list(held.values())
        return self._grams[word]
