"""Prints the tables of docs/benchmark_scores.md: `python bench/benchmark_scores_study.py MIRROR evaluate mteb`.

`evaluate` is what `foretell evaluate benchmark_scores` computes, as a table; `ablation` refits the predictor without
one part at a time on the tuning folds (the last fold is never looked at); `cost` measures training and prediction.
"""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path
from typing import Any

import pandas as pd

from assets.benchmark_scores import (
    DATASETS,
    PIPELINE,
    evaluate_dataset,
    examples_from_scores,
    load_score_tables,
)
from assets.score_evaluation import FOLDS
from assets.sources import Sources
from predictors.benchmark_scores.leakage import assign_folds
from predictors.metrics import evaluate

ABLATIONS: dict[str, dict[str, Any]] = {
    "full": {},
    "no text": {"use_text": False},
    "with forbidden item counts": {"use_counts": True},
    "direct LightGBM only": {"experts": ("direct",)},
    "process only": {"experts": ("process",)},
    "forest only": {"experts": ("forest",)},
    "neighbours only": {"experts": ("neighbours",)},
    "routes without direct": {"experts": ("process", "forest", "neighbours")},
    "constant scale": {"scale_damping": 0.0},
}
SHOWN = ["predictor", "split", "segment", "metric", "value", "ci_lower", "ci_upper", "gain", "gain_ci_lower",
         "gain_ci_upper", "noise_floor", "n_queries"]  # fmt: skip


def show(table: pd.DataFrame) -> None:
    with pd.option_context("display.width", 220, "display.max_rows", None, "display.max_columns", None):
        print(table[SHOWN].round(3).to_string(index=False))


def ablation(dataset: str, sources: Sources, n_folds: int, names: list[str]) -> None:
    """Inner folds of the training part of the first outer split: the last outer fold stays unseen."""
    tables = load_score_tables(dataset, sources)
    examples = examples_from_scores(tables)
    tuning = examples[assign_folds(examples["leak_group"], FOLDS) != FOLDS - 1].reset_index(drop=True)
    folds = assign_folds(tuning["leak_group"], FOLDS, salt="tuning")
    rows = tuning[folds < n_folds]
    forecasts: dict[str, pd.DataFrame] = {}
    for name in names:
        parts = []
        for fold in range(n_folds):
            train, test = tuning[folds != fold], tuning[folds == fold]
            model = PIPELINE.predictor(**ABLATIONS[name])
            model.fit(PIPELINE.inputs(train), train["value"], groups=train["leak_group"])
            levels = (0.05, 0.5, 0.95)
            parts.append(model.predict_quantiles(PIPELINE.inputs(test), levels).set_axis(test["cell_id"]))
        forecasts[name] = pd.concat(parts)
        baseline = None if name == "full" else forecasts["full"]
        table = evaluate(
            rows.drop(columns="split"), forecasts[name], predictor=name, family=PIPELINE.family, dataset=dataset,
            split="tuning", baseline=baseline, baseline_name="full", metrics=("mae", "coverage_90", "width_90"),
        )  # fmt: skip
        show(table)


def cost(dataset: str, sources: Sources) -> None:
    examples = examples_from_scores(load_score_tables(dataset, sources), per_benchmark=None)
    start, cpu = time.perf_counter(), time.process_time()
    model = PIPELINE.predictor().fit(PIPELINE.inputs(examples), examples["value"], groups=examples["leak_group"])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    wall, used = time.perf_counter() - start, time.process_time() - cpu
    print(f"training on {len(examples)} rows: {wall:.1f} s wall, {used:.1f} s CPU, {peak:.2f} GiB peak")
    one = PIPELINE.inputs(examples.iloc[[0]])
    model.predict_quantiles(one)
    times = []
    for _ in range(50):
        start = time.perf_counter()
        model.predict_quantiles(one)
        times.append(time.perf_counter() - start)
    print(f"one forecast: median {sorted(times)[25] * 1e3:.1f} ms, fastest {min(times) * 1e3:.1f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mirror", help="folder of the mirror; the prepared tables lie beside it")
    parser.add_argument("what", choices=("evaluate", "ablation", "cost"))
    parser.add_argument("dataset", choices=DATASETS)
    parser.add_argument("--folds", type=int, default=FOLDS, help="tuning folds of the ablation")
    parser.add_argument("--only", nargs="*", choices=list(ABLATIONS), default=list(ABLATIONS))
    parser.add_argument("--strict-only", action="store_true", help="leave the optimistic split out")
    parser.add_argument("--parquet", type=Path, help="also write the Evaluation table here")
    arguments = parser.parse_args()
    root = Path(__file__).parents[1]
    sources = Sources(root / "data" / "starter", root / ".foretell" / "cache", arguments.mirror, root / ".foretell")
    if arguments.what == "evaluate":
        table = evaluate_dataset(arguments.dataset, sources, optimistic=not arguments.strict_only, progress=print)
        if arguments.parquet is not None:
            table.to_parquet(arguments.parquet)
        show(table)
    elif arguments.what == "ablation":
        ablation(arguments.dataset, sources, arguments.folds, arguments.only)
    else:
        cost(arguments.dataset, sources)


if __name__ == "__main__":
    main()
