"""Back up and restore a home: registry, lake and landed files of one moment, verified by checksum.

A backup is a folder: copies of the databases (made through sqlite's own backup interface, so that they are whole
while others read), the artefacts, the tables, the landed files, and `backup.json` with the SHA-256 of each. What
can be made again (fits in memory of earlier runs, caches, reports) is left out.
"""

import json
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

from foretell.assets.store.digests import file_digest
from foretell.assets.store.durable import publish_folder
from foretell.pipelines.home import (
    HOME_FILE,
    Stamp,
    addresses_outside,
    move_addresses,
    read_stamp,
    told_as_dataset_errors,
    write_stamp,
)
from foretell.pipelines.runs import locked
from foretell.pipelines.settings import Settings
from foretell.predictors.errors import DatasetError, InvalidInputError

MANIFEST = "backup.json"
FOLDERS = ("mlflow", "lake", "landing", "dagster", "quotes")
FILES = (HOME_FILE, "state.json")
WRITTEN_ONCE = ("lake", "landing", "mlflow", "quotes")
"""Folders whose files are replaced and never changed, so that a second name for one is a copy of it."""
LOCK_WAIT_S = 3600.0


def back_up(settings: Settings, folder: Path) -> dict[str, Any]:
    """Copy an installation to `folder`, whole or not at all, as it is at one moment.

    Runs that write wait, or are waited for, by the locks of the families and of the installation; readers are not
    disturbed.

    Raises
    ------
    InvalidInputError
        If `folder` holds something, or lies inside the installation.
    DatasetError
        If there is nothing to back up, a run that writes does not end within an hour, or the disk is full.
    """
    from foretell.assets.nightly.record import family_lock
    from foretell.predictors.families import FAMILIES

    folder = folder.resolve()
    if folder.is_relative_to(settings.home):
        raise InvalidInputError(f"{folder} lies inside {settings.home}: a backup belongs on another disk")
    if not any((settings.home / name).exists() for name in FOLDERS):
        raise DatasetError(f"{settings.home}: nothing to back up yet")
    with ExitStack() as stack:
        stack.enter_context(told_as_dataset_errors(f"{folder}: the backup could not be written"))
        if folder.exists() and any(folder.iterdir()):
            raise InvalidInputError(f"{folder} is not empty: name a new folder")
        stack.enter_context(locked(settings, wait_s=LOCK_WAIT_S))
        for family in FAMILIES:
            stack.enter_context(family_lock(settings.home / "locks", family, wait_s=LOCK_WAIT_S))
        return copy_home(settings, folder)


def copy_home(settings: Settings, folder: Path, *, link: bool = False) -> dict[str, Any]:
    """The copying of `back_up`, for a caller that keeps writers out; `link` gives files a second name, where it can."""
    strays = addresses_outside(settings.home / "mlflow" / "mlflow.db", settings.home) if not link else []
    if strays:
        raise DatasetError(f"{strays[0]}: a registered version lies outside {settings.home}, so a backup would miss it")
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        with told_as_dataset_errors(f"{folder}: the backup could not be written"):
            partial.mkdir(parents=True)
            _copy(settings.home, partial, link=link)
            manifest = {
                "made": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
                "home": str(settings.home),
                "tracking_uri": settings.tracking_uri,
                "bytes": sum(path.stat().st_size for path in _files(partial)),
                "files": {path.relative_to(partial).as_posix(): file_digest(path) for path in _files(partial)},
            }
            (partial / MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n", "utf-8")
            if folder.exists():
                folder.rmdir()
            publish_folder(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return manifest


def verify(folder: Path) -> dict[str, Any]:
    """Check every file of a backup against its checksum.

    Raises `DatasetError` if `folder` holds no backup, or one of a newer version, or files are missing, changed or not
    accounted for; names the first.
    """
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text("utf-8"))
        wanted: dict[str, str] = manifest["files"]
    except (OSError, ValueError, KeyError) as error:
        raise DatasetError(f"{folder}: no backup here ({error})") from error
    there = {path.relative_to(folder).as_posix() for path in _files(folder)} - {MANIFEST}
    for kind, names in (("missing", set(wanted) - there), ("not part of the backup", there - set(wanted))):
        if names:
            raise DatasetError(f"{folder}: {len(names)} files are {kind}, the first is {min(names)}")
    for name, digest in sorted(wanted.items()):
        if file_digest(folder / name) != digest:
            raise DatasetError(f"{folder / name}: its content is not what was backed up; use another backup")
    read_stamp(folder)  # refuses what a newer version made
    return manifest


def restore(settings: Settings, folder: Path) -> dict[str, Any]:
    """Verify a backup, lay it out beside the installation, load its champions, then change places.

    Returns
    -------
    dict
        ``files``, ``champions`` and ``before``: where the old installation is now, if there was one.

    Raises `DatasetError` if the backup is damaged or a champion in it cannot be loaded: nothing was changed then.
    """
    manifest = verify(folder)
    home, place = settings.home, Path(manifest["home"])
    fresh, before = home.with_name(f".{home.name}.restoring"), free_name(home, "before-restore")
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        with told_as_dataset_errors(f"{folder}: could not be restored"):
            shutil.copytree(folder, fresh, ignore=shutil.ignore_patterns(MANIFEST))
            champions = _champions(settings, place, fresh)
            move_addresses(fresh / "mlflow" / "mlflow.db", place, home)
            stamp = read_stamp(fresh)
            if stamp is not None:
                write_stamp(fresh, Stamp(stamp.version, home))
            if home.exists():
                home.rename(before)
            publish_folder(fresh, home)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return {"files": len(manifest["files"]), "champions": champions, "before": str(before) if before.exists() else None}


def free_name(home: Path, word: str) -> Path:
    """A name beside `home` that is free: ``<home>.<word>-1`` and so on."""
    paths = (home.with_name(f"{home.name}.{word}-{number}") for number in count(1))
    return next(path for path in paths if not path.exists())


def _champions(settings: Settings, place: Path, fresh: Path) -> dict[str, int]:
    """Load every champion of the new layout where it lies now."""
    from foretell.assets.registry.tracking import Registry
    from foretell.predictors.families import FAMILIES

    database = fresh / "mlflow" / "mlflow.db"
    if settings.tracking_uri is not None or not database.exists():
        return {}
    move_addresses(database, place, fresh)
    strays = addresses_outside(database, fresh)
    if strays:
        raise DatasetError(f"{strays[0]}: a registered version lies outside the home that was backed up")
    registry = Registry(f"sqlite:///{database}")
    champions = {}
    for family in FAMILIES:
        champion = registry.champion(family)
        if champion is not None:
            registry.load(champion)
            champions[family] = int(champion.version)
    move_addresses(database, fresh, place)
    return champions


def _copy(home: Path, target: Path, *, link: bool) -> None:
    for name in FILES:
        if (home / name).exists():
            shutil.copy2(home / name, target / name)
    # The databases first: an artefact is written before the database speaks of it.
    for database in (path for name in FOLDERS for path in _files(home / name) if path.suffix == ".db"):
        copy = target / database.relative_to(home)
        copy.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(copy)) as sink:
            source.backup(sink)
            (verdict,) = sink.execute("pragma integrity_check").fetchone()
        if verdict != "ok":
            raise DatasetError(f"{database}: sqlite finds it damaged ({verdict}); restore an older backup")
    for name in FOLDERS:
        for path in _files(home / name):
            relative = path.relative_to(home)
            # What version 0 put aside between two renames is part of the home until it is migrated.
            begun = any(part.startswith(".") and not part.startswith(".old-") for part in relative.parts)
            if not begun and path.suffix not in {".db", ".db-wal", ".db-shm", ".db-journal"}:
                copy = target / relative
                copy.parent.mkdir(parents=True, exist_ok=True)
                if link and name in WRITTEN_ONCE:
                    with suppress(OSError):  # another disk, or one that knows no second names
                        os.link(path, copy)
                        continue
                shutil.copy2(path, copy)


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())
