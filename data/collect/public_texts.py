"""What public prompts say of the length of their answers: weights, and nothing that anybody wrote.

    FORETELL_MIRROR=... python -m foretell.collect.public_texts --traces FOLDER

A ridge from the text of a query to how much longer than usual the answers to it are, over the models that answered
it, inside its benchmark. Only counts that providers measured are learnt from. Each source is left out in turn to learn
how far what a text makes one expect is to be followed elsewhere (printed); what ships is the fit to all.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.linalg import cho_factor, cho_solve

from foretell.assets.lake.datasets import load_traces
from foretell.collect.public_tokens import CELL, MIRRORED, SETS, prepared, where
from foretell.predictors.fitting.text.features import text_statistics
from foretell.predictors.thinking_tokens.prices.cost import price_requests
from foretell.predictors.thinking_tokens.shift.texts import TextEffects, hashed_words, of_any_source, standardised

__all__ = ["FILE", "LEAST_QUERIES", "described", "learnt", "left_out", "public_prompts", "query_effects", "slopes"]

FILE = Path(__file__).resolve().parent.parent / "public" / "token_texts.json"
BENCHMARK = ["source", "benchmark"]
LEAST_QUERIES, LEAST_CHARACTERS = 8, 20
"""Queries of a benchmark that is learnt from, and characters of a text: shorter ones are gaps of the sets."""
MOST_WEIGHT = 100.0
"""A benchmark counts for as many queries at most."""
PENALTY = 100.0
"""Of the squared weights; any of 30 to 300 does as well on sources left out."""
LEAST_SCALE = 0.01
"""Of a statistic that hardly differs between the texts that were learnt from."""
SWEEPS = 10
DIGITS = 4


def public_prompts(folder: Path, mirror: str | None, cache: Path) -> pd.DataFrame:
    """Runs that a provider measured and that were not cut off, with their prompts: `CELL`, `text`, `output_tokens`.

    Raises what the readers of the sets raise.
    """
    parts = [prepared(folder / f"{file}.parquet", name) for file, name in SETS.items()]
    parts = [part[part["tier"].eq("measured")] for part in parts if "prompt_text" in part]
    for name in MIRRORED:
        traces = load_traces(
            name, starter=Path("starter"), cache=cache, mirror=mirror, price=partial(price_requests)
        ).traces
        parts.append(traces.assign(source=name))
    columns = [*CELL, "prompt_text", "is_censored", "output_tokens"]
    runs = pd.concat([part[columns] for part in parts], ignore_index=True)
    runs["reasoning_effort"] = runs["reasoning_effort"].astype(object).where(runs["reasoning_effort"].notna(), "")
    usable = runs["prompt_text"].str.len().ge(LEAST_CHARACTERS) & runs["output_tokens"].gt(0) & ~runs["is_censored"]
    runs = runs[usable.fillna(False).astype(bool)].rename(columns={"prompt_text": "text"})
    return runs.drop(columns="is_censored").astype({"output_tokens": "float64"}).reset_index(drop=True)


def query_effects(runs: pd.DataFrame) -> pd.DataFrame:
    """How long the answers to each text of `public_prompts` are: `BENCHMARK`, `text`, `effect` in log tokens about the
    mean of the benchmark, `n` runs, and `variance`, of a query beside its error."""
    runs = runs.assign(y=np.log(runs["output_tokens"]))
    return pd.concat([_effects(part) for _, part in runs.groupby(BENCHMARK)], ignore_index=True)


def _effects(runs: pd.DataFrame) -> pd.DataFrame:
    """Effects of the queries of a benchmark, by a two-way fit with its models."""
    effect = pd.Series(0.0, index=runs.index)
    for _ in range(SWEEPS):
        rest = runs["y"] - (runs["y"] - effect).groupby([runs["model"], runs["reasoning_effort"]]).transform("mean")
        effect = rest.groupby(runs["text"]).transform("mean")
    queries = rest.groupby(runs["text"]).agg(effect="mean", n="size").reset_index()
    error = float((rest - effect).var()) / queries["n"] if len(runs) > 1 else queries["n"] * np.nan
    between = max(float(queries["effect"].var() - error.mean()), 1e-4) if len(queries) > 1 else 1e-4
    queries["effect"] -= queries["effect"].mean()
    row = runs.iloc[0]
    return queries.assign(source=row["source"], benchmark=row["benchmark"], variance=between + error)


def learnt(queries: pd.DataFrame, slope: float = 1.0, slope_sd: float = 0.0) -> TextEffects:
    """Weights from `query_effects`; benchmarks with few queries teach none."""
    n_queries = queries.groupby(BENCHMARK)["text"].transform("size")
    enough = queries[n_queries >= LEAST_QUERIES].reset_index(drop=True)
    texts, benchmark = enough["text"].tolist(), enough.groupby(BENCHMARK).ngroup().to_numpy()
    statistics = text_statistics(texts)
    centre, scale = statistics.mean(axis=0), np.maximum(statistics.std(axis=0), LEAST_SCALE)
    features = np.hstack([standardised(texts, centre, scale), hashed_words(texts).toarray()])
    size = np.bincount(benchmark)
    for code in range(len(size)):
        features[benchmark == code] -= features[benchmark == code].mean(axis=0)
    # Sources count by the root of what they hold: the largest is nine tenths of all queries.
    weight = np.minimum(1.0, MOST_WEIGHT / size)[benchmark] / enough["variance"].to_numpy()
    weight /= np.sqrt(pd.Series(weight).groupby(enough["source"]).transform("sum").to_numpy())
    weight /= weight.mean()
    squares = features.T @ (features * weight[:, None])
    squares[np.diag_indices_from(squares)] += PENALTY
    weights = cho_solve(cho_factor(squares), features.T @ (weight * enough["effect"].to_numpy()))
    arrays = (centre.round(DIGITS), scale.round(DIGITS), weights.round(DIGITS))
    effects = TextEffects(*arrays, slope, slope_sd, {}, np.zeros(2))
    return described(effects, queries)


def described(effects: TextEffects, queries: pd.DataFrame) -> TextEffects:
    """The same that knows where the texts of the benchmarks of `queries` lie, each counted as often as it was asked:
    so is it in the mean of a cell."""
    rows = queries[[*BENCHMARK, "n"]].assign(value=effects.of(queries["text"].tolist()))
    lines = {}
    for (source, benchmark), part in rows.groupby(BENCHMARK):
        mean = np.average(part["value"], weights=part["n"])
        variance = np.average((part["value"] - mean) ** 2, weights=part["n"])
        lines[str(source), str(benchmark)] = round(float(mean), DIGITS), round(float(variance), DIGITS)
    benchmarks = {**effects.benchmarks, **lines}
    return replace(effects, benchmarks=benchmarks, elsewhere=of_any_source(benchmarks))


def left_out(queries: pd.DataFrame) -> Iterator[dict[str, float | str | int]]:
    """Each benchmark, forecast by a fit without its source: correlation, and the slope of effects with its variance."""
    for source in sorted(queries["source"].unique()):
        effects = learnt(queries[queries["source"] != source])
        for name, part in queries[queries["source"] == source].groupby("benchmark"):
            if len(part) < LEAST_QUERIES:
                continue
            expected = effects.of(part["text"].tolist())
            x, y = expected - expected.mean(), part["effect"].to_numpy()
            slope = float(x @ y / (x @ x))
            error = float(((y - slope * x) ** 2).sum() / (len(y) - 2) / (x @ x))
            r = float(np.corrcoef(x, y)[0, 1])
            row = {"source": source, "benchmark": str(name), "queries": len(part)}
            yield {**row, "r": r, "slope": slope, "error": error}


def slopes(benchmarks: pd.DataFrame) -> tuple[float, float]:
    """Mean of the slopes of `left_out` and their standard deviation between benchmarks (DerSimonian & Laird 1986)."""
    slope, weight = benchmarks["slope"].to_numpy(), 1 / benchmarks["error"].to_numpy()
    spread = float(weight @ (slope - np.average(slope, weights=weight)) ** 2)
    freedom = weight.sum() - (weight**2).sum() / weight.sum()
    between = max(0.0, (spread - (len(slope) - 1)) / freedom)
    mean = np.average(slope, weights=1 / (1 / weight + between))
    return round(float(mean), 2), round(float(np.sqrt(between)), 2)


def main() -> None:
    """Parse, read, learn, write."""
    folder, mirror, cache, out = where(__doc__, FILE)
    queries = query_effects(public_prompts(folder, mirror, cache))
    benchmarks = pd.DataFrame(left_out(queries))
    print(benchmarks.round(3).to_string(index=False))
    slope, slope_sd = slopes(benchmarks)
    effects = learnt(queries, slope, slope_sd)
    told = {name: vars(effects)[name].tolist() for name in ("centre", "scale", "weights")}
    rows = [[*key, *values] for key, values in effects.benchmarks.items()]
    text = json.dumps({**told, "slope": slope, "slope_sd": slope_sd, "benchmarks": rows})
    out.write_text(f"{text}\n", "utf-8")
    print(f"slope {slope} (sd {slope_sd}); {out.name}: {len(queries):,} queries, {len(text) / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
