"""`foretell fetch`, `export` and `sql`: public data in, curated tables out."""

from __future__ import annotations

from pathlib import Path

from pipelines.console import out, print_json, print_table, say
from pipelines.settings import Settings
from predictors.errors import InvalidInputError


def list_public_data(*, as_json: bool) -> None:
    """Print what the catalogue holds."""
    from assets.catalog import list_entries, load_entry

    entries = [load_entry(name) for name in list_entries()]
    rows = [
        {
            "name": entry.name,
            "files": len(entry.files),
            "mb": round(entry.n_bytes / 1e6, 1),
            "licence": entry.licence,
            "title": entry.title,
        }
        for entry in entries
    ]
    if as_json:
        print_json(rows)
    else:
        print_table("public data", list(rows[0]), [list(row.values()) for row in rows])


def fetch_public_data(settings: Settings, names: list[str], *, every: bool, as_json: bool) -> None:
    """Fetch sets by name (or every one), each file checked against its checksum."""
    from assets.catalog import fetch, list_entries, load_entry, provenance

    if not names and not every:
        raise InvalidInputError("name a data set, or use --list or --all")
    for name in list_entries() if every else names:
        entry = load_entry(name)
        say(f"{name}: {len(entry.files)} files, {entry.licence}; {entry.citation}")
        paths = fetch(name, cache=settings.cache, mirror=settings.mirror, progress=_Progress())
        rows = [{"name": name, "file": str(p), **told} for p, told in zip(paths, provenance(name), strict=True)]
        if as_json:
            print_json(rows)
        else:
            out.print(f"{name}: {len(rows)} files, all with the checksum of the catalogue", markup=False)


class _Progress:
    """A line whenever another tenth of the bytes is there."""

    def __init__(self) -> None:
        self._tenths = 0

    def __call__(self, done: int, total: int, file: str) -> None:
        tenths = 10 * done // max(total, 1)
        if tenths > self._tenths:
            self._tenths = tenths
            say(f"  {done / 1e6:8.1f} of {total / 1e6:.1f} MB  {file}")


def export_lake(settings: Settings, path: Path, *, format: str | None) -> None:
    """Write the curated traces to a file."""
    from assets.export import export_traces
    from assets.thinking_tokens import traces_of_dataset

    traces = traces_of_dataset("lake", settings.sources)
    say(f"{len(traces)} requests written to {export_traces(traces, path, format)}")


def query_lake(settings: Settings, query: str, *, as_json: bool) -> None:
    """Answer one SQL query over the tables of the lake.

    Raises
    ------
    InvalidInputError
        If the query fails; names the tables there are.
    """
    import duckdb

    from assets.export import connect_lake, lake_tables

    with connect_lake(settings.home / "lake") as connection:
        try:
            answer = connection.execute(query).df()
        except duckdb.Error as error:
            tables = ", ".join(lake_tables(settings.home / "lake"))
            first = str(error).splitlines()[0]
            raise InvalidInputError(f"{first}; the tables are {tables}") from error
    if as_json:
        print_json(answer)
    else:
        print_table(f"{len(answer)} rows", [str(c) for c in answer.columns], answer.to_numpy().tolist())
