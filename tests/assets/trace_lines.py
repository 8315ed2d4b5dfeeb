"""Small records of every shape, and the places of the real sample files, for the tests of the readers."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.conftest import ROOT

SHARED = ROOT.parent / "shared"
MIRROR = os.environ.get("FORETELL_MIRROR") or str(SHARED / "mirror")

needs_formats = pytest.mark.skipif(
    not (SHARED / "formats").is_dir(), reason="the sample files of foreign formats are not beside the repository"
)
needs_mirror = pytest.mark.skipif(
    "://" not in MIRROR and not Path(MIRROR).is_dir(), reason="no public data: set FORETELL_MIRROR to a mirror"
)


def no_price(frame: pd.DataFrame) -> pd.DataFrame:
    """A price list without any price."""
    return pd.DataFrame({"cost_usd": float("nan"), "price_version": None}, index=frame.index)


def flat_price(frame: pd.DataFrame) -> pd.DataFrame:
    """One dollar for a million output tokens."""
    return pd.DataFrame({"cost_usd": frame["output_tokens"].astype(float) / 1e6, "price_version": "test"}, frame.index)


def chat(i: int = 0, **changes: Any) -> dict[str, Any]:
    """Request and response of one OpenAI chat completion."""
    usage = {"prompt_tokens": 10, "completion_tokens": 20 + i, "total_tokens": 30 + i}
    line: dict[str, Any] = {
        "request": {"model": "gpt-5", "messages": [{"role": "user", "content": f"question {i}"}], "temperature": 0.5},
        "response": {
            "id": f"chatcmpl-{i}",
            "object": "chat.completion",
            "created": 1_795_315_000 + i,
            "model": "gpt-5-2026-08-07",
            "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "yes"}}],
            "usage": usage,
        },
        "latency_s": 1.5,
    }
    usage.update(changes.pop("usage", {}))
    line["request"].update(changes.pop("request", {}))
    line["response"].update(changes.pop("response", {}))
    return line | changes


def write_jsonl(path: Path, *lines: Any) -> Path:
    """Write JSON lines; a str or bytes stands as it is. Gzipped where the name says so."""
    raw = [ln if isinstance(ln, bytes) else (ln if isinstance(ln, str) else json.dumps(ln)).encode() for ln in lines]
    data = b"\n".join(raw) + b"\n"
    path.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)
    return path
