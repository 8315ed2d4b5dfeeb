"""Early stopping of training runs: budget saved and regret, against successive halving of the same budget.

    OMP_NUM_THREADS=1 python bench/early_stopping.py [--settings 3]

AlgoPerf, every base workload forecast by a fit to the others. The runs of a workload and metric (one per setting, seeds
drawn anew `ORDERS` times) are trained side by side, in shares of their own logged points: at 20, 40, 60 and 80 % some
are stopped. The budget is points trained, the regret what the best run that finished is behind the best of all, in
shares of its 5-95 % range; the floor is the standard deviation of its last value over seeds.

Policies: *forecast*: stop what is less likely than a threshold to end above the median forecast of the best; *halving*
(ASHA's rule, synchronous): keep the best 1/eta by the last value at every rung; *last value*: stop what is behind the
best by a gap. Every threshold is a row, so that equal budgets can be read off.
Intervals (95 %) are over base workloads. LCDB: `bench/learning_curves_study.py`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
import pandas as pd
from curves_gallery import whole_curves
from curves_transfer import told
from numpy.typing import NDArray

from foretell.assets.families.learning_curves.evaluation import JUDGED
from foretell.assets.families.learning_curves.examples import RUN_CUTS, TRAINING_RUNS
from foretell.assets.families.learning_curves.family import FAMILY
from foretell.pipelines.settings import Settings
from foretell.predictors.learning_curves.forecaster import CurveForecaster

Floats = NDArray[np.float64]
Keep = Callable[[pd.DataFrame], NDArray[np.bool_]]
"""(runs still trained at a cut: `last`, `median`, `scale`; better upwards) -> which go on."""
CUTS = [f"{cut:.0%}" for cut in RUN_CUTS]
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


def gap_rule(gap: float) -> Keep:
    """Go on where the last value is behind the best by no more than `gap` of the best run's range."""
    return lambda runs: np.asarray(runs["last"] >= runs["last"].max() - gap * runs["width"].median())


RULES: dict[str, Keep] = {
    **{f"forecast < {t:g}": forecast_rule(t) for t in (0.01, 0.05, 0.1, 0.2)},
    **{f"halving, eta {eta:g}": halving_rule(eta) for eta in (1.25, 1.5, 2, 3)},
    **{f"last value, {gap:g} behind": gap_rule(gap) for gap in (0.05, 0.1, 0.2, 0.4)},
}


def read_base(model: CurveForecaster, rows: pd.DataFrame, whole: pd.DataFrame) -> pd.DataFrame:
    """What every policy reads of each run and cut, in the metric's unit, better upwards."""
    made = model.distribution(FAMILY.inputs(rows))
    low, median, high = made.quantiles(np.array((0.25, 0.5, 0.75))).to_numpy().T
    width = whole.loc[rows.index, "width"].to_numpy()
    up = np.where(made.rising, width, -width)
    last = np.array([values[-1] for values in rows["values"]])
    curve = rows["cell_id"].str.rsplit("/", n=1).str[0]
    return rows[["dataset", "metric", "setting", "cut", "query_id"]].assign(
        curve=curve, last=up * last, median=up * median, scale=np.maximum(width * (high - low) / 1.35, 1e-12),
        end=up * rows["value"].to_numpy(), width=width, spread=width * rows["standard_error"].to_numpy(),
    )  # fmt: skip


def simulate(runs: pd.DataFrame, keep: Keep, rng: np.random.Generator) -> tuple[float, float]:
    """Share of the budget saved, and regret in shares of the best run's range, of one draw of a seed per setting."""
    ends = runs[runs["cut"] == CUTS[0]].sample(frac=1.0, random_state=rng).drop_duplicates("setting").set_index("curve")
    alive, used = list(ends.index), 0.0
    table = runs.set_index(["cut", "curve"])
    for cut, share, before in zip(CUTS, RUN_CUTS, (0.0, *RUN_CUTS), strict=False):
        used += len(alive) * (share - before)
        if len(alive) > 1:
            now = table.loc[[(cut, curve) for curve in alive]]
            alive = [curve for curve, go_on in zip(alive, keep(now), strict=True) if go_on]
    used += len(alive) * (1.0 - RUN_CUTS[-1])
    best = ends["end"].idxmax()
    return 1 - used / len(ends), float(ends["end"].max() - ends.loc[alive, "end"].max()) / ends.loc[best, "width"]


def main() -> None:
    """Fit without each base, replay every policy, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--settings", type=int, default=1, help="learn from one of so many settings of each workload")
    options = parser.parse_args()
    settings = Settings()
    examples = FAMILY.examples(TRAINING_RUNS, settings.sources).set_index("cell_id", drop=False)
    names = examples.drop_duplicates("setting")
    learnt = names.loc[names.groupby("dataset").cumcount() % options.settings == 0, "setting"]
    judged = examples[(examples["source"] == JUDGED) & ~examples["metric"].str.contains("train")]
    results, floors = [], []
    for base, rows in judged.groupby("query_id"):
        train = examples[(examples["query_id"] != base) & examples["setting"].isin(learnt)]
        model = FAMILY.models()[FAMILY.name]
        model.fit(FAMILY.inputs(train), train["value"], groups=train["query_id"])
        assert isinstance(model, CurveForecaster)
        read = read_base(model, rows, whole_curves(settings.sources, rows))
        for (workload, metric), runs in read.groupby(["dataset", "metric"]):
            best = runs.loc[runs["end"].idxmax()]
            floors.append({"floor": best["spread"] / best["width"], "base": base})
            for name, keep in RULES.items():
                rng = np.random.default_rng(0)
                saved, regret = np.mean([simulate(runs, keep, rng) for _ in range(ORDERS)], axis=0)
                results.append({"policy": name, "workload": workload, "metric": metric, "base": base, "saved": saved,
                                "regret": regret, "floor": best["spread"] / best["width"]})  # fmt: skip
        print(f"{base}: {len(rows)} forecasts", flush=True)
    table, floor = pd.DataFrame(results), pd.DataFrame(floors)
    print(f"seed floor of the best run: {told(floor['floor'], floor['base'])} (median {floor['floor'].median():.4f})")
    for name, part in table.groupby("policy", sort=False):
        inside = (part["regret"] <= part["floor"]).mean()
        print(f"{name:24s} saved {told(part['saved'], part['base'])}; regret {told(part['regret'], part['base'])} "
              f"(median {part['regret'].median():.4f}); within the floor {inside:.2f} of {len(part)} workloads and "
              "metrics")  # fmt: skip


if __name__ == "__main__":
    main()
