"""How low the error of pilots can go on lrm-token-economy: the best linear rules, fitted to the very runs they judge.

    FORETELL_MIRROR=... python bench/lrm_limits.py

A later run of a cell (model x prompt) is forecast from its first run, from what the prompt took on other models, and
from means of the model and of the model x type. Weights minimise the absolute error in log tokens on all runs at once,
so that no rule of this form has less on new prompts but by chance; intervals are 95 % over prompts.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd

from foretell.assets.families.thinking_tokens.examples import examples_from_traces
from foretell.assets.lake.datasets import load_traces
from foretell.predictors.thinking_tokens.prices.cost import price_requests


def runs_of_lrm() -> pd.DataFrame:
    """One row per later run: `z` (log tokens), its cell's first run, the prompt on other models, means of the model."""
    cache = Path(os.environ.get("FORETELL_HOME", ".foretell")) / "cache"
    traces = load_traces("lrm-token-economy", starter=Path(), cache=cache, mirror=os.environ.get("FORETELL_MIRROR"),
                         price=price_requests).traces  # fmt: skip
    runs = examples_from_traces(traces)
    runs["z"] = np.log(runs["value"])
    centred = runs["z"] - runs.groupby("model")["z"].transform("mean")
    cell = ["model", "query_id"]
    sums = centred.groupby(runs["query_id"]).agg(["sum", "size"])
    own = centred.groupby([runs[c] for c in cell]).agg(["sum", "size"])
    keys = pd.MultiIndex.from_frame(runs[cell])
    others = sums.loc[runs["query_id"]].to_numpy() - own.loc[keys].to_numpy()
    first = runs[runs["replicate"] == 0].set_index(cell)["z"]
    later = runs.assign(
        pilot=first.reindex(keys).to_numpy(),
        by_others=others[:, 0] / others[:, 1] + runs.groupby("model")["z"].transform("mean"),
        of_model=runs.groupby("model")["z"].transform("mean"),
        of_type=runs.groupby(["model", "benchmark"])["z"].transform("mean"),
    )
    return later[(later["replicate"] > 0) & later["pilot"].notna()]


def best_linear(later: pd.DataFrame, columns: list[str]) -> np.ndarray:
    """Absolute error of each run under the weights that make their mean least; shape (n_runs,)."""
    from sklearn.linear_model import QuantileRegressor

    fitted = QuantileRegressor(quantile=0.5, alpha=0.0, solver="highs").fit(later[columns], later["z"])
    return np.abs(later["z"].to_numpy() - fitted.predict(later[columns]))


def main() -> None:
    """Print one JSON object a rule."""
    later = runs_of_lrm()
    rules = {
        "the pilot itself": None,
        "pilot and means of the model": ["pilot", "of_model", "of_type"],
        "pilot, other models and means": ["pilot", "by_others", "of_model", "of_type"],
    }
    codes, names = pd.factorize(later["query_id"])
    draws = np.random.default_rng(0).multinomial(len(names), np.full(len(names), 1 / len(names)), size=2000)
    for name, columns in rules.items():
        error = (later["z"] - later["pilot"]).abs().to_numpy() if columns is None else best_linear(later, columns)
        per_prompt = np.bincount(codes, error) / np.bincount(codes)
        lower, upper = np.quantile(draws @ per_prompt / len(names), [0.025, 0.975])
        print(json.dumps({"rule": name, "n_runs": len(later), "mae": round(float(per_prompt.mean()), 4),
                          "lower": round(float(lower), 4), "upper": round(float(upper), 4)}))  # fmt: skip


if __name__ == "__main__":
    main()
