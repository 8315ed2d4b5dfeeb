"""Bring a landing zone of version 0 to version 1; `foretell.pipelines.home` calls this once.

Version 0 kept rows beside their account, replaced a folder by two renames, and took records of any day, though its
tables began in 2023 and ended today.
"""

import shutil
from pathlib import Path
from typing import Any

from foretell.assets.lake.landing.manifests import (
    MANIFEST,
    next_folder,
    read_manifest,
    read_manifests,
    read_parquet,
    remove_former_rows,
    rows_file,
    write_manifest,
)
from foretell.assets.store.days import FIRST_DAY, has_day
from foretell.assets.store.durable import publish_folder

PUT_ASIDE = ".old-"
BEGUN = ".tmp-"


def is_former_landing(landing: Path) -> bool:
    """Whether a file landed, or was about to, as version 0 did it."""
    is_aside = any(landing.glob(f"{PUT_ASIDE}*"))
    return is_aside or any("folder" not in manifest for manifest in read_manifests(landing))


def migrate_landing(landing: Path) -> list[str]:
    """Take back what a kill between two renames left aside, and quarantine records of impossible days.

    Returns what was changed, a sentence each.
    """
    notes = [_taken_back(landing, folder) for folder in sorted(landing.glob(f"{PUT_ASIDE}*"))]
    for manifest in read_manifests(landing):
        days = [day for day in manifest["days"] if not has_day(day)]
        if days:
            notes.append(_quarantined(landing, manifest, days))
    return notes


def _taken_back(landing: Path, aside: Path) -> str:
    key = aside.name.removeprefix(PUT_ASIDE)
    fresh, folder = landing / f"{BEGUN}{key}", landing / key
    if not folder.exists():
        # The account is written last: where it is, the newer rows are whole.
        publish_folder(fresh if (fresh / MANIFEST).exists() else aside, folder)
    shutil.rmtree(aside, ignore_errors=True)
    manifest = read_manifest(folder)
    n_rows = 0 if manifest is None else manifest["n_rows"]
    return f"{n_rows} rows that a killed run had left invisible are back"


def _quarantined(landing: Path, manifest: dict[str, Any], days: list[str]) -> str:
    """Write a landed file's rows again without those of `days`, which become rejects."""
    from foretell.assets.lake.landing.days import Written, impossible_day
    from foretell.assets.readers.core.records import RAW_SCHEMA, REJECT_SCHEMA

    folder = landing / manifest["key"]
    fresh = landing / f"{BEGUN}{manifest['key']}"
    shutil.rmtree(fresh, ignore_errors=True)
    rows = fresh / next_folder(folder)
    rows.mkdir(parents=True)
    lost = []
    with Written(rows, manifest["name"]) as written:
        for day in sorted(manifest["days"]):
            table = read_parquet(rows_file(landing, manifest, f"rows-{day}"), RAW_SCHEMA)
            if day in days:
                lost += [impossible_day(day, line) for line in table.column("source_line").to_pylist()]
            else:
                written.add(f"rows-{day}", table)
        written.add("rejects", read_parquet(rows_file(landing, manifest, "rejects"), REJECT_SCHEMA))
        written.reject(lost)
    publish_folder(rows, folder / rows.name)
    changed = {
        **manifest,
        "folder": rows.name,
        "days": {day: n for day, n in manifest["days"].items() if day not in days},
        "n_rows": manifest["n_rows"] - len(lost),
        "n_rejects": manifest["n_rejects"] + len(lost),
        "first_day_ahead": min((day for day in days if day > FIRST_DAY.isoformat()), default=None),
    }
    write_manifest(folder, changed)
    remove_former_rows(folder, changed)
    shutil.rmtree(fresh, ignore_errors=True)
    return f"{manifest['name']}: {len(lost)} records of impossible days ({', '.join(days)}) went to the quarantine"
