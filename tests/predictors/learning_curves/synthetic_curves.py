"""Made-up curves: power laws with noise, whose asymptote follows the data set and whose rate follows the learner."""

from __future__ import annotations

import numpy as np
import pandas as pd

RATES = {"linear": 0.9, "forest": 0.5, "network": 0.3, "neighbours": 0.4}
STEPS = np.round(16 * 2 ** (np.arange(14) / 2))


def make_curves(n: int = 60, seed: int = 0, *, noise: float = 0.01) -> pd.DataFrame:
    """One row per curve: inputs of a forecast (the first 3 to 10 of 14 points), `value` (the last), `dataset`."""
    rng = np.random.default_rng(seed)
    learners = list(RATES)
    top = rng.uniform(0.6, 0.98, n // len(learners) + 1)
    rows = []
    for i in range(n):
        d, learner = divmod(i, len(learners))
        name = learners[learner]
        start = top[d] * rng.uniform(0.3, 0.8)
        curve = top[d] - (top[d] - start) * (STEPS / 16) ** -RATES[name] + rng.normal(0, noise, STEPS.size)
        curve = np.clip(curve, 0.0, 1.0)
        k = int(rng.integers(3, 11))
        rows.append({
            "dataset": f"D{d}", "learner": name, "steps": STEPS[:k].tolist(), "values": curve[:k].tolist(),
            "standard_errors": [noise] * k, "target_step": float(STEPS[-1]), "lower_bound": 0.0, "upper_bound": 1.0,
            "value": float(curve[-1]),
        })  # fmt: skip
    return pd.DataFrame(rows)


INPUTS = ["dataset", "learner", "steps", "values", "standard_errors", "target_step", "lower_bound", "upper_bound"]
