"""Judge `compare`, `power`, `samples` and the family `success`; prints every number that their pages quote.

    FORETELL_MIRROR=... python bench/compare_study.py NAME... [--quick]

NAME is one of splits, power, clusters, golden, components, samples, related, success.

The first four take under a minute together, `samples` two, `success` about six; only the last needs the mirror.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats
from scipy.optimize import curve_fit, minimize
from scipy.special import betaln

from foretell.predictors.downstream_scaling.laws import pass_at_k as laws
from foretell.predictors.metrics import (
    DifferenceVariance,
    compare_systems,
    interquartile_mean,
    log_loss,
    mean_estimate,
    pass_at_k,
    plan_items,
    wilson_interval,
)
from foretell.predictors.metrics.deciding import evals

ROOT = Path(__file__).resolve().parents[1]
QUICK = "--quick" in sys.argv


def power_of(effect: float, variance: DifferenceVariance, n_items: int, replicates: int = 1) -> float:
    """Probability that a two-sided t test at 5 % on `n_items` items finds a difference of `effect`."""
    error = np.sqrt(variance.of_mean(replicates) / n_items)
    critical = stats.t.ppf(0.975, n_items - 1)
    shift = effect / error if error > 0 else np.inf
    return float(stats.nct.sf(critical, n_items - 1, shift)) if np.isfinite(shift) else 1.0


def long(system: str, runs: np.ndarray, clusters: np.ndarray | None = None) -> pd.DataFrame:
    """Scores of shape (n_items, n_runs) as a long table."""
    n, r = runs.shape
    table = pd.DataFrame({"system": system, "item": np.repeat(np.arange(n), r), "replicate": np.tile(np.arange(r), n)})
    table["score"] = runs.ravel().astype(float)
    if clusters is not None:
        table["cluster"] = np.repeat(clusters, r)
    return table


def share(hits: list[bool]) -> str:
    """A share with its Wilson interval, in percent."""
    ends = stats.binomtest(sum(hits), len(hits)).proportion_ci(0.95, "wilson")
    return f"{np.mean(hits):.2%} [{ends.low:.2%}, {ends.high:.2%}]"


def splits() -> None:
    """Identical systems: how often is one called better? Random splits of the runs of one system."""
    rng = np.random.default_rng(1)
    n_splits = 200 if QUICK else 2000
    evals.sign_flip_p_value.__kwdefaults__["n_flips"] = 999  # as valid, and faster
    for n, r, k in ((200, 2, 2), (50, 1, 2), (20, 3, 2), (100, 2, 5)):
        found = []
        for _ in range(n_splits if n == 200 else n_splits // 5):
            rate = rng.beta(0.3, 0.5, n)
            parts = [long(f"s{i}", rng.random((n, r)) < rate[:, None]) for i in range(k)]
            pairs = compare_systems(pd.concat(parts))
            found.append(bool(pairs["verdict"].isin(["a better", "b better"]).any()))
        print(
            f"splits: {k} identical systems, {n} items x {r} runs, {len(found)} times: any called better {share(found)}"
        )


def power() -> None:
    """Simulated true differences: power found against power foretold."""
    rng = np.random.default_rng(2)
    evals.sign_flip_p_value.__kwdefaults__["n_flips"] = 999
    for n, r, shift in ((300, 1, 0.05), (300, 4, 0.04), (800, 2, 0.03), (60, 3, 0.1)):
        rate = rng.beta(2, 2, 200_000)
        other = np.clip(rate + shift + 0.1 * rng.normal(size=rate.size), 0, 1)
        effect = float((other - rate).mean())
        variance = DifferenceVariance(
            float((other - rate).var()), float((rate * (1 - rate) + other * (1 - other)).mean())
        )
        hits = []
        for _ in range(100 if QUICK else 500):
            items = rng.integers(0, rate.size, n)
            pair = [
                long("a", rng.random((n, r)) < other[items, None]),
                long("b", rng.random((n, r)) < rate[items, None]),
            ]
            hits.append(compare_systems(pd.concat(pair))["verdict"].iloc[0] == "a better")
        foretold = power_of(effect, variance, n, r)
        print(f"power: {n} items x {r} runs, difference {effect:.3f}: foretold {foretold:.1%}, found {share(hits)}")


def clusters() -> None:
    """Clustered against unclustered standard errors, and the closed form 1 + (m - 1) ICC."""
    rng = np.random.default_rng(3)
    evals.sign_flip_p_value.__kwdefaults__["n_flips"] = 199
    for m, icc in ((5, 0.2), (10, 0.5), (4, 0.0)):
        ratios = []
        for _ in range(100):
            of = np.repeat(np.arange(100), m)
            d = np.sqrt(icc) * rng.normal(size=100)[of] + np.sqrt(1 - icc) * rng.normal(size=of.size)
            row = compare_systems(pd.concat([long("a", d[:, None], of), long("b", np.zeros((d.size, 1)), of)])).iloc[0]
            ratios.append((row["standard_error"] / row["standard_error_unclustered"]) ** 2)
        error = np.std(ratios) / np.sqrt(len(ratios))
        print(f"clusters of {m}, ICC {icc}: variance ratio {np.mean(ratios):.3f} +- {1.96 * error:.3f}, "
              f"closed form {1 + (m - 1) * icc:.3f}")  # fmt: skip


def golden() -> None:
    """Published numbers: 2.2 to 6.0 points between single runs of agentic evals (arXiv 2602.07150, abstract)."""
    rng = np.random.default_rng(4)
    ranges = []
    for alpha, beta in ((0.3, 0.5), (0.6, 0.6), (0.2, 0.3), (1.0, 0.6)):
        rate = rng.beta(alpha, beta, (200, 500))
        means = (rng.random((10, 200, 500)) < rate).mean(axis=2)
        ranges += (100 * (means.max(axis=0) - means.min(axis=0))).tolist()
    low, high = np.quantile(ranges, [0.05, 0.95])
    print(f"golden: ten runs of 500 tasks, rates as in noise-floor.md: pass@1 between runs {low:.1f}-{high:.1f} points "
          f"(middle 90 %; published 2.2-6.0)")  # fmt: skip
    scores = rng.random((5, 26))
    found = interquartile_mean(scores)[0]
    print(f"golden: interquartile mean {found:.6f}, scipy's trimmed mean "
          f"{stats.trim_mean(scores.ravel(), 0.25):.6f}")  # fmt: skip
    plan = plan_items([0.02], DifferenceVariance(0.02, 0.3), cost_per_item=3.0)
    best = plan.loc[plan["is_cheapest"], "replicates"].iloc[0]
    print(f"golden: cheapest repeats {best}, closed form {np.sqrt(0.3 / 0.02 * 3):.1f}")


def components() -> None:
    """Variances of the difference of two models of the ladder on one item, from exact pass rates."""
    table = pd.read_parquet(ROOT / "data/starter/ladder/samples.parquet",
                            columns=["model", "item_id", "checkpoint", "exact_pass_rate"])  # fmt: skip
    rates = table[table["checkpoint"] == 1].pivot_table(index="item_id", columns="model", values="exact_pass_rate",
                                                        observed=True).astype(float)  # fmt: skip
    for name, (a, b) in {"seeds": ("w052-s0", "w052-s1"), "sizes": ("w052-s0", "w032-s0")}.items():
        runs = (rates[a] * (1 - rates[a]) + rates[b] * (1 - rates[b])).mean()
        print(f"components, two {name}: between items {(rates[a] - rates[b]).var():.4f}, between runs {runs:.4f}")


def samples() -> None:
    """pass@100 from 10 draws on the bundled ladder, each model left out of what the forecast learnt from the others."""
    table = pd.read_parquet(ROOT / "data/starter/ladder/samples.parquet",
                            columns=["model", "benchmark", "checkpoint", "n_correct"])  # fmt: skip
    rng = np.random.default_rng(0)
    rows = []
    laws.GAIN_KEPT = 1.0
    for (model, _), part in table.groupby(["model", "checkpoint"], observed=True):
        right = rng.hypergeometric(part["n_correct"], 100 - part["n_correct"], 10)
        tasks = {"all tasks": np.ones(len(part), dtype=bool)}
        tasks |= {name: (part["benchmark"] == name).to_numpy() for name in sorted(set(part["benchmark"]))[::6]}
        for name, rows_of in tasks.items():
            c, n_items = right[rows_of], int(rows_of.sum())
            fitted = laws.PassRates.fit(c, np.full(n_items, 10))
            start, true = float((c > 0).mean()), float((part["n_correct"][rows_of] > 0).mean())
            gain = float(fitted.coverage([100])["pass_at_k"].iloc[0]) - start
            rival = rival_laws(c, 10, 100) if name == "all tasks" else {}
            rows.append({"model": model, "of": "all tasks" if name == "all tasks" else "one task", "n": n_items,
                         "start": start, "true": true, "gain": gain,
                         **rival,
                         **_utilities(fitted, part["n_correct"][rows_of].to_numpy() / 100)})  # fmt: skip
    data = pd.DataFrame(rows)
    data["kept"], data["spread"] = np.nan, np.nan
    for model in data["model"].unique():
        others = _learnt(data[data["model"] != model])
        data.loc[data["model"] == model, ["kept", "spread", "by_items"]] = others
    print("samples: of the promised gain {:.3f} came true, spread {:.3f}, and {:.1f} / items".format(*_learnt(data)))
    for of, part in data.groupby("of"):
        value = part["start"] + part["kept"] * part["gain"]
        half = _half(part, part["spread"], part["by_items"])
        lower, upper = np.maximum(value - half, part["start"]), np.minimum(value + half, 1)
        e, hit = value - part["true"], (part["true"] >= lower - 1e-9) & (part["true"] <= upper + 1e-9)
        codes = pd.factorize(part["model"])
        covered = mean_estimate(hit.to_numpy(dtype=float), codes[0], len(codes[1]))
        off = mean_estimate(e.abs().to_numpy(), codes[0], len(codes[1]))
        ends = wilson_interval(covered)
        print(f"samples, {of}: pass@100 from 10 draws, models left out: mean error {100 * off.value:.2f} points "
              f"[{100 * off.interval()[0]:.2f}, {100 * off.interval()[1]:.2f}], bias {100 * e.mean():+.2f}, within 2 "
              f"{np.mean(e.abs() <= 0.02):.1%}, 90 % interval covers {covered.value:.3f} [{ends[0]:.3f}, {ends[1]:.3f}]"
              f", mean width {100 * (upper - lower).mean():.1f} points")  # fmt: skip
        for key in ("beta_binomial", "power_law"):
            if key in part and part[key].notna().any():
                off = 100 * (part[key] - part["true"])
                print(f"samples, {of}: {key}: mean error {off.abs().mean():.2f} points, bias {off.mean():+.2f}")
        for name in ("u_cheap", "u_dear"):
            good = part[f"{name}_best"] > 0
            ratio = part.loc[good, name] / part.loc[good, f"{name}_best"]
            print(f"samples, {of}: chosen n, {name[2:]} samples: {ratio.mean():.3f} of the oracle's utility, .9 in "
                  f"{np.mean(ratio >= 0.9):.1%} of {good.sum()}")  # fmt: skip


def related() -> None:
    """The same with relatives: ten draws of a model, 100 of all models of other sizes on the same items."""
    table = pd.read_parquet(
        ROOT / "data/starter/ladder/samples.parquet",
        columns=["model", "benchmark", "checkpoint", "item_id", "n_correct"],
    )
    rng = np.random.default_rng(0)
    parts = {key: part.sort_values("item_id") for key, part in table.groupby(["model", "checkpoint"], observed=True)}
    first = next(iter(parts.values()))["benchmark"].to_numpy()
    tasks = {"all tasks": np.ones(len(first), dtype=bool)} | {n: first == n for n in sorted(set(first))[::6]}
    right = {key: rng.hypergeometric(part["n_correct"], 100 - part["n_correct"], 10) for key, part in parts.items()}
    rows = []
    for name, at in tasks.items():
        whole = {
            k: laws.PassRates.fit(part["n_correct"].to_numpy()[at], np.full(at.sum(), 100)) for k, part in parts.items()
        }
        for key, part in parts.items():
            size = str(key[0]).split("-")[0]
            relatives = [fit for (model, _), fit in whole.items() if str(model).split("-")[0] != size]
            c, true = right[key][at], float((part["n_correct"].to_numpy()[at] > 0).mean())
            fitted = laws.PassRates.fit(c, np.full(c.size, 10), relatives=relatives)
            start, row = float((c > 0).mean()), fitted.coverage([100]).iloc[0]
            kept = 1.0 if fitted.has_relatives else laws.GAIN_KEPT
            rows.append(
                {
                    "model": key[0],
                    "of": "all tasks" if name == "all tasks" else "one task",
                    "n": c.size,
                    "value": row["pass_at_k"],
                    "lower": row["lower"],
                    "upper": row["upper"],
                    "true": true,
                    "start": start,
                    "gain": (row["pass_at_k"] - start) / kept,
                    "by": fitted.has_relatives,
                }
            )
    data = pd.DataFrame(rows)
    print("related: spread {:.3f}, and {:.1f} / items".format(*_learnt(data[data["by"]])[1:]))
    for model in data["model"].unique():  # the spread of a model is that of the others
        _, spread, by_items = _learnt(data[data["by"] & (data["model"] != model)])
        mine = data["by"] & (data["model"] == model)
        half = _half(data[mine], spread, by_items)
        data.loc[mine, "lower"] = np.maximum(data.loc[mine, "value"] - half, data.loc[mine, "start"])
        data.loc[mine, "upper"] = np.minimum(data.loc[mine, "value"] + half, 1)
    for of, part in data.groupby("of"):
        codes = pd.factorize(part["model"])
        off = mean_estimate((part["value"] - part["true"]).abs().to_numpy(), codes[0], len(codes[1]))
        hit = (part["true"] >= part["lower"] - 1e-9) & (part["true"] <= part["upper"] + 1e-9)
        covered = mean_estimate(hit.to_numpy(dtype=float), codes[0], len(codes[1]))
        ends, within = wilson_interval(covered), np.mean((part["value"] - part["true"]).abs() <= 0.02)
        print(
            f"related, {of}: pass@100 from 10 draws, sizes left out: mean error {100 * off.value:.2f} points "
            f"[{100 * off.interval()[0]:.2f}, {100 * off.interval()[1]:.2f}], bias "
            f"{100 * (part['value'] - part['true']).mean():+.2f}, within 2 {within:.1%}, 90 % interval covers "
            f"{covered.value:.3f} [{ends[0]:.3f}, {ends[1]:.3f}], mean width "
            f"{100 * (part['upper'] - part['lower']).mean():.1f} points, relatives in {part['by'].mean():.1%}"
        )


def rival_laws(c: np.ndarray, n: int, k: int) -> dict[str, float]:
    """pass@k by a beta-binomial (Schaeffer et al. 2025) and by ``exp(-a k^-b)`` (Brown et al. 2024)."""

    def loss(theta: np.ndarray) -> float:
        a, b = np.exp(theta)
        return float(-(betaln(c + a, n - c + b) - betaln(a, b)).mean())

    a, b = np.exp(minimize(loss, [-1.0, 0.0], method="Nelder-Mead").x)
    ks = np.arange(1, n + 1)
    measured = [pass_at_k(c, np.full(c.size, n), int(j)).mean() for j in ks]
    power, _ = curve_fit(lambda x, p, q: np.exp(-p * x**-q), ks, measured, p0=(1.0, 0.5), bounds=(0, np.inf))
    return {"beta_binomial": float(1 - np.exp(betaln(a, b + k) - betaln(a, b))),
            "power_law": float(np.exp(-power[0] * k ** -power[1]))}  # fmt: skip


def _learnt(data: pd.DataFrame) -> tuple[float, float, float]:
    """What came true of the promised gain, and its spread, so that 90 % are covered in whole evals and single tasks."""
    kinds = [part for _, part in data.groupby("of")]
    kept = float(np.mean([(part["true"] - part["start"]).sum() / part["gain"].sum() for part in kinds]))
    needed = []
    for part in kinds:
        error = (part["true"] - part["start"] - kept * part["gain"]).abs()
        wide = next(s for s in np.arange(0.0, 2.0, 0.01) if np.mean(error <= _half(part, s, 0.0)) >= 0.9)
        needed.append((float(wide) ** 2, 1 / part["n"].iloc[0]))
    (few, one), (many, other) = sorted(needed, key=lambda pair: -pair[1])
    by_items = max(0.0, (few - many) / (one - other))
    return kept, float(np.sqrt(max(0.0, many - by_items * other))), float(by_items)


def _half(data: pd.DataFrame, spread: object, by_items: object) -> pd.Series:
    new = np.maximum(data["gain"], 0.5 / data["n"])
    relative = np.sqrt(np.square(spread) + by_items / data["n"])
    return 1.645 * np.hypot(relative * data["gain"], np.sqrt(new * (1 - new) / data["n"]))


def _utilities(fitted: laws.PassRates, rates: np.ndarray) -> dict[str, float]:
    """Utility of the chosen and of the best number of samples, with a verifier that lets 5 % of wrong ones by."""
    ks = np.arange(1, 101)
    true = laws.PassRates(np.ones(rates.size) / rates.size, rates, rates)
    grid, out = laws._GRID, {}
    for name, cost in (("u_cheap", 0.002), ("u_dear", 0.05)):
        guess = [(lambda b: b[0] - cost * b[1])(fitted.best_of(int(k), false_positive_rate=0.05)) for k in ks]
        laws._GRID = rates
        real = [(lambda b: b[0] - cost * b[1])(true.best_of(int(k), false_positive_rate=0.05)) for k in ks]
        laws._GRID = grid
        out |= {name: real[int(np.argmax(guess))], f"{name}_best": max(real)}
    return out


def success() -> None:
    """The family `success` on pricing-reversal: held-out queries, a new model from 20 anchors, routing."""
    from foretell.assets.families.success.examples import examples_of_dataset
    from foretell.pipelines.settings import Settings
    from foretell.predictors.success.baselines import ModelBenchmarkRate
    from foretell.predictors.success.predictor import SuccessPredictor
    from foretell.predictors.thinking_tokens.known_runs.context import attach_context

    sources = Settings().sources
    rows = examples_of_dataset("pricing-reversal", sources).drop_duplicates("cell_id").reset_index(drop=True)
    rows = rows.assign(score=rows["value"])
    columns = ["model", "benchmark", "prompt_text", "query_id", "reasoning_effort"]
    learn, test = rows[rows["split"] != "test"], rows[rows["split"] == "test"].reset_index(drop=True)
    rate = ModelBenchmarkRate().fit(learn[columns], learn["value"])
    fitted = SuccessPredictor().fit(learn[columns], learn["value"], groups=learn["query_id"])
    known = test.rename(columns={"value": "output"}).assign(output_tokens=1.0)
    asked = {"cold": test[columns], "warm": attach_context(test[columns], known, pilots=False)}
    base = rate.predict_mean(test[columns])
    print(
        f"success: {len(test)} held-out runs of {test['query_id'].nunique()} queries, {rows['model'].nunique()} models"
    )
    _quality("rate of model x benchmark", base, base, test)
    for name, X in asked.items():
        _quality(name, fitted.predict_mean(X), base, test)
    _new_model(SuccessPredictor, rows, columns, fitted)
    _routing(sources)


def _quality(name: str, chance: pd.Series, base: pd.Series, test: pd.DataFrame) -> None:
    y, codes = test["value"].to_numpy(), pd.factorize(test["query_id"])
    own, other = (log_loss(y, p) for p in (chance, base))
    n = len(codes[1])
    ratio = mean_estimate(own, codes[0], n) / mean_estimate(other, codes[0], n)
    lower, upper = ratio.interval()
    ranks = stats.rankdata(chance)
    right = y == 1
    auc = (ranks[right].sum() - right.sum() * (right.sum() + 1) / 2) / (right.sum() * (~right).sum())
    bins = pd.qcut(chance, 10, labels=False, duplicates="drop").to_numpy()
    by_bin = pd.DataFrame({"off": y - chance.to_numpy(), "bin": bins}).groupby("bin")["off"]
    error = np.average(by_bin.mean().abs(), weights=by_bin.size())
    print(f"success, {name}: log loss {own.mean():.4f}, {100 * (ratio.value - 1):+.1f} % [{100 * (lower - 1):+.1f}, "
          f"{100 * (upper - 1):+.1f}] of the rate's, Brier {np.mean((y - chance) ** 2):.4f}, AUC {auc:.3f}, "
          f"calibration error {error:.4f}")  # fmt: skip


def _new_model(SuccessPredictor: type, rows: pd.DataFrame, columns: list[str], full: object) -> None:
    """Each model left out, then placed by 20 scored requests: its skill as a share of that of all data."""
    from foretell.predictors.thinking_tokens.known_runs.context import attach_context

    shares = []
    for model in sorted(rows["model"].unique()):
        others = rows[(rows["split"] != "test") & (rows["model"] != model)]
        own, test = (
            rows[(rows["model"] == model) & (rows["split"].eq("test") == is_test)] for is_test in (False, True)
        )
        if test["benchmark"].nunique() < 2 and len(test) < 50:
            continue
        fitted = SuccessPredictor().fit(others[columns], others["value"], groups=others["query_id"])
        prior = test["benchmark"].map(others.groupby("benchmark")["value"].mean()).fillna(others["value"].mean())
        losses = {
            "rate": log_loss(test["value"], prior.clip(1e-4, 1 - 1e-4)).mean(),
            "all data": log_loss(test["value"], full.predict_mean(test[columns])).mean(),
        }  # type: ignore[attr-defined]
        found = []
        for seed in range(5):
            drawn = own.sample(20, random_state=seed)
            anchors = attach_context(drawn[columns], others.assign(output_tokens=1.0))
            placed = fitted.adapt(anchors, drawn["value"])
            found.append(log_loss(test["value"], placed.predict_mean(test[columns])).mean())
        share = (losses["rate"] - np.mean(found)) / (losses["rate"] - losses["all data"])
        shares.append((share, len(test)))
        print(f"success, new model {model} from 20 anchors (5 draws): log loss {np.mean(found):.4f}, others' rate "
              f"{losses['rate']:.4f}, all data {losses['all data']:.4f}: {share:.0%} of the skill")  # fmt: skip
    values = np.array([share for share, _ in shares])
    ends = mean_estimate(values, np.arange(values.size), values.size).interval()
    print(
        f"success, new models: {values.mean():.0%} [{ends[0]:.0%}, {ends[1]:.0%}] of the skill of all data, over models"
    )


def _routing(sources: object) -> None:
    """The router at the price of the best single model, and what it saves at its quality, on held-out queries."""
    from foretell.assets.families.thinking_tokens.examples import traces_of_dataset
    from foretell.assets.reports.routing import ROUTED, fit_router, usable_models
    from foretell.assets.reports.runs import query_table, scored_runs
    from foretell.predictors.splits import assign_split
    from foretell.predictors.thinking_tokens.bill.routing import assign_models

    traces = traces_of_dataset("pricing-reversal", sources)  # type: ignore[arg-type]
    runs, _ = scored_runs(traces, None, more=ROUTED)
    models, _ = usable_models(runs)
    runs = runs[runs["model"].isin(models)]
    is_test = assign_split(runs["query_id"]) == "test"
    test = runs[is_test]
    costs = query_table(test, "total_usd")[models].dropna()
    scores = query_table(test, "score")[models].reindex(costs.index)
    asked = test.drop_duplicates("query_id").set_index("query_id").loc[costs.index]
    router = fit_router(runs[~is_test], models)
    chance, cost = router.forecast(asked[["benchmark", "prompt_text", "input_tokens"]])
    best = int(runs[~is_test].groupby("model")["score"].mean().loc[models].argmax())
    row, paid, kept = np.arange(len(costs)), costs.to_numpy(), scores.to_numpy()
    for share in (1.0, 0.7, 0.5, 0.3):
        choice = assign_models(
            chance, cost, max(share * cost[:, best].sum(), cost.min(axis=1).sum()) * (1 + 1e-9)
        ).choice
        gain = mean_estimate(kept[row, choice] - kept[:, best], row, len(row))
        ratio = mean_estimate(paid[row, choice], row, len(row)) / mean_estimate(paid[:, best], row, len(row))
        lower, upper = ratio.interval()
        print(f"success, routing at {share:.0%} of the forecast cost of {models[best]}: score {gain.value:+.4f} "
              f"[{gain.interval()[0]:+.4f}, {gain.interval()[1]:+.4f}] against it, money saved {1 - ratio.value:.1%} "
              f"[{1 - upper:.1%}, {1 - lower:.1%}], {len(row)} queries, {len(models)} models")  # fmt: skip


if __name__ == "__main__":
    for wanted in [name for name in sys.argv[1:] if not name.startswith("-")] or [
        "splits",
        "power",
        "clusters",
        "golden",
        "samples",
    ]:
        globals()[wanted]()
