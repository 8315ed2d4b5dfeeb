"""What is known before a run, as numbers: of the benchmark (text and structure) and of the model."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from predictors.benchmark_scores.leakage import description_text
from predictors.benchmark_scores.redaction import MAX_FIELD_CHARS
from predictors.schemas.descriptions import DESCRIPTION_FIELDS

__all__ = ["BENCHMARK_COLUMNS", "MODEL_COLUMNS", "BenchmarkFeatures", "benchmark_rows", "model_matrix"]

Floats = NDArray[np.float64]
BENCHMARK_COLUMNS = (*DESCRIPTION_FIELDS, "domain", "answer_format", "metric", "languages", "n_classes")
"""Columns of `ScoreRequests` that describe the benchmark and that redaction allows."""
MODEL_COLUMNS = (
    "n_params",
    "embed_dim",
    "context_tokens",
    "n_languages",
    "uses_instructions",
    "open_weights",
    "release_year",
    "n_shot",
)
"""Columns of `model_matrix`; sizes as natural logarithms."""
_LOGARITHMIC = frozenset(("n_params", "embed_dim", "context_tokens", "n_languages", "n_shot"))
_TOKEN = re.compile(r"(?u)\b[^\W\d_]{2,}\b")
_STOP_WORDS = """
    the an of and to in is for on with as are from that this by it be or which its was were at these has have each
    whether into using used their can also such not based been than between other any all more
"""
_STOP = frozenset(_STOP_WORDS.split())
BLOCKS = ("format", "metric", "language", "domain", "word", "detail")


def benchmark_rows(X: pd.DataFrame, extra: Sequence[str] = ()) -> tuple[pd.DataFrame, NDArray[np.intp]]:
    """Distinct benchmark descriptions of `X`, and the position of each row's among them.

    Columns that `X` lacks come out null. Texts are cut to `MAX_FIELD_CHARS`.
    """
    table = pd.DataFrame(index=X.index)
    for name in (*BENCHMARK_COLUMNS, *extra):
        if name in ("n_classes", "n_items"):
            table[name] = X[name].astype("float64") if name in X else np.nan
        else:
            values = X[name] if name in X else pd.Series(None, index=X.index, dtype="object")
            table[name] = values.astype("object").where(values.notna(), "").astype("str").str.slice(0, MAX_FIELD_CHARS)
    keys = table.fillna(-1.0).apply(tuple, axis=1) if len(table) < 2 else pd.MultiIndex.from_frame(table.fillna(-1.0))
    codes, _ = pd.factorize(keys)
    first = np.unique(codes, return_index=True)[1]
    return table.iloc[first].reset_index(drop=True), np.asarray(codes, dtype=np.intp)


def model_matrix(X: pd.DataFrame) -> Floats:
    """`MODEL_COLUMNS` of every row, shape (n_samples, n_columns); NaN where unknown."""
    columns = []
    for name in MODEL_COLUMNS:
        values = X[name].to_numpy(dtype=np.float64) if name in X else np.full(len(X), np.nan)
        columns.append(np.log1p(values) if name in _LOGARITHMIC else values)
    return np.column_stack(columns)


@dataclass
class BenchmarkFeatures:
    """Blocks of unit-length vectors (for kernels) and one structured matrix (for trees) of benchmarks.

    Parameters
    ----------
    use_text : bool
        Without it the block of words is empty: the structured-only reference.
    use_counts : bool
        Add `n_items`, which redaction forbids: only to show what the rule costs.
    """

    use_text: bool = True
    use_counts: bool = False
    vocabularies: dict[str, list[str]] = field(default_factory=dict)
    weights: dict[str, Floats] = field(default_factory=dict)
    frequency: dict[str, float] = field(default_factory=dict)

    def fit(self, benchmarks: pd.DataFrame) -> Self:
        """Learn vocabularies and inverse document frequencies from `benchmark_rows`."""
        self.vocabularies, self.weights = {}, {}
        for name, tokens in self._tokens(benchmarks).items():
            counts = Counter(token for row in tokens for token in set(row))
            least = 2 if name in ("word", "detail") else 1
            self.vocabularies[name] = sorted(token for token, n in counts.items() if n >= least)
            seen = np.array([counts[token] for token in self.vocabularies[name]], dtype=np.float64)
            self.weights[name] = np.log((1 + len(benchmarks)) / (1 + seen)) + 1
        languages = Counter(token for row in self._tokens(benchmarks)["language"] for token in row)
        self.frequency = {token: float(np.log1p(n)) for token, n in sorted(languages.items())}
        return self

    def blocks(self, benchmarks: pd.DataFrame) -> dict[str, Floats]:
        """Vectors of length 1 (0 where nothing is known), one row per benchmark, by name of the block."""
        return {name: self._vectors(name, tokens) for name, tokens in self._tokens(benchmarks).items()}

    def matrix(self, benchmarks: pd.DataFrame) -> Floats:
        """Structured features of shape (n_benchmarks, n_columns); NaN where unknown."""
        tokens = self._tokens(benchmarks)
        indicator = [self._vectors(name, tokens[name]) > 0 for name in ("format", "metric", "domain")]
        resource = [[self.frequency.get(code, 0.0) for code in row] or [np.nan] for row in tokens["language"]]
        languages = benchmarks["languages"].str
        numbers = [
            np.log(benchmarks["n_classes"].to_numpy(dtype=np.float64)),
            chance_level(benchmarks),
            np.log1p(languages.count(r"\|").to_numpy(dtype=np.float64)),
            (benchmarks["languages"] == "eng").to_numpy(dtype=np.float64),
            languages.contains("eng", regex=False).to_numpy(dtype=np.float64),
            *[np.array([reduce(row) for row in resource]) for reduce in (np.mean, np.min, np.max)],
            *_bands(benchmarks["difficulty"]),
        ]
        if self.use_counts:
            numbers.append(np.log(benchmarks["n_items"].to_numpy(dtype=np.float64)))
        return np.column_stack([*[block.astype(np.float64) for block in indicator], *numbers])

    def _vectors(self, name: str, tokens: list[list[str]]) -> Floats:
        position = {token: i for i, token in enumerate(self.vocabularies[name])}
        out = np.zeros((len(tokens), len(position)))
        for row, found in enumerate(tokens):
            for token, n in Counter(found).items():
                if token in position:
                    out[row, position[token]] = 1 + np.log(n)
        out *= self.weights[name]
        length = np.linalg.norm(out, axis=1, keepdims=True)
        return np.asarray(np.divide(out, length, out=np.zeros_like(out), where=length > 0), dtype=np.float64)

    def _tokens(self, benchmarks: pd.DataFrame) -> dict[str, list[list[str]]]:
        def split(name: str) -> list[list[str]]:
            return [[part for part in text.split("|") if part] for text in benchmarks[name]]

        words = description_text(benchmarks, [name for name in DESCRIPTION_FIELDS if name != "subset"])
        details = benchmarks["data_collection"] + ";" + benchmarks["difficulty"]
        return {
            "format": split("answer_format"),
            "metric": split("metric"),
            "language": split("languages"),
            "domain": split("domain"),
            "word": [_words(text) if self.use_text else [] for text in words],
            "detail": [[p.strip() for p in re.split(r"[;,.]", text.lower()) if p.strip()] for text in details],
        }

    def state(self) -> tuple[dict[str, Any], dict[str, Floats]]:
        """JSON state and arrays, for `from_state`."""
        return {
            "use_text": self.use_text,
            "use_counts": self.use_counts,
            "vocabularies": self.vocabularies,
            "frequency": self.frequency,
        }, {f"idf.{name}": values for name, values in self.weights.items()}

    @classmethod
    def from_state(cls, state: dict[str, Any], arrays: dict[str, Floats]) -> Self:
        """Rebuild what `state` wrote."""
        weights = {name: arrays[f"idf.{name}"] for name in state["vocabularies"]}
        return cls(**state, weights=weights)


def chance_level(benchmarks: pd.DataFrame) -> Floats:
    """Share of right answers of a guess among `n_classes`; 0 where there is nothing to choose from."""
    return np.asarray(1.0 / benchmarks["n_classes"].fillna(np.inf).to_numpy(dtype=np.float64))


def _words(text: str) -> list[str]:
    words = [word for word in _TOKEN.findall(text.lower()) if word not in _STOP]
    return [word[:-1] if len(word) > 4 and word.endswith("s") and not word.endswith("ss") else word for word in words]


def _bands(difficulty: pd.Series) -> list[Floats]:
    """How long documents and other texts are said to be, 0 (very short) to 4 (very long); NaN where nothing is."""
    order = {"very short": 0.0, "short": 1.0, "medium-length": 2.0, "long": 3.0, "very long": 4.0}
    out: list[Floats] = []
    for what in ("documents", "texts"):
        found = difficulty.str.extract(rf"(very short|short|medium-length|very long|long) {what}", expand=False)
        out.append(np.asarray(found.map(order).to_numpy(dtype=np.float64)))
    return out
