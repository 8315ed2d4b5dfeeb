"""`foretell ingest`: files in, curated days out, every refused record named."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from assets.mlflow_store import PREFIX
from pipelines.console import out, print_json, say
from pipelines.runs import curate_days, locked, open_instance
from pipelines.settings import Settings
from predictors.errors import InvalidInputError

if TYPE_CHECKING:
    from assets.landing import FileReport

STDIN = "-"


@dataclass(frozen=True)
class Options:
    """How records are read; see `assets.landing.ingest`."""

    format: str | None = None
    date: str | None = None
    source: str | None = None
    columns: Path | None = None
    prompts: bool = True

    def keywords(self) -> dict[str, Any]:
        """Keyword arguments of `assets.landing.ingest`."""
        columns = None if self.columns is None else read_columns(self.columns)
        return {
            "format": self.format,
            "date": self.date,
            "source": self.source,
            "with_prompts": self.prompts,
            "columns": columns,
        }


def read_columns(path: Path) -> dict[str, str]:
    """Read a column map: YAML, our names to those of the table.

    Raises
    ------
    InvalidInputError
        If the file is missing or is not a mapping of text to text.
    """
    try:
        content = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise InvalidInputError(f"{path}: cannot be read as YAML ({error})") from error
    if not isinstance(content, dict) or not all(isinstance(part, str) for item in content.items() for part in item):
        raise InvalidInputError(f"{path}: expected lines such as `output_tokens: completion_tokens`")
    return content


def run_ingest(settings: Settings, paths: Sequence[str], options: Options, *, curate: bool, as_json: bool) -> int:
    """Land `paths`, curate the days they touch, print a line per file; the exit code."""
    from assets.landing import IngestReport, ingest, ingest_stream

    keywords = options.keywords()
    with locked(settings), settings.open_engine():
        files = []
        if STDIN in paths:
            files += ingest_stream(sys.stdin.buffer, settings.landing, **keywords).files
        for address in (path for path in paths if path.startswith(PREFIX)):
            files += _ingest_store(settings, address, keywords)
        plain = [path for path in paths if path != STDIN and not path.startswith(PREFIX)]
        files += ingest(plain, settings.landing, **keywords).files
        report = IngestReport(files)
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


def _ingest_store(settings: Settings, address: str, keywords: dict[str, Any]) -> list[FileReport]:
    """Land the traces of a live MLflow store; those that landed before are told apart by their ids."""
    from assets.landing import ingest
    from assets.mlflow_store import export_mlflow_traces

    settings.landing.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=settings.landing, prefix=".mlflow-") as folder:
        file = Path(folder) / "traces.jsonl"
        say(f"{address}: {export_mlflow_traces(address, file)} traces")
        reports = ingest([file], settings.landing, **{**keywords, "format": "mlflow_traces"}).files
    return [replace(report, path=address) for report in reports]


def _line(file: FileReport) -> str:
    counts = f"{file.n_read} read, {file.n_rows} landed, {file.n_rejects} quarantined"
    return f"{file.path}: {file.format}, {file.status}, {counts}"
