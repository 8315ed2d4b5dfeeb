"""`foretell compute`: how many points more compute buys, and how much to measure in order to see them."""

from __future__ import annotations

import base64
import html as markup
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from pipelines.console import out, print_json, print_table, say
from pipelines.settings import Settings
from predictors.base import BasePredictor
from predictors.downstream_scaling.decisions import (
    plan_measurement,
    points_of_compute,
    score_error,
    smallest_worthwhile_compute,
)
from predictors.downstream_scaling.ladder import read_ladders
from predictors.errors import InvalidInputError

__all__ = ["ComputePlan", "plan_compute", "run_compute"]

POWER = 2.802
"""Standard errors of a difference that is seen at the 5 % level four times in five: z(.975) + z(.8)."""


@dataclass(frozen=True)
class ComputePlan:
    """What more compute buys on each task, and what it takes to see the wanted points.

    Attributes
    ----------
    points : DataFrame
        One row per task and factor of compute: `task` and the columns of
        `predictors.downstream_scaling.decisions.points_of_compute`.
    tasks : DataFrame
        One row per task: `task`, `score` (of the largest measured model), `compute_needed` (factor that buys the wanted
        points with the wanted certainty; infinite beyond 1,000), `items` and `draws` to measure each of two models
        with so that the wanted difference is seen four times in five, `items_now`, `seen_now` (the difference that
        the present items show so often; NaN where their number is not told), and `abstain`.
    wanted, certainty : float
    """

    points: pd.DataFrame
    tasks: pd.DataFrame
    wanted: float
    certainty: float


def run_compute(
    settings: Settings, file: Path, *, wanted: float, certainty: float, item_cost: float, page: Path | None,
    as_json: bool,
) -> None:  # fmt: skip
    """Print the plan for the ladders of `file` and, with `page`, write it as HTML.

    Raises
    ------
    DatasetError
        If the file cannot be read or the family has no champion.
    InvalidInputError
        If a ladder or a number is not usable.
    """
    from assets.downstream_scaling import read_inputs
    from pipelines.predict import load_champion

    rows = read_inputs(file)
    champion = load_champion(settings, "downstream_scaling")
    plan = plan_compute(champion, rows, wanted, certainty=certainty, item_cost=item_cost)
    if page is not None:
        page.write_text(compute_page(plan, file.name), "utf-8")
        say(f"written to {page}")
    if as_json:
        for kind, table in (("compute", plan.points), ("measure", plan.tasks)):
            print_json(table.assign(kind=kind))
        return
    for title, table in _tables(plan).items():
        print_table(title, list(table.columns), table.to_numpy().tolist())
    for line in _reading(plan):
        out.print(line, markup=False)


def plan_compute(
    predictor: BasePredictor, rows: pd.DataFrame, wanted: float, *, certainty: float = 0.8, item_cost: float = 0.0
) -> ComputePlan:
    """Plan for every ladder of `rows`.

    Parameters
    ----------
    predictor : BasePredictor
        Fitted downstream-scaling predictor.
    rows : DataFrame of shape (n_tasks, n_columns)
        Valid under `LadderRequests`; targets are not needed and not read.
    wanted : float
        Points that are worth having (> 0).
    certainty : float, optional
        Probability with which compute is to buy them.
    item_cost : float, optional
        What an item costs beside its draws, in draws.

    Raises
    ------
    InvalidInputError
        If a number is out of range or a row holds no measured model.
    """
    if not wanted > 0:
        raise InvalidInputError(f"`--wanted` must be more than 0 points, got {wanted:g}")
    names = rows["benchmark"] if "benchmark" in rows else pd.Series(pd.NA, index=rows.index)
    points, tasks = [], []
    for place, index in enumerate(rows.index):
        row = rows.loc[[index]]
        task = str(names[index]) if pd.notna(names[index]) else f"row {place + 1}"
        found = points_of_compute(predictor, row)
        points.append(found.assign(task=task)[["task", *found.columns]])
        ladder = read_ladders(row.assign(target_flops=1.0))[0]
        mean = float(np.clip(ladder.scores[-1] / 100, 0.01, 0.99))
        each = plan_measurement(wanted / POWER / np.sqrt(2), mean, item_cost=item_cost)
        known = np.isfinite(ladder.n_items)
        seen = POWER * np.sqrt(2) * score_error(mean, int(ladder.n_items), 1) if known else np.nan
        tasks.append({
            "task": task, "score": float(ladder.scores[-1]),
            "compute_needed": smallest_worthwhile_compute(predictor, row, wanted, certainty=certainty),
            "items": each.n_items, "draws": each.n_draws, "items_now": ladder.n_items, "seen_now": seen,
            "abstain": bool(found["abstain"].any()),
        })  # fmt: skip
    return ComputePlan(pd.concat(points, ignore_index=True), pd.DataFrame(tasks), wanted, certainty)


def compute_page(plan: ComputePlan, source: str) -> str:
    """The plan as a page of HTML that needs nothing beside it."""
    from pipelines.pages import page, table_html
    from predictors.forecast_plots import plot_points_of_compute

    parts = [f'<p class="lead">{markup.escape(line)}</p>' for line in _reading(plan)]
    parts += [f"<h2>{markup.escape(title)}</h2>{table_html(table)}" for title, table in _tables(plan).items()]
    for task, rows in plan.points.groupby("task", sort=False):
        buffer = io.BytesIO()
        figure = plot_points_of_compute(rows).get_figure(root=True)
        assert figure is not None
        figure.savefig(buffer, format="png", dpi=110)
        told = markup.escape(f"{task}: points gained with more compute")
        encoded = base64.b64encode(buffer.getvalue()).decode()
        parts.append(f'<h2>{told}</h2><figure><img alt="{told}" src="data:image/png;base64,{encoded}"></figure>')
    return page(f"What more compute buys: {source}", "".join(parts))


def _tables(plan: ComputePlan) -> dict[str, pd.DataFrame]:
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
