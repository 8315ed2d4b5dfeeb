"""`foretell compute`: how many points more compute buys, and how much to measure in order to see them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from foretell.assets.pages import Page, Section
from foretell.pipelines.cli.options import flat, or_stdin
from foretell.pipelines.cli.output import Output
from foretell.pipelines.settings import Settings

if TYPE_CHECKING:
    import pandas as pd

    from foretell.predictors.downstream_scaling.decisions import ComputePlan


@dataclass(frozen=True)
class Goal:
    """What compute and measurements are to reach."""

    wanted: Annotated[float, typer.Option(help="Points that are worth having.")] = 3.0
    certainty: Annotated[float, typer.Option(help="Probability with which compute is to buy them.")] = 0.8
    item_cost: Annotated[float, typer.Option(help="What a new item costs beside its draws, in draws.")] = 0.0


@flat
def compute(
    file: Annotated[
        Path,
        typer.Argument(help="Measured ladders, as for `predict downstream_scaling`; no targets.", callback=or_stdin),
    ],
    goal: Goal,
    output: Output,
) -> None:
    """What more compute buys on each task, and how many items and draws it takes to see it."""
    from foretell.assets.families.downstream_scaling.family import read_inputs
    from foretell.pipelines.cli.forecast.champion import load_champion
    from foretell.predictors.downstream_scaling.decisions import plan_compute

    rows = read_inputs(file)
    champion = load_champion(Settings(), "downstream_scaling")
    plan = plan_compute(champion, rows, goal.wanted, certainty=goal.certainty, item_cost=goal.item_cost)
    output.show(plan.rows(), compute_page(plan, file.name))


def compute_page(plan: ComputePlan, source: str) -> Page:
    """The plan as people read it."""
    from foretell.predictors.plots.forecasts import plot_points_of_compute

    n_reached = int((plan.tasks["compute_needed"] < float("inf")).sum())
    answer = (
        f"{plan.wanted:g} points come with a probability of {100 * plan.certainty:g} % within 1,000 times the "
        f"compute on {n_reached} of {len(plan.tasks)} tasks."
    )
    remarks = [
        "Noise is the mean difference between two measurements of a model that has not changed; a gain is beyond it "
        "where its whole 90 % interval is.",
        "Items and draws are the cheapest with which two models that differ by so many points are told apart at the "
        "5 % level four times in five.",
    ]
    if plan.tasks["abstain"].any():
        remarks.append(
            "Where a forecast abstains, the ladder does not carry it that far: measure a larger model first."
        )
    sections = [
        Section("What more compute buys", table=_bought(plan.points), n_keys=2),
        Section("What to measure", table=_measured(plan)),
        *(
            Section(f"{task}: points gained with more compute", figure=partial(plot_points_of_compute, rows))
            for task, rows in plan.points.groupby("task", sort=False)
        ),
    ]
    asked = f"Asked: {plan.wanted:g} points more on the tasks of {source}."
    return Page(f"What more compute buys: {source}", sections, asked, answer=[answer], remarks=remarks)


def _bought(points: pd.DataFrame) -> pd.DataFrame:
    import numpy as np
    import pandas as pd

    from foretell.pipelines.cli.judge.tables import intervals

    return pd.DataFrame({
        "task": points["task"],
        "compute": [f"{factor:g}x" for factor in points["factor"]],
        "score: median [90 %]": intervals(points, "score", "score_lower", "score_upper", digits=1),
        "points gained": intervals(points, "gain", "gain_lower", "gain_upper", digits=1),
        "noise": points["noise_floor"].map("{:.1f}".format),
        "beyond noise": np.where(points["is_resolved"], "yes", "no"),
    })  # fmt: skip


def _measured(plan: ComputePlan) -> pd.DataFrame:
    import numpy as np
    import pandas as pd

    tasks = plan.tasks
    needed = [f"{factor:.3g}x" if np.isfinite(factor) else "over 1000x" for factor in tasks["compute_needed"]]
    return pd.DataFrame({
        "task": tasks["task"],
        "score now": tasks["score"].map("{:.1f}".format),
        f"compute for {plan.wanted:g} points": needed,
        "items to measure": tasks["items"].map("{:,}".format),
        "draws each": tasks["draws"].map("{:,}".format),
        "items now": ["-" if pd.isna(n) else f"{n:,.0f}" for n in tasks["items_now"]],
        "difference seen now": ["-" if pd.isna(d) else f"{d:.1f}" for d in tasks["seen_now"]],
        "forecast": np.where(tasks["abstain"], "abstains in part", "stands"),
    })  # fmt: skip
