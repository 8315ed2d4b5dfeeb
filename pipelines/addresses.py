"""Addresses of artefacts in MLflow's database, which are absolute: they move when their home does."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from foretell.predictors.errors import DatasetError

COLUMNS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
ARTIFACTS = "/mlflow/artifacts/"
WAIT_S = 60.0


def move_addresses(database: Path, old: Path, new: Path) -> int:
    """Let every address below `old` point below `new`, all at once; returns how many there were.

    Raises
    ------
    DatasetError
        If the database is damaged, or another process holds it for a minute.
    """
    if not database.exists() or old == new:
        return 0
    moved = 0
    try:
        with closing(sqlite3.connect(database, timeout=WAIT_S)) as connection, connection:
            for table, column in COLUMNS:
                for was, now in (
                    (old.as_uri(), new.as_uri()),
                    (str(old), str(new)),
                    (quote(str(old)), quote(str(new))),
                ):
                    moved += connection.execute(
                        f"update {table} set {column} = ? || substr({column}, ?) where substr({column}, 1, ?) = ?",
                        (f"{now}/", len(was) + 2, len(was) + 1, f"{was}/"),
                    ).rowcount
    except sqlite3.Error as error:
        raise DatasetError(f"{database}: addresses of artefacts cannot be rewritten ({error})") from error
    return moved


def addressed_home(database: Path) -> Path | None:
    """The home that the newest experiment's artefacts were written to; None where there is none."""
    for path in reversed(_paths(database, "experiments", "artifact_location")):
        place, artifacts, _ = str(path).partition(ARTIFACTS)
        if artifacts:
            return Path(place)
    return None


def addresses_outside(database: Path, home: Path) -> list[Path]:
    """Folders of registered versions that lie on this machine, but not in `home`."""
    return [path for path in _paths(database, "model_versions", "storage_location") if not path.is_relative_to(home)]


def _paths(database: Path, table: str, column: str) -> list[Path]:
    """Addresses of a column that are folders of this machine."""
    if not database.exists():
        return []
    try:
        with closing(sqlite3.connect(database, timeout=WAIT_S)) as connection:
            rows = connection.execute(f"select {column} from {table} where {column} is not null order by rowid")
            addresses = [urlsplit(str(address)) for (address,) in rows]
    except sqlite3.Error as error:
        raise DatasetError(f"{database}: cannot be read ({error}); run `foretell restore BACKUP`") from error
    return [Path(unquote(address.path)) for address in addresses if address.scheme in ("", "file")]
