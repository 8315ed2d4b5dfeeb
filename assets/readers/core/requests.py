"""Columns that a request and a response of a chat model give, whoever the provider is."""

from typing import Any

from foretell.assets.readers.core.messages import normalised_messages, prompt_text_of, query_id_of, query_id_of_text
from foretell.assets.readers.core.normalise import dig, first, normal_finish_reason, seconds
from foretell.assets.readers.core.records import Row
from foretell.assets.readers.core.settings import settings_json
from foretell.assets.readers.spellings import spellings

_NOT_SETTINGS = frozenset(spellings("settings")["not_settings"])
_OF_GEMINI: dict[str, str] = spellings("settings")["of_gemini"]

BESIDE = {
    "trace_id": ("trace_id",), "project": ("project",), "key_name": ("key_name",),
    "benchmark": ("benchmark",), "item_id": ("item_id", "query_id"), "replicate": ("replicate", "repeat", "epoch"),
    "repeat_prob": ("repeat_prob",), "score": ("score",), "is_cached_answer": ("cache_hit", "cached"),
}  # fmt: skip
"""Column -> its names on a line beside request and response."""
LATENCY_S, LATENCY_MS = ("latency_s", "duration_s"), ("latency_ms", "duration_ms")
MOMENTS = ("started_at", "timestamp", "start_time")
RESPONSE_MODELS = ("model", "modelVersion", "model_version")
CREATED = ("created", "created_at", "createTime")
LEAST_LOGPROB = -9999.0
"""What OpenAI writes for "not among the likeliest", which is no measurement."""


def request_columns(request: dict[str, Any], *, prompt: Any = None) -> Row:
    """Return the columns that the request gives; `prompt` replaces its messages where it is text."""
    request = _without_config(request)
    messages = first(*map(request.get, ("messages", "input", "contents", "prompt")))
    system = first(*map(request.get, ("system", "instructions", "system_instruction", "systemInstruction")))
    extra = {key: value for key, value in request.items() if key not in _NOT_SETTINGS}
    return {
        "request_model": request.get("model"),
        "temperature": request.get("temperature"),
        "top_p": request.get("top_p"),
        "max_tokens": first(*map(request.get, ("max_completion_tokens", "max_tokens", "max_output_tokens"))),
        "seed": request.get("seed"),
        "reasoning_effort": effort_of(request),
        **prompt_columns(messages, system=system, prompt=prompt),
        "settings": settings_json(extra) if extra else None,
    }


def _without_config(request: dict[str, Any]) -> dict[str, Any]:
    """Gemini's settings, which stand in an object of their own (the SDK's ``config``), by the names of all others."""
    config = first(request.get("generationConfig"), request.get("generation_config"))
    if config is None and "contents" in request:
        config = request.get("config")
    if not isinstance(config, dict):
        return request
    named = {_OF_GEMINI.get(str(key), str(key)): value for key, value in config.items()}
    return {**named, **{key: value for key, value in request.items() if value is not None}}


def prompt_columns(messages: Any, *, system: Any = None, prompt: Any = None) -> Row:
    """Return ``prompt_text`` and ``query_id``."""
    if isinstance(prompt, str) and prompt:
        return {"prompt_text": prompt, "query_id": query_id_of_text(prompt)}
    pairs = normalised_messages(messages, system=system)
    return {"prompt_text": prompt_text_of(pairs), "query_id": query_id_of(pairs) if pairs else None}


def effort_of(request: dict[str, Any]) -> str | None:
    """Return how much the model was asked to think: a word, ``budget:<tokens>`` or ``none``."""
    effort = first(
        request.get("reasoning_effort"), dig(request, "reasoning", "effort"), dig(request, "output_config", "effort")
    )
    if effort is not None:
        return str(effort)
    thinking = first(request.get("thinking"), request.get("reasoning"))
    if isinstance(thinking, dict):
        if thinking.get("type") == "disabled" or thinking.get("enabled") is False:
            return "none"
        budget = first(thinking.get("budget_tokens"), thinking.get("max_tokens"))
        return f"budget:{budget}" if budget is not None else thinking.get("type")
    asked = request.get("thinking_config")
    level = first(dig(asked, "thinkingLevel"), dig(asked, "thinking_level"))
    if level is not None:
        return str(level).lower()
    budget = first(dig(asked, "thinkingBudget"), dig(asked, "thinking_budget"))
    return None if budget is None else ("none" if budget == 0 else f"budget:{budget}")


def response_columns(body: dict[str, Any]) -> Row:
    """Return the columns that the response gives, without its usage."""
    usage = body.get("usage")
    return {
        "response_model": first(*map(body.get, RESPONSE_MODELS)),
        "provider": body.get("provider"),
        "finish_reason": finish_of(body),
        "service_tier": first(body.get("service_tier"), dig(usage, "service_tier")),
        "cost_reported_usd": dig(usage, "cost"),
        "time_to_first_token_s": time_to_first_token_of(body),
        "answer_logprob": answer_logprob_of(body),
    }


def finish_of(body: dict[str, Any]) -> str | None:
    """Return why the answer ended, of the choice that was cut off if there is one."""
    choices = choices if isinstance(choices := first(body.get("choices"), body.get("candidates")), list) else []
    reasons = [first(dig(choice, "finish_reason"), dig(choice, "finishReason")) for choice in choices]
    incomplete = dig(body, "incomplete_details", "reason")
    status = body.get("status") if body.get("object") == "response" else None
    return normal_finish_reason(reasons) or normal_finish_reason(first(body.get("stop_reason"), incomplete, status))


def time_to_first_token_of(body: dict[str, Any]) -> float | None:
    """Return the seconds to the first token; llama.cpp and vLLM time the prompt apart from the answer."""
    waited = first(dig(body, "metrics", "time_to_first_token_ms"), dig(body, "timings", "prompt_ms"))
    return seconds(waited, unit=1e-3)


def answer_logprob_of(body: dict[str, Any]) -> float | None:
    """Return the mean natural log probability of the answer's tokens, in nats; None unless each of them tells its own.

    Of several choices the first counts. Gemini tells the mean itself.
    """
    choices = body.get("choices") or body.get("candidates")
    if isinstance(choices, list) and choices:
        choice = choices[0] if isinstance(choices[0], dict) else {}
        if "avgLogprobs" in choice:
            return _mean_logprob([{"logprob": choice["avgLogprobs"]}])
        return _mean_logprob(dig(choice.get("logprobs"), "content"))
    output = body.get("output")
    contents = [dig(item, "content") for item in output] if isinstance(output, list) else []
    of_parts = [dig(part, "logprobs") for content in contents if isinstance(content, list) for part in content]
    return _mean_logprob([token for tokens in of_parts if isinstance(tokens, list) for token in tokens])


def _mean_logprob(tokens: Any) -> float | None:
    """Return the mean of ``logprob`` over tokens; None where there are none, or one is no log probability."""
    if not isinstance(tokens, list) or not tokens:
        return None
    values: list[Any] = [token.get("logprob") if type(token) is dict else None for token in tokens]
    if not set(map(type, values)) <= {int, float} or not LEAST_LOGPROB < min(values) <= max(values) <= 0:
        return None
    mean = float(sum(values) / len(values))
    return mean if mean <= 0 else None  # not a number among them
