"""`foretell report`: what the traces of a data set say about prices, passes, frontiers, thinking and noise."""

from typing import TYPE_CHECKING, Annotated

import typer

from foretell.assets.pages import MAX_ROWS, Page, Section, as_text
from foretell.pipelines.cli.console import count_keys
from foretell.pipelines.cli.options import flat
from foretell.pipelines.cli.output import Output
from foretell.pipelines.settings import Settings
from foretell.predictors.errors import unknown_name

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
    """What traces say about prices, passes, frontiers, thinking, noise, routing, former quotes and spend."""
    from foretell.assets.families.thinking_tokens.examples import DATASETS, lake_traces, traces_of_dataset
    from foretell.assets.reports import REPORTS

    if name not in REPORTS:
        raise unknown_name("report", name, REPORTS)
    if dataset not in DATASETS:
        raise unknown_name("data set", dataset, DATASETS)
    settings, spec = Settings(), REPORTS[name]
    with settings.open_engine():
        sources = settings.sources
        traces = lake_traces(sources) if dataset == "lake" else traces_of_dataset(dataset, sources)
        made = spec.report(traces, settings.price_file, settings.home)
    output.show(made.table, report_page(spec, made, dataset))


def report_page(spec: "ReportSpec", made: "Report", dataset: str) -> Page:
    """The report as people read it."""
    first, *rest = made.findings or made.reasons or ("The traces do not tell.",)
    tables = [
        Section(title, table=as_text(table.head(MAX_ROWS)), n_keys=count_keys(table), n_rows=len(table),
                n_on_screen=ROWS_ON_SCREEN)
        for title, table in {"In figures": made.table, **made.more}.items()
    ]  # fmt: skip
    return Page(
        f"{spec.title}: {dataset}",
        [Section("More findings", rest), Section("Drawn", figure=lambda: spec.draw(made)), *tables],
        asked=f"Asked of {dataset}. {spec.grain}",
        answer=[first],
        remarks=made.reasons if made.findings else (),
    )
