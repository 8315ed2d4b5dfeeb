"""Made-up scores: benchmarks whose difficulty follows their words and format, models whose skill follows their size."""

from __future__ import annotations

import numpy as np
import pandas as pd

from foretell.predictors.benchmark_scores.scale import from_logit

WORDS = ("sentiment of reviews", "legal clauses", "medical questions", "reasoning over long documents", "news topics")
EASE = (1.5, 0.3, -0.2, -1.6, 1.0)


def make_scores(n_benchmarks: int = 40, n_models: int = 12, *, seed: int = 0, spread: float = 0.4) -> pd.DataFrame:
    """One row per benchmark and model: inputs of a forecast, `value` (points), `leak_group` (of two benchmarks)."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, len(WORDS), n_benchmarks)
    is_ranking = rng.random(n_benchmarks) < 0.5
    own = rng.normal(0, spread, n_benchmarks)
    size = np.linspace(17, 23, n_models)
    rows = []
    for b in range(n_benchmarks):
        level = EASE[kind[b]] - 0.8 * is_ranking[b] + own[b]
        for m in range(n_models):
            rows.append(
                {
                    "benchmark": f"B{b}",
                    "leak_group": f"G{b // 2}",
                    "task": f"This task is about {WORDS[kind[b]]}, collected by part {'abcdefgh'[b % 8]} of a crew.",
                    "answer_format": "ranking" if is_ranking[b] else "class",
                    "metric": "ndcg" if is_ranking[b] else "accuracy",
                    "domain": "web|written",
                    "languages": "eng" if b % 3 else "deu|eng",
                    "n_classes": np.nan if is_ranking[b] else 2.0 + b % 4,
                    "model": f"M{m}",
                    "n_params": float(np.exp(size[m])),
                    "release_year": 2020.0 + m / 4,
                    "value": float(from_logit(level + 0.3 * (size[m] - 20) + rng.normal(0, 0.15))),
                }
            )
    return pd.DataFrame(rows)


INPUTS = ["benchmark", "leak_group", "task", "answer_format", "metric", "domain", "languages", "n_classes", "model",
          "n_params", "release_year"]  # fmt: skip
