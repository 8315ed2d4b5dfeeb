"""What a description says of the kind of work, read by patterns that hold for texts of any author."""

from __future__ import annotations

import re
from functools import lru_cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...schemas.descriptions import DESCRIPTION_FIELDS

_PATTERNS: dict[str, str] = {
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
CUES = tuple(_PATTERNS)
_COMPILED = [re.compile(pattern) for pattern in _PATTERNS.values()]


def whole_texts(benchmarks: pd.DataFrame) -> list[str]:
    """All that is said of each benchmark, format, metric and domain included, in lower case."""
    columns = [benchmarks[name] for name in (*DESCRIPTION_FIELDS, "answer_format", "metric", "domain")]
    return [" ".join(parts).lower().replace("_", " ").replace("|", " ") for parts in zip(*columns, strict=True)]


def cue_matrix(texts: list[str]) -> NDArray[np.float64]:
    """Whether each of `CUES` is in each text, shape (n_texts, n_cues); 0 or 1."""
    return np.array([_cues_of(text) for text in texts]).reshape(len(texts), -1)


@lru_cache(maxsize=4096)
def _cues_of(text: str) -> tuple[float, ...]:
    return tuple(float(bool(cue.search(text))) for cue in _COMPILED)
