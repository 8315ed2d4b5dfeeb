"""Spans of Langfuse's own SDK, whose attributes are JSON under names of its own, in the words of the conventions."""

from __future__ import annotations

from typing import Any

from foretell.assets.readers.core.normalise import dig
from foretell.assets.readers.core.spans import ALIASES, TOKENS, parsed
from foretell.assets.readers.core.usage import UsageError, tokens_of_parts

_OBSERVATION = "langfuse.observation."
_CALLS = {"generation": "chat", "embedding": "embeddings"}
_PARAMETERS = ("temperature", "top_p", "max_tokens", "seed", "reasoning_effort")


def in_conventions(attributes: dict[str, Any]) -> dict[str, Any]:
    """The attributes of a span, with those of Langfuse under the names of the GenAI conventions beside them.

    What the span says in the conventions' own words stays; an observation that is no generation is no model call.
    """
    kind = attributes.get(f"{_OBSERVATION}type")
    if kind is None:
        return attributes
    made: dict[str, Any] = {
        "gen_ai.operation.name": _CALLS.get(str(kind).lower(), "invoke_agent"),
        "gen_ai.request.model": attributes.get(f"{_OBSERVATION}model.name"),
        "gen_ai.input.messages": attributes.get(f"{_OBSERVATION}input"),
        "gen_ai.usage.cost": dig(parsed(attributes.get(f"{_OBSERVATION}cost_details")), "total"),
    }
    parameters = parsed(attributes.get(f"{_OBSERVATION}model.parameters"))
    if isinstance(parameters, dict):
        made |= {ALIASES[name][0]: parameters[name] for name in _PARAMETERS if name in parameters}
        if "max_completion_tokens" in parameters:
            made[ALIASES["max_tokens"][0]] = parameters["max_completion_tokens"]
    usage = parsed(attributes.get(f"{_OBSERVATION}usage_details"))
    if isinstance(usage, dict):
        try:
            counts = tokens_of_parts(usage)
        except UsageError:
            counts = {}  # the span then carries no usage, and its reject says so
        made |= {ALIASES[column][0]: counts.get(column) for column in TOKENS}
    return {name: value for name, value in made.items() if value is not None} | attributes
