"""`foretell fetch`: public data by name."""

from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from foretell.assets import catalog
from foretell.assets.families import all_families
from foretell.assets.judging.family import PUBLIC_SOURCE
from foretell.assets.pages import Page, Section
from foretell.pipelines.cli.console import counted, say, say_next
from foretell.pipelines.cli.options import flat
from foretell.pipelines.cli.output import Output, PlainOutput
from foretell.pipelines.cli.progress import UnderWay
from foretell.pipelines.settings import Settings
from foretell.predictors.errors import InvalidInputError, unknown_name


@flat
def fetch(
    output: PlainOutput,
    names: Annotated[list[str] | None, typer.Argument(help="Names of public data sets.")] = None,
    list_: Annotated[bool, typer.Option("--list", help="Say what there is.")] = False,
    all_: Annotated[bool, typer.Option("--all", help="Every set of the catalogue.")] = False,
    land: Annotated[bool, typer.Option(help="Put what readers know into the lake, as source public/NAME.")] = True,
) -> None:
    """Fetch public data by name, checked against its checksum; FORETELL_MIRROR serves it offline."""
    if (bool(names) + list_ + all_) != 1:
        raise InvalidInputError("name data sets, or use --list or --all: one of the three")
    if not list_:
        fetch_public_data(Settings(), names or [], output, every=all_, land=land)
        return
    entries = [catalog.load_entry(name) for name in catalog.list_entries()]
    rows = pd.DataFrame([
        {"name": entry.name, "files": len(entry.files), "mb": round(entry.n_bytes / 1e6, 1), "licence": entry.licence,
         "title": entry.title}
        for entry in entries
    ])  # fmt: skip
    output.show(rows, Page("public data", [Section(table=rows)]))


def fetch_public_data(
    settings: Settings, names: list[str], output: Output, *, every: bool = False, land: bool = False
) -> None:
    """Fetch sets by name (or every one), each file checked against its checksum; `land` puts them into the lake."""
    there = catalog.list_entries()
    for name in names:
        if name not in there:
            raise unknown_name("data set", name, there)
    rows, done = [], []
    for name in there if every else names:
        entry = catalog.load_entry(name)
        say(f"{name}: {counted(len(entry.files), 'file')}, {entry.licence}; {entry.citation}")
        with UnderWay(name) as way:
            paths = catalog.fetch(name, cache=settings.cache, mirror=settings.mirror, progress=way.done)
        files = zip(paths, catalog.provenance(name), strict=True)
        rows += [{"name": name, "file": str(path), **origin} for path, origin in files]
        done.append(f"{name}: {counted(len(paths), 'file')}, checked against the checksums of the catalogue")
        if land:
            _land(settings, entry, paths)
    output.show(pd.DataFrame(rows), Page("public data", answer=done))
    fetched = {row["name"] for row in rows}
    judged = [f"evaluate {family.name} --dataset {name}" for family in all_families()
              for name in family.datasets if name in fetched]  # fmt: skip
    if judged and output.on_screen:
        say_next(*judged)


def _land(settings: Settings, entry: catalog.CatalogEntry, paths: list[Path]) -> None:
    """Through the door of everyone's records: the files of the set that a reader recognises."""
    from foretell.assets.readers.reading import detect
    from foretell.pipelines.cli.data.ingest import Options, land_files

    known = [str(path) for path in paths if path.name != "LICENSE" and detect(path) is not None]
    if known:
        day = None if entry.day is None else entry.day.isoformat()
        report = land_files(settings, known, Options(source=f"{PUBLIC_SOURCE}{entry.name}", date=day), curate=True)
        say(f"{report.n_read} records read, {report.n_usable} usable, {report.n_rejects} quarantined")
    landed = f"{counted(len(known), 'file')} of {len(paths)} landed"
    say(f"{entry.name}: {landed}; the others are read by `foretell evaluate`")
