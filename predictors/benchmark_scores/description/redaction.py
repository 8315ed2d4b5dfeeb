"""Redaction of benchmark descriptions, with a report, and the check that nothing leaked through.

The rules are PRECOG's (arXiv 2509.20645, `src/curation/get_descriptions.py`): no proper nouns, no scores, no
exact counts except of classes, no years, no URLs, no literal prompts. PRECOG lets a language model rewrite;
here it is regular expressions, which remove more than they must and cannot paraphrase.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence

import pandas as pd

from ...errors import InvalidInputError
from ...schemas.descriptions import DESCRIPTION_FIELDS
from .names import LANGUAGE_WORDS, name_tokens

MAX_PASSES = 10
MAX_FIELD_CHARS = 8_000
"""Longer fields are cut here: a description is a paragraph, not a paper."""

_CLASS_WORDS = r"(?:class|categor|label|topic|emotion|intent|option|choice|sentiment|star)"
_CLASS_COUNT = re.compile(
    rf"(?<![\w.,])(\d{{1,4}})(?=[\s-]+(?:[a-z]+[\s-]+){{0,2}}{_CLASS_WORDS}|-(?:way|class|point)\b)"
)
_WORD_COUNT = re.compile(
    r"\b(?:two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|twenty|dozens?|hundreds?|thousands?|millions?)"
    r"(?=(?:\s+[a-z]+){0,2}\s+(?:annotators?|raters?|experts?|workers?|samples?|examples?|documents?|sentences?|"
    r"questions?|queries|articles?|pairs))",
    re.IGNORECASE,
)
_PROMPTS = (
    re.compile(r"```.*?```|\{\{.*?\}\}|(?m:^\s*(?:Q|A|Question|Answer|Prompt|Input|Output|User):.*$)", re.S),
    re.compile(r"[\"“”«»]{1,2}[^\"“”«»]{25,}?[\"“”«»]{1,2}"),
)
_SITES = r"(?:com|org|net|edu|io|ai|nl|de|fr|ru|cn|jp|co|vn)"
_PATTERNS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("url", re.compile(rf"(?:https?://|www\.)\S+|\b[\w.-]+\.{_SITES}\b(?:/\S*)?")),
    ("url", re.compile(r"\S+@\S+\.\w+|\barxiv:?\s*\d{4}\.\d{4,5}\b|\bdoi:?\s*10\.\S+", re.IGNORECASE)),
    ("score", re.compile(r"(?<![\w.])\d+(?:[.,]\d+)?\s*(?:%|percent\b|percentage points?\b)")),
    (
        "score",
        re.compile(
            r"(?i)\b(?:accuracy|f1|bleu|rouge|score|auc|ndcg|map|mrr|exact match|precision|recall)\b"
            r"(?:[^.\d]{0,20}?)(\d+(?:[.,]\d+)?)"
        ),
    ),
    ("year", re.compile(r"(?<![\w.,])(?:1[89]\d\d|20\d\d)(?:s|\b)")),
    ("count", re.compile(r"(?<![A-Za-z])\d[\d.,]*\s*(?:k|K|M|B|million|billion|thousand)?\b\+?")),
)
N_WITHOUT_COUNTS = 4
"""The patterns before this one know no exception."""
_WORD = re.compile(r"[^\W\d_][\w'’&.-]*\w|[^\W\d_]", re.UNICODE)
_ALLOWED_WORDS = """
    a an the this that these those in on at of for from to with and or as by is are was were it its each every all
    we they there here given using based which what who how when where while no not if then than such only both some
    many more most other another one two task tasks dataset data set sets text texts question questions answer answers
    document documents sentence sentences english none machine classification retrieval clustering reranking
    semantic similarity multiple choice test training
"""
_ALLOWED = frozenset(_ALLOWED_WORDS.split())


def lowercase_vocabulary(texts: Iterable[str | None]) -> frozenset[str]:
    """Words that some text writes in lower case: they are not proper nouns where a sentence starts with them."""
    return frozenset(word for text in texts for word in re.findall(r"\b[a-z][a-z'-]+\b", text or ""))


def redact(
    text: str, *, names: Sequence[str] = (), vocabulary: Collection[str] = frozenset()
) -> tuple[str, list[tuple[str, str]]]:
    """A text without what a description must not say, and what was removed: pairs (kind, text).

    Class counts and language names stay.

    `names` (of the benchmark, its dataset, its subset) are removed in every spelling: joined, split, acronym.
    `vocabulary` are lower-case words that are no proper nouns, such as `lowercase_vocabulary` of a corpus.
    """
    removals: list[tuple[str, str]] = []
    text = text[:MAX_FIELD_CHARS]
    for pattern in _PROMPTS:
        text = _remove("prompt", pattern, text, removals)
    text = _remove_patterns(text, names, removals)
    text = _remove("count", _WORD_COUNT, text, removals)
    text = _tidied(_remove_proper_nouns(text, frozenset(vocabulary) | _ALLOWED, removals))
    for _ in range(MAX_PASSES):  # what stood on either side of a removed part can be forbidden together
        again = _tidied(_remove_patterns(text, names, removals))
        if again == text:
            break
        text = again
    return text, removals


def _remove_patterns(text: str, names: Sequence[str], removals: list[tuple[str, str]]) -> str:
    """Without names, addresses, scores, years and counts, but for counts of classes."""
    for name in sorted(set(names), key=len, reverse=True):
        text = _remove("name", _name_pattern(name), text, removals)
    for kind, pattern in _PATTERNS[:N_WITHOUT_COUNTS]:
        text = _remove(kind, pattern, text, removals)
    kept = {match.start(1): match.end(1) for match in _CLASS_COUNT.finditer(text)}
    for kind, pattern in _PATTERNS[N_WITHOUT_COUNTS:]:
        text, kept = _remove_except(kind, pattern, text, kept, removals)
    return text


def _tidied(text: str) -> str:
    """Without empty brackets and double spaces."""
    text = re.sub(r"[\(\[][\s,;.:/-]*[\)\]]", " ", text)
    return re.sub(r"\s+([.,;:!?])", r"\1", re.sub(r"\s+", " ", text)).strip(" ,;:-")


def redact_descriptions(descriptions: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The table with those of the seven fields redacted that it has, null where nothing is left, and a report.

    `benchmark` names each row (empty where it has no name); the report has one row per removal: `benchmark`, `field`,
    `kind`, `removed`.
    """
    fields = [name for name in DESCRIPTION_FIELDS if name in descriptions]
    vocabulary = lowercase_vocabulary(text for name in fields for text in descriptions[name].dropna())
    out = descriptions.copy()
    rows: list[tuple[str, str, str, str]] = []
    for name in fields:
        texts: list[str | None] = []
        for benchmark, text in zip(descriptions["benchmark"], descriptions[name], strict=True):
            if not isinstance(text, str):
                texts.append(None)
                continue
            text, removals = redact(text, names=[benchmark] if benchmark else [], vocabulary=vocabulary)
            rows.extend((benchmark, name, kind, removed) for kind, removed in removals)
            texts.append(text or None)
        out[name] = pd.Series(texts, index=out.index, dtype="str")
    return out, pd.DataFrame(rows, columns=["benchmark", "field", "kind", "removed"]).astype("str")


def check_leaks(descriptions: pd.DataFrame, scores: Mapping[str, Collection[float]] | None = None) -> None:
    """Fail where a description still names its benchmark or one of its scores.

    A number in the text that equals one of the benchmark's `scores` (points) to the decimals it is written with is a
    leak; so is one that equals a hundredth of it. Whole numbers below 100 can be class counts and are not judged.
    Raises InvalidInputError naming up to ten leaks: benchmark, field and what survived.
    """
    fields = [name for name in DESCRIPTION_FIELDS if name in descriptions]
    leaks = []
    for row in descriptions[["benchmark", *fields]].itertuples(index=False):
        benchmark = str(row[0])
        pattern = _name_pattern(benchmark)
        for name, text in zip(fields, row[1:], strict=True):
            if not isinstance(text, str):
                continue
            if match := pattern.search(text):
                leaks.append(f"{benchmark}.{name}: its name survives as {match.group()!r}")
            if number := _surviving_score(text, (scores or {}).get(benchmark, ())):
                leaks.append(f"{benchmark}.{name}: its score survives as {number!r}")
    if leaks:
        raise InvalidInputError(f"{len(leaks)} leaks in redacted descriptions, redact again: {'; '.join(leaks[:10])}")


def _surviving_score(text: str, scores: Collection[float]) -> str | None:
    if not len(scores):
        return None
    for written in re.findall(r"(?<![\w.])\d+[.,]\d+", text):
        value = float(written.replace(",", "."))
        digits = len(re.split(r"[.,]", written)[1])
        if any(round(s, digits) == value or round(s / 100, digits) == value for s in scores):
            return str(written)
    return None


def _name_pattern(name: str) -> re.Pattern[str]:
    """The name in any spelling: its tokens with or without separators between them, case ignored."""
    tokens = [re.escape(token) for token in name_tokens(name)]
    joined = r"[\s_./:-]*".join(tokens) if tokens else re.escape(name)
    return re.compile(rf"(?<![A-Za-z0-9]){joined}(?![A-Za-z0-9])", re.IGNORECASE)


def _remove(kind: str, pattern: re.Pattern[str], text: str, removals: list[tuple[str, str]]) -> str:
    def drop(match: re.Match[str]) -> str:
        removals.append((kind, match.group().strip()))
        return " "

    return pattern.sub(drop, text)


def _remove_except(
    kind: str, pattern: re.Pattern[str], text: str, kept: Mapping[int, int], removals: list[tuple[str, str]]
) -> tuple[str, dict[int, int]]:
    """Remove matches that do not lie at a kept place (a class count); return the places in the new text."""
    removed = [match for match in pattern.finditer(text) if match.start() not in kept]
    removals.extend((kind, match.group().strip()) for match in removed)

    def shift(place: int) -> int:
        """By how much a place moves: every removal before it leaves one space."""
        return place + sum(1 - (match.end() - match.start()) for match in removed if match.end() <= place)

    moved = {shift(start): shift(stop) for start, stop in kept.items()}
    return pattern.sub(lambda match: match.group() if match.start() in kept else " ", text), moved


def _remove_proper_nouns(text: str, common: Collection[str], removals: list[tuple[str, str]]) -> str:
    def drop(match: re.Match[str]) -> str:
        word = match.group()
        lower = word.lower().rstrip(".'’-")
        core = re.sub(r"['’]s$", "", lower)
        if word.islower() or core in LANGUAGE_WORDS:
            return word
        is_abbreviation = any(c.isupper() for c in word[1:]) or (word.isupper() and len(word) > 1)
        if (core in common and not is_abbreviation) or not any(c.isupper() for c in word):
            return word
        removals.append(("proper noun", word))
        return " "

    return _WORD.sub(drop, text)
