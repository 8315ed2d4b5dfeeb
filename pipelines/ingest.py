"""`foretell ingest`: files in, curated days out, every refused record named."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.console import out, print_json, say
from pipelines.runs import curate_days, locked, open_instance
from pipelines.settings import Settings

if TYPE_CHECKING:
    from assets.landing import FileReport


def run_ingest(
    settings: Settings,
    paths: Sequence[Path],
    *,
    format: str | None,
    date: str | None,
    curate: bool,
    as_json: bool,
) -> int:
    """Land `paths`, curate the days they touch, print a line per file; the exit code."""
    from assets.landing import ingest

    with locked(settings):
        report = ingest(paths, settings.landing, format=format, date=date)
        if curate and report.n_usable:
            with open_instance(settings) as instance:
                curate_days(settings, instance, lambda step, seconds: None)
    if as_json:
        print_json(report.as_rows())
    else:
        for file in report.files:
            out.print(_line(file), markup=False)
    for file in report.files:
        for problem in file.problems:
            say(problem)
    return 0 if report.n_usable else 2


def _line(file: FileReport) -> str:
    counts = f"{file.n_read} read, {file.n_rows} landed, {file.n_rejects} quarantined"
    return f"{file.path}: {file.format}, {file.status}, {counts}"
