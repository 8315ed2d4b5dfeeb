"""Spans of Langfuse's own SDK, whose attributes are JSON under names of its own, in the words of the conventions."""

from __future__ import annotations

from typing import Any

from foretell.assets.readers.core.normalise import dig
from foretell.assets.readers.core.spans import parsed
from foretell.assets.readers.core.usage import UsageError, tokens_of_parts

_OBSERVATION = "langfuse.observation."
_CALLS = {"generation": "chat", "embedding": "embeddings"}
_USAGE = {
    "input_tokens": "gen_ai.usage.input_tokens",
    "output_tokens": "gen_ai.usage.output_tokens",
    "reasoning_tokens": "gen_ai.usage.reasoning.output_tokens",
    "cache_read_tokens": "gen_ai.usage.cache_read.input_tokens",
    "cache_write_tokens": "gen_ai.usage.cache_creation.input_tokens",
    "total_tokens": "gen_ai.usage.total_tokens",
}
_PARAMETERS = {
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "max_tokens": "gen_ai.request.max_tokens",
    "max_completion_tokens": "gen_ai.request.max_tokens",
    "seed": "gen_ai.request.seed",
    "reasoning_effort": "gen_ai.request.reasoning.effort",
}


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
        made |= {theirs: parameters[ours] for ours, theirs in _PARAMETERS.items() if ours in parameters}
    usage = parsed(attributes.get(f"{_OBSERVATION}usage_details"))
    if isinstance(usage, dict):
        try:
            counts = tokens_of_parts(usage)
        except UsageError:
            counts = {}  # the span then carries no usage, and its reject says so
        made |= {name: counts.get(column) for column, name in _USAGE.items()}
    return {name: value for name, value in made.items() if value is not None} | attributes
