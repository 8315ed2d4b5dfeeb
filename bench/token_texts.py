"""What texts are worth where nothing was learnt from them: public prompts of a source that the weights never saw.

    FORETELL_MIRROR=... python bench/token_texts.py                    # or --split new_model alone

Each source with prompts is left out of the weights in turn (`foretell.collect.public_texts`). One JSON object a line:
`new_benchmark` leaves out a benchmark of it from the figures too and knows 5 or 20 runs of each cell; `new_model`
leaves out a model from all figures: nothing is known of it, the benchmark is; `new_source` leaves the source out of the
figures, and its means count sources equally. Each is forecast with and without texts;
the reference is the mean of the anchors. Errors are of natural log tokens, by benchmark, at most 60 runs of a cell.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd

from foretell.assets.families.thinking_tokens.examples import public_examples
from foretell.collect.public_texts import (
    LEAST_QUERIES,
    described,
    learnt,
    left_out,
    public_prompts,
    query_effects,
    slopes,
)
from foretell.predictors.base import EVALUATION_LEVELS
from foretell.predictors.metrics import crps_quantiles
from foretell.predictors.model_names import model_keys
from foretell.predictors.thinking_tokens.predictor import ThinkingTokensPredictor
from foretell.predictors.thinking_tokens.shift import unseen
from foretell.predictors.thinking_tokens.shift.cells import CELL
from foretell.predictors.thinking_tokens.shift.texts import TextEffects

RUNS_OF_CELL, LEAST_RUNS = 60, 5
CONFIG = ["model", "reasoning_effort"]


def fitted(figures: pd.DataFrame) -> ThinkingTokensPredictor:
    """The forecaster of unseen cells, without texts."""
    X = figures[[*CELL, "input_tokens"]]
    rows = {"groups": figures["query_id"], "is_censored": figures["is_censored"]}
    return ThinkingTokensPredictor(heads=False).fit(X, figures["value"], **rows)


def reading(predictor: ThinkingTokensPredictor, effects: TextEffects) -> ThinkingTokensPredictor:
    """The same that reads texts."""
    twin, cells = copy.copy(predictor), copy.copy(predictor.unseen_)
    known = {cell[:2] for cell in cells.seen_.n_runs}
    cells.texts_ = effects
    cells.lines_ = {key: unseen.public_line(effects, *of) for key, of in effects.benchmarks.items() if key in known}
    twin.unseen_ = cells
    return twin


def judged(predictor: ThinkingTokensPredictor, anchors: pd.DataFrame, rest: pd.DataFrame) -> pd.DataFrame:
    """Errors of the forecasts of `rest` after `anchors`."""
    if len(anchors):
        predictor = predictor.adapt(anchors[[*CELL, "prompt_text", "query_id"]], anchors["output_tokens"])
    q = np.log(predictor.predict_quantiles(rest[[*CELL, "prompt_text", "query_id"]], EVALUATION_LEVELS))
    y = np.log(rest["output_tokens"].to_numpy())
    covered = (y >= q[0.05].to_numpy()) & (y <= q[0.95].to_numpy())
    crps = crps_quantiles(y, q.to_numpy(), np.array(EVALUATION_LEVELS))
    return pd.DataFrame({"mae": np.abs(y - q[0.5].to_numpy()), "crps": crps, "covered": covered})


def drawn(runs: pd.DataFrame, k: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The first `k` runs of each cell in a drawn order, and others of it."""
    runs = runs.sample(frac=1.0, random_state=1)
    runs = runs[runs.groupby(CELL)["output_tokens"].transform("size") >= k + LEAST_RUNS]
    place = runs.groupby(CELL).cumcount()
    rest = runs[(place >= k) & (place < k + RUNS_OF_CELL)]
    return runs[place < k].reset_index(drop=True), rest.reset_index(drop=True)


def of_benchmarks(runs: pd.DataFrame, figures: pd.DataFrame, effects: TextEffects) -> Iterator[dict[str, object]]:
    """Each benchmark of a source, whose runs are `runs`, left out."""
    source = runs["source"].iloc[0]
    for name, own in runs.groupby("benchmark"):
        if own["text"].nunique() < 2 * LEAST_QUERIES:
            continue
        left = fitted(figures[(figures["source"] != source) | (figures["benchmark"] != name)])
        for k in (5, 20):
            anchors, rest = drawn(own, k)
            if rest.empty:
                continue
            mean = anchors.groupby(CELL)["output_tokens"].apply(lambda tokens: np.log(tokens).mean())
            usual = rest[CELL].merge(mean.rename("mean"), left_on=CELL, right_index=True, how="left")["mean"]
            off = np.abs(np.log(rest["output_tokens"]) - usual.to_numpy())
            plain, read = judged(left, anchors, rest), judged(reading(left, effects), anchors, rest)
            split = {"split": f"new_benchmark_k{k}", "benchmark": name, "own_mean_mae": off.mean()}
            yield {**split, **compared(plain, read)}


def of_models(runs: pd.DataFrame, figures: pd.DataFrame, effects: TextEffects) -> Iterator[dict[str, object]]:
    """Each model of a source, whose runs are `runs`, left out, by benchmark."""
    keys = {model: model_keys(model)[-1] for model in {*runs["model"], *figures["model"]}}
    by_benchmark: dict[str, list[tuple[pd.DataFrame, pd.DataFrame]]] = {}
    for model in sorted(set(runs["model"].map(keys))):
        left = fitted(figures[figures["model"].map(keys) != model])
        for name, own in runs[runs["model"].map(keys) == model].groupby("benchmark"):
            anchors, rest = drawn(own, 0)
            if own["text"].nunique() >= 2 * LEAST_QUERIES and len(rest):
                parts = judged(left, anchors, rest), judged(reading(left, effects), anchors, rest)
                by_benchmark.setdefault(str(name), []).append(parts)
    for name, parts in by_benchmark.items():
        plain, read = (pd.concat(part) for part in zip(*parts, strict=True))
        yield {"split": "new_model", "benchmark": name, "models": len(parts), **compared(plain, read)}


def compared(plain: pd.DataFrame, read: pd.DataFrame) -> dict[str, object]:
    """Means without and with texts."""
    return {f"{name}{end}": part[name].mean() for end, part in (("", plain), ("_text", read)) for name in plain}


def of_source(runs: pd.DataFrame, figures: pd.DataFrame, effects: TextEffects) -> Iterator[dict[str, object]]:
    """A source, whose runs are `runs`, left out of the figures too, by benchmark."""
    left = fitted(figures[figures["source"] != runs["source"].iloc[0]])
    for name, own in runs.groupby("benchmark"):
        anchors, rest = drawn(own, 0)
        if len(rest):
            plain, read = judged(left, anchors, rest), judged(reading(left, effects), anchors, rest)
            yield {"split": "new_source", "benchmark": name, **compared(plain, read)}


SPLITS = {"new_benchmark": of_benchmarks, "new_model": of_models, "new_source": of_source}


def main() -> None:
    """Leave sources out, judge, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--split", choices=SPLITS, action="append", help="by default all")
    parser.add_argument(
        "--level-slope", type=float, default=unseen.LEVEL_SLOPE, help="of texts where no source is known"
    )
    options = parser.parse_args()
    splits, unseen.LEVEL_SLOPE = options.split or list(SPLITS), options.level_slope
    mirror = Path(os.environ["FORETELL_MIRROR"])
    cache = Path(os.environ.get("FORETELL_HOME", ".foretell")) / "cache"
    runs = public_prompts(mirror.parent / "snapshots" / "token_traces", str(mirror), cache)
    runs["prompt_text"], runs["query_id"] = runs["text"], "q" + pd.factorize(runs["text"])[0].astype(str)
    effects, figures = query_effects(runs), public_examples(("measured",))
    figures = figures.assign(**{name: figures[name].fillna("") for name in ("benchmark", "reasoning_effort")})
    slopes_of, table = pd.DataFrame(left_out(effects)), []
    print(slopes_of.round(3).to_string(index=False), slopes(slopes_of), flush=True)
    for source, own in runs.groupby("source"):
        # Where the texts of the source lie is known without its answers; how far to follow them, from other sources.
        others = slopes(slopes_of[slopes_of["source"] != source])
        weights = learnt(effects[effects["source"] != source], *others)
        known = described(weights, effects[effects["source"] == source])
        weights = replace(known, elsewhere=weights.elsewhere)
        for row in chain.from_iterable(SPLITS[split](own, figures, weights) for split in splits):
            table.append({"source": source, **row})
            print(json.dumps({k: round(v, 4) if isinstance(v, float) else v for k, v in table[-1].items()}), flush=True)
    for split, part in pd.DataFrame(table).groupby("split"):
        by_source = part.groupby("source").mean(numeric_only=True)
        if split == "new_source":
            part = by_source
        for what in ("mae", "crps"):
            gain = part[what] - part[f"{what}_text"]
            draws = np.random.default_rng(0).integers(0, len(gain), size=(2000, len(gain)))
            ends = np.quantile(gain.to_numpy()[draws].mean(axis=1), [0.025, 0.975]).round(4).tolist()
            own = {} if "_k" not in split else {
                "own_mean_mae": round(float(part["own_mean_mae"].mean()), 4),
                "better_than_own_mean_on": round(float((part["mae_text"] < part["own_mean_mae"]).mean()), 3),
            }  # fmt: skip
            print(json.dumps({
                "split": split, "left_out": len(gain), "sources": len(by_source), "metric": what,
                "without": round(float(part[what].mean()), 4), "with": round(float(part[f"{what}_text"].mean()), 4),
                "gain": round(float(gain.mean()), 4), "interval": ends, "better_on": round(float((gain > 0).mean()), 3),
                "covered": [round(float(part[name].mean()), 3) for name in ("covered", "covered_text")],
                **own,
            }), flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
