"""`foretell route`: which model for which request under a budget."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from foretell.pipelines.cli.console import counted, money, say
from foretell.pipelines.cli.forecast.champion import load_champion, say_what_waits
from foretell.pipelines.cli.options import flat, or_stdin
from foretell.pipelines.cli.output import Output
from foretell.pipelines.settings import Settings
from foretell.predictors.errors import DatasetError, InvalidInputError

if TYPE_CHECKING:
    import pandas as pd

ROWS_ON_SCREEN = 20


@dataclass(frozen=True)
class RouteOptions:
    """What a router may spend on what."""

    dataset: Annotated[str, typer.Option(help="Without a file: scored traces to judge routing on.")] = "lake"
    budget: Annotated[float | None, typer.Option(help="USD that all requests together may cost.")] = None
    cascade: Annotated[
        bool, typer.Option("--cascade", help="Without a file: ask, look at the answer, then ask a better model?")
    ] = False
    models: Annotated[list[str], typer.Option("--model", help="A model to choose from; several times.")] = field(
        default_factory=list
    )


@flat
def route(
    output: Output,
    options: RouteOptions,
    file: Annotated[
        Path | None,
        typer.Argument(
            help="Requests to assign (-: standard input); without, how well routing does.", callback=or_stdin
        ),
    ] = None,
) -> None:
    """Which model for which request under a budget, from forecasts of success and of cost."""
    if file is not None:
        if options.cascade:
            raise InvalidInputError("`--cascade` judges policies on scored answers: leave the file out")
        run_route(Settings(), file, options, output)
        return
    for name, value in (("--budget", options.budget), ("--model", options.models)):
        if value:
            raise InvalidInputError(f"`{name}` is about a file of requests: name one, or leave the option out")

    from foretell.pipelines.cli.judge.report import report

    report(name="cascade" if options.cascade else "routing", dataset=options.dataset, **vars(output))


def run_route(settings: Settings, file: Path, options: RouteOptions, output: Output) -> None:
    """Assign a model to every request of `file`, within the budget, by the champions of success and thinking tokens."""
    import pandas as pd

    from foretell.assets.pages import MAX_ROWS, Page, Section
    from foretell.assets.reports.routing import Router
    from foretell.predictors.success.chances import ChancePredictor
    from foretell.predictors.thinking_tokens.bill.routing import assign_models

    output.check(is_drawn=False)
    if options.budget is None:
        raise InvalidInputError("`--budget` is missing: the dollars that all requests together may cost")
    requests, n_left_out = _requests_with_text(file)
    success, tokens = load_champion(settings, "success"), load_champion(settings, "thinking_tokens")
    assert isinstance(success, ChancePredictor), "the family says so"
    unscored = sorted(set(options.models) - set(success.models_))
    if unscored:
        raise InvalidInputError(f"no run of {unscored} was scored; the champion of success knows {success.models_}")
    models = options.models or success.models_
    for champion in (success, tokens):
        say_what_waits(settings, champion, pd.DataFrame({"model": models}), None)
    router = Router(tuple(models), {}, success, tokens, settings.price_file)
    chances, cost = router.forecast(requests.drop(columns="model", errors="ignore"))
    priced = np.isfinite(cost).all(axis=0)
    if not priced.all():
        say(f"not to choose from, for want of a price: {', '.join(np.array(models, dtype=object)[~priced])}")
    if not priced.any():
        raise InvalidInputError("no model to choose from has a price: add them to your price file")
    assigned = assign_models(chances[:, priced], cost[:, priced], options.budget)
    names = np.array(models, dtype=object)[priced]
    rows = np.arange(len(requests))
    table = pd.DataFrame({
        "request": requests.index,
        "model": names[assigned.choice],
        "chance_of_passing": chances[:, priced][rows, assigned.choice],
        "expected_cost_usd": cost[:, priced][rows, assigned.choice],
    })  # fmt: skip
    head = table.head(MAX_ROWS)
    shown = head.assign(
        chance_of_passing=head["chance_of_passing"].map("{:.3f}".format),
        expected_cost_usd=head["expected_cost_usd"].map(money),
    ).set_axis(["request", "model", "chance of passing", "expected cost"], axis=1)
    counts = ", ".join(f"{name} {n}" for name, n in table["model"].value_counts().items())
    answer = (
        f"expected: {assigned.success:.1f} passes for {money(assigned.cost_usd)} of {money(options.budget)} "
        f"(at best {assigned.bound:.1f}); {counts}"
    )
    title = f"{counted(len(table), 'request')}, {n_left_out} left out"
    output.show(
        table, Page(title, [Section(table=shown, n_rows=len(table), n_on_screen=ROWS_ON_SCREEN)], answer=[answer])
    )


def chance_of_success(settings: Settings, requests: "pd.DataFrame", models: Sequence[str]) -> dict[str, float] | None:
    """Mean chance of a right answer by model, from the champion of success; None where nobody has scored anything."""
    if not settings.has_registry:
        return None
    try:
        success = load_champion(settings, "success")
    except DatasetError:
        return None
    asked = requests.drop(columns="model", errors="ignore")
    return {model: float(success.predict_mean(asked.assign(model=model)).mean()) for model in models}


def _requests_with_text(file: Path) -> "tuple[pd.DataFrame, int]":
    """Requests that can be assigned, and how many cannot; each of these is named on standard error."""
    from foretell.assets.lake.requests import read_requests

    requests, problems = read_requests(file)
    empty = requests["prompt_text"].isna() if "prompt_text" in requests else np.ones(len(requests), dtype=bool)
    problems += [f"{file}: request {number}: no text" for number in requests.index[empty]]
    for problem in problems:
        say(problem)
    if len(requests[~empty]) == 0:
        raise InvalidInputError(f"{file}: no request is left to assign, {len(problems)} left out")
    return requests[~empty], len(problems)
