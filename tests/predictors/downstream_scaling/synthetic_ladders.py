"""Made-up ladders of which the law is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

INPUTS = [
    "benchmark", "target_flops", "target_params", "target_tokens", "chance_score", "upper_score", "n_items",
    "ladder_flops", "ladder_params", "ladder_tokens", "ladder_scores", "ladder_errors", "ladder_runs",
]  # fmt: skip
"""Columns of `make_ladders` that are known before the target is measured."""


def true_score(flops: np.ndarray, *, chance: float, height: float, middle: float, pace: float) -> np.ndarray:
    """Score in points: chance, and a bounded exponential law above it. `middle` is log10 of the compute."""
    share = height * np.exp(-np.exp(-pace * (np.log10(flops) - middle)))
    return chance + (100 - chance) * share


def make_ladders(n: int = 40, seed: int = 0, *, n_models: int = 6, noise: float = 0.8) -> pd.DataFrame:
    """`n` ladders of `n_models` models each, with the score of a target at 4 to 30 times the largest compute.

    Columns: `INPUTS`, with `value` (the target's score in points), `query_id`
    (the task) and `truth` (the law's own score at the target).
    """
    rng = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    for i in range(n):
        params = np.geomspace(1e8, 4e9, n_models) * np.exp(0.05 * rng.normal(size=n_models))
        tokens = 20.0 * params * np.exp(0.3 * rng.normal(size=n_models))
        flops = 6.0 * params * tokens
        law = {
            "chance": float(rng.choice([0.0, 25.0, 50.0])), "height": rng.uniform(0.6, 1.0),
            "middle": rng.uniform(19.5, 22.0), "pace": rng.uniform(0.5, 1.5),
        }  # fmt: skip
        target = flops.max() * rng.uniform(4.0, 30.0)
        size = float(np.sqrt(target / 120.0))
        truth = float(true_score(np.array([target]), **law)[0])
        scores = np.clip(true_score(flops, **law) + noise * rng.normal(size=n_models), 0, 100)
        rows.append(
            {
                "benchmark": f"task {i % 10}",
                "target_flops": target,
                "target_params": size,
                "target_tokens": 20.0 * size,
                "chance_score": law["chance"],
                "upper_score": 100.0,
                "n_items": 1000.0,
                "ladder_flops": flops.tolist(),
                "ladder_params": params.tolist(),
                "ladder_tokens": tokens.tolist(),
                "ladder_scores": scores.tolist(),
                "ladder_errors": [noise] * n_models,
                "ladder_runs": [f"{i}-{k}" for k in range(n_models)],
                "query_id": f"task {i % 10}",
                "truth": truth,
                "value": float(np.clip(truth + noise * rng.normal(), 0, 100)),
            }
        )
    return pd.DataFrame(rows)
