"""Small made-up inputs. The only place where tests invent data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def chat_call(
    request_id: str,
    *,
    prompt: str = "What is the capital of Norway?",
    model: str = "gpt-5-mini",
    output_tokens: int = 40,
    reasoning_tokens: int = 20,
    created: int = 1_790_000_000,
    **changes: Any,
) -> dict[str, Any]:
    """One OpenAI-style line: request and response of one call; 2026-09-21 by default."""
    call: dict[str, Any] = {
        "request": {"model": model, "messages": [{"role": "user", "content": prompt}], "max_tokens": 4096},
        "response": {
            "id": request_id,
            "object": "chat.completion",
            "created": created,
            "model": model,
            "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Oslo"}}],
            "usage": {
                "prompt_tokens": 12,
                "completion_tokens": output_tokens,
                "total_tokens": 12 + output_tokens,
                "completion_tokens_details": {"reasoning_tokens": reasoning_tokens},
            },
        },
    }
    call["response"].update(changes)
    return call


def write_jsonl(path: Path, lines: list[dict[str, Any] | str]) -> Path:
    """Write objects (or raw lines) as JSONL."""
    text = "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines)
    path.write_text(text, "utf-8")
    return path
