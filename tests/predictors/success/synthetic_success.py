"""Made-up scored requests: items of known difficulty, models of known ability, texts that tell a part of it."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.special import expit

INPUTS = ["model", "benchmark", "prompt_text", "query_id"]


def make_success(n_items: int, models: int = 4, seed: int = 0, repeats: int = 1) -> pd.DataFrame:
    """One row per run: `INPUTS`, `right`, and the true `chance`."""
    rng = np.random.default_rng(seed)
    told = rng.random(n_items) < 0.5
    item = 1.2 * rng.normal(size=n_items) + np.where(told, -1.0, 1.0)
    rows = []
    for model in range(models):
        chance = expit(item + (model - models / 2) * 0.8)
        for _ in range(repeats):
            rows.append(pd.DataFrame({
                "model": f"m{model}", "benchmark": np.where(np.arange(n_items) % 2, "x", "y"),
                "prompt_text": [f"{'prove this theorem' if t else 'name a colour'} {i}" for i, t in enumerate(told)],
                "query_id": [f"q{i}" for i in range(n_items)], "chance": chance,
                "right": (rng.random(n_items) < chance).astype(float),
            }))  # fmt: skip
    return pd.concat(rows, ignore_index=True)
