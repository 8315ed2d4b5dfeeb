"""What a language model is told of a score to forecast, and its answer as quantiles.

The task is PRECOG's (Park et al., arXiv 2509.20645): the redacted description and the intended configuration, and no
search. Prompts are files of the package, named by their version; a changed text is a new file and a new version.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from string import Template
from typing import Any

import numpy as np

from ...arrays import Floats
from ...base import LEVELS
from ...schemas.descriptions import DESCRIPTION_FIELDS
from ..scale import from_logit, to_logit

PROMPT = "score-1"
"""The version that is sent; answers to another one are another forecaster's."""
KEYS = ("q05", "q25", "q50", "q75", "q95")
"""Of the answer, in the order of `LEVELS`."""
OF_BENCHMARK = (*DESCRIPTION_FIELDS, "domain", "answer_format", "metric", "languages", "n_classes")
OF_MODEL = {
    "model": "name", "release_year": "released", "n_params": "parameters", "context_tokens": "context, tokens",
    "input_usd_per_million": "USD per million input tokens", "output_usd_per_million": "USD per million output tokens",
    "is_reasoning": "reasons before it answers", "open_weights": "open weights",
}  # fmt: skip
_FENCE = re.compile(r"^\s*```(?:json)?\s*(\{.*\})\s*```\s*$", re.DOTALL)


def messages_of(request: Mapping[str, Any]) -> list[dict[str, str]]:
    """The chat that asks for the score of one row of `ScoreRequests`, redacted; scores and dates of it are not sent."""
    benchmark = [f"- {name.replace('_', ' ')}: {_figure(request[name])}" for name in _given(request, OF_BENCHMARK)]
    model = [f"- {OF_MODEL[name]}: {_figure(request[name], name)}" for name in _given(request, OF_MODEL)]
    parts = {"benchmark": "\n".join(benchmark), "model": "\n".join(model)}
    template = Template((files(__package__) / "prompts" / f"{PROMPT}.txt").read_text("utf-8"))
    text = template.substitute({name: lines or "- nothing is known of it" for name, lines in parts.items()})
    return [{"role": "user", "content": text}]


def _given(request: Mapping[str, Any], names: Iterable[str]) -> list[str]:
    values = {name: request.get(name) for name in names}
    return [name for name, value in values.items() if value is not None and value == value and value != ""]


def _figure(value: Any, name: str = "") -> str:
    if name in ("is_reasoning", "open_weights"):
        return "yes" if value else "no"
    if name == "release_year":
        return f"{int(value)}-{round(value % 1 * 12) + 1:02d}"
    return f"{value:,.10g}" if isinstance(value, float) else str(value)


def read_answer(content: object) -> Floats | None:
    """The quantiles of an answer at `LEVELS`, in points, shape (n_levels,); None where it is anything else.

    It must be one JSON object, fenced or not, of exactly `KEYS`: numbers in [0, 100] that do not fall.
    """
    fenced = _FENCE.match(content) if isinstance(content, str) else None
    try:
        answer = json.loads(fenced.group(1) if fenced else str(content))
    except ValueError:
        return None
    if not isinstance(answer, dict) or set(answer) != set(KEYS):
        return None
    values = [answer[key] for key in KEYS]
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return None
    quantiles = np.array(values, dtype=np.float64)
    is_valid = bool(((quantiles >= 0) & (quantiles <= 100)).all() and (np.diff(quantiles) >= 0).all())
    return quantiles if is_valid else None


def combined(answers: Sequence[Floats]) -> Floats:
    """One forecast of several samples: the mean of each quantile on the logit scale, points, shape (n_levels,)."""
    return from_logit(to_logit(np.stack(answers)).mean(axis=0)) if answers else np.full(len(LEVELS), np.nan)
