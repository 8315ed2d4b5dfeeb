"""`foretell report`: what the traces of a data set say about prices, passes, frontiers, thinking and noise."""

from __future__ import annotations

import base64
import html
import io
from pathlib import Path

import pandas as pd

from assets.reports import REPORTS
from assets.reports.report import Report, ReportSpec, cell
from pipelines.console import out, print_json, print_table, say
from pipelines.pages import page, table_html
from pipelines.settings import Settings
from predictors.errors import InvalidInputError

__all__ = ["report_html", "run_report"]

ROWS_ON_SCREEN = 40
SUFFIXES = (".html", ".csv", ".parquet", ".jsonl")


def run_report(settings: Settings, name: str, dataset: str, *, file: Path | None, as_json: bool) -> None:
    """Print a report about the traces of a data set, or write it to `file`.

    Raises
    ------
    InvalidInputError
        If there is no such report or data set, or `file` is of an unknown kind.
    DatasetError
        If the files of the data set can neither be fetched nor found in the mirror.
    """
    from assets.thinking_tokens import DATASETS, lake_traces, traces_of_dataset
    from pipelines.predict import write_frame

    if name not in REPORTS:
        raise InvalidInputError(f"unknown report {name!r}; there is {', '.join(REPORTS)}")
    if dataset not in DATASETS:
        raise InvalidInputError(f"unknown data set {dataset!r}; there is {', '.join(DATASETS)}")
    if file is not None and file.suffix not in SUFFIXES:
        raise InvalidInputError(f"`--out` must end in {', '.join(SUFFIXES)}, got {file}")
    spec = REPORTS[name]
    with settings.open_engine():
        sources = settings.sources
        traces = lake_traces(sources) if dataset == "lake" else traces_of_dataset(dataset, sources)
        found = spec.make(traces, settings.price_file)
    if file is not None and file.suffix == ".html":
        file.write_text(report_html(spec, found, dataset), "utf-8")
        say(f"written to {file}")
    elif file is not None:
        write_frame(found.table, file)
        say(f"{len(found.table)} rows written to {file}")
    if as_json:
        print_json(found.table)
        for line in found.reasons:
            say(line)
    elif file is None:
        _print(spec, found, dataset)


def _print(spec: ReportSpec, found: Report, dataset: str) -> None:
    out.print(f"{spec.title}: {dataset}", markup=False, style="bold")
    for line in (*found.findings, *found.reasons):
        out.print(f"- {line}", markup=False)
    for title, table in {spec.grain: found.table, **found.more}.items():
        if table.empty:
            continue
        shown = table.head(ROWS_ON_SCREEN)
        more = f" (the first {ROWS_ON_SCREEN} of {len(table)}; all with --json)" if len(table) > len(shown) else ""
        print_table(
            title + more, list(shown.columns), [[cell(v) for v in row] for row in shown.itertuples(index=False)]
        )


def report_html(spec: ReportSpec, found: Report, dataset: str) -> str:
    """The report as one page that needs nothing else."""
    parts = []
    if found.findings:
        parts.append("<ul>" + "".join(f"<li>{html.escape(line)}</li>" for line in found.findings) + "</ul>")
    if not found.table.empty:
        parts.append(f'<figure><img alt="{html.escape(spec.title)}" src="{_figure(spec, found)}"></figure>')
    for title, table in {spec.grain: found.table, **found.more}.items():
        if not table.empty:
            parts.append(f"<h2>{html.escape(title)}</h2>{table_html(_shown(table))}")
    if found.reasons:
        lines = "".join(f"<li>{html.escape(line)}</li>" for line in found.reasons)
        parts.append(f"<h2>What is left out, and why</h2><ul>{lines}</ul>")
    return page(f"{spec.title}: {dataset}", "".join(parts))


def _shown(table: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({name: [cell(value) for value in table[name]] for name in table.columns})


def _figure(spec: ReportSpec, found: Report) -> str:
    buffer = io.BytesIO()
    spec.draw(found).savefig(buffer, dpi=110, format="png")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
