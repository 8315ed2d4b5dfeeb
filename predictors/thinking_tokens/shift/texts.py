"""What texts say of the length of their answers, as public prompts have taught it: weights that ship frozen.

Nothing of the prompts is kept but a weight for each statistic of a text and for each of `N_BUCKETS` that words are
hashed into. `foretell.collect.public_texts` learns them, and holds what they are worth on sources left out.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any, Self
from zlib import crc32

import numpy as np

from ...arrays import Floats
from ...errors import DatasetError
from ...fitting.text.features import shortened, text_statistics

N_BUCKETS = 4_096
WORDS_SCALE = 3.0
"""Length of the vector of a text's hashed words, beside statistics of unit variance."""
MAX_STATISTIC = 3.0
"""No statistic of a text counts for more standard deviations than these."""

PREFIX, SAVED = "texts.", ("centre", "scale", "weights", "slope", "slope_sd", "elsewhere")
_WORD = re.compile(r"\w\w+")


def hashed_words(texts: Sequence[str]) -> Any:
    """Counts of the words of each text by bucket, each row of length `WORDS_SCALE`; sparse, (n_texts, N_BUCKETS)."""
    from scipy import sparse

    known: dict[str, int] = {}
    hashes, lengths = [], []
    for text in texts:
        words = _WORD.findall(shortened(text).lower())
        hashes += [known.setdefault(word, crc32(word.encode("utf-8", "surrogatepass"))) for word in words]
        lengths.append(len(words))
    of_word = np.array(hashes, dtype=np.uint32)
    signs = 1.0 - 2.0 * (of_word >> 31)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    counts = sparse.csr_matrix((signs, of_word % N_BUCKETS, starts), shape=(len(lengths), N_BUCKETS))
    counts.sum_duplicates()
    size = np.sqrt(np.asarray(counts.multiply(counts).sum(axis=1)).ravel())
    return sparse.diags_array(WORDS_SCALE / np.maximum(size, 1e-9)) @ counts


@dataclass(frozen=True)
class TextEffects:
    """How much longer than others of its benchmark the answers to a text are expected to be, whatever the model.

    Attributes
    ----------
    centre, scale : ndarray of shape (n_statistics,)
        Mean and standard deviation of the statistics of the texts that were learnt from.
    weights : ndarray of shape (n_statistics + N_BUCKETS,)
        Log tokens for each statistic, standardised, and each bucket of words.
    slope, slope_sd : float
        Of effects on what was expected, on sources left out: mean and standard deviation between benchmarks.
    benchmarks : dict
        Mean and variance of what the texts of a public (source, benchmark) make one expect.
    elsewhere : ndarray of shape (2,)
        The same of any texts, every source of `benchmarks` counted once.
    """

    centre: Floats
    scale: Floats
    weights: Floats
    slope: float
    slope_sd: float
    benchmarks: dict[tuple[str, str], tuple[float, float]]
    elsewhere: Floats

    def of(self, texts: Sequence[str]) -> Floats:
        """Log tokens above or below what is usual, up to a constant of the benchmark; shape (n_texts,)."""
        n = len(self.centre)
        of_words = hashed_words(texts) @ self.weights[n:]
        return np.asarray(standardised(texts, self.centre, self.scale) @ self.weights[:n] + of_words)

    def state(self) -> dict[str, Floats]:
        """Arrays from which `from_state` restores what a forecast reads: not `benchmarks`, which only a fit does."""
        return {f"{PREFIX}{name}": np.array(vars(self)[name]) for name in SAVED}

    @classmethod
    def from_state(cls, arrays: Mapping[str, Floats]) -> Self | None:
        """Restore what `state` returned; None where nothing was saved."""
        if PREFIX + SAVED[0] not in arrays:
            return None
        centre, scale, weights, slope, slope_sd, elsewhere = (arrays[PREFIX + name] for name in SAVED)
        return cls(centre, scale, weights, slope.item(), slope_sd.item(), {}, elsewhere)


def standardised(texts: Sequence[str], centre: Floats, scale: Floats) -> Floats:
    """Statistics of texts in standard deviations, none beyond `MAX_STATISTIC`; shape (n_texts, n_statistics)."""
    return np.clip((text_statistics(texts) - centre) / scale, -MAX_STATISTIC, MAX_STATISTIC)


def of_any_source(benchmarks: Mapping[tuple[str, str], tuple[float, float]]) -> Floats:
    """Mean and variance over benchmarks of one source, then over sources; shape (2,)."""
    by_source: dict[str, list[tuple[float, float]]] = {}
    for (source, _), values in benchmarks.items():
        by_source.setdefault(source, []).append(values)
    means: Floats = np.array([np.mean(values, axis=0) for values in by_source.values()])
    return np.asarray(means.mean(axis=0))


@lru_cache(maxsize=1)
def public_texts() -> TextEffects:
    """What public prompts have taught. Raises DatasetError if the file is not there."""
    resource = files("foretell") / "public" / "token_texts.json"
    try:
        told = json.loads(resource.read_text("utf-8"))
    except FileNotFoundError as error:
        raise DatasetError(f"{resource}: the weights of texts are missing; is the installation complete?") from error
    centre, scale, weights = (np.array(told[name], dtype=np.float64) for name in ("centre", "scale", "weights"))
    benchmarks = {(source, name): (mean, variance) for source, name, mean, variance in told["benchmarks"]}
    return TextEffects(centre, scale, weights, told["slope"], told["slope_sd"], benchmarks, of_any_source(benchmarks))
