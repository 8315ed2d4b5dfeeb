"""Sentence embeddings against TF-IDF, paired, on the queries or benchmarks that tune: rows of two docs pages.

    pip install 'foretell[embeddings]'
    FORETELL_MIRROR=... python bench/embeddings_study.py tokens pricing-reversal
    python bench/embeddings_study.py tokens starter
    FORETELL_MIRROR=... python bench/embeddings_study.py scores mteb
    python bench/embeddings_study.py scores ladder

Tokens: cold forecasts of three folds over the queries of train + calibration, without models that are mostly cut off
and without arc-agi, which such a model alone has. Scores: five folds over leak groups (of MTEB's outer folds 0-3).
Texts are embedded whole, once: the cache lies under FORETELL_HOME. One JSON object a line; intervals are 95 %.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import pandas as pd
from benchmark_scores_study import SHOWN
from thinking_tokens_study import INPUTS, by_cell, explained, fit, load, say

from assets.benchmark_scores import PIPELINE, examples_from_scores, load_score_tables
from assets.score_evaluation import FOLDS
from assets.sources import Sources
from predictors.base import EVALUATION_LEVELS
from predictors.benchmark_scores.leakage import assign_folds
from predictors.metrics import compare, evaluate
from predictors.sentence_embeddings import EmbeddingCache, use_embedding_cache
from predictors.splits import assign_split
from predictors.thinking_tokens.predictor import ThinkingTokensPredictor

TOKENS: dict[str, tuple[str, ...]] = {
    "TF-IDF, as shipped": ("word", "char"),
    "sentence embeddings beside it": ("word", "char", "sentence"),
    "sentence embeddings alone": ("sentence",),
}
SCORES: dict[str, dict[str, Any]] = {
    "TF-IDF, as shipped": {},
    "sentence embeddings beside it": {"use_sentences": True},
    "sentence embeddings alone": {"use_sentences": True, "use_text": False},
}


def tokens(dataset: str) -> None:
    """Differences of CRPS and R2 to TF-IDF, lower and higher is better."""
    examples = load(dataset)
    examples = examples[(examples["split"] != "test") & ~examples["is_capped"] & (examples["benchmark"] != "arc-agi")]
    fold = assign_split(examples["query_id"], fractions={"a": 1 / 3, "b": 1 / 3, "c": 1 / 3}, salt="ablation")
    forecasts: dict[str, pd.DataFrame] = {}
    for name, text_parts in TOKENS.items():
        parts = []
        for k in ("a", "b", "c"):
            learn, test = examples[fold != k], examples[fold == k]
            predictor = fit(ThinkingTokensPredictor(refit=False, text_parts=text_parts), learn)
            parts.append(by_cell(test, predictor.predict_quantiles(test[INPUTS], EVALUATION_LEVELS)))
        forecasts[name] = pd.concat(parts)
        reference = next(iter(forecasts.values()))
        for segment, part in [("all", examples), *examples.groupby("benchmark")]:
            found = compare(part, forecasts[name], reference, metric="crps", scale="log")
            say(
                text=name, segment=segment, crps_difference=found.difference, lower=found.ci_lower, upper=found.ci_upper
            )
        r2, lower, upper = explained(examples, forecasts[name], reference)
        say(text=name, segment="all", r2_over_tfidf=r2, lower=lower, upper=upper)


def scores(dataset: str) -> None:
    """Mean absolute error in points, and the gain over TF-IDF."""
    root = Path(__file__).parents[1]
    home = Path(os.environ.get("FORETELL_HOME", root / ".foretell"))
    sources = Sources(root / "data" / "starter", home / "cache", os.environ.get("FORETELL_MIRROR"), home)
    examples = examples_from_scores(load_score_tables(dataset, sources))
    if dataset == "mteb":
        examples = examples[assign_folds(examples["leak_group"], FOLDS) != FOLDS - 1].reset_index(drop=True)
    folds = assign_folds(examples["leak_group"], FOLDS, salt="tuning")
    first: pd.DataFrame | None = None
    for name, settings in SCORES.items():
        parts = []
        for fold in range(FOLDS):
            train, test = examples[folds != fold], examples[folds == fold]
            model = PIPELINE.predictor(**settings)
            model.fit(PIPELINE.inputs(train), train["value"], groups=train["leak_group"])
            found = model.predict_quantiles(PIPELINE.inputs(test), (0.05, 0.5, 0.95))
            parts.append(found.set_axis(test["cell_id"]))
        forecast = pd.concat(parts)
        table = evaluate(
            examples.drop(columns="split"), forecast, predictor=name, family=PIPELINE.family, dataset=dataset,
            split="tuning", baseline=first, baseline_name=None if first is None else "TF-IDF",
            metrics=("mae", "coverage_90", "width_90"),
        )  # fmt: skip
        first = forecast if first is None else first
        for row in table.loc[table["segment"] == "all", SHOWN].to_dict("records"):
            say(**{str(column): value for column, value in row.items()})


def main() -> None:
    """Command line; see the module's docstring."""
    parser = argparse.ArgumentParser(description="Sentence embeddings against TF-IDF.")
    parser.add_argument("family", choices=["tokens", "scores"])
    parser.add_argument("dataset")
    args = parser.parse_args()
    home = Path(os.environ.get("FORETELL_HOME", ".foretell"))
    use_embedding_cache(EmbeddingCache(home / "cache" / "sentence_embeddings.npz"))
    {"tokens": tokens, "scores": scores}[args.family](args.dataset)


if __name__ == "__main__":
    main()
