"""`foretell compute`: how many points more compute buys, and how much to measure in order to see them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from foretell.pipelines.cli.console import out, print_table
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

    output.check(".html")
    rows = read_inputs(file)
    champion = load_champion(Settings(), "downstream_scaling")
    plan = plan_compute(champion, rows, goal.wanted, certainty=goal.certainty, item_cost=goal.item_cost)
    table = plan.rows()
    if output.write(table, page=lambda: compute_page(plan, file.name)):
        for title, shown in _tables(plan).items():
            print_table(title, list(shown.columns), shown.to_numpy().tolist(), n_keys=2 if "compute" in shown else 1)
        for line in _reading(plan):
            out.print(line)


def compute_page(plan: ComputePlan, source: str) -> str:
    """The plan as a page of HTML that needs nothing beside it."""
    from foretell.assets.pages import Head, Section, page
    from foretell.predictors.plots.forecasts import plot_points_of_compute

    answer, *method = _reading(plan)
    sections = [Section(title, table=table, n_keys=2 if "compute" in table else 1)
                for title, table in _tables(plan).items()]  # fmt: skip
    sections += [
        Section(f"{task}: points gained with more compute", figure=plot_points_of_compute(rows).get_figure(root=True))
        for task, rows in plan.points.groupby("task", sort=False)
    ]
    asked = f"Asked: {plan.wanted:g} points more on the tasks of {source}."
    return page(Head(f"What more compute buys: {source}", asked, answer=[answer]), sections, method)


def _tables(plan: ComputePlan) -> dict[str, pd.DataFrame]:
    import numpy as np
    import pandas as pd

    points, tasks = plan.points, plan.tasks
    bought = pd.DataFrame({
        "task": points["task"],
        "compute": [f"{factor:g}x" for factor in points["factor"]],
        "score: median [90 %]": _spans(points, "score"),
        "points gained": _spans(points, "gain"),
        "noise": points["noise_floor"].map("{:.1f}".format),
        "beyond noise": np.where(points["is_resolved"], "yes", "no"),
    })  # fmt: skip
    needed = [f"{factor:.3g}x" if np.isfinite(factor) else "over 1000x" for factor in tasks["compute_needed"]]
    measured = pd.DataFrame({
        "task": tasks["task"],
        "score now": tasks["score"].map("{:.1f}".format),
        f"compute for {plan.wanted:g} points": needed,
        "items to measure": tasks["items"].map("{:,}".format),
        "draws each": tasks["draws"].map("{:,}".format),
        "items now": ["-" if pd.isna(n) else f"{n:,.0f}" for n in tasks["items_now"]],
        "difference seen now": ["-" if pd.isna(d) else f"{d:.1f}" for d in tasks["seen_now"]],
        "forecast": np.where(tasks["abstain"], "abstains in part", "stands"),
    })  # fmt: skip
    return {"What more compute buys": bought, "What to measure": measured}


def _spans(table: pd.DataFrame, name: str) -> list[str]:
    columns = (name, f"{name}_lower", f"{name}_upper")
    return ["{:.1f} [{:.1f}, {:.1f}]".format(*row) for row in table[list(columns)].to_numpy()]


def _reading(plan: ComputePlan) -> list[str]:
    import numpy as np

    reached = np.isfinite(plan.tasks["compute_needed"])
    lines = [
        f"{plan.wanted:g} points come with a probability of {100 * plan.certainty:g} % within 1,000 times the "
        f"compute on {int(reached.sum())} of {len(plan.tasks)} tasks.",
        "Noise is the mean difference between two measurements of a model that has not changed; a gain is beyond it "
        "where its whole 90 % interval is.",
        "Items and draws are the cheapest with which two models that differ by so many points are told apart at the "
        "5 % level four times in five.",
    ]
    if plan.tasks["abstain"].any():
        lines.append("Where a forecast abstains, the ladder does not carry it that far: measure a larger model first.")
    return lines
