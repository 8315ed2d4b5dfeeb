"""`foretell next-runs`: which benchmark runs to buy first, under a budget."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from pipelines.console import print_json, print_table
from pipelines.settings import Settings
from predictors.errors import InvalidInputError

__all__ = ["plan_runs", "run_next_runs"]


def run_next_runs(settings: Settings, file: Path, *, budget: float, as_json: bool) -> None:
    """Print the runs of `file` worth buying with `budget`, the most telling per unit of cost first."""
    from assets.benchmark_scores import read_inputs
    from assets.input_tables import read_input_table
    from pipelines.predict import load_champion
    from predictors.benchmark_scores.predictor import BenchmarkScorePredictor

    champion = load_champion(settings, "benchmark_scores")
    if not isinstance(champion, BenchmarkScorePredictor):
        raise InvalidInputError(f"the champion is a {type(champion).__name__}, which knows no covariance of scores")
    # Columns that forecasts do not read: the price of a run, and whether its score is one that is cared about.
    asked = read_input_table(file, known=("model", "cost", "wanted"))
    plan = plan_runs(champion, read_inputs(file), asked, budget=budget)
    if as_json:
        print_json(plan.reset_index())
        return
    shown = plan.assign(uncertainty_left=(100 * plan["uncertainty_left"]).round(1).astype("str") + " %")
    print_table(
        f"{len(plan)} of {len(asked)} runs for {plan['cost'].sum():g} of a budget of {budget:g}",
        ["row", *shown.columns],
        [[index, *row] for index, row in zip(shown.index, shown.to_numpy(), strict=True)],
    )


def plan_runs(champion: object, inputs: pd.DataFrame, asked: pd.DataFrame, *, budget: float) -> pd.DataFrame:
    """Runs in the order in which to buy them.

    Parameters
    ----------
    champion : BenchmarkScorePredictor
    inputs : DataFrame of shape (n_runs, n_columns)
        Valid under `ScoreRequests`.
    asked : DataFrame of shape (n_runs, n_columns)
        `cost` (> 0, default 1) and `wanted` (default true: every score is cared about), same index as `inputs`.
    budget : float
        Most to spend, in the unit of `cost`.

    Returns
    -------
    DataFrame of shape (n_bought, 4)
        Index: the row of `inputs`. Columns benchmark, model, cost, and `uncertainty_left`: the variance of the wanted
        scores (logit scale) that remains after this run, as a share of what it was before any.

    Raises
    ------
    InvalidInputError
        If a cost is not > 0 or the budget buys no run.
    """
    from predictors.benchmark_scores.information import value_of_information
    from predictors.benchmark_scores.predictor import BenchmarkScorePredictor

    assert isinstance(champion, BenchmarkScorePredictor)
    covariance = champion.score_covariance(inputs)
    costs = asked["cost"].fillna(1.0).to_numpy(dtype="float64") if "cost" in asked else np.ones(len(asked))
    told = asked["wanted"].fillna(True).to_numpy(dtype=bool) if "wanted" in asked else np.ones(len(asked), dtype=bool)
    if not told.any():
        raise InvalidInputError("`wanted` is false in every row: mark the scores that you care about")
    wanted = np.flatnonzero(told)
    bought = value_of_information(covariance, costs=costs, budget=budget, wanted=wanted)
    if bought.empty:
        raise InvalidInputError(f"a budget of {budget:g} buys no run: the cheapest costs {costs.min():g}")
    before = float(np.diag(covariance)[wanted].sum())
    rows = inputs.iloc[bought["run"]]
    return pd.DataFrame(
        {
            "benchmark": rows.get("benchmark"),
            "model": rows.get("model"),
            "cost": bought["cost"].to_numpy(),
            "uncertainty_left": bought["variance_left"].to_numpy() / before,
        },
        index=rows.index,
    )
