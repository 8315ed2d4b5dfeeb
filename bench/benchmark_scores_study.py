"""Prints the tables of docs/benchmark_scores.md: `python bench/benchmark_scores_study.py MIRROR evaluate mteb`.

`evaluate` is what `foretell evaluate benchmark_scores` computes, as a table; `spread` compares scales
of residuals on as many divisions into tuning folds (the last fold is never looked at) as are named; `cost` measures
training and prediction.
"""

from __future__ import annotations

import argparse
import resource
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from foretell.assets.families.benchmark_scores.evaluation import FOLDS, score_splits
from foretell.assets.families.benchmark_scores.examples import DATASETS, examples_from_scores, load_score_tables
from foretell.assets.families.benchmark_scores.family import FAMILY
from foretell.assets.judging.splits import judge_splits
from foretell.assets.store.sources import Sources
from foretell.predictors.benchmark_scores.description.leakage import assign_folds
from foretell.predictors.benchmark_scores.predictor import BenchmarkScorePredictor
from foretell.predictors.metrics.estimates.clusters import Estimate, mean_estimate

SPREADS: dict[str, tuple[float, int]] = {
    "shipped": (0.7, 60),
    "constant": (0.0, 60),
    "wholly learnt": (1.0, 60),
    "wholly learnt, 100 trees": (1.0, 100),
    "wholly learnt, 150 trees": (1.0, 150),
    "damping .85, 100 trees": (0.85, 100),
    "damping .85, 150 trees": (0.85, 150),
    "damping .7, 150 trees": (0.7, 150),
}
"""`scale_damping` and `scale_rounds` of what `spread` compares."""
COMPARED = {"width": False, "interval_score": False, "error_narrowest": True}
"""Columns of the comparison, and whether only the narrowest fifth of each fold counts."""
SHOWN = ["predictor", "split", "segment", "metric", "value", "ci_lower", "ci_upper", "gain", "gain_ci_lower",
         "gain_ci_upper", "noise_floor", "n_queries"]  # fmt: skip


def show(table: pd.DataFrame) -> None:
    with pd.option_context("display.width", 220, "display.max_rows", None, "display.max_columns", None):
        print(table[SHOWN].round(3).to_string(index=False))


def tuning_rows(dataset: str, sources: Sources) -> pd.DataFrame:
    examples = examples_from_scores(load_score_tables(dataset, sources), source=dataset)
    return examples[assign_folds(examples["leak_group"], FOLDS) != FOLDS - 1].reset_index(drop=True)


class Respread(BenchmarkScorePredictor):
    """Learns its spread again with another scale; the location, which is the same for all, is learnt once."""

    def _fit_spread(self, *arguments: Any) -> None:
        self.spread_from_ = arguments
        super()._fit_spread(*arguments)

    def respread(self, damping: float, rounds: int) -> None:
        self.set_params(scale_damping=damping, scale_rounds=rounds)
        super()._fit_spread(*self.spread_from_)


def spread(dataset: str, sources: Sources, splits: list[int]) -> None:
    """Scales of residuals, paired, over all rows of the tuning folds of `splits`."""
    tuning = tuning_rows(dataset, sources)
    found: dict[str, list[pd.DataFrame]] = {name: [] for name in SPREADS}
    for split in splits:
        folds = assign_folds(tuning["leak_group"], FOLDS, salt=f"tuning{split or ''}")
        for fold in range(FOLDS):
            train, test = tuning[folds != fold], tuning[folds == fold]
            model = Respread(random_state=split)
            model.fit(FAMILY.inputs(train), train["value"], groups=train["leak_group"])
            for name, (damping, rounds) in SPREADS.items():
                model.respread(damping, rounds)
                quantiles = model.predict_quantiles(FAMILY.inputs(test), (0.05, 0.5, 0.95)).to_numpy()
                found[name].append(_judged(test, quantiles).assign(fold=f"{split}.{fold}"))
    shipped = pd.concat(found["shipped"], ignore_index=True)
    rows = [_compared(name, pd.concat(parts, ignore_index=True), shipped) for name, parts in found.items()]
    with pd.option_context("display.width", 250, "display.max_columns", None):
        print(f"{dataset}, splits {splits}: {len(tuning)} rows in {tuning['leak_group'].nunique()} leak groups")
        print(pd.DataFrame(rows).to_string(index=False))


def _judged(rows: pd.DataFrame, quantiles: np.ndarray) -> pd.DataFrame:
    lower, median, upper = quantiles.T
    value, width = rows["value"].to_numpy(), upper - lower
    outside = np.maximum(lower - value, 0) + np.maximum(value - upper, 0)
    error = np.abs(value - median)
    return pd.DataFrame({
        "leak_group": rows["leak_group"].to_numpy(), "width": width, "is_covered": (outside == 0).astype(float),
        "interval_score": width + 20 * outside, "error": error, "error_narrowest": error,
        "is_narrowest": (width <= np.quantile(width, 0.2)).astype(float),
    })  # fmt: skip


def _compared(name: str, own: pd.DataFrame, shipped: pd.DataFrame) -> dict[str, object]:
    """One line: means, and differences (negative: better than shipped) with 95 % intervals over leak groups."""
    coverage = own.groupby("fold")["is_covered"].mean()
    line: dict[str, object] = {
        "variant": name, "MAE": f"{own['error'].mean():.2f}", "coverage": f"{own['is_covered'].mean():.3f}",
        "folds under .84": f"{(coverage < 0.84).sum()} of {len(coverage)}, least {coverage.min():.3f}",
    }  # fmt: skip
    for column, only_narrowest in COMPARED.items():
        mine, theirs = (_mean(table, column, only_narrowest) for table in (own, shipped))
        lower, upper = (mine - theirs).interval()
        difference = f"{mine.value - theirs.value:+.2f} [{lower:+.2f}, {upper:+.2f}]"
        line[column] = f"{mine.value:.2f}" + ("" if name == "shipped" else f", {difference}")
    return line


def _mean(table: pd.DataFrame, column: str, only_narrowest: bool) -> Estimate:
    clusters, unique = pd.factorize(table["leak_group"])
    weights = table["is_narrowest"].to_numpy() if only_narrowest else None
    return mean_estimate(table[column].to_numpy(), clusters, len(unique), weights)


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
    parser.add_argument("what", choices=("evaluate", "spread", "cost"))
    parser.add_argument("dataset", choices=DATASETS)
    parser.add_argument("--folds", type=int, default=FOLDS, help="how many rounds of each split to evaluate")
    parser.add_argument("--splits-only", nargs="*", help="names of the splits to evaluate; by default all")
    parser.add_argument("--splits", type=int, nargs="+", default=[0], help="divisions into tuning folds, of `spread`")
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
    elif arguments.what == "spread":
        spread(arguments.dataset, sources, arguments.splits)
    else:
        cost(arguments.dataset, sources)


if __name__ == "__main__":
    main()
