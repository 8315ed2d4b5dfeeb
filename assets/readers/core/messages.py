"""The query behind a request: its messages, normalised so that providers' spellings agree."""

import hashlib
import json
import unicodedata
from typing import Any

_ROLES = {"developer": "system", "model": "assistant", "human": "user", "ai": "assistant"}


def normalised_messages(messages: Any, *, system: Any = None) -> list[tuple[str, str]]:
    """Return ``(role, text)`` pairs of OpenAI, Anthropic, Gemini or OpenTelemetry messages.

    Text is NFC with ``\\n`` line ends and no space at its ends; parts that are not text (an image, a
    tool call) are kept as canonical JSON, so that two queries with different images differ.
    """
    pairs = [("system", _text(system))] if system else []
    if isinstance(messages, str):
        messages = [{"role": "user", "content": messages}]
    for message in messages if isinstance(messages, list) else []:
        if isinstance(message, str):
            pairs.append(("user", _text(message)))
        elif isinstance(message, list):  # LangChain's runs: a list per prompt
            pairs += normalised_messages(message)
        elif isinstance(message, dict):
            if "lc" in message and isinstance(message.get("kwargs"), dict):  # its messages, serialised
                message = message["kwargs"]
            role = str(message.get("role") or message.get("type") or "user").lower()
            content = next((message[k] for k in ("content", "parts", "output") if message.get(k) is not None), None)
            if content is None:  # a tool call, a function result
                content = {k: v for k, v in message.items() if k != "role" and v is not None}
            pairs.append((_ROLES.get(role, role), _text(content)))
    return [(role, text) for role, text in pairs if text]


def _text(content: Any) -> str:
    if isinstance(content, str):
        return unicodedata.normalize("NFC", content).replace("\r\n", "\n").strip()
    if isinstance(content, dict):
        inner = content.get("text", content.get("content"))
        if isinstance(inner, str) and content.get("type", "text") in ("text", "input_text", "output_text"):
            return _text(inner)
        if isinstance(content.get("parts"), list):
            return _text(content["parts"])
        return json.dumps(content, sort_keys=True, default=str)
    if isinstance(content, list):
        return "\n".join(text for part in content if (text := _text(part)))
    return "" if content is None else str(content)


def query_id_of(messages: list[tuple[str, str]]) -> str:
    """SHA-256 of normalised messages: the same query has the same id whichever model answers it."""
    return hashlib.sha256(json.dumps(messages, ensure_ascii=True).encode()).hexdigest()


def query_id_of_text(text: str) -> str:
    """`query_id_of` of one user message."""
    return query_id_of([("user", _text(text))])


def prompt_text_of(messages: list[tuple[str, str]]) -> str | None:
    """All text that the model was given, messages separated by blank lines."""
    return "\n\n".join(text for _, text in messages) or None
