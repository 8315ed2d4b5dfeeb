"""`foretell report`: what the traces of a data set say about prices, passes, frontiers, thinking and noise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from foretell.pipelines.cli.console import count_keys, out, print_table, say
from foretell.pipelines.cli.options import flat
from foretell.pipelines.cli.output import Output
from foretell.pipelines.settings import Settings
from foretell.predictors.errors import InvalidInputError, unknown_name

if TYPE_CHECKING:
    from foretell.assets.reports.spec import Report, ReportSpec

ROWS_ON_SCREEN = 40
NAMES = "price-reversals, cost-of-pass, frontier, thinking-share, token-noise, routing, cascade, quotes or spend"


@flat
def report(
    name: Annotated[str, typer.Argument(help=NAMES)],
    output: Output,
    dataset: Annotated[str, typer.Option(help="lake (your own traces), starter, or a public set by name.")] = "lake",
) -> None:
    """What traces say about prices, passes, frontiers, thinking, noise, routing, former quotes, and spend."""
    run_report(Settings(), name, dataset, output)


def run_report(settings: Settings, name: str, dataset: str, output: Output) -> None:
    """Print a report about the traces of a data set and write it where `output` says.

    Raises
    ------
    InvalidInputError
        If there is no such report or data set, or a file is of an unknown kind.
    DatasetError
        If the files of the data set can neither be fetched nor found in the mirror.
    """
    from foretell.assets.families.thinking_tokens.examples import DATASETS, lake_traces, traces_of_dataset
    from foretell.assets.reports import REPORTS

    if name not in REPORTS:
        raise unknown_name("report", name, REPORTS)
    if dataset not in DATASETS:
        raise unknown_name("data set", dataset, DATASETS)
    output.check(".html", ".png")
    spec = REPORTS[name]
    with settings.open_engine():
        sources = settings.sources
        traces = lake_traces(sources) if dataset == "lake" else traces_of_dataset(dataset, sources)
        made = spec.report(traces, settings.price_file, settings.home)
    if any(path.suffix == ".png" for path in output.out) and not spec.has_figure(made):
        raise InvalidInputError(f"`--out X.png`: {spec.title} on {dataset} has nothing to draw; --out X.html says why")
    if output.write(made.table, page=lambda: report_html(spec, made, dataset), figure=lambda: spec.draw(made)):
        _print(spec, made, dataset)
    elif output.json:
        for line in made.reasons:
            say(line)


def _print(spec: ReportSpec, made: Report, dataset: str) -> None:
    from foretell.assets.store.markdown import cell

    out.print(f"{spec.title}: {dataset}", style="bold")
    for line in (*made.findings, *made.reasons):
        out.print(f"- {line}")
    for title, table in {spec.grain: made.table, **made.more}.items():
        if table.empty:
            continue
        shown = table.head(ROWS_ON_SCREEN)
        more = f" (the first {ROWS_ON_SCREEN} of {len(table)}; all with --json)" if len(table) > len(shown) else ""
        rows = [[cell(value) for value in row] for row in shown.itertuples(index=False)]
        print_table(title + more, list(shown.columns), rows, n_keys=count_keys(shown))


def report_html(spec: ReportSpec, made: Report, dataset: str) -> str:
    """The report as one page that needs nothing else."""
    from foretell.assets.pages import Head, Section, as_text, page

    asked = f"Asked of {dataset}. {spec.grain}"
    first, *rest = made.findings or made.reasons or ("The traces do not tell.",)
    figure = None if not spec.has_figure(made) else spec.draw(made)
    tables = [Section(title, table=as_text(table), n_keys=count_keys(table))
              for title, table in {"In figures": made.table, **made.more}.items() if len(table.columns)]  # fmt: skip
    left_out = Section("What is left out, and why", made.reasons if made.findings else ())
    head = Head(f"{spec.title}: {dataset}", asked, answer=[first])
    return page(head, [Section("More findings", rest), Section("Drawn", figure=figure), *tables, left_out])
