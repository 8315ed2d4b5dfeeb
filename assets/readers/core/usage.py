"""Token counts of a provider's usage block, made inclusive; `genai_prices` knows the spellings.

What it cannot know is left unknown: an absent count of reasoning tokens is null, and 0 only where the
provider says 0.
"""

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, TypeAlias

from foretell.assets.readers.core.normalise import as_number, dig, first
from foretell.assets.readers.core.records import TOKEN_COLUMNS
from foretell.assets.readers.core.secrets import described, shown_name, shown_names

TOTALS = ("total_tokens", "totalTokenCount", "total_token_count")
Path: TypeAlias = tuple[str, ...]
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
            if math.isnan(value) or math.isinf(value) or value < 0 or value != int(value):
                raise UsageError(f"{shown_name(key)} is {described(value)}, not a count")
            yield (*above, key), int(value)


@lru_cache(maxsize=1024)
def sums_of_paths(paths: tuple[Path, ...], is_anthropic: bool) -> tuple[tuple[str, tuple[Path, ...] | None], ...]:
    """Tell which counts of a usage block of this form add up to each column, None where it is not reported.

    `genai_prices` sums counts by their place, so asking it once for each count of a form answers for all
    blocks of that form, at a tenth of the cost of asking for each block.
    """
    block = _nested(dict.fromkeys(paths, 0))
    provider, flavor, wrapper = _shape(block, is_anthropic)
    reported = _extract(block, provider, flavor, wrapper)
    adds: dict[str, list[Path]] = {column: [] for column, value in reported.items() if value is not None}
    for path in paths:
        probe = _extract(_nested({other: int(other == path) for other in paths}), provider, flavor, wrapper)
        for column in adds:
            adds[column] += [path] * (probe[column] or 0)
    return tuple((column, tuple(adds[column]) if column in adds else None) for column in reported)


def _nested(leaves: dict[Path, int]) -> dict[str, Any]:
    block: dict[str, Any] = {}
    for path, value in leaves.items():
        inner = block
        for key in path[:-1]:
            inner = inner.setdefault(key, {})
        inner[path[-1]] = value
    return block


def _shape(usage: dict[str, Any], is_anthropic: bool) -> tuple[str, str, str]:
    if any(key in usage for key in ("promptTokenCount", "prompt_token_count", "totalTokenCount", "total_token_count")):
        return "google", "default", "usageMetadata"
    if "prompt_tokens" in usage or "completion_tokens" in usage:
        return "openai", "chat", "usage"
    has_cache = any(key in usage for key in ("cache_creation_input_tokens", "cache_read_input_tokens"))
    if "input_tokens" in usage and (is_anthropic or has_cache):
        return "anthropic", "default", "usage"
    if "input_tokens" in usage or "output_tokens" in usage:
        return "openai", "responses", "usage"
    raise UsageError(f"no token counts in the usage block, keys {shown_names(usage)}")


def _camel(usage: dict[str, Any]) -> dict[str, Any]:
    """Gemini in the Python SDK's spelling, with the counts that it leaves out when they are zero."""
    head_tail = ((key.split("_")[0], key.split("_")[1:]) for key in usage)
    keys = [head + "".join(word.title() for word in tail) for head, tail in head_tail]
    camel = {key: value for key, value in zip(keys, usage.values(), strict=True) if value is not None}
    camel.setdefault("promptTokenCount", 0)
    # An answer that spent everything on thoughts has no candidates at all.
    camel.setdefault("candidatesTokenCount", 0)
    return camel


def _extract(usage: dict[str, Any], provider: str, flavor: str, wrapper: str) -> dict[str, int | None]:
    from genai_prices import extract_usage

    usage = _camel(usage) if wrapper == "usageMetadata" else usage
    try:
        # Without the model: one that has no price must not cost the row its counts.
        extracted = extract_usage({wrapper: usage}, provider_id=provider, api_flavor=flavor).usage
    except (LookupError, ValueError, TypeError) as error:
        raise UsageError(f"the usage block is not understood ({type(error).__name__})") from None
    # `vars`, not attributes: an attribute that was not reported is inferred, so that unknown would read as 0.
    reported = vars(extracted)
    theirs = {name: name for name in TOKEN_COLUMNS} | {"reasoning_tokens": "output_reasoning_tokens"}
    return {name: _whole(reported.get(theirs[name])) for name in TOKEN_COLUMNS if name != "total_tokens"}


def _whole(value: Any) -> int | None:
    return None if value is None else int(value)


def _inclusive(usage: dict[str, Any], tokens: dict[str, int | None]) -> dict[str, int | None]:
    """Add reasoning tokens to the output where the provider's own total shows that they were left out."""
    total = as_number(first(*(usage.get(key) for key in TOTALS)))
    tokens["total_tokens"] = None if total is None else int(total)
    n_in, n_out, n_reasoning = tokens["input_tokens"], tokens["output_tokens"], tokens["reasoning_tokens"]
    if total and n_in is not None and n_out is not None and n_reasoning and total == n_in + n_out + n_reasoning:
        # xAI, and Gemini behind OpenAI's spelling (langfuse#14987: reasoning 109 > completion 102).
        tokens["output_tokens"] = n_out + n_reasoning
    if tokens["cache_write_tokens"] is None:
        tokens["cache_write_tokens"] = _whole(as_number(first(*(dig(usage, *path) for path in CACHE_WRITE_DETAILS))))
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
