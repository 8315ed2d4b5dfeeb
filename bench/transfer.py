"""Thinking tokens where the user is: another model, benchmark, source or day, left out of the public figures in turn.

    python bench/transfer.py                                       # every split, 20 left out of each kind, and targets
    python bench/transfer.py --shift new_model --clusters 60 --known cold
    python bench/transfer.py --ablations --clusters 12             # what each part is worth, paired
    python bench/transfer.py --estimated                           # token counts estimated by others learnt from too
    python bench/transfer.py --figure FILE                         # drawn from the table that is packaged

The splits are those of `foretell evaluate thinking_tokens --dataset public`
(`foretell.assets.families.thinking_tokens.shift`); this prints more of each, one JSON object a line, in natural log
tokens: what was left out counts equally, intervals are 95 % over it. `oracle_width` is the constant width about the
same medians that covers .90 in hindsight, `best_constant` the interval score of the best constant width. `reference_*`
is what needs no model: runs of the benchmark on other models; with anchors their own mean, or, where other models' runs
of the queries are known (`warm`), their line through these. Totals are of up to 60 requests.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from importlib.resources import files
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd

from foretell.assets.families import get_family
from foretell.assets.families.thinking_tokens.examples import public_examples
from foretell.assets.families.thinking_tokens.shift import KNOWN, SHIFTS, ShiftTerms, shift_splits
from foretell.assets.judging.splits import Split
from foretell.predictors.base import EVALUATION_LEVELS
from foretell.predictors.metrics import crps_quantiles
from foretell.predictors.thinking_tokens.predictor import ThinkingTokensPredictor
from foretell.predictors.thinking_tokens.shift import descriptors, effects

NAMES = {known.lstrip("_") or "cold": known for known in KNOWN}
LEVELS = np.array(EVALUATION_LEVELS)
ABLATIONS = ("names of models", "reasons", "effort", "prompt length", "prompt length x source")
COVERED = {"new_source": (0.86, 0.96)}
"""Where coverage is wanted elsewhere than in .88 to .95."""


def say(**row: object) -> None:
    """Print one row."""
    plain = {k: v.item() if isinstance(v, np.generic) else v for k, v in row.items()}
    print(json.dumps({k: round(v, 4) if isinstance(v, float) else v for k, v in plain.items()}), flush=True)


def interval(values: pd.Series) -> list[float]:
    """95 % of the mean, over what was left out, by bootstrap."""
    drawn = np.random.default_rng(0).integers(0, len(values), size=(2000, len(values)))
    return [round(float(end), 3) for end in np.quantile(values.to_numpy()[drawn].mean(axis=1), [0.025, 0.975])]


def errors(split: Split) -> pd.DataFrame:
    """Errors of each run of a split, with those of the reference."""
    rows = split.rounds[0].outcomes
    y = np.log(rows["value"].to_numpy(float))
    q = np.log(next(iter(split.models.values())).predict_quantiles(rows.set_index("cell_id"), EVALUATION_LEVELS))
    other = np.log(split.reference[1].predict_quantiles(rows.set_index("cell_id"), EVALUATION_LEVELS))
    median, lower, upper = q[0.5].to_numpy(), q[0.05].to_numpy(), q[0.95].to_numpy()
    outside = np.maximum(lower - y, 0) + np.maximum(y - upper, 0)
    return pd.DataFrame({
        "cluster": rows["left_out"].to_numpy(), "source": rows["source"].to_numpy(), "bias": y - median,
        "mae": np.abs(y - median), "covered": (y >= lower) & (y <= upper), "width": upper - lower,
        "score": upper - lower + 20 * outside, "crps": crps_quantiles(y, q.to_numpy(), LEVELS),
        "reference_mae": np.abs(y - other[0.5].to_numpy()),
        "reference_crps": crps_quantiles(y, other.to_numpy(), LEVELS),
    })  # fmt: skip


def summarise(split: Split, totals: Split) -> dict[str, Any]:
    """A line."""
    rows = errors(split)
    of_cluster = rows.drop(columns="source").groupby("cluster").mean()
    of_total = errors(totals).groupby("cluster")["covered"].mean()
    weight = (1 / rows.groupby("cluster")["bias"].transform("size")).to_numpy()
    off = np.abs(rows["bias"].to_numpy())
    order = np.argsort(off)
    oracle = 2 * off[order][np.searchsorted(np.cumsum(weight[order]), 0.9 * weight.sum())]
    halves = np.quantile(off, np.linspace(0.5, 0.995, 60))
    constant = min(float(np.average(2 * h + 20 * np.maximum(off - h, 0), weights=weight)) for h in halves)
    priced = rows[rows["source"] == "pricing-reversal"].groupby("cluster")["bias"].mean().abs()
    return {
        "split": split.name, "clusters": len(of_cluster), "coverage": of_cluster["covered"].mean(),
        "coverage_interval": interval(of_cluster["covered"]), "under_80": int((of_cluster["covered"] < 0.8).sum()),
        "crps": of_cluster["crps"].mean(), "crps_interval": interval(of_cluster["crps"]),
        "mae": of_cluster["mae"].mean(),
        "reference": split.reference[0], "reference_crps": of_cluster["reference_crps"].mean(),
        "gain_interval": interval(of_cluster["reference_crps"] - of_cluster["crps"]),
        "reference_mae": of_cluster["reference_mae"].mean(),
        "better_than_reference": float((of_cluster["crps"] < of_cluster["reference_crps"]).mean()),
        "bias": of_cluster["bias"].abs().mean(), "bias_pricing_reversal": float(priced.mean()) if len(priced) else None,
        "width": of_cluster["width"].mean(), "oracle_width": float(oracle), "score": of_cluster["score"].mean(),
        "best_constant": constant, "totals_inside": of_total.mean(), "totals_interval": interval(of_total),
        "totals": len(totals.rounds[0].outcomes),
    }  # fmt: skip


def draw(file: Path) -> None:
    """Width and coverage by what is known, of the table that is packaged beside the predictor."""
    import matplotlib.pyplot as plt

    table = pd.read_parquet(files("foretell") / "public" / "champions" / "thinking_tokens" / "evaluation.parquet")
    head = table[(table["segment"] == "all") & (table["predictor"] == "ThinkingTokensPredictor")]
    head = head[~head["split"].str.endswith("_total")].set_index(["metric", "split"])
    splits = [*(f"{shift}{k}" for k in ("", "_k5", "_k20") for shift in SHIFTS), "within"]
    splits = [name for name in splits if ("width_90", name) in head.index]
    places = range(len(splits))[::-1]
    figure, axes = plt.subplots(1, 2, figsize=(9, 4.2), sharey=True, layout="constrained")
    for ax, metric, title in zip(
        axes,
        ("width_90", "coverage_90"),
        ("width of the 90 % interval, log tokens", "share of runs inside it"),
        strict=True,
    ):
        rows = head.loc[metric].loc[splits]
        ends = [rows["value"] - rows["ci_lower"], rows["ci_upper"] - rows["value"]]
        ax.errorbar(rows["value"], places, xerr=np.maximum(ends, 0), fmt="o", color="#1f5f8b", capsize=2)
        ax.set_title(title, fontsize=10)
        ax.grid(axis="x", alpha=0.3)
    axes[0].set_yticks(list(places), [name.replace("_k", " + ").replace("_", " ") for name in splits])
    axes[1].axvline(0.9, color="0.4", lw=1, ls="--")
    figure.savefig(file, dpi=130)


def verdicts(lines: dict[str, dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """What must hold (issue 19), what was measured, and whether it does; with fewer than 20 left out none is passed."""
    for name, line in lines.items():
        low, high = COVERED.get(name, (0.88, 0.95))
        at = {"split": name, "clusters": line["clusters"]}
        ends = line["coverage_interval"]
        yield at | {
            "target": f"covered {low} to {high}, interval holds .90, score better than the best constant width",
            "measured": [round(float(v), 3) for v in (line["coverage"], *ends, line["score"], line["best_constant"])],
            "met": low <= line["coverage"] <= high
            and ends[0] <= 0.9 <= ends[1]
            and line["score"] < line["best_constant"],
        }
        yield at | {
            "target": "bills inside: interval holds .90", "measured": line["totals_interval"],
            "met": line["totals_interval"][0] <= 0.9 <= line["totals_interval"][1],
        }  # fmt: skip
        numbers: list[tuple[str, float, float]] = []
        if name in ("new_model", "new_model_warm"):
            numbers = [
                ("share of models covered under .8", line["under_80"] / line["clusters"], 0.1),
                ("width over the oracle's", line["width"] / line["oracle_width"], 1.2),
                ("mean absolute bias", line["bias"], 0.35),
            ]
            if line["bias_pricing_reversal"] is not None:
                numbers.append(("the same on pricing-reversal", line["bias_pricing_reversal"], 0.45))
        if name == "new_model_k5":
            numbers = [("mean absolute bias", line["bias"], 0.12)]
        if name == "new_benchmark":
            numbers = [("CRPS", line["crps"], 0.56)]
        if name == "new_source":
            numbers = [("minus gain over the constant", line["crps"] - line["reference_crps"], -0.2)]
        if name == "new_source_k20":
            numbers = [("MAE", line["mae"], 0.5)]
        if name.startswith("new_model_warm_k"):
            numbers = [("MAE over the regression's", line["mae"] / line["reference_mae"], 1.0)]
            if (own := lines.get(name.replace("_warm", ""))) is not None:
                numbers.append(("MAE over that of the own mean", line["mae"] / own["reference_mae"], 1.0))
        for target, measured, most in numbers:
            yield at | {"target": f"{target}: at most {most}", "measured": measured, "met": measured <= most}


def without(part: str) -> ExitStack:
    """The model without a part, while the stack is open."""
    stack, kept = ExitStack(), effects.EFFECTS
    if part == "reasons":
        stack.enter_context(patch.object(descriptors, "_reasons", lambda base, effort: 0.0))
    elif part == "effort":
        kept = tuple(effect for effect in kept if not effect.name.startswith("configuration"))
    elif part and part != "names of models":
        kept = tuple(effect for effect in kept if not effect.name.startswith(part))
    stack.enter_context(patch.object(effects, "EFFECTS", kept))
    return stack


def unnamed(runs: pd.DataFrame) -> pd.DataFrame:
    """Runs of models whose names say nothing."""
    codes, _ = pd.factorize(runs["model"])
    efforts = runs["reasoning_effort"].map(lambda effort: effort and f"effort of {effort}")
    return runs.assign(model=[f"unnamed{code:03d}" for code in codes], reasoning_effort=efforts)


def ablate(runs: pd.DataFrame, shifts: tuple[str, ...], clusters: int) -> None:
    """CRPS, coverage and interval score without each part, and how much worse than with all of them."""
    whole: dict[str, pd.DataFrame] = {}
    for part in ("", *ABLATIONS):
        terms = ShiftTerms(shifts, ("",), clusters)
        with without(part):
            rows = unnamed(runs) if part == "names of models" else runs
            splits = shift_splits(get_family("thinking_tokens"), rows, terms, ThinkingTokensPredictor(heads=False))
            for split in splits:
                next(splits)
                of_cluster = errors(split).drop(columns="source").groupby("cluster").mean()
                base = whole.setdefault(split.name, of_cluster)
                paired = len(of_cluster.index.intersection(base.index)) == len(base)
                worse = (of_cluster["crps"] - base["crps"]) if paired else None
                say(
                    without=part or None, split=split.name, clusters=len(of_cluster), crps=of_cluster["crps"].mean(),
                    worse=None if worse is None else worse.mean(), interval=None if worse is None else interval(worse),
                    coverage=of_cluster["covered"].mean(), under_80=int((of_cluster["covered"] < 0.8).sum()),
                    bias=of_cluster["bias"].abs().mean(), width=of_cluster["width"].mean(),
                    score=of_cluster["score"].mean(),
                )  # fmt: skip


def main() -> None:
    """Parse, judge, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shift", choices=SHIFTS, action="append", help="by default each")
    parser.add_argument("--known", choices=sorted(NAMES), action="append", help="by default everything")
    parser.add_argument("--clusters", type=int, default=20, help="at most so many left out of each kind")
    parser.add_argument("--ablations", action="store_true", help="cold forecasts without each part in turn")
    parser.add_argument("--estimated", action="store_true", help="learn from estimated counts, as sources of their own")
    parser.add_argument("--figure", type=Path, help="draw the packaged table there, and judge nothing")
    options = parser.parse_args()
    if options.figure:
        draw(options.figure)
        return
    started = time.process_time()
    runs = public_examples(("measured", "estimated") if options.estimated else ("measured",))
    say(runs=len(runs), sources=runs["source"].nunique(), models=runs["model"].nunique())
    if options.ablations:
        ablate(runs, tuple(options.shift or ("new_benchmark", "new_model")), options.clusters)
    else:
        known = tuple(NAMES[name] for name in options.known or NAMES)
        terms = ShiftTerms(tuple(options.shift or SHIFTS), known, options.clusters)
        splits = shift_splits(get_family("thinking_tokens"), runs, terms, ThinkingTokensPredictor(heads=False))
        lines = {}
        for split in splits:
            lines[split.name] = summarise(split, next(splits))
            say(**lines[split.name])
        for verdict in verdicts(lines):
            say(**verdict)
    say(cpu_s=time.process_time() - started)


if __name__ == "__main__":
    main()
