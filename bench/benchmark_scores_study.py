"""Prints the tables of docs/benchmark_scores.md: `python bench/benchmark_scores_study.py MIRROR evaluate mteb`.

`evaluate` is what `foretell evaluate benchmark_scores` computes, as a table; `cost` measures training and prediction.
"""

from __future__ import annotations

import argparse
import resource
import time
from dataclasses import replace
from pathlib import Path

import pandas as pd

from foretell.assets.families.benchmark_scores.evaluation import FOLDS, score_splits
from foretell.assets.families.benchmark_scores.examples import DATASETS, examples_from_scores, load_score_tables
from foretell.assets.families.benchmark_scores.family import FAMILY
from foretell.assets.judging.splits import judge_splits
from foretell.assets.store.sources import Sources

SHOWN = ["predictor", "split", "segment", "metric", "value", "ci_lower", "ci_upper", "gain", "gain_ci_lower",
         "gain_ci_upper", "noise_floor", "n_queries"]  # fmt: skip


def show(table: pd.DataFrame) -> None:
    with pd.option_context("display.width", 220, "display.max_rows", None, "display.max_columns", None):
        print(table[SHOWN].round(3).to_string(index=False))


def cost(dataset: str, sources: Sources) -> None:
    examples = examples_from_scores(load_score_tables(dataset, sources), source=dataset, per_benchmark=None)
    start, cpu = time.perf_counter(), time.process_time()
    model = FAMILY.predictor().fit(FAMILY.inputs(examples), examples["value"], groups=examples["leak_group"])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    wall, used = time.perf_counter() - start, time.process_time() - cpu
    print(f"training on {len(examples)} rows: {wall:.1f} s wall, {used:.1f} s CPU, {peak:.2f} GiB peak")
    one = FAMILY.inputs(examples.iloc[[0]])
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
    parser.add_argument("what", choices=("evaluate", "cost"))
    parser.add_argument("dataset", choices=DATASETS)
    parser.add_argument("--folds", type=int, default=FOLDS, help="how many rounds of each split to evaluate")
    parser.add_argument("--splits-only", nargs="*", help="names of the splits to evaluate; by default all")
    parser.add_argument("--parquet", type=Path, help="also write the Evaluation table here")
    arguments = parser.parse_args()
    root = Path(__file__).parents[1]
    sources = Sources(root / "data" / "starter", root / ".foretell" / "cache", arguments.mirror, root / ".foretell")
    if arguments.what == "evaluate":
        examples = FAMILY.examples(arguments.dataset, sources)
        splits = score_splits(FAMILY, examples, arguments.dataset, sources)
        wanted = (
            replace(split, rounds=split.rounds[: arguments.folds])
            for split in splits
            if not arguments.splits_only or split.name in arguments.splits_only
        )
        table = judge_splits(FAMILY, wanted, dataset=arguments.dataset, progress=print)
        if arguments.parquet is not None:
            table.to_parquet(arguments.parquet)
        show(table)
    else:
        cost(arguments.dataset, sources)


if __name__ == "__main__":
    main()
