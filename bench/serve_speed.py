"""How fast the champion answers: one row, and many, next to the bare LightGBM call on the same machine.

    python bench/serve_speed.py                     # the demo's champion under FORETELL_HOME
    python bench/serve_speed.py --family thinking_tokens --out docs/studies/serve-speed.md

Times are taken in this process, one thread, collector of garbage off. On a machine that others use, processor time says
more than wall time; both are printed, with the load beside them.
"""

from __future__ import annotations

import argparse
import gc
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

REQUEST = {"model": ["SmolLM2-135M-Instruct"], "prompt_text": ["Prove that the square root of two is irrational."]}
ROWS = (1, 10, 100, 1_000, 10_000)


def timed(call: Callable[[], object], repeats: int) -> tuple[np.ndarray, np.ndarray]:
    """Wall and processor milliseconds of each of `repeats` calls, after two to warm up; of this thread alone."""
    for _ in range(min(2, repeats)):
        call()
    wall, cpu = [], []
    gc.collect()
    gc.disable()
    for _ in range(repeats):
        started, spent = time.perf_counter_ns(), time.thread_time_ns()
        call()
        cpu.append(time.thread_time_ns() - spent)
        wall.append(time.perf_counter_ns() - started)
    gc.enable()
    return np.array(wall) / 1e6, np.array(cpu) / 1e6


def bare_booster() -> Any:
    """A LightGBM model of the champion's size, which is what the forecast would cost without the rest."""
    import lightgbm

    rng = np.random.default_rng(0)
    X = rng.normal(size=(2_000, 40))
    data = lightgbm.Dataset(X, label=X[:, 0] + rng.normal(size=2_000))
    params = {"objective": "quantile", "alpha": 0.5, "num_leaves": 8, "num_threads": 1, "verbose": -1}
    return lightgbm.train(params, data, num_boost_round=80)


def requests(n: int) -> tuple[pd.DataFrame, np.ndarray]:
    """`n` requests with distinct prompts, and as many rows of 40 numbers for the bare booster."""
    frame = pd.DataFrame(REQUEST).loc[np.zeros(n, dtype=int)].reset_index(drop=True)
    frame["prompt_text"] = [f"{text} {i}" for i, text in enumerate(frame["prompt_text"])]
    return frame, np.random.default_rng(1).normal(size=(n, 40))


def table(forecast: Callable[[pd.DataFrame], object], booster: Any, heads: int, repeats: int) -> list[str]:
    """One line per number of rows."""
    lines = [
        "| rows | processor ms, fastest | median | p99 | wall ms, median | p99 | bare LightGBM, processor ms | ratio "
        "| rows/s |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for n in ROWS:
        frame, X = requests(n)
        calls = max(5, repeats // max(1, n // 10))
        wall, cpu = timed(lambda: forecast(frame), calls)  # noqa: B023
        _, bare = timed(lambda: [booster.predict(X) for _ in range(heads)], calls)  # noqa: B023
        lines.append(
            f"| {n:,} | {cpu.min():.1f} | {np.median(cpu):.1f} | {np.percentile(cpu, 99):.1f} | {np.median(wall):.1f} "
            f"| {np.percentile(wall, 99):.1f} | {np.median(bare):.2f} | {np.median(cpu) / np.median(bare):.1f} "
            f"| {n / np.median(cpu) * 1e3:,.0f} |"
        )
    return lines


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--family", default="thinking_tokens")
    parser.add_argument("--predictor", type=Path, default=None, help="a saved predictor instead of the champion")
    parser.add_argument("--repeats", type=int, default=400)
    parser.add_argument("--out", type=Path, default=None)
    args = parser.parse_args()
    from foretell.pipelines.settings import Settings, quiet_environment

    settings = Settings()
    quiet_environment(settings)
    from foretell.predictors.base import load_predictor
    from foretell.predictors.serving import forecast_frame

    if args.predictor is None:
        from foretell.pipelines.cli.forecast.champion import load_champion

        predictor = load_champion(settings, args.family)
    else:
        predictor = load_predictor(args.predictor)
    booster = bare_booster()
    heads = len(getattr(predictor, "heads_", [])) or 7
    lines = [
        "# How fast the champion answers",
        "",
        "Made by `python bench/serve_speed.py`.",
        f"One thread; load of the machine {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; {heads} heads.",
        "Processor time is that of the thread: what a call takes on a core of its own, and what busy neighbours cost "
        "it in cache. Wall time is what this machine made of it.",
        "Bare LightGBM is one boosted model of the champion's size for each head, on 40 numbers without any prompt.",
        "",
        "## The predictor (`forecast_frame`; `foretell predict` reads and writes files around it)",
        "",
        *table(lambda frame: forecast_frame(predictor, frame), booster, heads, args.repeats),
    ]
    if args.predictor is None:
        import mlflow

        mlflow.set_tracking_uri(settings.mlflow_uri)
        model = mlflow.pyfunc.load_model(f"models:/{args.family}@champion")
        lines += [
            "",
            f"## Through MLflow (`models:/{args.family}@champion` in Python: the signature is enforced first)",
            "",
            *table(model.predict, booster, heads, args.repeats),
        ]
    text = "\n".join(lines)
    print(text)
    if args.out:
        args.out.write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    main()
