"""`foretell ingest`: files in, curated days out, every refused record named."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import pandas as pd
import typer
import yaml

from foretell.assets.families import all_families
from foretell.assets.lake.landing.manifests import STREAM_PREFIX
from foretell.assets.lake.landing.mlflow_store import FORMER_PREFIX, PREFIX, RUNS_PREFIX
from foretell.assets.pages import Page, Section
from foretell.pipelines.cli.console import counted, say, say_next
from foretell.pipelines.cli.options import flat
from foretell.pipelines.cli.output import Output, PlainOutput
from foretell.pipelines.cli.progress import UnderWay
from foretell.pipelines.runs import State, curate_days, curate_tables, locked, open_instance
from foretell.pipelines.settings import Settings
from foretell.predictors.errors import InvalidInputError

if TYPE_CHECKING:
    from foretell.assets.lake.landing.deliveries import FileReport, IngestReport

STDIN = "-"
EXPORT_PREFIX = ".mlflow-"
FILES_ON_SCREEN = 50


@dataclass(frozen=True)
class Options:
    """How records are read; see `foretell.assets.lake.landing.deliveries.ingest`."""

    format: Annotated[str | None, typer.Option(help="Skip the detection of the format.")] = None
    date: Annotated[str | None, typer.Option(help="Day (YYYY-MM-DD) for records that carry no time.")] = None
    source: Annotated[str | None, typer.Option(help="First half of the key of every row.")] = None
    columns: Annotated[Path | None, typer.Option(help="YAML: our column names -> those of a table.")] = None
    with_prompts: Annotated[
        bool, typer.Option("--prompts/--no-prompts", help="Keep the text of prompts, not only its hash.")
    ] = True

    def keywords(self) -> dict[str, Any]:
        """Keyword arguments of `foretell.assets.lake.landing.deliveries.ingest`."""
        return {**vars(self), "columns": None if self.columns is None else read_columns(self.columns)}


def read_columns(path: Path) -> dict[str, str]:
    """Read a column map: YAML, our names to those of the table."""
    try:
        content = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise InvalidInputError(f"{path}: no YAML: {getattr(error, 'strerror', error)}") from error
    if not isinstance(content, dict) or not all(isinstance(part, str) for item in content.items() for part in item):
        raise InvalidInputError(f"{path}: expected lines such as `output_tokens: completion_tokens`")
    return content


def land_files(settings: Settings, paths: Sequence[str], options: Options, *, curate: bool) -> IngestReport:
    """Land `paths`, and where `curate` says so validate and price the days and tables that they touch."""
    from foretell.assets.lake.landing.deliveries import IngestReport, ingest, ingest_stream
    from foretell.assets.lake.quarantine import refresh_quarantine, report_quarantine
    from foretell.assets.lake.tables.curation import read_parts

    keywords = options.keywords()
    with locked(settings), settings.open_engine(), UnderWay("ingest", counts_parts=True) as way:
        files = []
        # Streams and exports that a killed run was reading hold prompts.
        for left in [path for prefix in (STREAM_PREFIX, EXPORT_PREFIX) for path in settings.landing.glob(f"{prefix}*")]:
            shutil.rmtree(left, ignore_errors=True)
        if STDIN in paths:
            files += ingest_stream(sys.stdin.buffer, settings.landing, **keywords).files
        stores = (PREFIX, RUNS_PREFIX, FORMER_PREFIX)
        for address in (path for path in paths if path.startswith(stores)):
            files += _ingest_live(settings, address, keywords)
        plain = [path for path in paths if path != STDIN and not path.startswith(stores)]
        files += ingest(plain, settings.landing, **keywords).files
        report = IngestReport(files)
        if curate:
            with open_instance(settings) as instance:
                if report.n_usable:
                    curate_days(settings, instance, way.step)
                    for name in curate_tables(settings, instance, way.step):
                        n_bad = sum(part["quarantined"] for part in read_parts(settings.home / "lake" / name).values())
                        if n_bad:
                            say(f"{name}: {n_bad} rows broke the contract; `foretell sql 'from quarantine'` says why")
                report_quarantine(instance, refresh_quarantine(settings.landing, settings.home / "lake"))
    return report


def run_ingest(settings: Settings, paths: Sequence[str], options: Options, output: Output, *, curate: bool) -> int:
    """Land `paths` and show a row per file; the exit code."""
    report = land_files(settings, paths, options, curate=curate)
    problems = [problem for file in report.files for problem in file.problems]
    for problem in problems[:FILES_ON_SCREEN]:
        say(problem)
    if (n_more := len(problems) - FILES_ON_SCREEN) > 0:
        say(f"and {n_more:,} more; `foretell sql 'from quarantine'` lists all")
    shown = pd.DataFrame([
        {"file": file.path, "status": file.status, "read": f"{file.n_read:,}", "landed": f"{file.n_rows:,}",
         "quarantined": f"{file.n_rejects:,}", "format": file.format,
         "tables": ", ".join(f"{n:,} {name}" for name, n in file.tables.items())}
        for file in report.files
    ])  # fmt: skip
    told = f"{counted(len(report.files), 'file')}: {report.n_read:,} read, {report.n_usable:,} landed, "
    told += f"{report.n_rejects:,} quarantined"
    sections = [Section(table=shown, n_keys=2, n_on_screen=FILES_ON_SCREEN, prose=("file", "tables"))]
    output.show(pd.DataFrame(report.files), Page("Landed", sections, answer=[told] if output.on_screen else ()))
    if curate and report.n_usable and not output.json:
        landed = {name for file in report.files for name in file.tables}
        say_next(f"retrain {' '.join(family.name for family in all_families() if landed & {*family.tables})}")
    return 0 if report.n_usable or any(file.status == "known" for file in report.files) else 2


def _ingest_live(settings: Settings, address: str, keywords: dict[str, Any]) -> list[FileReport]:
    """Land what a live MLflow store holds: traces, which their ids tell apart, or runs that are new or have gone on."""
    from foretell.assets.lake.landing.deliveries import FileReport, ingest
    from foretell.assets.lake.landing.mlflow_store import export_mlflow_runs, export_mlflow_traces

    if address.startswith(FORMER_PREFIX):
        say(f"`{FORMER_PREFIX}URI#EXPERIMENT` is `{PREFIX}URI/EXPERIMENT` now; the old form goes with the next version")
    settings.landing.mkdir(parents=True, exist_ok=True)
    state, key, seen = State(settings), f"store:{address}", None
    with tempfile.TemporaryDirectory(dir=settings.landing, prefix=EXPORT_PREFIX) as folder:
        file, format = Path(folder) / "traces.jsonl", "mlflow_traces"
        if address.startswith(RUNS_PREFIX):
            file, format = Path(folder) / "runs.jsonl", "mlflow_runs"
            n_runs, n_new, seen = export_mlflow_runs(address, file, state.get(key))
            say(f"{address}: {n_runs} runs, {n_new} of them new or longer than the last time")
            if not n_new:
                return [FileReport(address, "", format, "known", 0, 0, 0, [])]
        else:
            say(f"{address}: {export_mlflow_traces(address, file)} traces")
        reports = ingest([file], settings.landing, **{**keywords, "format": format}).files
    if seen is not None and all(report.n_rows for report in reports):
        state.set(key, seen)
    return [replace(report, path=address) for report in reports]


@flat
def ingest(
    paths: Annotated[
        list[str],
        typer.Argument(
            help="Files, folders, patterns; - is standard input; stores: mlflow-traces: or mlflow-runs:URI[/NAME]."
        ),
    ],
    options: Options,
    output: PlainOutput,
    curate: Annotated[bool, typer.Option(help="Validate and price the days at once.")] = True,
) -> None:
    """Land traces: parse once, keep what is good, quarantine the rest with file, line and remedy."""
    raise typer.Exit(run_ingest(Settings(), paths, options, output, curate=curate))
