"""Leak groups: which benchmarks must not straddle a split, and the check that none does.

Two benchmarks share a group if their names belong to one family, their descriptions are near duplicates, or
they were made from the same source; groups are closed under all three.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from scipy.cluster.hierarchy import DisjointSet

from ...errors import InvalidInputError
from ...schemas.descriptions import DESCRIPTION_FIELDS
from .names import name_family, name_prefix

NEAR_DUPLICATE = 0.75
"""Cosine of word TF-IDF above which two descriptions count as one."""
BOILERPLATE = 4
"""Name families from which on a sentence they share is boilerplate."""
MIN_WORDS = 4
"""Shorter texts say too little for a cosine to mean anything."""


def description_text(descriptions: pd.DataFrame, fields: Sequence[str] = DESCRIPTION_FIELDS) -> pd.Series:
    """The fields of each row joined to one text, absent and null fields left out; index of `descriptions`."""
    texts = descriptions.reindex(columns=list(fields)).fillna("").astype("str")
    joined = pd.Series([" ".join(parts) for parts in texts.itertuples(index=False)], descriptions.index, dtype="str")
    return joined.str.replace(r"\s+", " ", regex=True).str.strip()


def near_duplicates(texts: Sequence[str]) -> list[tuple[int, int]]:
    """Pairs of positions whose TF-IDF cosine exceeds `NEAR_DUPLICATE`; texts of few words only if they are equal."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    long_enough = [i for i, text in enumerate(texts) if len(text.split()) >= MIN_WORDS]
    first: dict[str, int] = {}
    pairs = []
    for i, text in enumerate(texts):
        key = " ".join(text.lower().split())
        if key and first.setdefault(key, i) != i:
            pairs.append((first[key], i))
    try:
        terms = TfidfVectorizer(sublinear_tf=True, stop_words="english")
        vectors = terms.fit_transform([texts[i] for i in long_enough])
    except ValueError:  # no text, or nothing but stop words
        return pairs
    close = (vectors @ vectors.T).tocoo()
    keep = (close.row < close.col) & (close.data > NEAR_DUPLICATE)
    alike = zip(close.row[keep], close.col[keep], strict=True)
    return pairs + [(long_enough[a], long_enough[b]) for a, b in alike]


def without_boilerplate(names: Sequence[str], texts: Sequence[str], n_families: int = BOILERPLATE) -> list[str]:
    """Texts without the sentences that occur, word for word, in benchmarks of `n_families` name families or more.

    A paragraph about how a collection was translated would otherwise make one benchmark of its unrelated members.
    """
    cuts = (re.split(r"[.!?\n]\s+|:\s|\.$", text) for text in texts)
    sentences = [[part.strip().lower() for part in cut if part.strip()] for cut in cuts]
    families: dict[str, set[str]] = {}
    for name, parts in zip(names, sentences, strict=True):
        for part in parts:
            families.setdefault(part, set()).add(name_family(name))
    return [". ".join(part for part in parts if len(families[part]) < n_families) for parts in sentences]


def leak_groups(names: Sequence[str], texts: Sequence[str], sources: Sequence[str | None]) -> list[str]:
    """Name the leak group of every benchmark: that of its alphabetically first member.

    `texts` are task descriptions before redaction; sentences that many benchmarks share are left out of the comparison
    (`without_boilerplate`), equal descriptions always count. `sources` are the paper or dataset each was made from,
    several joined by spaces; None is unknown and shared with nobody.
    """
    groups = DisjointSet(range(len(names)))
    shared: tuple[Iterable[tuple[int, str | None]], ...] = (
        enumerate(name_family(name) for name in names),
        enumerate(_distinctive_prefixes(names, texts)),
        ((i, _source_key(url)) for i, urls in enumerate(sources) for url in (urls or "").split()),
        enumerate(" ".join(text.lower().split()) for text in texts),
    )
    for keys in shared:
        first: dict[str, int] = {}
        for i, key in keys:
            if key:
                groups.merge(first.setdefault(key, i), i)
    for a, b in near_duplicates(without_boilerplate(names, texts)):
        groups.merge(a, b)
    return [min(names[member] for member in groups.subset(i)) for i in range(len(names))]


def check_split_leaks(descriptions: pd.DataFrame, split: pd.Series) -> None:
    """Raise InvalidInputError where a leak group, or a near-duplicate `task`, lies on both sides of a split.

    `descriptions` have `benchmark`, `leak_group` and `task`; `split` is the split or fold of each, same index.
    """
    places = split.groupby(descriptions["leak_group"]).nunique()
    straddling = sorted(places[places > 1].index)
    if straddling:
        raise InvalidInputError(f"{len(straddling)} leak groups straddle the split: {straddling[:10]}")
    texts = descriptions["task"].fillna("").astype("str").tolist()
    names, side = descriptions["benchmark"].tolist(), split.tolist()
    across = [(names[a], names[b]) for a, b in near_duplicates(texts) if side[a] != side[b]]
    if across:
        raise InvalidInputError(f"{len(across)} near-duplicate descriptions straddle the split: {across[:10]}")


def assign_folds(groups: pd.Series, n_folds: int = 5, *, salt: str = "benchmark_scores") -> pd.Series:
    """Fold of every row, 0 to `n_folds` - 1: whole groups, largest first, each to the fold with fewest rows so far.

    Ties are broken by a hash of the group's name, so that the order of rows does not matter.
    """
    sizes = groups.astype("str").value_counts()
    order = sorted(sizes.index, key=lambda g: (-sizes[g], hashlib.sha256(f"{salt}:{g}".encode()).hexdigest()))
    load = np.zeros(n_folds, dtype=np.int64)
    place: dict[str, int] = {}
    for group in order:
        place[group] = int(np.argmin(load))
        load[place[group]] += sizes[group]
    return groups.astype("str").map(place).astype("int64")


def _source_key(url: str) -> str:
    key = re.sub(r"^https?://(?:www\.)?", "", url.lower()).rstrip("/")
    paper = re.search(r"arxiv\.org/(?:abs|pdf|html)/(\d{4}\.\d{4,5})", key)
    return paper.group(1) if paper else re.sub(r"(?:\.pdf|\.git)$", "", key)


def _distinctive_prefixes(names: Sequence[str], texts: Sequence[str]) -> list[str | None]:
    """First token of each name, None where it is an ordinary word of the descriptions."""
    ordinary = {word for text in texts for word in re.findall(r"\b[a-z]{3,}\b", text)}
    return [p if (p := name_prefix(name)) is not None and len(p) > 2 and p not in ordinary else None for name in names]
