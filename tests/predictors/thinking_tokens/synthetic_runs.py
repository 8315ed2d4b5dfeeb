"""Made-up runs of queries on models, of which everything is known."""

from __future__ import annotations

import numpy as np
import pandas as pd

MODELS = {"small": 5.0, "medium": 6.0, "large": 7.5}
BENCHMARKS = {"sums": 0.0, "proofs": 1.0}
WORDS = ("count", "apple", "river", "seven", "table", "green", "paper", "window", "market", "number")
SLOPE_PER_PROOF = 0.4


def make_runs(
    n_queries: int = 120,
    *,
    n_replicates: int = 1,
    query_spread: float = 0.4,
    run_spread: float = 0.3,
    cap: float | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Runs of every query on three models.

    Log tokens are the model's level, the benchmark's, .4 for each "prove" in the text, a normal effect of the
    query and normal noise of the run. With `cap`, longer runs are cut off there and marked.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for query in range(n_queries):
        benchmark = list(BENCHMARKS)[query % 2]
        n_proofs = int(rng.integers(0, 4))
        words = [*rng.choice(WORDS, size=12), *["prove"] * n_proofs]
        rng.shuffle(words)
        text = " ".join(words) + f" {query}"
        effect = query_spread * rng.normal()
        for model, level in MODELS.items():
            centre = level + BENCHMARKS[benchmark] + SLOPE_PER_PROOF * n_proofs + effect
            for replicate in range(n_replicates):
                rows.append(
                    {
                        "query_id": f"q{query}",
                        "model": model,
                        "benchmark": benchmark,
                        "prompt_text": text,
                        "input_tokens": 20.0,
                        "replicate": replicate,
                        "centre": centre,
                        "log_tokens": centre + run_spread * rng.normal(),
                    }
                )
    runs = pd.DataFrame(rows)
    tokens = np.exp(runs["log_tokens"])
    runs["is_censored"] = False if cap is None else tokens > cap
    runs["output_tokens"] = np.maximum(np.round(tokens if cap is None else np.minimum(tokens, cap)), 1.0)
    return runs


INPUTS = ["query_id", "model", "benchmark", "prompt_text", "input_tokens"]
"""Columns of `make_runs` that are known before the run."""
