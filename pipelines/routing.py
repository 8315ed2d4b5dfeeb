"""`foretell route`: which model for which request under a budget."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from pipelines.console import out, print_json, print_table, say
from pipelines.settings import Settings
from predictors.errors import InvalidInputError

__all__ = ["run_route"]

ROWS_ON_SCREEN = 20


def run_route(
    settings: Settings,
    dataset: str,
    *,
    file: Path | None,
    budget: float | None,
    models: Sequence[str] = (),
    as_json: bool,
) -> None:
    """Assign a model to every request of `file`; without a file, report what routing keeps and saves on `dataset`.

    Parameters
    ----------
    settings : Settings
    dataset : str
        Scored and priced traces to learn from.
    file : Path or None
        Requests, see `assets.requests.read_requests`.
    budget : float or None
        USD for all requests; required with a file.
    models : sequence of str
        To choose from; by default those that answered nearly every query of the data set.
    as_json : bool

    Raises
    ------
    InvalidInputError
        If the data set is unknown, the budget is missing or too small, or the data set has no scored run of a model.
    """
    from assets.reports.cost_of_pass import scored_runs
    from assets.reports.routing import ROUTED, fit_router, usable_models
    from assets.reports.trace_parts import draw_queries
    from assets.requests import read_requests
    from assets.thinking_tokens import DATASETS, lake_traces, traces_of_dataset
    from pipelines.reports import run_report
    from predictors.thinking_tokens.routing import assign_models

    if file is None:
        run_report(settings, "routing", dataset, file=None, as_json=as_json)
        return
    if dataset not in DATASETS:
        raise InvalidInputError(f"unknown data set {dataset!r}; there is {', '.join(DATASETS)}")
    if budget is None:
        raise InvalidInputError("`--budget` is missing: the dollars that all requests together may cost")
    requests, problems = read_requests(file)
    empty = requests["prompt_text"].isna() if "prompt_text" in requests else pd.Series(True, index=requests.index)
    problems += [f"{file}: request {number}: no text" for number in requests.index[empty]]
    requests = requests[~empty]
    for problem in problems:
        say(problem)
    if requests.empty:
        raise InvalidInputError(f"{file}: no request is left to assign, {len(problems)} left out")
    sources = settings.sources
    traces = lake_traces(sources) if dataset == "lake" else traces_of_dataset(dataset, sources)
    with settings.open_engine():
        drawn = draw_queries(traces, ROUTED)
    for line in drawn.reasons():
        say(line)
    runs, reasons = scored_runs(drawn.rows, settings.price_file)
    if runs.empty:
        raise InvalidInputError(" ".join(reasons))
    known = sorted(set(runs["model"]))
    unknown = sorted(set(models) - set(known))
    if unknown:
        raise InvalidInputError(f"{dataset} has no scored and priced run of {unknown}; it has {known}")
    chosen, why = (list(models), []) if models else usable_models(runs)
    for line in why:
        say(line)
    router = fit_router(runs[runs["model"].isin(chosen)], chosen, settings.price_file)
    columns = [name for name in ("benchmark", "prompt_text", "input_tokens") if name in requests]
    success, cost = router.forecast(requests[columns])
    found = assign_models(success, cost, budget)
    rows = np.arange(len(requests))
    table = pd.DataFrame(
        {
            "request": requests.index,
            "model": np.array(router.models, dtype=object)[found.choice],
            "chance_of_passing": success[rows, found.choice],
            "expected_cost_usd": cost[rows, found.choice],
        }
    )
    if as_json:
        print_json(table)
        return
    shown = table.head(ROWS_ON_SCREEN).round({"chance_of_passing": 3, "expected_cost_usd": 6})
    more = f", the first {ROWS_ON_SCREEN}" if len(table) > ROWS_ON_SCREEN else ""
    print_table(
        f"{len(table)} requests, {len(problems)} left out{more}", list(shown.columns), shown.to_numpy().tolist()
    )
    counts = table["model"].value_counts()
    out.print(
        f"expected: {found.success:.1f} passes for ${found.cost_usd:.4f} of ${budget:.4f} (at best {found.bound:.1f}); "
        + ", ".join(f"{name} {n}" for name, n in counts.items()),
        markup=False,
    )
