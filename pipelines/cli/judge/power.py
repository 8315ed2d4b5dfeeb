"""`foretell power`: how many items and repeats find a difference, and the cheapest way to split them."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from foretell.pipelines.cli.console import percent, say
from foretell.pipelines.cli.judge.compare import Metric
from foretell.pipelines.cli.options import flat
from foretell.pipelines.cli.output import Output
from foretell.predictors.errors import InvalidInputError

if TYPE_CHECKING:
    from foretell.predictors.metrics import DifferenceVariance

LIKE = {"seeds": (0.0183, 0.145), "sizes": (0.0849, 0.163)}
"""Variances between items and between runs: of two seeds of the largest model of the bundled ladder, and of its two
largest sizes; `bench/compare_study.py components` prints them."""
SHOWN = (1.0, 0.5, 2.0)
"""Differences that are planned for: the wanted one, half of it and twice."""


@dataclass(frozen=True)
class Components:
    """Variance of the difference of two systems on one item, and what an item and its runs cost."""

    between: Annotated[float | None, typer.Option(help="Variance between items of the difference in truth.")] = None
    within: Annotated[float | None, typer.Option(help="Variance between runs of an item, both systems added.")] = None
    like: Annotated[
        str, typer.Option(help="Without logs and numbers: two seeds, or two sizes, of the bundled model ladder.")
    ] = "sizes"
    item_cost: Annotated[float, typer.Option(help="What an item costs once (its labels), in any unit.")] = 0.0
    run_cost: Annotated[float, typer.Option(help="What one run of an item costs on both systems together.")] = 1.0
    power: Annotated[float, typer.Option(min=0.01, max=0.999, help="Probability of finding the difference.")] = 0.8


@flat
def power(
    difference: Annotated[float, typer.Argument(help="Difference to find, in the unit of the score (0.02).")],
    components: Components,
    output: Output,
    files: Annotated[
        list[Path] | None, typer.Option("--log", help="Logs of two systems with repeats to learn from; several times.")
    ] = None,
    metric: Metric = None,
) -> None:
    """How many items and repeats an eval needs to find a difference, and the cheapest split."""
    from foretell.assets.pages import Page, Section
    from foretell.predictors.metrics import plan_items
    from foretell.predictors.plots.reports import plot_lines

    variance, design, basis = _variance(components, files or [], metric)
    plan = plan_items(
        [difference * times for times in SHOWN], variance, cost_per_item=components.item_cost,
        cost_per_run=components.run_cost, power=components.power, design_effect=design,
    )  # fmt: skip
    best = plan[plan["is_cheapest"]].iloc[0]
    lead = (
        f"To find a difference of {difference:g} with {percent(components.power)} power: {best['n_items']:,.0f} items "
        f"x {best['replicates']:.0f} runs of each system is cheapest ({best['cost']:,.6g})."
    )
    shown = plan.assign(
        effect=plan["effect"].map("{:.4g}".format), cost=plan["cost"].map("{:,.6g}".format),
        is_cheapest=plan["is_cheapest"].map({True: "cheapest", False: ""}),
    ).rename(columns={"effect": "difference", "is_cheapest": "which", "n_items": "items"})  # fmt: skip

    figure = partial(
        plot_lines, plan.assign(difference=shown["difference"]), "replicates", "cost", "difference",
        title="What it costs to find a difference", xlabel="runs of each item", ylabel="cost",
    )  # fmt: skip
    sections = [Section("Drawn", figure=figure), Section("Items, by difference and repeats", table=shown, n_keys=2)]
    output.show(plan, Page("Items and repeats", sections, answer=[lead], remarks=[basis]))


def _variance(components: Components, files: list[Path], metric: str | None) -> "tuple[DifferenceVariance, float, str]":
    """The variances, by how much clusters inflate them, and where they are from."""
    from foretell.predictors.metrics import DifferenceVariance, compare_systems, difference_variance

    given = (components.between, components.within)
    if any(number is not None for number in given):
        if files or None in given or min(components.between or 0.0, components.within or 0.0) < 0:
            raise InvalidInputError("give `--between` and `--within`, both >= 0, or `--log` files, not some of each")
        return DifferenceVariance(*given), 1.0, "Variances as given."  # type: ignore[arg-type]
    if not files:
        if components.like not in LIKE:
            raise InvalidInputError(f"`--like` must be one of {', '.join(LIKE)}, got {components.like!r}")
        known = DifferenceVariance(*LIKE[components.like])
        basis = f"Variances of two {components.like} of the bundled model ladder; give --log A --log B for your own."
        return known, 1.0, f"{basis} Between items {known.between:.3g}, between runs {known.within:.3g}."

    from foretell.assets.readers.scores.eval_logs import read_eval_logs

    scores, notes = read_eval_logs(files, metric=metric)
    for line in notes:
        say(line)
    systems = list(dict.fromkeys(scores["system"]))
    if len(systems) != 2:
        raise InvalidInputError(f"the logs hold {len(systems)} systems ({', '.join(systems[:5])}); two are needed")
    found = difference_variance(*(scores[scores["system"] == name] for name in systems))
    if found.within != found.within:
        raise InvalidInputError("the logs repeat no item: run some with epochs, or give --between and --within")
    row = compare_systems(scores).iloc[0]
    design = (row["standard_error"] / row["standard_error_unclustered"]) ** 2 or 1.0
    basis = f"Variances of the difference of {systems[0]} and {systems[1]} on {found.n_cells} items: between items "
    return found, design, f"{basis}{found.between:.3g}, between runs {found.within:.3g}, clusters times {design:.2g}."
