"""Early stopping of runs that are trained side by side: budget saved and regret, against the rules that read ranks.

    OMP_NUM_THREADS=1 python bench/early_stopping.py [algoperf] [lcdb] [--settings 3]

``algoperf``: every base workload forecast by a fit to the others. The runs of a workload and metric (one per setting,
seeds drawn anew `ORDERS` times) are trained side by side, in shares of their own logged points: at 20, 40, 60 and 80 %
some are stopped. The budget is points trained, the regret what the best run that finished is behind the best of all, in
shares of its 5-95 % range; the floor is the standard deviation of its last value over seeds.

``lcdb``: the learners of each test data set, by the fit to the training data sets, stopped at 10, 20, 40 and 80 % of
their anchors. The budget is training items over all anchors trained, the regret is in accuracy, the floor the standard
error of the best learner's mean accuracy.

Policies: *forecast*: stop what is less likely than a threshold to end above the median forecast of the best; *halving*
(synchronous): keep the best 1/eta by the last value at every rung; *ASHA* (Li et al. 2020): runs come one after the
other, and go on where they are among the best 1/eta of those that have come so far; *Hyperband* (Li et al. 2018): runs
are dealt to four brackets, of which the k-th halves from the k-th rung on; *last value*: stop what is behind the best
by a gap. Every threshold is a row, so that equal budgets can be read off.
Intervals (95 %) are over base workloads, or data sets. Learners tried one after the other:
`bench/learning_curves_study.py`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
import pandas as pd
from curves_gallery import whole_curves
from curves_transfer import fitted, told
from learning_curves_study import budgets
from numpy.typing import NDArray

from foretell.assets.families.learning_curves.evaluation import JUDGED
from foretell.assets.families.learning_curves.examples import (
    LCDB_CUTS,
    RUN_CUTS,
    TRAINING_RUNS,
    load_lcdb,
    usable_curves,
)
from foretell.assets.families.learning_curves.family import FAMILY
from foretell.pipelines.settings import Settings
from foretell.predictors.learning_curves.forecaster import CurveForecaster

Floats = NDArray[np.float64]
Keep = Callable[[pd.DataFrame], NDArray[np.bool_]]
"""(runs still trained at a cut: `last`, `median`, `scale`, better upwards; `rung`, `bracket`) -> which go on."""
ORDERS = 20


def forecast_rule(threshold: float) -> Keep:
    """Go on where ending above the best median forecast is likely enough; a normal with the forecast's spread."""
    from scipy.special import ndtr

    return lambda runs: np.asarray(
        (1 - ndtr((runs["median"].max() - runs["median"]) / runs["scale"]) >= threshold)
        | (runs["median"] == runs["median"].max())
    )


def halving_rule(eta: float) -> Keep:
    """The best 1/eta by the last value, one at least."""
    return lambda runs: np.asarray(runs["last"].rank(ascending=False, method="first") <= max(1, len(runs) // eta))


def asha_rule(eta: float) -> Keep:
    """The best 1/eta, one at least, of the runs that have come to this rung so far, in the order of the rows."""

    def keep(runs: pd.DataFrame) -> NDArray[np.bool_]:
        last = runs["last"].to_numpy()
        ranks = np.array([1 + (last[:i] > last[i]).sum() for i in range(len(last))])
        return np.asarray(ranks <= np.maximum(1, (np.arange(len(last)) + 1) // eta))

    return keep


def hyperband_rule(eta: float) -> Keep:
    """Halving within each bracket, from its own rung on."""

    def keep(runs: pd.DataFrame) -> NDArray[np.bool_]:
        by_bracket = runs.groupby("bracket")["last"]
        best = by_bracket.rank(ascending=False, method="first") <= np.maximum(1, by_bracket.transform("size") // eta)
        return np.asarray(best | (runs["bracket"] > runs["rung"]))

    return keep


def gap_rule(gap: float) -> Keep:
    """Go on where the last value is behind the best by no more than `gap` of the best run's range."""
    return lambda runs: np.asarray(runs["last"] >= runs["last"].max() - gap * runs["width"].median())


RULES: dict[str, Keep] = {
    **{f"forecast < {t:g}": forecast_rule(t) for t in (0.01, 0.05, 0.1, 0.2)},
    **{f"halving, eta {eta:g}": halving_rule(eta) for eta in (1.25, 1.5, 2, 3)},
    **{f"ASHA, eta {eta:g}": asha_rule(eta) for eta in (1.5, 2, 3)},
    **{f"Hyperband, eta {eta:g}": hyperband_rule(eta) for eta in (1.5, 2, 3)},
    **{f"last value, {gap:g} behind": gap_rule(gap) for gap in (0.05, 0.1, 0.2, 0.4)},
}


def read_runs(model: CurveForecaster, rows: pd.DataFrame, width: Floats) -> pd.DataFrame:
    """What every policy reads of each run and cut, in the unit that `width` (n,) brings values to, better upwards."""
    made = model.distribution(FAMILY.inputs(rows))
    low, median, high = made.quantiles(np.array((0.25, 0.5, 0.75))).to_numpy().T
    up = made.scale.sign * width
    last = np.array([values[-1] for values in rows["values"]])
    return rows[["dataset", "metric", "cut", "query_id"]].assign(
        curve=rows["cell_id"].str.rsplit("/", n=1).str[0], last=up * last, median=up * median,
        scale=np.maximum(width * (high - low) / 1.35, 1e-12), end=up * rows["value"].to_numpy(), width=width,
        spread=width * rows["standard_error"].to_numpy(),
    )  # fmt: skip


def simulate(runs: pd.DataFrame, keep: Keep, rng: np.random.Generator) -> tuple[float, float]:
    """Share of the budget saved, and regret in shares of the best run's range, of one draw of a run per setting.

    `runs` has a row per run and cut, as of `read_runs`, with `setting`, `spent` (up to the cut) and `total` budget.
    """
    cuts = list(dict.fromkeys(runs["cut"]))
    drawn = np.flatnonzero(runs["cut"] == cuts[0])
    drawn = rng.permutation(drawn)
    drawn = drawn[~runs["setting"].iloc[drawn].duplicated().to_numpy()]
    place = {key: i for i, key in enumerate(zip(runs["cut"], runs["curve"], strict=True))}
    curves, ends = runs["curve"].iloc[drawn].to_numpy(), runs["end"].to_numpy()[drawn]
    total = runs["total"].to_numpy()[drawn]
    spent, alive = total.copy(), np.arange(len(drawn))
    for rung, cut in enumerate(cuts):
        if len(alive) < 2:
            break
        now = runs.iloc[[place[cut, curve] for curve in curves[alive]]]
        going = keep(now.assign(rung=rung, bracket=alive % len(cuts)))
        spent[alive[~going]] = now["spent"].to_numpy()[~going]
        alive = alive[going]
    best = ends.argmax()
    return 1 - spent.sum() / total.sum(), (ends[best] - ends[alive].max()) / runs["width"].to_numpy()[drawn[best]]


def replay(runs: pd.DataFrame) -> pd.DataFrame:
    """Every policy on the runs of every workload and metric, a row each: what was saved, regret, floor."""
    results = []
    for (workload, metric), part in runs.groupby(["dataset", "metric"]):
        best = part.loc[part["end"].idxmax()]
        for name, keep in RULES.items():
            rng = np.random.default_rng(0)
            saved, regret = np.mean([simulate(part, keep, rng) for _ in range(ORDERS)], axis=0)
            results.append({"policy": name, "workload": workload, "metric": metric, "base": best["query_id"],
                            "saved": saved, "regret": regret, "floor": best["spread"] / best["width"]})  # fmt: skip
    return pd.DataFrame(results)


def show(table: pd.DataFrame) -> None:
    """Print the floor and a row per policy."""
    floor = table[table["policy"] == table["policy"].iloc[0]]
    print(f"floor of the best run: {told(floor['floor'], floor['base'])} (median {floor['floor'].median():.4f})")
    for name, part in table.groupby("policy", sort=False):
        inside = (part["regret"] <= part["floor"]).mean()
        print(f"{name:24s} saved {told(part['saved'], part['base'])}; regret {told(part['regret'], part['base'])} "
              f"(median {part['regret'].median():.4f}); within the floor {inside:.2f} of {len(part)} workloads and "
              "metrics", flush=True)  # fmt: skip


def algoperf(settings: Settings, every_setting: int) -> None:
    """Part ``algoperf``."""
    examples = FAMILY.examples(TRAINING_RUNS, settings.sources).set_index("cell_id", drop=False)
    names = examples.drop_duplicates("setting")
    learnt = names.loc[names.groupby("dataset").cumcount() % every_setting == 0, "setting"]
    judged = examples[(examples["source"] == JUDGED) & ~examples["metric"].str.contains("train")]
    results = []
    for base, rows in judged.groupby("query_id"):
        model = fitted(FAMILY.name, examples[(examples["query_id"] != base) & examples["setting"].isin(learnt)])
        runs = read_runs(model, rows, whole_curves(settings.sources, rows)["width"].to_numpy())
        share = rows["cut"].map({f"{cut:.0%}": cut for cut in RUN_CUTS})
        results.append(replay(runs.assign(setting=rows["setting"], spent=share, total=1.0)))
        print(f"{base}: {len(rows)} forecasts", flush=True)
    show(pd.concat(results))


def lcdb(settings: Settings) -> None:
    """Part ``lcdb``."""
    examples = FAMILY.examples("lcdb", settings.sources).set_index("cell_id", drop=False)
    train, test = (examples[examples["split"] == name] for name in ("train", "test"))
    cost = budgets(usable_curves(load_lcdb(settings.sources)))
    spent = np.array([cost[key] for key in zip(test["dataset"], test["learner"], strict=True)])
    place = test["cut"].map({f"{cut:.0%}": i for i, cut in enumerate(LCDB_CUTS)}).to_numpy()
    runs = read_runs(fitted(FAMILY.name, train), test, np.ones(len(test)))
    show(replay(runs.assign(setting=test["learner"], spent=spent[np.arange(len(test)), place], total=spent[:, -1])))


def main() -> None:
    """Forecast, replay every policy, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = ["algoperf", "lcdb"]
    parser.add_argument("parts", nargs="*", choices=[*names, "all"], default="all")
    parser.add_argument("--settings", type=int, default=1, help="learn from one of so many settings of each workload")
    options = parser.parse_args()
    parts = names if "all" in options.parts else options.parts
    if "algoperf" in parts:
        algoperf(Settings(), options.settings)
    if "lcdb" in parts:
        lcdb(Settings())


if __name__ == "__main__":
    main()
