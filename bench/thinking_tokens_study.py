"""Every number of docs/thinking_tokens.md about accuracy.

    FORETELL_MIRROR=... python bench/thinking_tokens_study.py regimes --dataset pricing-reversal
    python bench/thinking_tokens_study.py regimes --dataset starter
    FORETELL_MIRROR=... python bench/thinking_tokens_study.py lrm
    FORETELL_MIRROR=... python bench/thinking_tokens_study.py dollars
    FORETELL_MIRROR=... python bench/thinking_tokens_study.py ablations
    FORETELL_MIRROR=... python bench/thinking_tokens_study.py warm-ablations
    FORETELL_MIRROR=... python bench/thinking_tokens_study.py new-model

`regimes` fits on train + calibration and reports on the test split (errors, coverage by cell, bills with intervals,
dollars); run it once. `lrm` judges nineteen prompts by five folds over them. `dollars` follows the split rule of the
Price Reversal paper. `ablations`, `warm-ablations` and `new-model` use train + calibration only, by folds over queries.
One JSON object a line, in log tokens unless it says otherwise; intervals are 95 % over queries.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from foretell.assets.families.thinking_tokens.evaluation import (
    REGIMES,
    past_runs,
    query_folds,
    regime_rows,
    regime_splits,
)
from foretell.assets.families.thinking_tokens.examples import examples_from_traces
from foretell.assets.families.thinking_tokens.family import FAMILY
from foretell.assets.judging.splits import judge_splits
from foretell.assets.lake.datasets import load_traces
from foretell.predictors.base import EVALUATION_LEVELS, BasePredictor
from foretell.predictors.fitting.text.features import TextEmbedding
from foretell.predictors.metrics import compare, evaluate
from foretell.predictors.splits import assign_split
from foretell.predictors.thinking_tokens.baselines import ModelBenchmarkBaseline
from foretell.predictors.thinking_tokens.bill.totals import forecast_batch, simulate_totals
from foretell.predictors.thinking_tokens.known_runs.context import attach_context
from foretell.predictors.thinking_tokens.predictor import ThinkingTokensPredictor
from foretell.predictors.thinking_tokens.prices.cost import price_forecast, price_requests

INPUTS = [
    "query_id", "model", "provider", "benchmark", "reasoning_effort", "prompt_text", "input_tokens", "max_tokens",
]  # fmt: skip
LEARN = [*INPUTS, "run_reasoning_tokens", "run_score"]
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
    return examples_from_traces(traces)


def fit(predictor: BasePredictor, runs: pd.DataFrame) -> Any:
    """`predictor`, fitted to `runs`."""
    return predictor.fit(runs[LEARN], runs["value"], groups=runs["query_id"], is_censored=runs["is_censored"])


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


def coverage_of_cells(dataset: str, regime: str, runs: pd.DataFrame, forecast: pd.DataFrame) -> None:
    """Coverage of the 90 % interval by model x benchmark x effort; the least of those with 50 runs or more."""
    rows = forecast.loc[runs["cell_id"]]
    covered = runs["value"].between(rows[0.05].to_numpy(), rows[0.95].to_numpy())
    cells = covered.groupby([runs[name].fillna("") for name in CELL]).agg(["mean", "size"])
    large = cells[cells["size"] >= 50].sort_values("mean")
    say(
        dataset=dataset, regime=regime, metric="coverage_90 of cells of 50 runs", cells=len(large),
        least=large["mean"].iloc[0] if len(large) else None, where=str(large.index[0]) if len(large) else None,
        below_80=int((large["mean"] < 0.8).sum()),
    )  # fmt: skip


def study_regimes(dataset: str) -> None:
    """The test split, once."""
    examples = load(dataset)
    learn, test = examples[examples["split"] != "test"], examples[examples["split"] == "test"]
    started = time.perf_counter()
    baseline, predictor = (fit(p, learn) for p in (ModelBenchmarkBaseline(), ThinkingTokensPredictor()))
    say(dataset=dataset, rows=len(learn), fit_seconds=time.perf_counter() - started)
    whole = test.assign(is_capped=test["is_capped"] | (test["model"] == "MiniMax-M2.5"))
    for regime in REGIMES:
        rows, X = regime_rows(FAMILY, whole, regime)
        rows = rows[~rows["is_capped"]]
        if rows.empty:
            continue
        X = X.loc[rows["cell_id"].unique()]
        forecast, base = (p.predict_quantiles(X, EVALUATION_LEVELS) for p in (predictor, baseline))
        report(dataset, regime, rows, forecast, base)
        coverage_of_cells(dataset, regime, rows, forecast)
    rows = whole[whole["is_capped"]]
    if len(rows):
        forecasts = [by_cell(rows, p.predict_quantiles(rows[INPUTS], EVALUATION_LEVELS)) for p in (predictor, baseline)]
        report(dataset, "cold, capped models as min(tokens, cap)", rows, *forecasts)
    first = whole[~whole["is_capped"] & (whole["replicate"] == 0)]
    bills(dataset, first, predictor)
    _, warm = regime_rows(FAMILY, whole, "warm")
    dollars(dataset, first, learn, predictor, baseline, warm=warm.loc[first["cell_id"]].set_axis(first.index))


def bills(dataset: str, runs: pd.DataFrame, predictor: ThinkingTokensPredictor) -> None:
    """Total tokens of every model on every benchmark: forecast, interval, truth."""
    log_mean = np.exp(np.log(predictor.predict_quantiles(runs[INPUTS], EVALUATION_LEVELS)).mean(axis=1))
    rows = []
    for cell, part in runs.groupby([runs[name].fillna("") for name in CELL]):
        drawn, _ = simulate_totals(forecast_batch(predictor, part[INPUTS]), n_draws=2000)
        lower, upper = np.quantile(drawn, [0.05, 0.95])
        truth = part["value"].sum()
        rows.append(
            {
                "cell": "/".join(map(str, cell)), "n": len(part), "ratio": drawn.mean() / truth,
                "log_ratio": log_mean[part.index].sum() / truth, "covered": bool(lower <= truth <= upper),
                "width": (upper - lower) / truth, "truth": truth, "mean": drawn.mean(),
            }
        )  # fmt: skip
    table = pd.DataFrame(rows)
    error = (table["ratio"] - 1).abs()
    say(
        dataset=dataset, bill="mean", cells=len(table), median_error=error.median(), least=table["ratio"].min(),
        most=table["ratio"].max(), all_cells=table["mean"].sum() / table["truth"].sum(),
        interval_90_covers=f"{int(table['covered'].sum())} of {len(table)}", median_width=table["width"].median(),
        exp_mean_log=(table["log_ratio"] * table["truth"]).sum() / table["truth"].sum(),
    )  # fmt: skip
    for row in table.to_dict("records"):
        say(dataset=dataset, **{f"bill_{name}": value for name, value in row.items() if name not in ("truth", "mean")})


def dollars(
    dataset: str,
    runs: pd.DataFrame,
    learn: pd.DataFrame,
    predictor: ThinkingTokensPredictor,
    baseline: ModelBenchmarkBaseline,
    *,
    warm: pd.DataFrame | None = None,
) -> None:
    """Mean absolute error in dollars, averaged over models, over that of mean costs of the training queries."""
    X = runs[INPUTS]
    truth = price_requests(X.assign(output_tokens=runs["value"]))["cost_usd"]
    if truth.isna().all():
        return
    past = price_requests(learn[INPUTS].assign(output_tokens=learn["value"]))["cost_usd"].groupby(learn["model"]).mean()
    means = {
        "mean of the model": runs["model"].map(past),
        "mean of model x benchmark": price_forecast(X, pd.DataFrame({"b": baseline.predict_mean(X)}))["cost_b_usd"],
    }
    ours = {"median": predictor.predict(X), "mean": predictor.predict_mean(X)}
    if warm is not None:
        ours["warm median"] = predictor.predict(warm)
    priced = learn.assign(cost=price_requests(learn[INPUTS].assign(output_tokens=learn["value"]))["cost_usd"])
    theirs = {"the paper's way: median of 5 nearest texts": nearest_costs(priced, runs)}
    codes, names = pd.factorize(runs["query_id"])
    models, of_model = np.unique(runs["model"].to_numpy(dtype=object), return_inverse=True)
    rng = np.random.default_rng(0)
    draws = np.vstack([np.ones(len(names)), rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=500)])

    def by_draw(errors: np.ndarray) -> np.ndarray:
        """Error averaged over models, in each draw of queries; shape (n_draws,)."""
        found = np.empty((len(draws), len(models)))
        for m in range(len(models)):
            rows = of_model == m
            weights = draws[:, codes[rows]]
            found[:, m] = (weights @ errors[rows]) / weights.sum(axis=1)
        return found.mean(axis=1)

    for against, mean_cost in means.items():
        base = by_draw((mean_cost - truth).abs().to_numpy())
        costs = {name: price_forecast(X, pd.DataFrame({"p": tokens}))["cost_p_usd"] for name, tokens in ours.items()}
        for name, cost in {**costs, **theirs}.items():
            error = by_draw((cost - truth).abs().to_numpy())
            ratio = error / base
            lower, upper = np.quantile(ratio[1:], [0.025, 0.975])
            say(
                dataset=dataset, dollars=name, against=against, mae_usd=error[0], baseline_mae_usd=base[0],
                ratio=ratio[0], lower=lower, upper=upper, n_queries=len(names),
            )  # fmt: skip


def nearest_costs(learn: pd.DataFrame, runs: pd.DataFrame, k: int = 5) -> pd.Series:
    """Median cost of the `k` training queries of nearest text (TF-IDF, cosine) on the model of each run."""
    texts = learn.drop_duplicates("query_id").set_index("query_id")["prompt_text"]
    embedding = TextEmbedding(n_components=150).fit(sorted(set(texts)))
    table = learn[learn["replicate"] == 0].pivot_table(index="query_id", columns="model", values="cost")
    asked = runs.drop_duplicates("query_id").set_index("query_id")["prompt_text"]
    new = embedding.transform(asked.tolist())
    found = pd.Series(np.nan, index=runs.index)
    for model, own in runs.groupby("model"):
        costs = table[model].dropna()
        known = embedding.transform(texts.loc[costs.index].tolist())
        known /= np.linalg.norm(known, axis=1, keepdims=True)
        near = np.argpartition(-(new @ known.T), k, axis=1)[:, :k]
        median = pd.Series(np.median(costs.to_numpy()[near], axis=1), index=asked.index)
        found[own.index] = median.loc[own["query_id"]].to_numpy()
    return found


def study_dollars() -> None:
    """The split rule of the paper: RandomState(42), a fifth of the queries that every model answered at a cost.

    Models are those that all benchmarks have; arc-agi is left out because one model alone has it, and MiniMax-M2.5
    because half of its runs are cut off.
    """
    examples = load("pricing-reversal")
    examples = examples[(examples["replicate"] == 0) & (examples["benchmark"] != "arc-agi")]
    everywhere = examples.groupby("model")["benchmark"].nunique() == examples["benchmark"].nunique()
    models = [m for m in everywhere.index[everywhere] if m != "MiniMax-M2.5"]
    counts = examples[examples["model"].isin(models)].groupby("query_id")["model"].nunique()
    common = np.array(sorted(counts.index[counts == len(models)]))
    order = np.random.RandomState(42).permutation(len(common))
    test = set(common[order[: int(0.2 * len(common))]])
    is_test = examples["query_id"].isin(test)
    learn = examples[~is_test]
    runs = examples[is_test & examples["model"].isin(models)]
    say(split="paper", models=models, common=len(common), test=len(test))
    baseline, predictor = (fit(p, learn) for p in (ModelBenchmarkBaseline(), ThinkingTokensPredictor()))
    dollars("pricing-reversal, split rule of the paper", runs, learn, predictor, baseline)


def study_lrm() -> None:
    """Every prompt forecast by a fit that has not seen it."""
    examples = load("lrm-token-economy")
    splits = regime_splits(FAMILY, list(query_folds(examples)), REGIMES)
    table = judge_splits(FAMILY, splits, dataset="lrm-token-economy")
    shown = table[table["segment"].isin(["all", *(f"benchmark={b}" for b in examples["benchmark"].unique())])]
    for row in shown[shown["metric"].isin(["crps", "mae", "mse", "coverage_90"])].to_dict("records"):
        say(**{name: row[name] for name in ("split", "segment", "metric", "value", "ci_lower", "ci_upper",
                                            "noise_floor", "baseline_value", "n_queries")})  # fmt: skip


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
            fit(p, learn)
            parts.append(by_cell(test, p.predict_quantiles(test[INPUTS], EVALUATION_LEVELS)))
        forecasts[name] = pd.concat(parts)
        found = compare(examples, forecasts[name], next(iter(forecasts.values())), metric="crps", scale="log")
        say(ablation=name, crps_difference=found.value, lower=found.interval()[0], upper=found.interval()[1])


WARM_KNOWLEDGE: dict[str, list[str]] = {
    "lengths of the other models' runs": [],
    "and how much of them was reasoning": ["run_reasoning_tokens"],
    "and whether they were right": ["run_score"],
    "both, as shipped": ["run_reasoning_tokens", "run_score"],
}


def study_warm_ablations() -> None:
    """What a warm forecast gains from each thing that is known of the other runs; one fold of three."""
    examples = load("pricing-reversal")
    examples = examples[examples["split"] != "test"]
    fold = assign_split(examples["query_id"], fractions={"a": 1 / 3, "b": 1 / 3, "c": 1 / 3}, salt="ablation")
    learn, judged = examples[fold != "a"], examples[fold == "a"]
    judged = judged.assign(is_capped=judged["is_capped"] | (judged["model"] == "MiniMax-M2.5"))
    baseline, predictor = (fit(p, learn) for p in (ModelBenchmarkBaseline(), ThinkingTokensPredictor(refit=False)))
    unknown = ["run_reasoning_tokens", "run_score"]
    forecasts = {}
    for name, known in WARM_KNOWLEDGE.items():
        blind = judged.assign(**{column: np.nan for column in unknown if column not in known})
        rows, X = regime_rows(FAMILY, blind, "warm")
        rows = rows[~rows["is_capped"]]
        X = X.loc[rows["cell_id"].unique()]
        forecasts[name] = predictor.predict_quantiles(X, EVALUATION_LEVELS)
        r2, lower, upper = explained(rows, forecasts[name], baseline.predict_quantiles(X, EVALUATION_LEVELS))
        found = compare(rows, forecasts[name], next(iter(forecasts.values())), metric="crps", scale="log")
        say(knows=name, r2=r2, r2_lower=lower, r2_upper=upper, crps_difference=found.value,
            lower=found.interval()[0], upper=found.interval()[1])  # fmt: skip


def study_new_model(models: list[str], n_draws: int = 3) -> None:
    """Every model held out in turn: twenty anchors of a benchmark against two simpler ways; errors in log tokens."""
    examples = load("pricing-reversal")
    examples = examples[(examples["split"] != "test") & (examples["replicate"] == 0)]
    for model in models or sorted(examples.loc[~examples["is_capped"], "model"].unique()):
        others, own = examples[examples["model"] != model], examples[examples["model"] == model]
        p = ThinkingTokensPredictor(refit=False)
        fit(p, others)
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
                new = p.adapt(attach_context(anchors[INPUTS], past_runs(others)), anchors["value"])
                median = new.predict(attach_context(rest[INPUTS], past_runs(others)))
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
    studies = ["regimes", "lrm", "dollars", "ablations", "warm-ablations", "new-model"]
    parser.add_argument("study", choices=studies)
    parser.add_argument("--dataset", default="pricing-reversal")
    parser.add_argument("--model", action="append", default=[])
    args = parser.parse_args()
    if args.study == "regimes":
        study_regimes(args.dataset)
    elif args.study == "new-model":
        study_new_model(args.model)
    else:
        {"lrm": study_lrm, "dollars": study_dollars, "ablations": study_ablations,
         "warm-ablations": study_warm_ablations}[args.study]()  # fmt: skip


if __name__ == "__main__":
    main()
