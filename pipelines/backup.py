"""`foretell backup` and `foretell restore`: registry, lake and landed files, verified by checksum.

A backup is a folder: copies of the databases (made through sqlite's own backup interface, so that they are whole
while others write), the artefacts, the tables, the landed files, and `backup.json` with the SHA-256 of each. What
can be made again (fits in memory of earlier runs, caches, reports) is left out.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pipelines.console import print_json, say
from pipelines.settings import Settings
from predictors.errors import DatasetError, InvalidInputError

__all__ = ["back_up", "restore", "run_backup", "run_restore", "verify"]

MANIFEST = "backup.json"
FOLDERS = ("mlflow", "lake", "landing", "dagster")
FILES = ("state.json",)
# Columns in which MLflow keeps absolute addresses of artefacts.
ADDRESSES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)


def run_backup(settings: Settings, folder: Path, *, as_json: bool) -> None:
    """Back up and say what was."""
    manifest = back_up(settings, folder)
    told = {"folder": str(folder), "files": len(manifest["files"]), "bytes": manifest["bytes"]}
    if as_json:
        print_json([told])
    else:
        say(f"{told['files']} files, {told['bytes'] / 1e6:.1f} MB, in {folder}; `foretell restore {folder}` verifies")


def run_restore(settings: Settings, folder: Path, *, as_json: bool) -> None:
    """Restore and say what serves now."""
    told = restore(settings, folder)
    if as_json:
        print_json([told])
    else:
        say(f"{told['files']} files verified and in place in {settings.home}; champions: {told['champions'] or 'none'}")
        if told["before"]:
            say(f"what was there before is in {told['before']}: delete it once all is well")


def back_up(settings: Settings, folder: Path) -> dict[str, Any]:
    """Copy an installation to `folder`, whole or not at all.

    Runs that write are kept out by the locks of the families and of the installation; readers are not disturbed.

    Raises
    ------
    InvalidInputError
        If `folder` holds something, or lies inside the installation.
    DatasetError
        If there is nothing to back up, or the disk is full.
    """
    from assets.promotion_record import family_lock
    from predictors.families import FAMILIES

    folder = folder.resolve()
    if folder.exists() and any(folder.iterdir()):
        raise InvalidInputError(f"{folder} is not empty: name a new folder")
    if folder.is_relative_to(settings.home):
        raise InvalidInputError(f"{folder} lies inside {settings.home}: a backup belongs on another disk")
    if not any((settings.home / name).exists() for name in FOLDERS):
        raise DatasetError(f"{settings.home}: nothing to back up yet")
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        with ExitStack() as stack:
            for family in FAMILIES:
                stack.enter_context(family_lock(settings.home / "locks", family))
            _copy(settings.home, partial)
        files = {path.relative_to(partial).as_posix(): _sha256(path) for path in _files(partial)}
        manifest = {
            "made": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
            "home": str(settings.home),
            "tracking_uri": settings.tracking_uri,
            "bytes": sum(path.stat().st_size for path in _files(partial)),
            "files": files,
        }
        (partial / MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n", "utf-8")
        if folder.exists():
            folder.rmdir()
        partial.rename(folder)
    except OSError as error:
        raise DatasetError(f"{folder}: the backup could not be written ({error})") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return manifest


def verify(folder: Path) -> dict[str, Any]:
    """Check every file of a backup against its checksum.

    Raises
    ------
    DatasetError
        If `folder` holds no backup, or files are missing, changed or not accounted for; names the first.
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
        if _sha256(folder / name) != digest:
            raise DatasetError(f"{folder / name}: its content is not what was backed up; use another backup")
    return manifest


def restore(settings: Settings, folder: Path) -> dict[str, Any]:
    """Verify a backup, lay it out beside the installation, load its champions, then change places.

    Returns
    -------
    dict
        ``files``, ``champions`` and ``before``: where the old installation is now, if there was one.

    Raises
    ------
    DatasetError
        If the backup is damaged or a champion in it cannot be loaded: nothing was changed then.
    """
    manifest = verify(folder)
    home = settings.home
    fresh, before = home.with_name(f".{home.name}.restoring"), _unused(home)
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        shutil.copytree(folder, fresh, ignore=shutil.ignore_patterns(MANIFEST))
        champions = _champions(settings, manifest, fresh)
        _move_addresses(fresh / "mlflow" / "mlflow.db", Path(manifest["home"]), home)
        if home.exists():
            home.rename(before)
        fresh.rename(home)
    except OSError as error:
        raise DatasetError(f"{folder}: could not be restored ({error})") from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return {
        "files": len(manifest["files"]),
        "champions": champions,
        "before": str(before) if before.exists() else None,
    }


def _champions(settings: Settings, manifest: dict[str, Any], fresh: Path) -> dict[str, int]:
    """Load every champion of the new layout where it lies now."""
    from assets.tracking import Registry
    from predictors.families import FAMILIES

    database = fresh / "mlflow" / "mlflow.db"
    if settings.tracking_uri is not None or not database.exists():
        return {}
    _move_addresses(database, Path(manifest["home"]), fresh)
    registry = Registry(f"sqlite:///{database}")
    found = {}
    for family in FAMILIES:
        champion = registry.champion(family)
        if champion is not None:
            registry.load(champion)
            found[family] = int(champion.version)
    _move_addresses(database, fresh, Path(manifest["home"]))
    return found


def _move_addresses(database: Path, old: Path, new: Path) -> None:
    """Artefacts are addressed by absolute path: when the home moves, so do they."""
    if not database.exists() or old == new:
        return
    with closing(sqlite3.connect(database)) as connection, connection:
        for table, column in ADDRESSES:
            for was, now in ((old.as_uri(), new.as_uri()), (str(old), str(new)), (quote(str(old)), quote(str(new)))):
                connection.execute(
                    f"update {table} set {column} = ? || substr({column}, ?) where substr({column}, 1, ?) = ?",
                    (f"{now}/", len(was) + 2, len(was) + 1, f"{was}/"),
                )


def _copy(home: Path, target: Path) -> None:
    # The databases first: an artefact is written before the database speaks of it.
    for database in _databases(home):
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
            being_written = any(part.startswith(".") for part in relative.parts)
            if not being_written and path.suffix not in {".db", ".db-wal", ".db-shm", ".db-journal"}:
                copy = target / relative
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, copy)
    for name in FILES:
        if (home / name).exists():
            shutil.copy2(home / name, target / name)


def _databases(home: Path) -> Iterator[Path]:
    for name in FOLDERS:
        yield from (path for path in _files(home / name) if path.suffix == ".db")


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _unused(home: Path) -> Path:
    """A name beside `home` that is free: ``<home>.before-restore-1`` and so on."""
    number = 1
    while (found := home.with_name(f"{home.name}.before-restore-{number}")).exists():
        number += 1
    return found
