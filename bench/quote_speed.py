"""How long `foretell quote` takes once it has started: 10,000 requests on five models.

    python bench/quote_speed.py                        # a fit on the bundled traces, which is the demo's champion
    python bench/quote_speed.py --predictor FOLDER     # a saved predictor
    python bench/quote_speed.py --profile              # where the time goes

The requests are bundled prompts made distinct and filled up to `--characters`. Processor time is what counts on a
machine that others use; beside it stands a bare LightGBM forecast of as many rows by as many heads in this process.
"""

from __future__ import annotations

import argparse
import cProfile
import os
import pstats
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from foretell.assets.families.thinking_tokens.examples import examples_from_traces
from foretell.assets.lake.datasets import load_traces
from foretell.predictors.thinking_tokens.bill.quote import QuoteTerms, quote
from foretell.predictors.thinking_tokens.heads.distribution import HEAD_LEVELS
from foretell.predictors.thinking_tokens.predictor import ThinkingTokensPredictor
from foretell.predictors.thinking_tokens.prices.cost import price_requests

MODELS = ["SmolLM2-135M-Instruct", "gpt-5.2", "gpt-5-mini", "gemini-3-flash-preview", "claude-opus-4-6"]


def bundled() -> pd.DataFrame:
    """Examples of the bundled traces."""
    starter = Path("data/starter/local_llm_traces.jsonl.gz")
    traces = load_traces(
        "starter", starter=starter, cache=Path(".foretell/cache"), mirror=None, price=price_requests
    ).traces
    return examples_from_traces(traces)


def champion(examples: pd.DataFrame) -> ThinkingTokensPredictor:
    """What the demo registers."""
    columns = ["query_id", "model", "provider", "benchmark", "reasoning_effort", "prompt_text", "input_tokens",
               "max_tokens", "run_reasoning_tokens", "run_score"]  # fmt: skip
    learn = examples[examples["split"] != "test"]
    predictor = ThinkingTokensPredictor()
    predictor.fit(learn[columns], learn["value"], groups=learn["query_id"], is_censored=learn["is_censored"])
    return predictor


def batch(examples: pd.DataFrame, n: int, characters: int) -> pd.DataFrame:
    """`n` distinct requests of about so many characters."""
    prompts = sorted(examples["prompt_text"].dropna().unique())
    rng = np.random.default_rng(0)
    texts = []
    for i in range(n):
        text = f"{i}. {prompts[i % len(prompts)]}"
        while len(text) < characters:
            text += " " + prompts[int(rng.integers(len(prompts)))]
        texts.append(text[: max(characters, 40)])
    return pd.DataFrame({"prompt_text": texts, "max_tokens": 8_000.0})


def bare(n_rows: int, n_boosters: int) -> float:
    """Processor seconds of LightGBM alone: so many boosters of the heads' size on so many rows of 60 columns."""
    import lightgbm

    rng = np.random.default_rng(0)
    X = rng.normal(size=(2_000, 60))
    data = lightgbm.Dataset(X, label=X[:, 0] + rng.normal(size=2_000))
    settings = {"objective": "quantile", "num_leaves": 8, "num_threads": 1, "verbose": -1}
    booster: Any = lightgbm.train(settings, data, num_boost_round=80)
    asked = rng.normal(size=(n_rows, 60))
    started = time.process_time()
    for _ in range(n_boosters):
        booster.predict(asked, num_threads=1)
    return time.process_time() - started


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--predictor", type=Path)
    parser.add_argument("--save", type=Path, help="keep the fit here")
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--characters", type=int, default=400)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--profile", action="store_true")
    args = parser.parse_args()
    examples = bundled()
    predictor = champion(examples) if args.predictor is None else ThinkingTokensPredictor.load(args.predictor)
    if args.save is not None:
        predictor.save(args.save)
    requests = batch(examples, args.requests, args.characters)
    quote(predictor, requests.head(50), QuoteTerms(MODELS))
    if args.profile:
        profile = cProfile.Profile()
        profile.runcall(quote, predictor, requests, QuoteTerms(MODELS))
        pstats.Stats(profile).sort_stats("cumulative").print_stats(45)
        return
    for number in range(args.repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        found = quote(predictor, requests, QuoteTerms(MODELS))
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        rows = len(found.requests)
        print(f"run {number + 1}: {rows:,} forecasts, {args.characters} characters: {wall:.1f} s wall, {cpu:.1f} s CPU;"
              f" bare LightGBM {bare(rows, len(HEAD_LEVELS)):.1f} s CPU; load {os.getloadavg()[0]:.1f}")  # fmt: skip


if __name__ == "__main__":
    main()
