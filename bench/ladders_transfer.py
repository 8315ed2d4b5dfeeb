"""What earns its place in forecasts from ladders: every family of models left out in turn, its largest model asked.

    python bench/ladders_transfer.py laws        # laws alone and together, over families left out
    python bench/ladders_transfer.py champion    # OLMo 13B and 7B by task, from the predictor that comes with foretell
    python bench/ladders_transfer.py cod         # clustering on difficulty in the stack, at several weights

Families: those of the public figures and the own ladder. A family counts once, whatever the number of its models and
tasks; intervals are over families.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from foretell.assets.families.downstream_scaling.evaluation import scaling_splits
from foretell.assets.families.downstream_scaling.examples import examples_from_dataset, examples_from_measurements
from foretell.assets.families.downstream_scaling.family import FAMILY
from foretell.assets.families.downstream_scaling.measurements import MEASUREMENTS, PUBLIC, load_measurements
from foretell.pipelines.settings import Settings
from foretell.predictors.base import load_predictor
from foretell.predictors.downstream_scaling.combination import Evidence, gather
from foretell.predictors.downstream_scaling.ladder import read_ladders
from foretell.predictors.downstream_scaling.laws.methods import CANDIDATES, COD, METHODS
from foretell.predictors.downstream_scaling.predictor import ERROR_LEVELS, DownstreamScalingPredictor

ASKED = (0.05, 0.25, 0.5, 0.75, 0.95)
FOLDS = 6


def asked() -> tuple[pd.DataFrame, Evidence, tuple[str, ...]]:
    """Examples with their family and whether they ask for a family's largest model, and what every law says."""
    sources = Settings().sources
    measured = pd.concat([load_measurements(name, sources)[MEASUREMENTS] for name in ("ladder", *PUBLIC)])
    kind = measured["benchmark"].str.startswith(("hendrycksTest", "bbh"))
    measured = measured[~kind | (pd.util.hash_pandas_object(measured["benchmark"], index=False) % 4 == 0).to_numpy()]
    top = measured.groupby(["dataset", "ladder", "benchmark"])["train_flops"].transform("max")
    measured["is_target"] |= measured["train_flops"] == top
    rows = examples_from_measurements(measured)
    rows["is_largest"] = rows["split"] == "test"
    ladders = read_ladders(FAMILY.inputs(rows.set_index("cell_id")))
    rows["levels"] = [len(ladder.levels) for ladder in ladders]
    names = tuple(METHODS)
    return rows, gather([replace(ladder, pass_rates=None) for ladder in ladders], names), names


def of_laws(evidence: Evidence, names: Sequence[str], kept: Sequence[str]) -> Evidence:
    """The evidence of some laws."""
    at = [list(names).index(name) for name in kept]
    return replace(evidence, z=evidence.z[:, at], own_errors=evidence.own_errors[:, :, at])


def left_out(rows: pd.DataFrame, evidence: Evidence, laws: tuple[str, ...]) -> np.ndarray:
    """Quantiles of fits without the family, columns `ASKED` and `ERROR_LEVELS`."""
    family = pd.factorize(rows["family"])[0]
    score, levels = rows["value"].to_numpy(), np.r_[ASKED, ERROR_LEVELS]
    fitted = np.empty((len(score), len(levels)))
    for fold in range(FOLDS):
        out = family % FOLDS == fold
        predictor = DownstreamScalingPredictor(candidates=laws)
        predictor._learn(evidence.take(~out), score[~out], pd.factorize(family[~out])[0])
        fitted[out] = predictor._quantiles(evidence.take(out), levels)
    return fitted


def judged(rows: pd.DataFrame, quantiles: np.ndarray) -> pd.DataFrame:
    """Errors, whether intervals hold, widths and expected errors of the largest models."""
    score = rows["value"].to_numpy()
    table = rows[["family", "source", "levels"]].assign(
        error=np.abs(quantiles[:, 2] - score), in_50=(score >= quantiles[:, 1]) & (score <= quantiles[:, 3]),
        in_90=(score >= quantiles[:, 0]) & (score <= quantiles[:, 4]), width_50=quantiles[:, 3] - quantiles[:, 1],
        width_90=quantiles[:, 4] - quantiles[:, 0],
        expected=np.abs(quantiles[:, len(ASKED):] - quantiles[:, [2]]).mean(axis=1),
        floor=np.sqrt(2 / np.pi) * rows["standard_error"],
    )  # fmt: skip
    return table[rows["is_largest"].to_numpy()]


def over_families(table: pd.DataFrame, column: str) -> str:
    """Mean over families with its 95 % interval."""
    means = table.groupby("family")[column].mean()
    error = 2.0 * means.std(ddof=1) / np.sqrt(len(means))
    return f"{means.mean():.2f} [{means.mean() - error:.2f}, {means.mean() + error:.2f}]"


def laws() -> None:
    """The table of laws, alone and together."""
    rows, evidence, names = asked()
    largest = rows[rows["is_largest"]]
    print(f"{len(rows)} forecasts, {len(largest)} of largest models, {rows['family'].nunique()} families")
    points = evidence.to_points(evidence.z)
    last = points[:, names.index("last")]
    print("\n| law alone (last value where it does not apply) | error, points | applies |\n|---|---|---|")
    for k, name in enumerate(names):
        error = np.abs(np.where(np.isfinite(points[:, k]), points[:, k], last) - rows["value"])
        table = rows.assign(error=error)[rows["is_largest"]]
        print(f"| {name} | {over_families(table, 'error')} | {np.isfinite(points[rows['is_largest'], k]).mean():.2f} |")
    stack = tuple(name for name in CANDIDATES if name != COD)
    print("\n| laws together | fitted without the family | 50 % | 90 % |\n|---|---|---|---|")
    kept = {}
    for called, some in {
        "all of the stack": stack, **{f"without {name}": tuple(n for n in stack if n != name) for name in stack},
    }.items():  # fmt: skip
        after = judged(rows, left_out(rows, of_laws(evidence, names, some), some))
        kept.setdefault("stack", after)
        print(f"| {called} | {over_families(after, 'error')} | {over_families(after, 'in_50')} | "
              f"{over_families(after, 'in_90')} |")  # fmt: skip
    table = kept["stack"]
    print(f"\nfloor {over_families(table, 'floor')}; width of 50 % {over_families(table, 'width_50')}, of 90 % "
          f"{over_families(table, 'width_90')}")  # fmt: skip
    columns = ["error", "floor", "in_50", "in_90", "width_50", "width_90", "expected"]
    print("\n", table.groupby("source")[columns].mean().assign(n=table.groupby("source").size()).round(2).to_string())
    levels = table["levels"].clip(upper=5)
    print("\n", table.groupby(levels)[columns].mean().assign(n=table.groupby(levels).size()).round(2).to_string())
    print("\n| abstains from an expected error of | kept | error kept | error of the others |\n|---|---|---|---|")
    for most in (5, 6, 8, 10, 12):
        is_kept = table["expected"] < most
        print(f"| {most} | {is_kept.mean():.2f} | {table.loc[is_kept, 'error'].mean():.2f} | "
              f"{table.loc[~is_kept, 'error'].mean():.2f} |")  # fmt: skip


def champion() -> None:
    """OLMo's targets by task from the predictor that comes with the package, beside untrained defaults."""
    sources = Settings().sources
    shipped = load_predictor(Path(sources.public) / "champions" / FAMILY.name)
    examples = examples_from_dataset("olmo-ladder", sources)
    for split in scaling_splits(FAMILY, examples, "olmo-ladder", sources):
        inputs, outcomes = split.rounds[0].inputs, split.rounds[0].outcomes.set_index("cell_id")
        for name, predictor in {"shipped": shipped, "defaults": DownstreamScalingPredictor.with_defaults()}.items():
            quantiles = predictor.predict_quantiles(inputs, (0.05, 0.5, 0.95))
            error = (quantiles[0.5] - outcomes["value"]).abs()
            inside = outcomes["value"].between(quantiles[0.05], quantiles[0.95])
            by_task = ", ".join(f"{task} {e:.1f}" for task, e in zip(outcomes["benchmark"], error, strict=True))
            half = 2.365 * error.std(ddof=1) / np.sqrt(len(error))
            print(f"{split.name} {name}: {error.mean():.2f} [{error.mean() - half:.2f}, {error.mean() + half:.2f}], "
                  f"90 % holds {inside.sum()} of {len(inside)}: {by_task}")  # fmt: skip


def cod() -> None:
    """The stack with clustering on difficulty at several weights, on targets whose items are known."""
    sources = Settings().sources
    for dataset in ("ladder", "pythia-arithmetic"):
        rows = examples_from_dataset(dataset, sources)
        rows = rows[rows["split"] == "test"]
        evidence = gather(read_ladders(FAMILY.inputs(rows.set_index("cell_id"))), CANDIDATES)
        answers = np.isfinite(evidence.z[:, -1])
        print(f"{dataset}: COD answers {answers.sum()} of {len(rows)}")
        for prior in (-np.inf, -2.0, -1.0, 0.0, 2.0, np.inf):
            weights = evidence.weights
            weights[:, -1] *= np.exp(np.clip(prior, -60, 60))
            location = (weights * np.nan_to_num(evidence.z)).sum(axis=1) / weights.sum(axis=1)
            error = np.abs(evidence.to_points(location) - rows["value"].to_numpy())
            print(f"  weight exp({prior:g}): {error.mean():.2f} on all, {error[answers].mean():.2f} where it answers")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("laws", "champion", "cod"))
    {"laws": laws, "champion": champion, "cod": cod}[parser.parse_args().part]()
