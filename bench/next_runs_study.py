"""Money until the scores of a new benchmark are known to a wanted error: `python bench/next_runs_study.py modern`.

On every benchmark of a leak group left out (`--folds` of the five) runs are bought one after the other, in the order of
`foretell next-runs`, at random (mean of ten orders), cheapest first, or D-optimally (the largest variance that is left,
whatever it costs). After each the other scores are forecast; a bought score has no error. A run costs its model's price
of output tokens (`modern`) or its parameters (`mteb`), missing ones the median. Prints the money until the mean error
falls to `--wanted` points for good, as a share of what random orders need, with 95 % intervals over leak groups.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
import pandas as pd

from foretell.assets.families import get_family
from foretell.assets.families.benchmark_scores.evaluation import FOLDS
from foretell.pipelines.settings import Settings
from foretell.predictors.benchmark_scores.description.leakage import assign_folds
from foretell.predictors.benchmark_scores.known_scores.information import value_of_information
from foretell.predictors.benchmark_scores.predictor import BenchmarkScorePredictor
from foretell.predictors.benchmark_scores.scale import from_logit, to_logit

PRICES = {"modern": "output_usd_per_million", "mteb": "n_params"}
LEAST_MODELS = 12
N_RANDOM = 10
N_BOOTSTRAP = 2_000
Floats = np.ndarray


def d_optimal(covariance: Floats, noise: float) -> list[int]:
    """Order in which the largest variance that is left is bought first."""
    left, order = covariance.copy(), []
    for _ in range(len(left)):
        variance = np.diag(left).copy()
        variance[order] = -1
        best = int(variance.argmax())
        order.append(best)
        left -= np.outer(left[best], left[best]) / (left[best, best] + noise)
    return order


def money(order: list[int], costs: Floats, error_after: Callable[[list[int]], float], wanted: float) -> float:
    """What is spent when the error has fallen to `wanted` and stays there."""
    spent = np.cumsum(np.r_[0.0, costs[order]])
    errors = [error_after(order[:n]) for n in range(len(order))] + [0.0]
    above = [n for n, error in enumerate(errors) if error > wanted]
    return float(spent[above[-1] + 1] if above else 0.0)


def of_benchmark(model: BenchmarkScorePredictor, inputs: pd.DataFrame, score: Floats, costs: Floats, wanted: float,
                 rng: np.random.Generator) -> dict[str, float]:  # fmt: skip
    """Money of every way to choose, on one benchmark."""
    rows = model._request_rows(model._validate(inputs))
    location, _, skill, _ = model._located(rows)
    loadings, noise = model.slopes_.loadings(skill, rows.features), model.slopes_.noise
    residuals = to_logit(score) - location
    covariance = loadings @ loadings.T

    def error_after(bought: list[int]) -> float:
        shift = model.slopes_.update(loadings, np.array(bought, dtype=int), residuals[bought])[0] if bought else 0.0
        errors = np.abs(from_logit(location + shift) - score)
        errors[bought] = 0.0
        return float(errors.mean())

    chosen = value_of_information(covariance + noise * np.eye(len(score)), costs=costs, budget=costs.sum() * 2)
    orders = {"next-runs": chosen["run"].tolist(), "cheapest first": np.argsort(costs, kind="stable").tolist(),
              "D-optimal": d_optimal(covariance, noise)}  # fmt: skip
    spent = {name: money(order, costs, error_after, wanted) for name, order in orders.items()}
    spent["random"] = float(np.mean([
        money(rng.permutation(len(score)).tolist(), costs, error_after, wanted) for _ in range(N_RANDOM)
    ]))  # fmt: skip
    return spent | {"all": float(costs.sum()), "error before": error_after([])}


def main() -> None:
    """Fit each fold, buy, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", choices=list(PRICES))
    parser.add_argument("--folds", type=int, default=FOLDS, help="how many of the five folds")
    parser.add_argument("--wanted", type=float, nargs="+", default=[8.0, 5.0], help="mean error, points")
    arguments = parser.parse_args()
    family = get_family("benchmark_scores")
    examples = family.examples(arguments.dataset, Settings().sources)
    fold = assign_folds(examples["leak_group"], FOLDS)
    price = examples[PRICES[arguments.dataset]].astype(float)
    examples = examples.assign(cost=price.fillna(price.median()).clip(lower=price[price > 0].min()))
    rows, rng = [], np.random.default_rng(0)
    for number in range(arguments.folds):
        train, test = examples[fold != number], examples[fold == number]
        model = family.predictor().fit(family.inputs(train), train["value"], groups=train["leak_group"])
        for name, part in test.groupby("benchmark"):
            part = part.drop_duplicates("model")
            if len(part) >= LEAST_MODELS:
                values, costs = part["value"].to_numpy(), part["cost"].to_numpy()
                for wanted in arguments.wanted:
                    spent = of_benchmark(model, family.inputs(part), values, costs / costs.sum(), wanted, rng)
                    rows.append({"benchmark": name, "group": part["leak_group"].iloc[0], "wanted": wanted, **spent})
    table = pd.DataFrame(rows)
    print(f"{arguments.dataset}: {table['benchmark'].nunique()} benchmarks, {table['group'].nunique()} leak groups, "
          f"mean error before any run {table['error before'].mean():.1f} points")  # fmt: skip
    for wanted, part in table.groupby("wanted"):
        sums = part.groupby("group")[["next-runs", "cheapest first", "D-optimal", "random"]].sum()
        drawn = sums.to_numpy()[rng.integers(0, len(sums), (N_BOOTSTRAP, len(sums)))].sum(axis=1)
        shares, whole = drawn / drawn[:, [3]], sums.sum() / sums["random"].sum()
        print(f"to {wanted:g} points: random orders spend {part['random'].mean():.1%} of the price of all runs")
        for i, name in enumerate(sums.columns[:3]):
            lower, upper = np.quantile(shares[:, i], [0.025, 0.975])
            print(f"  {name:<15} {whole[name]:.2f} [{lower:.2f}, {upper:.2f}] of what random orders spend")


if __name__ == "__main__":
    main()
