"""What the registry holds of a family, and how it is read: of a store on this machine with a query, not with MLflow.

MLflow takes seconds to start, a query of its SQLite file a millisecond. Where that file says something else than it
should, MLflow is asked, which names what is wrong.
"""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

WAIT_S = 60.0
DELETED = "Deleted_Internal"
"""Stage of a version that was deleted: MLflow keeps its row."""


@dataclass(frozen=True)
class Version:
    """A registered version: number `version` of the family `name`, made at `creation_timestamp` (ms since 1970).

    `source` is the address of its artefacts, as MLflow has it, `folder` where they are known to lie on this machine.
    """

    name: str
    version: str
    source: str
    run_id: str
    creation_timestamp: int
    tags: Mapping[str, str]
    folder: Path | None = None

    @classmethod
    def of(cls, version: "ModelVersion") -> "Version":
        """The same of MLflow's own object."""
        return cls(
            str(version.name), str(version.version), str(version.source), str(version.run_id),
            int(version.creation_timestamp or 0), dict(version.tags),
        )  # fmt: skip


@dataclass(frozen=True)
class FamilyRecord:
    """What is registered of a family: number of the version behind each alias, tags, and versions, oldest first."""

    aliases: Mapping[str, str]
    tags: Mapping[str, str]
    versions: tuple[Version, ...]


def read_family(database: Path, family: str) -> FamilyRecord | None:
    """What MLflow's SQLite file holds of a family, at one moment; None where that cannot be told without MLflow."""
    try:
        with closing(_opened(database)) as store:
            store.execute("BEGIN")
            aliases = store.execute("SELECT alias, version FROM registered_model_aliases WHERE name = ?", (family,))
            named = {str(alias): str(number) for alias, number in aliases}
            model_tags = store.execute("SELECT key, value FROM registered_model_tags WHERE name = ?", (family,))
            tags = {str(key): str(value) for key, value in model_tags}
            of_versions: dict[int, dict[str, str]] = {}
            version_tags = "SELECT version, key, value FROM model_version_tags WHERE name = ?"
            for number, key, value in store.execute(version_tags, (family,)):
                of_versions.setdefault(int(number), {})[str(key)] = str(value)
            rows = store.execute(
                "SELECT v.version, v.source, v.run_id, v.creation_time, m.artifact_location FROM model_versions v "
                "LEFT JOIN logged_models m ON v.source = 'models:/' || m.model_id AND m.lifecycle_stage = 'active' "
                "WHERE v.name = ? AND v.current_stage <> ? ORDER BY v.version",
                (family, DELETED),
            )
            versions = [
                Version(
                    family, str(int(number)), str(source), str(run_id), int(created), of_versions.get(number, {}),
                    _folder(location),
                )
                for number, source, run_id, created, location in rows
            ]  # fmt: skip
    except (sqlite3.Error, TypeError, ValueError):
        return None
    return FamilyRecord(named, tags, tuple(versions))


def read_metrics(database: Path, run_id: str) -> dict[str, float] | None:
    """The newest value of each metric of a run; None where that cannot be told without MLflow."""
    query = "SELECT key, CASE WHEN is_nan THEN NULL ELSE value END FROM latest_metrics WHERE run_uuid = ?"
    try:
        with closing(_opened(database)) as store:
            rows = store.execute(query, (run_id,)).fetchall()
            return {str(key): float("nan") if value is None else float(value) for key, value in rows}
    except (sqlite3.Error, TypeError, ValueError):
        return None


def _opened(database: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True, timeout=WAIT_S, isolation_level=None)


def _folder(location: str | None) -> Path | None:
    address = urlsplit(location or "")
    return Path(unquote(address.path)) if address.scheme == "file" else None
