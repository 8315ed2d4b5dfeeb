"""Prints docs/studies/pilot.md: `python bench/pilot_study.py SNAPSHOTS MIRROR [constants|coverage|choice]`.

The bill of a batch from a pilot, on whole public populations: all requests of one model in one source. The forecast of
a request is the geometric mean of the *other* models' runs of it (nothing of the model asked about, level unknown);
where there are none (server logs), a power of the input length. Every constant that judges a source was chosen
without that source. `constants` prints those chosen on all sources, which `estimates/survey.py` holds.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import t as student

from foretell.assets.families.thinking_tokens.examples import traces_of_dataset
from foretell.assets.store.sources import Sources
from foretell.predictors.metrics.estimates import survey

SIZES = (5, 10, 20, 30, 50)
LEVEL = 0.9
AIMED = 0.95
"""Level at which each end is fitted."""
MOST = 600
LEAST = 40


@dataclass(frozen=True)
class Population:
    """All requests of one model in one source: what they took, and what was forecast without them."""

    source: str
    kind: str
    model: str
    y: np.ndarray
    m: np.ndarray
    items: np.ndarray

    @property
    def r2(self) -> float:
        return float(np.corrcoef(self.y, self.m)[0, 1] ** 2) if np.std(self.m) > 0 else 0.0


def populations(snapshots: Path, mirror: Path) -> list[Population]:
    """Every source; `source` is what is left out together, `kind` what is shown apart."""
    out: list[Population] = []
    for source, kind, runs in _tables(snapshots, mirror):
        runs = runs[runs["output_tokens"] > 0].drop_duplicates(["model", "item"])
        wide = np.log(runs.pivot_table(index="item", columns="model", values="output_tokens").astype(float))
        centred = wide - wide.mean()
        for model in wide:
            logs = wide[model].dropna()
            if len(logs) < LEAST:
                continue
            others = centred.drop(columns=model).loc[logs.index]
            forecast = (others.sum(axis=1) / (others.notna().sum(axis=1) + 0.5)).to_numpy()
            kept = np.random.default_rng(len(out)).permutation(len(logs))[:MOST]
            y = np.exp(logs.to_numpy())[kept]
            if y.std() > 0:
                out.append(Population(source, kind, str(model), y, np.exp(forecast)[kept], logs.index.to_numpy()[kept]))
    logs = pd.read_parquet(snapshots / "token_traces" / "production_traces.parquet").query("output_tokens > 0")
    for name, part in logs.groupby("benchmark"):
        for seed in range(6):
            rows = part.sample(400, random_state=seed)
            y, m = rows["output_tokens"].to_numpy(float), rows["input_tokens"].to_numpy(float) ** 0.3
            out.append(Population("production", f"log {str(name)[-14:]}", str(seed), y, m, rows.index.to_numpy()))
    return out


def _tables(snapshots: Path, mirror: Path) -> Iterator[tuple[str, str, pd.DataFrame]]:
    folder = snapshots / "token_traces"

    def table(name: str) -> pd.DataFrame:
        frame = pd.read_parquet(folder / f"{name}.parquet")
        return frame.assign(
            model=frame["model"].astype(str) + "|" + frame["effort"].astype(str), item=frame["item_id"].astype(str)
        )

    logic, early = table("lineage_bench"), table("lineage_bench_2025h1_est")
    yield "lineage", "logic", logic.assign(item=logic["item"] + logic["benchmark"])
    yield "lineage", "logic, no reasoning", early.assign(item=early["item"] + early["benchmark"])
    puzzles = table("misguided_attention")
    yield "misguided", "puzzles", puzzles[puzzles["tokens_measured"].str.startswith("provider")]
    yield "misguided", "puzzles, estimated", puzzles[puzzles["tokens_measured"].str.contains("visible text")]
    code = table("julia_hosted")
    yield "julia", "code", code.assign(item=code["item"] + code["variant"].astype(str).str.split("|").str[1])
    yield "bashkit", "agents' tasks", table("bashkit_agent")
    yield "routerarena", "academic", table("routerarena")
    yield "tinybird", "SQL", table("tinybird_sql")
    gym = table("reasoning_gym")
    hard = gym["benchmark"].str.contains("hard")
    yield "reasoning gym", "gym, easy", gym[~hard]
    yield "reasoning gym", "gym, hard", gym[hard]
    with tempfile.TemporaryDirectory() as cache:
        sources = Sources(Path(cache), Path(cache), str(mirror), Path(cache), None)
        exams = traces_of_dataset("pricing-reversal", sources)
    exams = exams.assign(item=exams["query_id"], model=exams["model"] + exams["reasoning_effort"].fillna(""))
    yield "pricing-reversal", "facts", exams[exams["benchmark"] == "simpleqa"]
    yield "pricing-reversal", "exams", exams[exams["benchmark"] != "simpleqa"]


def estimates(population: Population, n: int, n_draws: int, seed: int) -> pd.DataFrame:
    """Estimates of one population from `n_draws` pilots of `n`, over the true total, for each design and estimator."""
    y, m = population.y, population.m / population.m.mean()
    rng, size, truth = np.random.default_rng(seed), len(y), population.y.sum()
    even = np.full(size, n / size)
    sized = survey.inclusion_probabilities(survey.sampling_sizes(m), n)
    strata = np.argsort(np.argsort(m, kind="stable")) * max(n // 5, 1) // size
    units = np.bincount(strata).tolist()
    spreads = [float(m[strata == h].std() + 0.1 * m.mean()) for h in range(len(units))]
    rows = []
    for _ in range(n_draws):
        simple = np.sort(rng.permutation(size)[:n])
        drawn = {"simple": (simple, even), "proportional": (survey.draw_systematic(sized, m, rng), sized)}
        per_stratum = neyman_allocation(units, spreads, n)
        taken = [rng.permutation(np.flatnonzero(strata == h))[:k] for h, k in enumerate(per_stratum)]
        for design, (at, p) in drawn.items():
            for estimator in ("plain", "regression"):
                told = {} if estimator == "plain" else {"forecast": m[at], "forecast_total": m.sum()}
                rows.append((design, estimator, survey.estimate_total(y[at], p[at], size, **told)))
        rows.append(("stratified", "plain", stratified(y, taken, units)))
    return pd.DataFrame(
        [
            {
                "design": design, "estimator": estimator, "total": e.total / truth, "error": e.standard_error / truth,
                "degrees": e.degrees,
            }
            for design, estimator, e in rows
        ]
    )  # fmt: skip


def neyman_allocation(units: list[int], spreads: list[float], n: int) -> np.ndarray:
    """Draws per stratum in proportion to its units times its spread; at least 2, at most all."""
    drawn = np.minimum(units, 2)
    while drawn.sum() < n:  # what the next draw takes from the variance (Wright 2012)
        gain = (np.array(units) * spreads) ** 2 / (drawn * (drawn + 1.0))
        drawn[int(np.argmax(np.where(drawn < units, gain, -1.0)))] += 1
    return drawn


def stratified(y: np.ndarray, taken: list[np.ndarray], units: list[int]) -> survey.SurveyEstimate:
    """The expansion estimator stratum by stratum, with Satterthwaite's degrees of freedom."""
    totals = [size * y[at].mean() for at, size in zip(taken, units, strict=True)]
    parts = [
        size * np.sqrt((1 - len(at) / size) / (len(at) * (len(at) - 1))) * (y[at] - y[at].mean())
        for at, size in zip(taken, units, strict=True)
    ]
    variances = np.array([np.sum(part**2) for part in parts])
    counts = np.array([len(at) - 1 for at in taken])
    degrees = variances.sum() ** 2 / max(np.sum(variances**2 / counts), 1e-300)
    influence = np.concatenate(parts)
    return survey.SurveyEstimate(sum(totals), float(np.sqrt(variances.sum())), degrees, 0.0, influence)


def records(all_populations: list[Population], n_draws: int, seed: int = 0) -> pd.DataFrame:
    """Estimates of every population and size of pilot, `n` at most .6 of the population."""
    parts = []
    for place, population in enumerate(all_populations):
        for n in SIZES:
            if n <= 0.6 * len(population.y):
                made = estimates(population, n, n_draws, seed=1000 * place + n + 7919 * seed)
                parts.append(
                    made.assign(population=place, source=population.source, kind=population.kind, n=n, r2=population.r2)
                )
    return pd.concat(parts, ignore_index=True)


def fit(rows: pd.DataFrame) -> dict[str, float]:
    """Multipliers of Student's quantile for both ends: the level at which .95 of the needed ones lie; kinds equal."""
    rows = rows[(rows["error"] > 1e-6) & (rows["total"] > 0)]
    rows = pd.concat([part.sample(2000, replace=True, random_state=0) for _, part in rows.groupby("kind")])
    needed = -np.log(rows["total"]) * rows["total"] / rows["error"] / student.ppf(0.95, rows["degrees"])
    return {"upper": float(np.quantile(needed, AIMED)), "lower": float(np.quantile(-needed, AIMED))}


def judged(rows: pd.DataFrame, design: str, estimator: str) -> pd.DataFrame:
    """Rows of one procedure with ends whose constants never saw the source."""
    chosen = rows[(rows["design"] == design) & (rows["estimator"] == estimator)]
    parts = []
    for source, part in chosen.groupby("source"):
        constants = fit(chosen[chosen["source"] != source])
        reach = student.ppf(0.95, part["degrees"]) * part["error"] / part["total"]
        ends = {
            end: part["total"] * np.exp(np.clip(sign * reach * constants[end], -50, 50))
            for end, sign in (("lower", -1), ("upper", 1))
        }
        parts.append(part.assign(**ends))
    return pd.concat(parts)


def student_ends(rows: pd.DataFrame, design: str, estimator: str) -> pd.DataFrame:
    """Rows of one procedure with plain t intervals."""
    part = rows[(rows["design"] == design) & (rows["estimator"] == estimator)]
    reach = student.ppf(0.95, part["degrees"]) * part["error"]
    return part.assign(lower=part["total"] - reach, upper=part["total"] + reach)


def corrected_widths(rows: pd.DataFrame) -> pd.Series:
    """Half-width of the plain t interval, widened so that it covers 90 % of its own population: in hindsight."""
    plain = rows[(rows["design"] == "simple") & (rows["estimator"] == "plain")]
    return plain.groupby(["population", "n"]).apply(
        lambda part: float(np.quantile(np.abs(part["total"] - 1) / part["error"], LEVEL) * part["error"].median()),
        include_groups=False,
    )


def with_interval(values: pd.Series, sources: pd.Series) -> str:
    """Mean over kinds with a 95 % interval over sources."""
    means = values.groupby(sources).mean()
    reach = student.ppf(0.975, max(len(means) - 1, 1)) * means.std() / np.sqrt(len(means))
    return f"{means.mean():.3f} [{means.mean() - reach:.3f}, {min(means.mean() + reach, 1):.3f}]"


def show(table: pd.DataFrame) -> None:
    print(table.to_markdown(floatfmt=".2f") if _has_tabulate() else table.round(3).to_string(), "\n")


def _has_tabulate() -> bool:
    try:
        import tabulate  # noqa: F401
    except ImportError:
        return False
    return True


def coverage(rows: pd.DataFrame) -> None:
    """Coverage and half-width of every procedure by kind of work, and against the corrected plain interval."""
    best = judged(rows, "proportional", "regression")
    procedures = {
        "simple, plain, t": student_ends(rows, "simple", "plain"),
        "simple, regression, t": student_ends(rows, "simple", "regression"),
        "stratified by forecast, t": student_ends(rows, "stratified", "plain"),
        "proportional, plain, t": student_ends(rows, "proportional", "plain"),
        "proportional, regression, t": student_ends(rows, "proportional", "regression"),
        "proportional, regression, calibrated": best,
    }
    base, table = corrected_widths(rows), {}
    for name, part in procedures.items():
        inside = (part["lower"] <= 1) & (part["upper"] >= 1)
        cell = {}
        for n in SIZES:
            at = part["n"] == n
            by_kind = inside[at].groupby(part["kind"][at]).mean()
            width = ((part["upper"] - part["lower"]) / 2)[at].groupby(part["population"][at]).median()
            cell[f"n={n}"] = f"{by_kind.mean():.2f} ({by_kind.min():.2f}), {width.median():.2f}"
        at = part["n"] == 20
        width = ((part["upper"] - part["lower"]) / 2)[at].groupby(part["population"][at]).median()
        ratio = width / base.xs(20, level="n").reindex(width.index)
        r2 = part[at].groupby("population")["r2"].first()
        cell["width ratio, R2 > .2"] = f"{ratio[r2 > 0.2].median():.2f}"
        cell["R2 <= .2"] = f"{ratio[r2 <= 0.2].median():.2f}"
        table[name] = cell
    print("Coverage of 90 %: mean over kinds (worst kind), median half-width over the total\n")
    show(pd.DataFrame(table).T)
    inside = ((best["lower"] <= 1) & (best["upper"] >= 1)).astype(float)
    by_kind = inside.to_frame("inside").assign(kind=best["kind"], n=best["n"]).pivot_table("inside", "kind", "n")
    at = best["n"] == 20
    width = ((best["upper"] - best["lower"]) / 2)[at].groupby(best["population"][at]).median()
    of_population = best[at].groupby("population")[["kind", "r2", "source"]].first()
    ratio = width / base.xs(20, level="n").reindex(width.index)
    by_kind["half-width, n=20"] = width.groupby(of_population["kind"]).median()
    by_kind["over corrected plain"] = ratio.groupby(of_population["kind"]).median()
    by_kind["R2"] = of_population.groupby("kind")["r2"].median()
    by_kind["populations"] = of_population.groupby("kind").size()
    print("Shipped procedure by kind of work, constants without its source\n")
    show(by_kind)
    for n in SIZES:
        print(f"n={n}: coverage over sources {with_interval(inside[best['n'] == n], best['source'][best['n'] == n])}")
    good = of_population["r2"] > 0.2
    for words, limit, chosen in (("R2 > .2: at most .75", 0.75, good), ("R2 <= .2: at most 1.05", 1.05, ~good)):
        print(
            f"width over corrected plain, {words}: median {ratio[chosen].median():.2f}; reached in "
            f"{(ratio[chosen] <= limit).sum()} of {chosen.sum()} populations"
        )


def choice(all_populations: list[Population], n_draws: int, n: int = 20) -> None:
    """Two models of one source on the same requests, scaled to a true ratio of 1 and of 1.5."""
    rows = []
    by_source: dict[tuple[str, str], list[Population]] = {}
    for population in all_populations:
        by_source.setdefault((population.source, population.kind), []).append(population)
    rng = np.random.default_rng(0)
    for (source, kind), group in by_source.items():
        pairs = [(a, b) for i, a in enumerate(group) for b in group[i + 1 :]]
        for a, b in [pairs[k] for k in rng.permutation(len(pairs))[:12]]:
            items, at_a, at_b = np.intersect1d(a.items, b.items, return_indices=True)
            if len(items) < 2 * n or source == "production":
                continue
            one, other = a.y[at_a], b.y[at_b]
            m = a.m[at_a] / a.m.mean() + b.m[at_b] / b.m.mean()
            p = survey.inclusion_probabilities(survey.sampling_sizes(m), n)
            deviation = float(np.std(np.log(one / other)))
            for true in (1.0, 1.5):
                scaled = other * true * one.sum() / other.sum()
                for _ in range(n_draws):
                    at = survey.draw_systematic(p, m, rng)
                    made: list[Any] = [
                        survey.estimate_total(y[at], p[at], len(m), forecast=m[at], forecast_total=m.sum())
                        for y in (one, scaled)
                    ]
                    chance = survey.log_ratio(*made).probability_first_less
                    rows.append((source, kind, true, deviation <= 0.5, chance))
    table = pd.DataFrame(rows, columns=["source", "kind", "ratio", "near", "chance"])
    table["right"], table["wrong"] = table["chance"] >= survey.DECIDED, table["chance"] <= 1 - survey.DECIDED
    print(f"Two models on the same {n} requests: share of draws that are decided, by the sd of the log ratio\n")
    show(table.groupby(["ratio", "near"])[["right", "wrong"]].mean())
    show(table.groupby(["kind", "ratio", "near"])[["right", "wrong"]].mean())
    for true in (1.0, 1.5):
        part = table[(table["ratio"] == true) & (table["near"] | (true == 1.0))]
        for name in ("right", "wrong"):
            print(f"ratio {true}, {name}: {with_interval(part[name].astype(float), part['source'])}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("snapshots", type=Path)
    parser.add_argument("mirror", type=Path)
    parser.add_argument("parts", nargs="*", default=["constants", "coverage", "choice"])
    parser.add_argument("--draws", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=1, help="Times the draws, each with other seeds.")
    arguments = parser.parse_args()
    everything = populations(arguments.snapshots, arguments.mirror)
    print(f"{len(everything)} populations of {len({p.source for p in everything})} sources, {arguments.draws} pilots\n")
    if {"constants", "coverage"} & set(arguments.parts):
        parts = [records(everything, arguments.draws, seed) for seed in range(arguments.repeats)]
        rows = pd.concat(parts, ignore_index=True)
        if "constants" in arguments.parts:
            chosen = rows[(rows["design"] == "proportional") & (rows["estimator"] == "regression")]
            print("multipliers of Student's quantile:", {end: round(value, 2) for end, value in fit(chosen).items()})
            spread = (
                (chosen["error"] / chosen["total"] * np.sqrt(20))[chosen["n"] == 20].groupby(chosen["kind"]).median()
            )
            print("spread about the forecast, kinds, 10, 50, 90 %:", spread.quantile([0.1, 0.5, 0.9]).round(2).tolist())
        if "coverage" in arguments.parts:
            coverage(rows)
    if "choice" in arguments.parts:
        choice(everything, arguments.draws)


if __name__ == "__main__":
    main()
