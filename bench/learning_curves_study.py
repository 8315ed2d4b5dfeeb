"""Early stopping on LCDB: how much budget forecasts save, and what they cost in accuracy.

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python bench/learning_curves_study.py [--model FOLDER]

On every test data set the learners are tried one after the other, in random order. A learner is trained at its anchors
from the smallest up; after 10, 20, 40 and 80 % of them the run is stopped where the forecast says that it ends above
the best finished accuracy so far with a probability under the threshold. The first learner always finishes. The budget
is the training items summed over the anchors that were trained; the regret is the best final accuracy of all learners
on the data set minus that of the best one that finished. Orders are drawn anew ten times; intervals are over data sets.

Policies: the stack, the ensemble of parametric fits and the calibrated last value under the same rule, and ``plain last
value``, which stops a run that is behind by a fixed gap. ``--model`` reads a saved stack, which else is fitted.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from curves_rivals import MapEnsemble
from numpy.typing import NDArray

from foretell.assets.families.learning_curves.examples import LCDB_CUTS, examples_from_lcdb, usable_curves
from foretell.assets.families.learning_curves.family import FAMILY
from foretell.assets.readers.curves.lcdb import load_mean_curves
from foretell.predictors.learning_curves.baselines import LastValueBaseline
from foretell.predictors.learning_curves.forecaster import CurveForecast, CurveForecaster
from foretell.predictors.learning_curves.predictor import LearningCurvePredictor
from foretell.predictors.metrics import mean_estimate

STARTER = Path(__file__).resolve().parents[1] / "data" / "starter"
THRESHOLDS = (0.01, 0.05, 0.1, 0.2)
GAPS = (0.02, 0.05, 0.1, 0.2)
ORDERS = 10
Stops = Callable[[NDArray[np.intp], float], NDArray[np.bool_]]
"""(rows of one curve's cuts, incumbent) -> whether each of its cuts would stop it."""


def budgets(curves: pd.DataFrame) -> dict[tuple[str, str], NDArray[np.float64]]:
    """Items trained until each cut and until the end, by data set and learner; shape (cuts + 1,)."""
    out = {}
    for key, part in curves.groupby(["dataset", "learner"]):
        total = np.cumsum(part["step"].to_numpy())
        ends = [max(2, round(cut * len(part))) for cut in LCDB_CUTS]
        out[str(key[0]), str(key[1])] = np.r_[total[np.array(ends) - 1], total[-1]]
    return out


def forecast_rule(forecast: CurveForecast, threshold: float) -> Stops:
    """Stop where ending above the incumbent is less likely than the threshold."""

    def stops(rows: NDArray[np.intp], incumbent: float) -> NDArray[np.bool_]:
        return 1.0 - forecast.distribution.take(rows).probability_below(np.full(len(rows), incumbent)) < threshold

    return stops


def gap_rule(last: NDArray[np.float64], gap: float) -> Stops:
    """Stop where the last value is behind the incumbent by more than the gap."""
    return lambda rows, incumbent: last[rows] < incumbent - gap


def simulate(test: pd.DataFrame, cost: dict[tuple[str, str], NDArray[np.float64]], stops: Stops) -> pd.DataFrame:
    """Share of the budget saved and regret, one row per data set, mean over orders."""
    place = {cell: i for i, cell in enumerate(test.index)}
    cuts = [f"{cut:.0%}" for cut in LCDB_CUTS]
    results = []
    for dataset, part in test[test["cut"] == cuts[0]].groupby("dataset"):
        learners, finals = part["learner"].tolist(), part["value"].to_numpy()
        rows = np.array([[place[f"{dataset}/{name}/{cut}"] for cut in cuts] for name in learners])
        spent = np.array([cost[str(dataset), name] for name in learners])
        rng = np.random.default_rng(int(str(dataset)))
        saved, regret = [], []
        for _ in range(ORDERS):
            best, used = -np.inf, 0.0
            for i in rng.permutation(len(learners)):
                stopped = stops(rows[i], best) if np.isfinite(best) else np.zeros(len(cuts), dtype=bool)
                at = int(np.argmax(stopped)) if stopped.any() else len(cuts)
                used += spent[i, at]
                best = max(best, finals[i]) if at == len(cuts) else best
            saved.append(1 - used / spent[:, -1].sum())
            regret.append(finals.max() - best)
        results.append({"dataset": dataset, "saved": np.mean(saved), "regret": np.mean(regret)})
    return pd.DataFrame(results)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="folder of a saved LearningCurvePredictor")
    options = parser.parse_args()
    table = load_mean_curves(STARTER / "lcdb")
    examples = examples_from_lcdb(table)
    train, test = (examples[examples["split"] == name].set_index("cell_id") for name in ("train", "test"))
    cost = budgets(usable_curves(table))

    def fitted(model: CurveForecaster) -> CurveForecaster:
        return model.fit(FAMILY.inputs(train), train["value"], groups=train["query_id"])

    stack = LearningCurvePredictor.load(options.model) if options.model else fitted(LearningCurvePredictor())
    models = {"stack": stack, "map_ensemble": fitted(MapEnsemble()), "last_value": fitted(LastValueBaseline())}
    rules: dict[str, Stops] = {}
    for name, model in models.items():
        found = model.distribution(FAMILY.inputs(test))
        rules |= {f"{name} < {threshold:g}": forecast_rule(found, threshold) for threshold in THRESHOLDS}
    last = test["values"].map(lambda values: values[-1]).to_numpy()
    rules |= {f"plain last value, {gap:g} behind": gap_rule(last, gap) for gap in GAPS}
    for name, stops in rules.items():
        result = simulate(test, cost, stops)
        codes = np.arange(len(result))
        row: dict[str, object] = {"policy": name, "datasets": len(result)}
        for column in ("saved", "regret"):
            found_mean = mean_estimate(result[column].to_numpy(), codes, len(result))
            row[column] = round(found_mean.value, 4)
            row[f"{column}_ci"] = [round(x, 4) for x in found_mean.interval()]
        row["within_half_a_point"] = round(float((result["regret"] <= 0.005).mean()), 3)
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
