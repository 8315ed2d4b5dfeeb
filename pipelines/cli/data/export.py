"""`foretell export`: a table out of the lake."""

from pathlib import Path
from typing import Annotated

import typer

from foretell.assets.lake.tables.contracts import TABLES
from foretell.pipelines.cli.console import counted, say
from foretell.pipelines.settings import Settings
from foretell.predictors.errors import InvalidInputError, unknown_name

TRACES = "request_traces"


def export(
    path: Annotated[Path, typer.Argument(help="File to write: .parquet, .csv or .jsonl.")],
    format: Annotated[str | None, typer.Option(help="parquet, csv, jsonl; of requests otlp_json too.")] = None,
    table: Annotated[str, typer.Option(help=f"{TRACES}, {', '.join(TABLES)}.")] = TRACES,
) -> None:
    """Write a table of the lake to a file, by default the curated traces."""
    from foretell.assets.families.thinking_tokens.examples import traces_of_dataset
    from foretell.assets.lake.export import export_traces

    settings = Settings()
    if table not in (TRACES, *TABLES):
        raise unknown_name("table", table, [TRACES, *TABLES])
    if table != TRACES and format == "otlp_json":
        raise InvalidInputError(f"otlp_json is a format of requests; write {table} as .parquet, .csv or .jsonl")
    rows = (
        traces_of_dataset("lake", settings.sources) if table == TRACES else TABLES[table].read(settings.home / "lake")
    )
    say(f"{counted(len(rows), 'request' if table == TRACES else 'row')} written to {export_traces(rows, path, format)}")
