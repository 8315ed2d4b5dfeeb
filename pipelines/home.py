"""The number of a home: every entry point calls `open_home`, which migrates an older home and refuses a newer one.

``home.json`` says which version of the layout a home has and which place its absolute addresses are for. A home of the
version before there were numbers has none. A change of layout raises `HOME_VERSION` and adds one line to `MIGRATIONS`.
Addresses of artefacts in MLflow's database are absolute: they move when their home does.
"""

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from foretell.pipelines.settings import Settings, prepare_dagster_home
from foretell.predictors.errors import DatasetError

HOME_FILE = "home.json"
LOCK_WAIT_S = 600.0
COLUMNS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
ARTIFACTS = "/mlflow/artifacts/"
WAIT_S = 60.0


@dataclass(frozen=True)
class Stamp:
    """What a home says of itself: version of its layout, and the place that its addresses name."""

    version: int
    place: Path


def _landing_of_1(settings: Settings) -> list[str]:
    from foretell.assets.lake.landing.former import migrate_landing

    return migrate_landing(settings.landing)


def _tables_of_2(settings: Settings) -> list[str]:
    """Version 2 has tables beside the traces; of what landed before, logs of Inspect would have fed them."""
    from foretell.assets.lake.landing.manifests import read_manifests

    logs = [manifest["name"] for manifest in read_manifests(settings.landing) if manifest["format"] == "inspect_ai"]
    note = "{} logs of Inspect landed without their scores, first {}: ingest them again to keep these"
    return [note.format(len(logs), logs[0])] if logs else []


MIGRATIONS: dict[int, Callable[[Settings], list[str]]] = {1: _landing_of_1, 2: _tables_of_2}
"""Version -> what brings a home of the version before to it; run again after a kill, each ends the same."""
HOME_VERSION = max(MIGRATIONS)


def open_home(settings: Settings, *, create: bool = False) -> list[str]:
    """Make sure that this code can work with the home; returns what was done to it, a sentence each.

    Where there is none, `create` makes it, with a folder for Dagster; else nothing is written.

    Raises `DatasetError` if a newer version made the home, its number is damaged, or it cannot be migrated.
    """
    home = settings.home
    with told_as_dataset_errors(f"{home}: cannot be opened; set FORETELL_HOME to a folder you can write to"):
        stamp = read_stamp(home)
        if stamp is None and not _made_before(settings):
            stamp = Stamp(HOME_VERSION, home)
            if create:
                home.mkdir(parents=True, exist_ok=True)
                write_stamp(home, stamp)
        is_current = stamp is not None and stamp.version == HOME_VERSION and _is_same(stamp.place, home)
        notes = [] if is_current else _bring_up_to_date(settings)
        if create:
            prepare_dagster_home(settings)
    return notes


@contextmanager
def told_as_dataset_errors(what: str) -> Iterator[None]:
    """Raise what a disk or a database says as a `DatasetError` that begins with `what`."""
    try:
        yield
    except DatasetError:  # an OSError too, which says what is wrong already
        raise
    except (OSError, sqlite3.Error) as error:
        raise DatasetError(f"{what} ({error})") from error


def read_stamp(home: Path) -> Stamp | None:
    """What the home says of itself; None where it says nothing.

    Raises `DatasetError` if it cannot be read, or a newer version made the home.
    """
    path = home / HOME_FILE
    try:
        content = json.loads(path.read_text("utf-8"))
        stamp = Stamp(int(content["version"]), Path(content["place"]))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise DatasetError(
            f"{path}: damaged ({error!r}); delete it, and the home is looked through and numbered anew"
        ) from error
    if stamp.version > HOME_VERSION:
        raise DatasetError(
            f"{home}: a home of version {stamp.version}, this foretell reads up to {HOME_VERSION}: upgrade foretell, "
            "or set FORETELL_HOME to another folder"
        )
    return stamp


def write_stamp(home: Path, stamp: Stamp) -> None:
    """Number a home."""
    from foretell.assets.store.durable import write_text_durably

    content = {"version": stamp.version, "place": str(stamp.place)}
    write_text_durably(json.dumps(content, indent=1) + "\n", home / HOME_FILE)


def _made_before(settings: Settings) -> bool:
    """Whether the version that wrote no numbers has worked here."""
    from foretell.assets.lake.landing.former import is_former_landing

    return (settings.dagster_home / "dagster.yaml").exists() or is_former_landing(settings.landing)


def _bring_up_to_date(settings: Settings) -> list[str]:
    """Back up and migrate step by step, then let the addresses follow the home; one process at a time."""
    from foretell.pipelines.backups import copy_home, free_name
    from foretell.pipelines.runs import locked

    home = settings.home
    with locked(settings, wait_s=LOCK_WAIT_S):
        stamp = read_stamp(home) or Stamp(0, addressed_home(home / "mlflow" / "mlflow.db") or home)
        notes = []
        if stamp.version < HOME_VERSION:
            # Beside a mount point would be on another disk, or where nobody may write.
            kept = free_name(home / home.name if home.is_mount() else home, f"before-version-{HOME_VERSION}")
            copy_home(settings, kept, link=True)
            notes.append(f"{home}: made by an older version; as it was it is kept in {kept}")
        for version in range(stamp.version + 1, HOME_VERSION + 1):
            notes += MIGRATIONS[version](settings)
            write_stamp(home, stamp := Stamp(version, stamp.place))
        if not _is_same(stamp.place, home):
            moved = move_addresses(home / "mlflow" / "mlflow.db", stamp.place, home)
            notes.append(f"{home}: lay in {stamp.place} before; {moved} addresses of artefacts name its place now")
            write_stamp(home, Stamp(stamp.version, home))
    return notes


def _is_same(place: Path, home: Path) -> bool:
    """Whether both are one folder under two names, such as a mount."""
    return place == home or (place.exists() and place.samefile(home))


def move_addresses(database: Path, old: Path, new: Path) -> int:
    """Let every address below `old` point below `new`, all at once; returns how many there were.

    Raises `DatasetError` if the database is damaged, or another process holds it for a minute.
    """
    if not database.exists() or old == new:
        return 0
    moved, what = 0, f"{database}: addresses of artefacts cannot be rewritten"
    with told_as_dataset_errors(what), closing(sqlite3.connect(database, timeout=WAIT_S)) as connection, connection:
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
    return moved


def addressed_home(database: Path) -> Path | None:
    """The home that the newest experiment's artefacts were written to; None where there is none."""
    paths = [str(path) for path in _paths(database, "experiments", "artifact_location")]
    return next((Path(path.partition(ARTIFACTS)[0]) for path in reversed(paths) if ARTIFACTS in path), None)


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
