"""`foretell next-runs`: which benchmark runs to buy first, under a budget."""

from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import typer

from foretell.assets.pages import Page, Section
from foretell.pipelines.cli.options import flat
from foretell.pipelines.cli.output import PlainOutput
from foretell.pipelines.settings import Settings
from foretell.predictors.errors import InvalidInputError


@flat
def next_runs(
    file: Annotated[Path, typer.Argument(help="Candidate runs, as for `predict benchmark_scores`; `cost`, `wanted`.")],
    budget: Annotated[float, typer.Option(help="Most to spend, in the unit of the column `cost` (default 1 a run).")],
    output: PlainOutput,
) -> None:
    """Which benchmark runs to buy first: those that tell most about the wanted scores for their cost."""
    from foretell.assets.families.benchmark_scores.family import read_inputs
    from foretell.assets.lake.input_tables import read_input_table
    from foretell.pipelines.cli.forecast.champion import load_champion
    from foretell.predictors.benchmark_scores.predictor import BenchmarkScorePredictor

    champion = load_champion(Settings(), "benchmark_scores")
    if not isinstance(champion, BenchmarkScorePredictor):
        raise InvalidInputError(f"the champion is a {type(champion).__name__}, which knows no covariance of scores")
    # Columns that forecasts do not read: the price of a run, and whether its score is one that is cared about.
    candidates = read_input_table(file, columns=("model", "cost", "wanted"))
    plan = plan_runs(champion, read_inputs(file), candidates, budget=budget)
    shown = plan.reset_index(names="row").assign(
        cost=[f"{cost:g}" for cost in plan["cost"]],
        **{"uncertainty left": [f"{100 * left:.1f} %" for left in plan["uncertainty_left"]]},
    )
    title = f"{len(plan)} of {len(candidates)} runs for {plan['cost'].sum():g} of a budget of {budget:g}"
    columns = ["row", "benchmark", "model", "cost", "uncertainty left"]
    output.show(plan.reset_index(), Page(title, [Section(table=shown[columns], n_keys=3)]))


def plan_runs(champion: object, inputs: pd.DataFrame, candidates: pd.DataFrame, *, budget: float) -> pd.DataFrame:
    """Runs in the order in which to buy them, while `budget` lasts.

    `candidates` has the index of `inputs`, `cost` (> 0, by default 1) and `wanted` (by default every score).

    Returns
    -------
    DataFrame of shape (n_bought, 4)
        Index: the row of `inputs`. Columns benchmark, model, cost, and `uncertainty_left`: the variance of the wanted
        scores (logit scale) that remains after this run, as a share of what it was before any.

    Raises `InvalidInputError` if a cost is not > 0 or the budget buys no run.
    """
    from foretell.predictors.benchmark_scores.known_scores.information import value_of_information
    from foretell.predictors.benchmark_scores.predictor import BenchmarkScorePredictor

    assert isinstance(champion, BenchmarkScorePredictor)
    covariance = champion.score_covariance(inputs)
    filled = candidates.reindex(columns=["cost", "wanted"]).astype(object).fillna({"cost": 1.0, "wanted": True})
    costs, wanted = filled["cost"].to_numpy(dtype="float64"), np.flatnonzero(filled["wanted"].to_numpy(dtype=bool))
    if not len(wanted):
        raise InvalidInputError("`wanted` is false in every row: mark the scores that you care about")
    bought = value_of_information(covariance, costs=costs, budget=budget, wanted=wanted)
    if bought.empty:
        raise InvalidInputError(f"a budget of {budget:g} buys no run: the cheapest costs {costs.min():g}")
    before = float(np.diag(covariance)[wanted].sum())
    rows = inputs.iloc[bought["run"]]
    return rows.reindex(columns=["benchmark", "model"]).assign(
        cost=bought["cost"].to_numpy(), uncertainty_left=bought["variance_left"].to_numpy() / before
    )
