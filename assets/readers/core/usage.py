"""Token counts of a provider's usage block, made inclusive; ``spellings/usage.yaml`` knows what each is called.

What it cannot know is left unknown: an absent count of reasoning tokens is null, and 0 only where the
provider says 0.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, TypeAlias

from foretell.assets.readers.core.normalise import as_number, dig, first
from foretell.assets.readers.core.records import TOKEN_COLUMNS
from foretell.assets.readers.core.secrets import described, shown_name, shown_names
from foretell.assets.readers.spellings import spellings

TOTALS = ("total_tokens", "totalTokenCount", "total_token_count")
Path: TypeAlias = tuple[str, ...]
_FORMS: dict[str, dict[str, list[str]]] = spellings("usage")
_CAPITALS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
CACHE_WRITE_DETAILS: tuple[Path, ...] = (
    ("prompt_tokens_details", "cache_write_tokens"),
    ("input_tokens_details", "cache_write_tokens"),
)


class UsageError(ValueError):
    """A usage block that cannot be what the provider meant; the text says why."""


def tokens_of(usage: Any, *, is_anthropic: bool = False) -> dict[str, int | None]:
    """Return the token columns of `RAW_SCHEMA` from one usage block.

    That is ``usage`` of OpenAI chat or Responses, OpenRouter, vLLM, llama.cpp, Anthropic, or Gemini's
    ``usageMetadata``. Anthropic's ``input_tokens`` exclude the cache: `is_anthropic` says that the response is of
    theirs; a block with its own cache counts is recognised anyway. Raises `UsageError` if the block is absent or a
    count is no whole, non-negative number.
    """
    if not isinstance(usage, dict) or not usage:
        raise UsageError("the response carries no usage")
    leaves = tuple(_leaves(usage))
    sums = sums_of_paths(tuple(path for path, _ in leaves), is_anthropic)
    values = dict(leaves)
    tokens = {column: None if paths is None else sum(values[path] for path in paths) for column, paths in sums}
    return _inclusive(usage, tokens)


def is_count_key(key: Any) -> bool:
    """True if what stands under this key of a usage block must be a count."""
    return str(key).lower().replace("_", "").endswith(("tokens", "tokencount"))


def _leaves(usage: dict[str, Any], above: Path = ()) -> Iterator[tuple[Path, int]]:
    """Paths and values of all counts; what is null is not there."""
    for key, value in usage.items():
        if type(value) is int and value >= 0:
            yield (*above, key), value
        elif isinstance(value, dict):
            yield from _leaves(value, (*above, key))
        elif value is not None and is_count_key(key):
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise UsageError(f"{shown_name(key)} is {described(value)}, not a number")
            yield (*above, key), _count(key, value)


@lru_cache(maxsize=1024)
def sums_of_paths(paths: tuple[Path, ...], is_anthropic: bool) -> tuple[tuple[str, tuple[Path, ...] | None], ...]:
    """Tell which counts of a usage block of this form add up to each column, None where it is not reported.

    Raises `UsageError` if the block counts no input or no output.
    """
    keys = {path[0] for path in paths}
    form = _form(keys, is_anthropic)
    spelt = {(_CAPITALS.sub("_", path[0]).lower(), *path[1:]): path for path in paths}
    sums: dict[str, tuple[Path, ...] | None] = {}
    for column in TOKEN_COLUMNS[:-1]:
        places = [tuple(place.split(".")) for place in _FORMS[form].get(column, ())]
        # Gemini leaves out zeros: an answer that spent everything on thoughts has no candidates at all.
        is_there = column in ("input_tokens", "output_tokens")
        if is_there and form != "gemini" and places[0] not in spelt:
            raise UsageError(f"no {places[0][0]} in the usage block, keys {shown_names(keys)}")
        sums[column] = tuple(spelt[place] for place in places if place in spelt) or (() if is_there else None)
    return tuple(sums.items())


def _form(keys: set[str], is_anthropic: bool) -> str:
    if not keys.isdisjoint(("promptTokenCount", "prompt_token_count", "totalTokenCount", "total_token_count")):
        return "gemini"
    if not keys.isdisjoint(("prompt_tokens", "completion_tokens")):
        return "chat"
    if keys.isdisjoint(("input_tokens", "output_tokens")):
        raise UsageError(f"no token counts in the usage block, keys {shown_names(keys)}")
    has_cache = not keys.isdisjoint(("cache_creation_input_tokens", "cache_read_input_tokens"))
    if "input_tokens" in keys and (is_anthropic or has_cache):
        return "anthropic"
    return "codex" if not keys.isdisjoint(("cached_input_tokens", "reasoning_output_tokens")) else "responses"


def _inclusive(usage: dict[str, Any], tokens: dict[str, int | None]) -> dict[str, int | None]:
    """Add reasoning tokens to the output where the provider's own total shows that they were left out."""
    total = as_number(first(*(usage.get(key) for key in TOTALS)))
    tokens["total_tokens"] = None if total is None else int(total)
    n_in, n_out, n_reasoning = tokens["input_tokens"], tokens["output_tokens"], tokens["reasoning_tokens"]
    if total and n_in is not None and n_out is not None and n_reasoning and total == n_in + n_out + n_reasoning:
        # xAI, and Gemini behind OpenAI's spelling (langfuse#14987: reasoning 109 > completion 102).
        tokens["output_tokens"] = n_out + n_reasoning
    if tokens["cache_write_tokens"] is None:
        count = as_number(first(*(dig(usage, *path) for path in CACHE_WRITE_DETAILS)))
        tokens["cache_write_tokens"] = None if count is None else int(count)
    return tokens


def tokens_of_parts(parts: dict[str, Any]) -> dict[str, int | None]:
    """Return the token columns from usage kept as named parts, such as Langfuse's ``usage_details``.

    Parts are billed one by one, so ``input`` and ``output`` leave out what has a part of its own, unless
    the total shows that they include it.

    Raises `UsageError` if a part is no whole, non-negative number, or there is no output.
    """
    counts = {str(k).lower(): _count(k, v) for k, v in parts.items() if v is not None}
    n_in, n_out, total = (counts.get(name) for name in ("input", "output", "total"))
    cache = {k: n for k, n in counts.items() if "cache" in k}
    write = sum(n for k, n in cache.items() if "creation" in k or "write" in k)
    read = sum(cache.values()) - write
    reasoning = [n for k, n in counts.items() if any(word in k for word in ("reasoning", "thought", "thinking"))]
    n_reasoning = sum(reasoning)
    if n_out is None and not reasoning:
        raise UsageError(f"no output among the parts of the usage, keys {shown_names(counts)}")
    base_in, base_out = n_in or 0, n_out or 0
    choices = [(base_in + i * (read + write), base_out + o * n_reasoning) for i in (1, 0) for o in (1, 0)]
    proven = [choice for choice in choices if total is not None and sum(choice) == total]
    full_in, full_out = proven[0] if proven else choices[0]
    return {
        "input_tokens": full_in if n_in is not None or cache else None,
        "output_tokens": full_out,
        "reasoning_tokens": n_reasoning if reasoning else None,
        "cache_read_tokens": read if cache else None,
        "cache_write_tokens": write if cache else None,
        "total_tokens": total,
    }


def _count(key: Any, value: Any) -> int:
    number = as_number(value)
    if number is None or number < 0 or not number.is_integer():
        raise UsageError(f"{shown_name(key)} is {described(value)}, not a count")
    return int(number)
