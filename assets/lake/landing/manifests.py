"""The account of a landed file: what it was, how it was read, where its rows are.

``<landing>/<key>/manifest.json`` is what makes a file landed. It names the folder of the rows and is replaced in one
rename, so that a file which is read again changes from its old rows to its new ones at once, whenever the power goes.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import ArrowException

from foretell.assets.engine.tables import LATER
from foretell.assets.store.durable import write_text_durably
from foretell.predictors.errors import DatasetError

MANIFEST = "manifest.json"
CHECKSUM = "checksum"
STREAM_PREFIX = ".stdin-"
"""Begin of the names of folders that hold what comes on standard input while it is read."""
REQUIRED = ("key", "name", "days", "how", "reader_version", "n_read", "n_rows", "n_rejects")


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """The account in a folder of the landing zone; None where nothing has landed.

    Raises `DatasetError` if it is damaged.
    """
    path = folder / MANIFEST
    try:
        manifest: dict[str, Any] = json.loads(path.read_text("utf-8"))
        damage = _damage(manifest)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        damage = str(error)
    if damage is not None:
        raise DatasetError(
            f"{path}: damaged ({damage}); run `foretell restore BACKUP`, or deliver the same file to `foretell ingest`"
        )
    # Versions before wrote names as they were, which no table can hold where they are no UTF-8.
    return {**manifest, "name": readable_name(manifest["name"])}


def read_manifests(landing: Path) -> list[dict[str, Any]]:
    """All accounts, ordered by key.

    Raises `DatasetError` if one is damaged.
    """
    if not landing.is_dir():
        return []
    folders = (folder for folder in sorted(landing.iterdir()) if not folder.name.startswith("."))
    return [manifest for folder in folders if (manifest := read_manifest(folder)) is not None]


def write_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    """Write the account of a folder with its own checksum, in place of the one that is there."""
    content = {**manifest, CHECKSUM: facts_digest(manifest)}
    write_text_durably(json.dumps(content, indent=1, sort_keys=True) + "\n", folder / MANIFEST)


def origins(landing: Path, parts_of: Callable[[dict[str, Any]], Iterable[str]]) -> dict[str, list[list[Any]]]:
    """For every part of a table, what its rows come from: key, version of the readers, how each file was read."""
    came: dict[str, list[list[Any]]] = {}
    for manifest in read_manifests(landing):
        for part in parts_of(manifest):
            came.setdefault(part, []).append([manifest["key"], manifest["reader_version"], manifest["how"]])
    return dict(sorted(came.items()))


def rows_file(landing: Path, manifest: dict[str, Any], name: str) -> Path:
    """Where rows lie: ``rows-<UTC day>``, ``<table>-<part>``, or what could not be read, ``rejects``."""
    return _rows_folder(landing / manifest["key"], manifest) / f"{name}.parquet"


def next_folder(folder: Path) -> str:
    """A name for new rows below a landed file's folder that no rows there have had."""
    numbers = [int(path.name) for path in folder.glob("*") if path.name.isdecimal()]
    return str(max(numbers, default=0) + 1)


def remove_former_rows(folder: Path, manifest: dict[str, Any]) -> None:
    """Delete what the account does not point to: rows that were read before, or were never finished."""
    rows = _rows_folder(folder, manifest)
    if rows == folder:
        return
    for path in folder.iterdir():
        if path.is_dir() and path != rows:
            shutil.rmtree(path, ignore_errors=True)
        elif path.is_file() and path.name != MANIFEST:
            path.unlink()


def read_parquet(path: Path, schema: pa.Schema | None, max_rows: int | None = None) -> pa.Table:
    """Read a file of the landing zone, the checksums of its pages and, where it is given, its schema verified.

    Of a file with more than `max_rows` the first rows are read, and the others never held in memory.

    Raises `DatasetError` if it is missing or damaged.
    """
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            table = file.read() if max_rows is None else pa.Table.from_batches([next(file.iter_batches(max_rows))])
        if schema is None:
            return table
        for name in LATER:
            if name in schema.names and name not in table.column_names:
                place = schema.get_field_index(name)
                table = table.add_column(place, schema.field(place), pa.nulls(len(table), schema.field(place).type))
        if not table.schema.equals(schema):
            raise pa.ArrowInvalid("names or types of columns have changed")
        return table
    except (OSError, UnicodeDecodeError, ArrowException) as error:
        folder = path.parent.parent if path.parent.name.isdecimal() else path.parent
        raise DatasetError(
            f"{path}: damaged, parquet cannot read it ({error}); run `foretell restore BACKUP`, or delete the folder "
            f"{folder} and ingest the file that its {MANIFEST} names"
        ) from error


def readable_name(path: Path | str) -> str:
    r"""The name of a file as text that a table can hold: bytes that are no UTF-8 as ``\xff``."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _rows_folder(folder: Path, manifest: dict[str, Any]) -> Path:
    return folder / str(manifest.get("folder", ""))  # versions before kept the rows beside the account


def _damage(manifest: object) -> str | None:
    """What is wrong with the content of an account, if something is."""
    if not isinstance(manifest, dict):
        return "no JSON object"
    missing = [name for name in REQUIRED if name not in manifest]
    if missing:
        return f"without {', '.join(missing)}"
    wanted = manifest.pop(CHECKSUM, None)
    if wanted is None and "folder" not in manifest:
        return None  # versions before wrote no checksum
    return None if wanted == facts_digest(manifest) else "its checksum does not match"


def facts_digest(facts: object) -> str:
    """SHA-256 of what JSON can say."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
