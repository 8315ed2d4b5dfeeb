"""What it costs that the heads of thinking tokens learn from a part of the rows: CRPS with the part minus with all.

    python bench/rows_of_heads.py --rows 5e5                                  # made-up runs, the part of a large fit
    FORETELL_MIRROR=... python bench/rows_of_heads.py --caps 2500 5000 10000  # pricing-reversal, smaller parts

Made-up runs are those of bench/fit_rows.py, a twentieth of the queries held out; pricing-reversal is judged by three
folds over the queries of train + calibration; fits are not repeated after calibration. Log tokens; paired over
queries with 95 % intervals; above 0 the part is
worse. One JSON object a line.
"""

from __future__ import annotations

import argparse
import json
import time

import pandas as pd
from fit_rows import make_examples
from thinking_tokens_study import load

from foretell.assets.families.thinking_tokens.evaluation import regime_rows
from foretell.assets.families.thinking_tokens.family import FAMILY
from foretell.predictors.base import EVALUATION_LEVELS
from foretell.predictors.metrics import compare
from foretell.predictors.splits import assign_split
from foretell.predictors.thinking_tokens.heads import boosting
from foretell.predictors.thinking_tokens.predictor import ThinkingTokensPredictor

EVERY = 10**9
Forecasts = dict[str, tuple[pd.DataFrame, pd.DataFrame]]


def forecasts(learn: pd.DataFrame, test: pd.DataFrame, cap: int) -> Forecasts:
    """The runs of `test` that are not cut off and their quantiles, by regime, of a fit whose heads learn `cap` rows."""
    boosting.ROWS_LEARNT = cap
    began = time.process_time()
    inputs = learn[FAMILY.inputs(learn).columns]
    predictor = ThinkingTokensPredictor(num_threads=1, refit=False).fit(
        inputs, learn["value"], groups=learn["query_id"], is_censored=learn["is_censored"]
    )
    print(json.dumps({"cap": cap, "rows": len(learn), "fit_cpu_s": round(time.process_time() - began)}), flush=True)
    found = {}
    for regime in ("cold", "warm"):
        rows, X = regime_rows(FAMILY, test, regime)
        rows = rows[~rows["is_censored"]]
        if regime == "warm":
            X = X[X["context_models"].map(len) > 0]
            rows = rows[rows["cell_id"].isin(X.index)]
        X = X.loc[rows["cell_id"].unique()]
        found[regime] = rows, predictor.predict_quantiles(X, EVALUATION_LEVELS)
    return found


def judged(dataset: str, folds: list[tuple[pd.DataFrame, pd.DataFrame]], caps: list[int]) -> None:
    """Print the difference that each cap makes."""
    every = [forecasts(*fold, EVERY) for fold in folds]
    for cap in caps:
        capped = [forecasts(*fold, cap) for fold in folds]
        for regime in ("cold", "warm"):
            rows = pd.concat([found[regime][0] for found in every])
            a, b = (pd.concat([found[regime][1] for found in of]) for of in (capped, every))
            found = compare(rows, a, b, metric="crps", scale="log")
            lower, upper = found.interval()
            row = {"crps_difference": found.value, "lower": lower, "upper": upper}
            row = {name: round(float(value), 5) for name, value in row.items()}
            print(json.dumps({"dataset": dataset, "cap": cap, "regime": regime, **row}), flush=True)


def main() -> None:
    """Command line; see the module's docstring."""
    parser = argparse.ArgumentParser(description="Heads that learn from a part of the rows against all.")
    parser.add_argument("--rows", type=float, default=0, help="made-up rows instead of pricing-reversal")
    parser.add_argument("--caps", type=int, nargs="+", default=[boosting.ROWS_LEARNT])
    args = parser.parse_args()
    if args.rows:
        examples = make_examples(int(args.rows))
        names = {"cell_id": [f"cell {i}" for i in range(len(examples))], "replicate": 0, "split": "train"}
        examples = examples.assign(**names, is_capped=examples["is_censored"])
        shares, dataset = {"learn": 0.95, "test": 0.05}, "made-up"
    else:
        examples, dataset = load("pricing-reversal"), "pricing-reversal"
        examples = examples[examples["split"] != "test"]
        shares = {"a": 1 / 3, "b": 1 / 3, "c": 1 / 3}
    part = assign_split(examples["query_id"], fractions=shares, salt="rows of heads")
    judged_parts = ["test"] if args.rows else list(shares)
    folds = [(examples[part != name], examples[part == name]) for name in judged_parts]
    judged(dataset, folds, args.caps)


if __name__ == "__main__":
    main()
