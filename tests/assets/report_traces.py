"""Made-up traces of a few models on the same queries, for the tests of the reports."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

PRICES = """
version: test
models:
  - {model: listed-low, input_usd_per_mtok: 1, output_usd_per_mtok: 2}
  - {model: listed-high, input_usd_per_mtok: 1, output_usd_per_mtok: 10}
  - {model: dear, input_usd_per_mtok: 5, output_usd_per_mtok: 50}
"""
TOKENS = {"listed-low": (900, 100), "listed-high": (20, 80), "dear": (300, 100)}
PASSES = {"listed-low": 0.5, "listed-high": 0.5, "dear": 0.9}


def price_file(folder: Path) -> Path:
    """A price file for the models of `make_traces`."""
    path = folder / "prices.yaml"
    path.write_text(PRICES, "utf-8")
    return path


def make_traces(n_queries: int = 60, *, n_runs: int = 1, spread: float = 0.1, seed: int = 0) -> pd.DataFrame:
    """`n_runs` runs of every query on each of three models.

    ``listed-low`` thinks a lot, so that its bill is the larger one of the two cheap models.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for query in range(n_queries):
        hard = query % 4 == 0
        for model, (thinking, answer) in TOKENS.items():
            for run in range(n_runs):
                times = np.exp(spread * rng.normal()) * (2.0 if hard else 1.0)
                reasoning = round(thinking * times)
                rows.append(
                    {
                        "query_id": f"q{query}", "model": model, "provider": "dear-lab" if model == "dear" else "lab",
                        "benchmark": "sums", "reasoning_effort": None, "config_hash": "c", "replicate": run,
                        "prompt_text": f"add {'many ' * (5 if hard else 0)}numbers {query}", "input_tokens": 100,
                        "output_tokens": reasoning + answer, "reasoning_tokens": reasoning, "is_censored": False,
                        "score": float(rng.random() < PASSES[model] - 0.3 * hard + 0.1), "service_tier": None,
                        "source": "made up", "request_id": f"{query}/{model}/{run}",
                    }
                )  # fmt: skip
    frame = pd.DataFrame(rows)
    frame["started_at"] = pd.NaT
    frame[["cost_usd", "cost_reported_usd", "answer_logprob"]] = np.nan
    frame["project"] = frame["key_name"] = pd.Series(None, index=frame.index, dtype="str")
    return frame.astype(dict.fromkeys(("input_tokens", "output_tokens", "reasoning_tokens"), "Int64"))
