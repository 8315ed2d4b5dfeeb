"""Every number of docs/thinking_tokens.md about accuracy.

    FORETELL_MIRROR=... python bench/thinking_tokens_study.py regimes --dataset pricing-reversal
    python bench/thinking_tokens_study.py regimes --dataset starter
    FORETELL_MIRROR=... python bench/thinking_tokens_study.py ablations
    FORETELL_MIRROR=... python bench/thinking_tokens_study.py new-model

`regimes` fits on train + calibration and reports on the test split; run it once. `ablations` and `new-model`
use train + calibration only, by folds over queries. One JSON object a line, in log tokens unless it says
otherwise; intervals are 95 % over queries.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np
import pandas as pd

from assets.datasets import load_traces
from assets.thinking_tokens import examples_from_traces
from predictors.base import EVALUATION_LEVELS
from predictors.metrics import compare, evaluate
from predictors.splits import assign_split
from predictors.thinking_tokens.baselines import ModelBenchmarkBaseline
from predictors.thinking_tokens.context import attach_context
from predictors.thinking_tokens.cost import price_forecast, price_requests
from predictors.thinking_tokens.predictor import ThinkingTokensPredictor

INPUTS = [
    "query_id", "model", "provider", "benchmark", "reasoning_effort", "prompt_text", "input_tokens", "max_tokens",
]  # fmt: skip
CELL = ["model", "benchmark", "reasoning_effort"]


def say(**row: object) -> None:
    """Print one row."""
    rounded = {k: round(float(v), 4) if isinstance(v, float | np.floating) else v for k, v in row.items()}
    print(json.dumps(rounded), flush=True)


def load(dataset: str) -> pd.DataFrame:
    """Examples of a named set."""
    cache = Path(os.environ.get("FORETELL_HOME", ".foretell")) / "cache"
    starter = Path("data/starter/local_llm_traces.jsonl.gz")
    mirror = os.environ.get("FORETELL_MIRROR")
    traces = load_traces(dataset, starter=starter, cache=cache, mirror=mirror, price=price_requests).traces
    examples = examples_from_traces(traces)
    examples["output_tokens"] = examples["value"]
    return examples


def regimes(runs: pd.DataFrame) -> dict[str, tuple[pd.DataFrame, pd.DataFrame]]:
    """Outcomes and inputs of each regime: what the forecast of a query may know of its other runs."""
    first, later = runs[runs["replicate"] == 0], runs[runs["replicate"] > 0]
    found = {
        "cold": (runs, runs[INPUTS]),
        "warm": (first, attach_context(first[INPUTS], first, pilots=False)),
    }
    if len(later):
        found["pilot and warm"] = (later, attach_context(later[INPUTS], first))
        own = first.assign(only=first["query_id"] + first["model"] + first["reasoning_effort"].fillna(""))
        alone = later[INPUTS].assign(query_id=later["query_id"] + later["model"] + later["reasoning_effort"].fillna(""))
        found["pilot"] = (later, attach_context(alone, own.assign(query_id=own["only"])))
        found["cold, where there is a pilot"] = (later, later[INPUTS])
    return found


def explained(runs: pd.DataFrame, forecast: pd.DataFrame, baseline: pd.DataFrame) -> tuple[float, float, float]:
    """R2 of the mean log tokens over the baseline's, with a cluster-bootstrap interval over queries."""
    z = np.log(runs["value"].to_numpy())
    errors = [(z - np.log(f.loc[runs["cell_id"]].to_numpy()).mean(axis=1)) ** 2 for f in (forecast, baseline)]
    weight = 1 / runs.groupby("cell_id")["value"].transform("size").to_numpy()
    codes, names = pd.factorize(runs["query_id"])
    sums = np.array([np.bincount(codes, weight * e, len(names)) for e in errors])
    rng = np.random.default_rng(0)
    draws = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=2000) @ sums.T
    ratios = 1 - draws[:, 0] / draws[:, 1]
    return 1 - sums[0].sum() / sums[1].sum(), *np.quantile(ratios, [0.025, 0.975])


def report(dataset: str, regime: str, runs: pd.DataFrame, forecast: pd.DataFrame, baseline: pd.DataFrame) -> None:
    """Errors beside the baseline, by benchmark and over all."""
    parts = {"all": runs, **{str(name): part for name, part in runs.groupby("benchmark")}}
    for segment, part in parts.items():
        for metric in ("crps", "mae"):
            table = evaluate(
                part, forecast, predictor="p", family="thinking_tokens", dataset=dataset, split="test", scale="log",
                baseline=baseline, baseline_name="model x benchmark", metrics=(metric, "coverage_90"),
            ).query("segment == 'all'").set_index("metric")  # fmt: skip
            row, cover = table.loc[metric], table.loc["coverage_90"]
            say(
                dataset=dataset, regime=regime, segment=segment, metric=metric, n_queries=int(row["n_queries"]),
                value=row["value"], baseline=row["baseline_value"], gain=row["gain"],
                gain_lower=row["gain_ci_lower"], gain_upper=row["gain_ci_upper"], floor=row["noise_floor"],
            )  # fmt: skip
        r2, lower, upper = explained(part, forecast, baseline)
        say(
            dataset=dataset,
            regime=regime,
            segment=segment,
            metric="r2_over_baseline",
            value=r2,
            lower=lower,
            upper=upper,
        )
        say(dataset=dataset, regime=regime, segment=segment, metric="coverage_90", value=cover["value"],
            lower=cover["ci_lower"], upper=cover["ci_upper"])  # fmt: skip


def by_cell(runs: pd.DataFrame, forecast: pd.DataFrame) -> pd.DataFrame:
    """One forecast per `cell_id`, from one per run."""
    return forecast.set_axis(runs["cell_id"]).loc[lambda f: ~f.index.duplicated()]


def study_regimes(dataset: str) -> None:
    """The test split, once."""
    examples = load(dataset)
    learn, test = examples[examples["split"] != "test"], examples[examples["split"] == "test"]
    started = time.perf_counter()
    fitted = {
        type(p).__name__: p.fit(
            learn[INPUTS], learn["value"], groups=learn["query_id"], is_censored=learn["is_censored"]
        )
        for p in (ModelBenchmarkBaseline(), ThinkingTokensPredictor())
    }
    baseline, predictor = fitted.values()
    say(dataset=dataset, rows=len(learn), fit_seconds=time.perf_counter() - started)
    capped = test["is_capped"] | (test["model"] == "MiniMax-M2.5")
    for regime, (runs, X) in regimes(test).items():
        keep = ~capped[runs.index]
        rows, inputs = runs[keep], X[keep]
        forecast = by_cell(rows, predictor.predict_quantiles(inputs, EVALUATION_LEVELS))
        base = by_cell(rows, baseline.predict_quantiles(rows[INPUTS], EVALUATION_LEVELS))
        report(dataset, regime, rows, forecast, base)
    rows = test[capped]
    if len(rows):
        forecasts = [by_cell(rows, p.predict_quantiles(rows[INPUTS], EVALUATION_LEVELS)) for p in (predictor, baseline)]
        report(dataset, "cold, capped models as min(tokens, cap)", rows, *forecasts)
    bills(dataset, test[~capped & (test["replicate"] == 0)], predictor, baseline)


def bills(
    dataset: str, runs: pd.DataFrame, predictor: ThinkingTokensPredictor, baseline: ModelBenchmarkBaseline
) -> None:
    """Sums over cells, and dollars per request."""
    X = runs[INPUTS]
    quantiles = predictor.predict_quantiles(X, EVALUATION_LEVELS)
    frame = runs[CELL].fillna("").assign(
        value=runs["value"], mean=predictor.predict_mean(X), median=quantiles[0.5],
        log_mean=np.exp(np.log(quantiles).mean(axis=1)),
        covered=runs["value"].between(quantiles[0.05], quantiles[0.95]),
    )  # fmt: skip
    cells = frame.groupby(CELL).agg(
        n=("value", "size"), value=("value", "sum"), mean=("mean", "sum"), log_mean=("log_mean", "sum"),
        covered=("covered", "mean"),
    )  # fmt: skip
    for name in ("mean", "log_mean"):
        ratio = cells[name] / cells["value"]
        say(dataset=dataset, bill=name, median_ratio=ratio.median(), median_absolute_error=(ratio - 1).abs().median(),
            least=ratio.min(), most=ratio.max(), all_cells=cells[name].sum() / cells["value"].sum())  # fmt: skip
    large = cells[cells["n"] >= 50]
    say(dataset=dataset, least_coverage_of_cells_of_50=large["covered"].min() if len(large) else None, cells=len(large))
    priced = X.assign(output_tokens=runs["value"])
    truth = price_requests(priced)["cost_usd"]
    if truth.isna().all():
        return
    mean_cost = price_forecast(X, pd.DataFrame({"b": baseline.predict_mean(X)}))["cost_b_usd"]
    for name, tokens in {"median": quantiles[0.5], "mean": frame["mean"]}.items():
        cost = price_forecast(X, pd.DataFrame({"p": tokens}))["cost_p_usd"]
        errors = pd.DataFrame({"model": runs["model"], "p": (cost - truth).abs(), "b": (mean_cost - truth).abs()})
        per_model = errors.groupby("model")[["p", "b"]].mean()
        rng = np.random.default_rng(0)
        codes, names = pd.factorize(runs["query_id"])
        draws = []
        for _ in range(500):
            w = rng.multinomial(len(names), np.full(len(names), 1 / len(names)))[codes]
            sums = (
                errors[["p", "b"]]
                .mul(w, axis=0)
                .groupby(errors["model"])
                .sum()
                .div(pd.Series(w, errors.index).groupby(errors["model"]).sum(), axis=0)
            )
            draws.append(sums["p"].mean() / sums["b"].mean())
        lower, upper = np.quantile(draws, [0.025, 0.975])
        say(dataset=dataset, dollars=name, mae_usd=per_model["p"].mean(), baseline_mae_usd=per_model["b"].mean(),
            ratio=per_model["p"].mean() / per_model["b"].mean(), lower=lower, upper=upper)  # fmt: skip


ABLATIONS: dict[str, dict[str, object]] = {
    "one fit, not learnt again after calibration": {"refit": False},
    "without text": {"refit": False, "n_components": 1, "slope_penalty": 1e9},
    "without boosting": {"refit": False, "n_estimators": 1, "learning_rate": 1e-6},
    "as shipped: learnt again after calibration": {},
}


def study_ablations() -> None:
    """Folds over the queries of train + calibration of pricing-reversal; paired against the first."""
    examples = load("pricing-reversal")
    examples = examples[(examples["split"] != "test") & ~examples["is_capped"]]
    fold = assign_split(examples["query_id"], fractions={"a": 1 / 3, "b": 1 / 3, "c": 1 / 3}, salt="ablation")
    forecasts = {}
    for name, settings in ABLATIONS.items():
        parts = []
        for k in ("a", "b", "c"):
            learn, test = examples[fold != k], examples[fold == k]
            p = ThinkingTokensPredictor(**settings)  # type: ignore[arg-type]
            p.fit(learn[INPUTS], learn["value"], groups=learn["query_id"], is_censored=learn["is_censored"])
            parts.append(by_cell(test, p.predict_quantiles(test[INPUTS], EVALUATION_LEVELS)))
        forecasts[name] = pd.concat(parts)
        found = compare(examples, forecasts[name], next(iter(forecasts.values())), metric="crps", scale="log")
        say(ablation=name, crps_difference=found.difference, lower=found.ci_lower, upper=found.ci_upper)


def study_new_model(models: list[str], n_draws: int = 3) -> None:
    """Every model held out in turn: twenty anchors of a benchmark against two simpler ways; errors in log tokens."""
    examples = load("pricing-reversal")
    examples = examples[(examples["split"] != "test") & (examples["replicate"] == 0)]
    for model in models or sorted(examples.loc[~examples["is_capped"], "model"].unique()):
        others, own = examples[examples["model"] != model], examples[examples["model"] == model]
        p = ThinkingTokensPredictor(refit=False)
        p.fit(others[INPUTS], others["value"], groups=others["query_id"], is_censored=others["is_censored"])
        plain = others[~others["is_capped"]]
        z = np.log(plain["value"])
        centred = (
            (z - z.groupby([plain["model"], plain["benchmark"]]).transform("mean")).groupby(plain["query_id"]).mean()
        )
        for benchmark, runs in own.groupby("benchmark"):
            errors = []
            for seed in range(n_draws):
                anchors = runs.sample(20, random_state=seed)
                rest = runs.drop(anchors.index)
                rest = rest.sample(min(len(rest), 200), random_state=seed)
                new = p.adapt(attach_context(anchors[INPUTS], others), anchors["value"])
                median = new.predict(attach_context(rest[INPUTS], others))
                x, y = anchors["query_id"].map(centred).fillna(0.0), np.log(anchors["value"])
                slope, intercept = np.polyfit(x, y, 1)
                truth = np.log(rest["value"])
                errors.append(pd.DataFrame({
                    "query": rest["query_id"], "ours": (np.log(median) - truth).abs(),
                    "regression": (intercept + slope * rest["query_id"].map(centred).fillna(0.0) - truth).abs(),
                    "own_mean": (y.mean() - truth).abs(),
                }))  # fmt: skip
            table = pd.concat(errors).groupby("query").mean()
            row: dict[str, object] = dict(
                model=model, benchmark=benchmark, n_queries=len(table), **table.mean().to_dict()
            )
            for other in ("regression", "own_mean"):
                gain = table[other] - table["ours"]
                half = 1.96 * gain.std() / np.sqrt(len(gain))
                row |= {f"gain_over_{other}_lower": gain.mean() - half, f"gain_over_{other}_upper": gain.mean() + half}
            say(**row)


def main() -> None:
    """Command line; see the module's docstring."""
    parser = argparse.ArgumentParser(description="Accuracy of the thinking-token forecasts.")
    parser.add_argument("study", choices=["regimes", "ablations", "new-model"])
    parser.add_argument("--dataset", default="pricing-reversal")
    parser.add_argument("--model", action="append", default=[])
    args = parser.parse_args()
    if args.study == "regimes":
        study_regimes(args.dataset)
    elif args.study == "ablations":
        study_ablations()
    else:
        study_new_model(args.model)


if __name__ == "__main__":
    main()
