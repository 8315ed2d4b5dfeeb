"""Made-up cells and runs of several sources, of which everything is known."""

from __future__ import annotations

import numpy as np
import pandas as pd

from foretell.predictors.thinking_tokens.shift.cells import CELL, CellTable

MODELS = ("gpt-4o", "gpt-5", "claude-haiku-4-5", "claude-opus-4-6", "qwen3-8b", "deepseek-r1")


def make_cells(*rows: tuple[str, str, str, str]) -> pd.DataFrame:
    """Cells whose prompts are of the usual length."""
    return pd.DataFrame(rows, columns=CELL).assign(length=0.0)


def make_table(rows: list[tuple[str, str, str, str]], mean: list[float], error: float = 0.01) -> CellTable:
    """Cells of 20 queries each, with the means given."""
    n = len(rows)
    return CellTable(
        make_cells(*rows), np.array(mean), np.full(n, error), np.full(n, 0.2), np.full(n, 0.2),
        np.full(n, 20.0),
    )  # fmt: skip


def make_source_runs(
    n_sources: int = 4, n_benchmarks: int = 3, n_queries: int = 12, *, source_sd: float = 1.0, seed: int = 0
) -> pd.DataFrame:
    """Runs of six models on benchmarks of several sources.

    About 6 log tokens, with normal effects of source (`source_sd`), benchmark (.5), model (.4), query (.5), run (.3).
    """
    rng = np.random.default_rng(seed)
    level = {model: 0.4 * rng.normal() for model in MODELS}
    rows = []
    for source in range(n_sources):
        of_source = source_sd * rng.normal()
        for benchmark in range(n_benchmarks):
            of_benchmark = 0.5 * rng.normal()
            for query in range(n_queries):
                of_query = 0.5 * rng.normal()
                for model in MODELS:
                    y = 6 + of_source + of_benchmark + of_query + level[model] + 0.3 * rng.normal()
                    rows.append((f"s{source}", f"b{benchmark}", model, f"q{source}.{benchmark}.{query}", y, of_query))
    runs = pd.DataFrame(rows, columns=["source", "benchmark", "model", "query_id", "log_tokens", "query_effect"])
    return runs.assign(reasoning_effort="")
