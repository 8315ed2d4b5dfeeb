"""What is known before a run, as numbers: of the benchmark (text and structure) and of the model."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Self

import numpy as np
import pandas as pd

from ...arrays import Codes, Floats, numbers_of
from ...schemas.descriptions import DESCRIPTION_FIELDS
from .redaction import MAX_FIELD_CHARS

BENCHMARK_COLUMNS = (
    *DESCRIPTION_FIELDS, "domain", "answer_format", "metric", "languages", "n_classes", "published_year",
)  # fmt: skip
"""Columns of `ScoreRequests` that describe the benchmark and that redaction allows."""
MODEL_COLUMNS = (
    "n_params",
    "embed_dim",
    "context_tokens",
    "n_languages",
    "uses_instructions",
    "open_weights",
    "release_year",
    "is_reasoning",
    "input_usd_per_million",
    "output_usd_per_million",
    "n_shot",
)
"""Columns of `model_matrix`; sizes as natural logarithms."""
_LOGARITHMIC = frozenset(("n_params", "embed_dim", "context_tokens", "n_languages", "n_shot"))
_PRICES = frozenset(("input_usd_per_million", "output_usd_per_million"))
_TOKEN = re.compile(r"(?u)\b[^\W\d_]{2,}\b")
_STOP_WORDS = """
    the an of and to in is for on with as are from that this by it be or which its was were at these has have each
    whether into using used their can also such not based been than between other any all more
"""
_STOP = frozenset(_STOP_WORDS.split())
_BANDS = {"very short": 0.0, "short": 1.0, "medium-length": 2.0, "long": 3.0, "very long": 4.0}
_LENGTHS = [re.compile(rf"(very short|short|medium-length|very long|long) {what}") for what in ("documents", "texts")]

_CUE_PATTERNS: dict[str, str] = {
    "choice": r"multiple.?choice|\boptions?\b|pick(?:ing)? one|choose which|\bclasses\b",
    "yes_no": r"yes.?(?:or.?)?no\b|true or false|\bbinary\b",
    "contest": r"olympiad|competition|contest|tournament",
    "expert": r"research.level|frontier|doctora|graduate|\bphd\b|professional|expert|specialist",
    "adversarial": r"adversarial|\bfool\b|defeat|built (?:so|to be)|models? (?:mostly )?failed|challenge frontier",
    "elementary": r"grade.school|elementary|\beasy\b|\bsimple\b|trivial|\bbasic\b|\bshort\b",
    "hard": r"\bhard|difficult|challeng",
    "agent": r"\bagents?\b|agentic|browser|shell|desktop|simulated|environment",
    "tools": r"function.call|\btools?\b|\bapi\b",
    "code": r"\bcod(?:e|ing)\b|program|python|function",
    "repository": r"repositor|\bissues?\b|\bpatch|code base|codebase|software engineering",
    "long": r"long.(?:context|conversation|document|story|edge)|very long|hundred thousand tokens|long.horizon",
    "image": r"image|visual|chart|diagram|picture|photograph|figure|multimodal",
    "video": r"video",
    "instructions": r"instruction|constraint",
    "languages": r"languages|translat|lingual|chinese",
    "facts": r"\bfacts?\b|factual|trivia|from memory|closed.book|hallucinat",
    "commonsense": r"common.?sense|everyday|\bphysical\b",
    "mathematics": r"\bmath|arithmetic|algebra|geometry",
    "science": r"physics|chemistry|biolog|scien",
    "search": r"\bweb\b|search|brows",
    "judged": r"\bjudge|\brates?\b|\bvotes\b|win.rate|compare|preference",
    "partial": r"partial|f.?score|\bf1\b|similarity|progress",
    "game": r"\bgames?\b",
    "unseen": r"soon after|recent|unpublished|private|never leaked|original|contaminat|held.out",
    "passage": r"passage|paragraph|document|reading comprehension",
    "exam": r"knowledge|\bexams?\b|textbook",
    "format": r"\bformat\b",
    "people": r"easy for (?:people|humans|ordinary|native)|trivial for (?:people|humans)|bright pupil",
    "turns": r"multi.?turn|multi.?step|several steps|multi.?hop|dialogue",
    "baseline": r"baseline",
    "safety": r"refus|harm|safety",
    "logic": r"logic|puzzle|\brules?\b|deduc",
    "summary": r"summar",
}
CUES = tuple(_CUE_PATTERNS)
"""What a description says of the kind of work, read by patterns that hold for texts of any author."""
_COMPILED = [re.compile(pattern) for pattern in _CUE_PATTERNS.values()]


def benchmark_rows(X: pd.DataFrame, extra: Sequence[str] = ()) -> tuple[pd.DataFrame, Codes]:
    """Distinct benchmark descriptions of `X`, and the position of each row's among them, shape (n_samples,).

    Columns that `X` lacks come out null. Texts are cut to `MAX_FIELD_CHARS`.
    """
    columns: dict[str, list[Any]] = {}
    for name in (*BENCHMARK_COLUMNS, *extra):
        values = X[name].tolist() if name in X else [None] * len(X)
        if name in ("n_classes", "published_year"):
            columns[name] = [float("nan") if v is None else float(v) for v in values]
        else:
            columns[name] = [v[:MAX_FIELD_CHARS] if isinstance(v, str) else "" for v in values]
    keys = [tuple(-1.0 if v != v else v for v in row) for row in zip(*columns.values(), strict=True)]
    place: dict[tuple[Any, ...], int] = {}
    codes = np.array([place.setdefault(key, len(place)) for key in keys], dtype=np.intp)
    first = np.unique(codes, return_index=True)[1]
    table = pd.DataFrame({name: [values[i] for i in first] for name, values in columns.items()})
    return table, codes


def model_matrix(X: pd.DataFrame) -> Floats:
    """`MODEL_COLUMNS` of every row, shape (n_samples, n_columns); NaN where unknown."""
    columns = {name: numbers_of(X, name) for name in MODEL_COLUMNS}
    columns |= {name: np.log1p(columns[name]) for name in _LOGARITHMIC}
    return np.column_stack(list((columns | {name: np.log(columns[name] + 0.01) for name in _PRICES}).values()))


@dataclass
class BenchmarkFeatures:
    """Blocks of unit-length vectors (for kernels) and one structured matrix (for trees) of benchmarks."""

    vocabularies: dict[str, list[str]] = field(default_factory=dict)
    weights: dict[str, Floats] = field(default_factory=dict)
    frequency: dict[str, float] = field(default_factory=dict)
    _last: tuple[pd.DataFrame, dict[str, list[list[str]]], dict[str, Floats]] | None = field(
        default=None, repr=False, compare=False
    )

    def fit(self, benchmarks: pd.DataFrame) -> Self:
        """Learn vocabularies and inverse document frequencies from `benchmark_rows`."""
        self.vocabularies, self.weights, self._last = {}, {}, None
        every = self._tokens(benchmarks)
        for name, tokens in every.items():
            counts = Counter(token for row in tokens for token in set(row))
            least = 2 if name in ("word", "detail") else 1
            self.vocabularies[name] = sorted(token for token, n in counts.items() if n >= least)
            seen = np.array([counts[token] for token in self.vocabularies[name]], dtype=np.float64)
            self.weights[name] = np.log((1 + len(benchmarks)) / (1 + seen)) + 1
        languages = Counter(token for row in every["language"] for token in row)
        self.frequency = {token: float(np.log1p(n)) for token, n in sorted(languages.items())}
        return self

    def blocks(self, benchmarks: pd.DataFrame) -> dict[str, Floats]:
        """Vectors of length 1 (0 where nothing is known) by name of the block, shape (n_benchmarks, n_terms)."""
        return self._read(benchmarks)[1]

    def matrix(self, benchmarks: pd.DataFrame) -> Floats:
        """Structured features of shape (n_benchmarks, n_columns); NaN where unknown."""
        tokens, vectors = self._read(benchmarks)
        indicator = [vectors[name] > 0 for name in ("format", "metric", "domain")]
        resource = [[self.frequency.get(code, 0.0) for code in row] or [np.nan] for row in tokens["language"]]
        languages = tokens["language"]
        numbers = [
            np.log(benchmarks["n_classes"].to_numpy(dtype=np.float64)),
            1.0 / benchmarks["n_classes"].fillna(np.inf).to_numpy(dtype=np.float64),  # share of right guesses
            np.log([max(len(codes), 1.0) for codes in languages]),
            np.array([float(codes == ["eng"]) for codes in languages]),
            np.array([float("eng" in codes) for codes in languages]),
            *[np.array([reduce(row) for row in resource]) for reduce in (np.mean, np.min, np.max)],
            *_bands(benchmarks["difficulty"]),
        ]
        return np.column_stack([*[block.astype(np.float64) for block in indicator], *numbers])

    def _read(self, benchmarks: pd.DataFrame) -> tuple[dict[str, list[list[str]]], dict[str, Floats]]:
        """Tokens and vectors; those of the table that was read last are kept, as several parts ask for them."""
        if self._last is None or self._last[0] is not benchmarks:
            tokens = self._tokens(benchmarks)
            vectors = {name: self._vectors(name, rows) for name, rows in tokens.items()}
            self._last = benchmarks, tokens, vectors
        return self._last[1], self._last[2]

    def _vectors(self, name: str, tokens: list[list[str]]) -> Floats:
        position = {token: i for i, token in enumerate(self.vocabularies[name])}
        out = np.zeros((len(tokens), len(position)))
        for row, row_tokens in enumerate(tokens):
            for token, n in Counter(row_tokens).items():
                if token in position:
                    out[row, position[token]] = 1 + np.log(n)
        return unit_rows(out * self.weights[name])

    def _tokens(self, benchmarks: pd.DataFrame) -> dict[str, list[list[str]]]:
        def split(name: str) -> list[list[str]]:
            return [[part for part in text.split("|") if part] for text in benchmarks[name]]

        fields = [benchmarks[name] for name in DESCRIPTION_FIELDS if name != "subset"]
        texts = [" ".join(parts) for parts in zip(*fields, strict=True)]
        details = [f"{a};{b}" for a, b in zip(benchmarks["data_collection"], benchmarks["difficulty"], strict=True)]
        return {
            "format": split("answer_format"),
            "metric": split("metric"),
            "language": split("languages"),
            "domain": split("domain"),
            "word": [words(text) for text in texts],
            "detail": [[p.strip() for p in re.split(r"[;,.]", text.lower()) if p.strip()] for text in details],
        }

    def state(self) -> tuple[dict[str, Any], dict[str, Floats]]:
        """JSON state and arrays, for `from_state`."""
        state = {"vocabularies": self.vocabularies, "frequency": self.frequency}
        arrays = {f"idf.{name}": values for name, values in self.weights.items()}
        return state, arrays

    @classmethod
    def from_state(cls, state: dict[str, Any], arrays: dict[str, Floats]) -> Self:
        """Rebuild what `state` wrote."""
        return cls(**state, weights={name: arrays[f"idf.{name}"] for name in state["vocabularies"]})


def unit_rows(vectors: Floats) -> Floats:
    """Rows of length 1; those of zeros stay."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0), dtype=np.float64)


def words(text: str) -> list[str]:
    """Words of a text without stop words, plurals cut."""
    found = [word for word in _TOKEN.findall(text.lower()) if word not in _STOP]
    return [word[:-1] if len(word) > 4 and word.endswith("s") and not word.endswith("ss") else word for word in found]


def _bands(difficulty: pd.Series) -> list[Floats]:
    """How long documents and other texts are said to be, 0 (very short) to 4 (very long); NaN where nothing is."""
    every = ([pattern.search(text) for text in difficulty] for pattern in _LENGTHS)
    return [np.array([_BANDS[match.group(1)] if match else np.nan for match in matches]) for matches in every]


def whole_texts(benchmarks: pd.DataFrame) -> list[str]:
    """All that is said of each benchmark, format, metric and domain included, in lower case."""
    columns = [benchmarks[name] for name in (*DESCRIPTION_FIELDS, "answer_format", "metric", "domain")]
    return [" ".join(parts).lower().replace("_", " ").replace("|", " ") for parts in zip(*columns, strict=True)]


def cue_matrix(texts: list[str]) -> Floats:
    """Whether each of `CUES` is in each text, shape (n_texts, n_cues); 0 or 1."""
    return np.array([_cues_of(text) for text in texts]).reshape(len(texts), -1)


@lru_cache(maxsize=4096)
def _cues_of(text: str) -> tuple[float, ...]:
    return tuple(float(bool(cue.search(text))) for cue in _COMPILED)


def kind_inputs(features: BenchmarkFeatures, benchmarks: pd.DataFrame) -> dict[str, Floats]:
    """What `kind_likeness` compares: unit vectors by name, and logarithms of the numbers of classes and languages."""
    classes = np.log(benchmarks["n_classes"].fillna(0.5).to_numpy(dtype=np.float64)) / 0.7
    languages = np.log1p(benchmarks["languages"].str.count(r"\|").to_numpy(dtype=np.float64))
    return {**features.blocks(benchmarks), "numbers": np.column_stack([classes, languages])}


def kind_likeness(left: dict[str, Floats], right: dict[str, Floats]) -> Floats:
    """Kernel between two sets of benchmarks, shape (n_left, n_right).

    A sum of cosines, of their products with that of the answer format, and of the product of all that is structure:
    equal weights within each of the three, the last counted twice, since nothing else tells translations apart.
    """
    alike = {name: left[name] @ right[name].T for name in left if name != "numbers"}
    a, b = left["numbers"], right["numbers"]
    classes, languages = (np.exp(-0.5 * (a[:, [i]] - b[:, i]) ** 2) for i in (0, 1))
    shared = alike["language"] + alike["domain"] + alike["detail"] + alike["word"]
    every = alike["metric"] * classes * (0.3 + alike["language"]) * (0.3 + alike["domain"])
    total = alike["format"] * (shared + classes + 2 * every) + shared + alike["format"] + alike["metric"] + languages
    return np.asarray(total / 7.0)
