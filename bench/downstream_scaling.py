"""How long downstream scaling takes: 1,000 task fits, COD on 2,000 items, and one forecast.

Run on two idle cores: ``OMP_NUM_THREADS=1 python bench/downstream_scaling.py``.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from foretell.predictors.downstream_scaling.items.cod import forecast_cod
from foretell.predictors.downstream_scaling.ladder import read_ladders
from foretell.predictors.downstream_scaling.laws.methods import CANDIDATES, METHODS, forecast_shares
from foretell.predictors.downstream_scaling.predictor import DownstreamScalingPredictor

N_TASKS = 1000
N_MODELS = 8


def tasks() -> pd.DataFrame:
    """Ladders of eight models whose law is a bounded exponential."""
    rng = np.random.default_rng(0)
    rows = []
    for _ in range(N_TASKS):
        params = np.geomspace(1e8, 1e10, N_MODELS)
        flops = 120 * params**2
        share = np.exp(-np.exp(rng.normal()) * (flops / flops[-1]) ** -rng.uniform(0.1, 0.5) - 0.1)
        scores = np.clip(25 + 75 * share + rng.normal(size=N_MODELS), 0, 100)
        rows.append({
            "target_flops": 10 * flops[-1], "target_params": 3e10, "target_tokens": 6e11, "chance_score": 25.0,
            "n_items": 1000.0, "ladder_flops": flops.tolist(), "ladder_params": params.tolist(),
            "ladder_tokens": (20 * params).tolist(), "ladder_scores": scores.tolist(),
        })  # fmt: skip
    return pd.DataFrame(rows)


def timed(name: str, work: Callable[[], Any]) -> Any:
    """Run `work` and print the seconds it took, of the clock and of the processor."""
    clock, processor = time.perf_counter(), time.process_time()
    result = work()
    print(f"{name}: {time.perf_counter() - clock:.2f} s ({time.process_time() - processor:.2f} s of processor)")
    return result


def main() -> None:
    """Print the table."""
    X = tasks()
    ladders = timed(f"read {N_TASKS} ladders", lambda: read_ladders(X))
    for name in METHODS:
        timed(f"{N_TASKS} fits of {name}", lambda name=name: forecast_shares(ladders, [name]))
    timed(f"{N_TASKS} fits of all candidates", lambda: forecast_shares(ladders, CANDIDATES))
    predictor = DownstreamScalingPredictor.with_defaults()
    timed(f"{N_TASKS} whole forecasts, own backtests included", lambda: predictor.predict_quantiles(X))
    timed("1 whole forecast", lambda: predictor.predict_quantiles(X.iloc[:1]))
    rng = np.random.default_rng(0)
    flops = np.geomspace(2e19, 1e23, N_MODELS)
    middle = rng.choice([20.0, 21.0, 22.0, 23.0, 24.0], 2000) + 0.1 * rng.normal(size=2000)
    noise = rng.random(2000) < 0.15
    rates = np.stack([
        rng.binomial(100, np.where(noise, rng.random(2000), np.exp(-np.exp(-1.2 * (np.log10(c) - middle))))) / 100
        for c in flops
    ])  # fmt: skip
    timed("COD of 2000 items x 8 models", lambda: forecast_cod(rates, flops, 3e24))


if __name__ == "__main__":
    main()
