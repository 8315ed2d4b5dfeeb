"""Prints the tables of docs/benchmark_scores.md: `python bench/benchmark_scores_study.py MIRROR evaluate mteb`.

`evaluate` is what `foretell evaluate benchmark_scores` computes, as a table; `ablation` refits the predictor without
one part at a time on the tuning folds (the last fold is never looked at); `spread` does so for the scale of residuals,
on as many divisions into tuning folds as are named; `cost` measures training and prediction.
"""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path
from typing import Any

import numpy as np
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
from predictors.benchmark_scores.predictor import BenchmarkScorePredictor
from predictors.metrics import evaluate
from predictors.metrics.clusters import Estimate, mean_estimate

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
    examples = examples_from_scores(load_score_tables(dataset, sources))
    return examples[assign_folds(examples["leak_group"], FOLDS) != FOLDS - 1].reset_index(drop=True)


def ablation(dataset: str, sources: Sources, n_folds: int, names: list[str]) -> None:
    """Inner folds of the training part of the first outer split: the last outer fold stays unseen."""
    tuning = tuning_rows(dataset, sources)
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


class Respread(BenchmarkScorePredictor):
    """Learns its spread again with another scale; the location, which is the same for all, is learnt once."""

    def _fit_spread(self, *arguments: Any) -> None:
        self.spread_from_ = arguments
        super()._fit_spread(*arguments)

    def respread(self, damping: float, rounds: int) -> None:
        self.set_params(scale_damping=damping, scale_rounds=rounds)
        super()._fit_spread(*self.spread_from_)


def spread(dataset: str, sources: Sources, splits: list[int]) -> None:
    """Scales of residuals, paired, over all rows of the tuning folds of `splits`; 0 are those of the ablation."""
    tuning = tuning_rows(dataset, sources)
    found: dict[str, list[pd.DataFrame]] = {name: [] for name in SPREADS}
    for split in splits:
        folds = assign_folds(tuning["leak_group"], FOLDS, salt=f"tuning{split or ''}")
        for fold in range(FOLDS):
            train, test = tuning[folds != fold], tuning[folds == fold]
            model = Respread(random_state=split)
            model.fit(PIPELINE.inputs(train), train["value"], groups=train["leak_group"])
            for name, (damping, rounds) in SPREADS.items():
                model.respread(damping, rounds)
                quantiles = model.predict_quantiles(PIPELINE.inputs(test), (0.05, 0.5, 0.95)).to_numpy()
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
    parser.add_argument("what", choices=("evaluate", "ablation", "spread", "cost"))
    parser.add_argument("dataset", choices=DATASETS)
    parser.add_argument("--folds", type=int, default=FOLDS, help="tuning folds of the ablation")
    parser.add_argument("--only", nargs="*", choices=list(ABLATIONS), default=list(ABLATIONS))
    parser.add_argument("--splits", type=int, nargs="+", default=[0], help="divisions into tuning folds, of `spread`")
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
    elif arguments.what == "spread":
        spread(arguments.dataset, sources, arguments.splits)
    else:
        cost(arguments.dataset, sources)


if __name__ == "__main__":
    main()
