"""The landing zone: every file that was ever delivered, parsed once, under the hash of its content.

``<landing>/<sha256>/rows-<YYYY-MM-DD>.parquet`` holds the raw rows of one UTC day, ``rejects.parquet`` what
could not be read, ``manifest.json`` the account of both. A folder appears whole or not at all: it is
written beside and renamed. Two processes that bring the same file wait for each other and do the work once.
Overlapping files land side by side; `assets.curation` tells their common requests by key.
"""

from __future__ import annotations

import glob
import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date as Date
from functools import partial
from pathlib import Path
from typing import IO, Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock

from assets.engine import current_engine
from assets.landing_days import Redactor, write_days
from assets.readers import READER_VERSION, READERS
from assets.readers.base import RAW_SCHEMA, REJECT_SCHEMA, Reject, raw_frame, rejects_table
from assets.readers.openai_jsonl import is_batch_input
from predictors.errors import InvalidInputError
from predictors.schemas.quarantine import Quarantine

__all__ = [
    "FileReport",
    "IngestReport",
    "day_digests",
    "ingest",
    "ingest_stream",
    "landed_days",
    "landing_digest",
    "load_day",
    "load_manifests",
    "load_rejects",
    "load_rows",
]

MANIFEST = "manifest.json"
MAX_REJECTS = 100_000
"""Rejects of one file that become rows of the quarantine; the rest are counted there and stay in the landing zone."""


@dataclass(frozen=True)
class FileReport:
    """What became of one delivered file.

    Attributes
    ----------
    status : str
        ``landed``, ``known`` (the same content landed before), ``joined`` (a batch input, whose prompts went to
        its output) or ``unusable`` (no row could be read; `problems` say why).
    problems : list of str
        The first problems, each with file, line and remedy.
    """

    path: str
    sha256: str
    format: str
    status: str
    n_read: int
    n_rows: int
    n_rejects: int
    days: list[str]
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class IngestReport:
    """What became of all delivered files; `n_usable` 0 means that nothing usable was delivered."""

    files: list[FileReport]

    @property
    def n_usable(self) -> int:
        """Rows that landed now or before."""
        return sum(report.n_rows for report in self.files)

    @property
    def n_read(self) -> int:
        """Records seen in all files."""
        return sum(report.n_read for report in self.files)

    @property
    def n_rejects(self) -> int:
        """Records that could not be read."""
        return sum(report.n_rejects for report in self.files)

    @property
    def days(self) -> list[str]:
        """UTC days for which rows landed now: what must be made anew."""
        return sorted({day for report in self.files if report.status == "landed" for day in report.days})

    def as_rows(self) -> list[dict[str, Any]]:
        """One dict per file, for tables and ``--json``."""
        return [asdict(report) for report in self.files]


def ingest(
    paths: Iterable[Path | str],
    landing: Path,
    *,
    format: str | None = None,
    date: str | None = None,
    source: str | None = None,
    with_prompts: bool = True,
    columns: dict[str, str] | None = None,
    redact: Redactor | None = None,
) -> IngestReport:
    """Land files: parse each content once, split it by day.

    Parameters
    ----------
    paths : iterable of path
        Files, folders (all files below) and glob patterns.
    landing : Path
        The landing zone; made if absent.
    format : str, optional
        A name in `assets.readers.READERS`. By default told from the content of each file.
    date : str, optional
        UTC day ``YYYY-MM-DD`` of records that have no time. By default such records are rejected.
    source : str, optional
        First half of the key of every row. By default the name of the format.
    with_prompts : bool, optional
        False keeps only the hash of the prompt (`query_id`), not its text.
    columns : dict, optional
        Column map of the tabular reader.
    redact : callable, optional
        Takes the text of a prompt and returns what may be kept; `query_id` is the hash of the text as it came.

    Returns
    -------
    IngestReport
        Bad content is reported, not raised.

    Raises
    ------
    InvalidInputError
        If `format` or `date` is malformed.
    """
    if format is not None and format not in READERS:
        raise InvalidInputError(f"`format` must be one of {sorted(READERS)}, got {format!r}")
    how: dict[str, Any] = {"format": format, "date": _checked(date), "source": source, "with_prompts": with_prompts}
    how["columns"] = columns or None
    landing.mkdir(parents=True, exist_ok=True)
    reports: list[FileReport] = []
    files: list[Path] = []
    for path in paths:
        found = _expand(path)
        files += [file for file in found if file not in files]
        if not found:
            reports.append(_missing(str(path)))
    inputs = [file for file in files if is_batch_input(file)] if format is None else []
    joined = inputs if len(files) > len(inputs) else []
    land = partial(_land_or_join, landing=landing, how=how, inputs=inputs, joined=joined, redact=redact)
    return IngestReport(reports + current_engine().map(land, files))


def ingest_stream(stream: IO[bytes], landing: Path, **options: Any) -> IngestReport:
    """Land what a stream holds (standard input); options as in `ingest`."""
    landing.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=landing, prefix=".stdin-") as folder:
        path = Path(folder) / "stdin"
        with path.open("wb") as file:
            shutil.copyfileobj(stream, file, 1 << 20)
        return ingest([path], landing, **options)


def _land_or_join(
    file: Path,
    landing: Path,
    how: dict[str, Any],
    inputs: Sequence[Path],
    joined: Sequence[Path],
    redact: Redactor | None,
) -> FileReport:
    if file in joined:
        return FileReport(str(file), _sha256(file), "batch_input", "joined", 0, 0, 0, [])
    return _land(file, landing, how, [other for other in inputs if other != file], redact)


def _land(
    file: Path, landing: Path, how: dict[str, Any], companions: Sequence[Path], redact: Redactor | None
) -> FileReport:
    content = _sha256(file)
    # What is joined with a file is part of its content.
    key = (
        content
        if not companions
        else hashlib.sha256("".join([content, *map(_sha256, companions)]).encode()).hexdigest()
    )
    locks = landing / ".locks"
    locks.mkdir(exist_ok=True)
    folder = landing / key
    with FileLock(locks / f"{key}.lock"):
        old = _manifest(folder)
        if old is not None and not _must_read_again(old, how):
            return _report(old, file, "known" if old["n_rows"] else "unusable")
        fresh = landing / f".tmp-{key}"
        shutil.rmtree(fresh, ignore_errors=True)  # of a run that was killed
        fresh.mkdir()
        manifest = {"key": key, "sha256": content, "name": str(file), "bytes": file.stat().st_size}
        manifest |= {"how": how, "reader_version": READER_VERSION, **write_days(file, fresh, how, companions, redact)}
        (fresh / MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n", "utf-8")
        if folder.exists():
            gone = landing / f".old-{key}"
            shutil.rmtree(gone, ignore_errors=True)
            folder.rename(gone)
            fresh.rename(folder)
            shutil.rmtree(gone, ignore_errors=True)
        else:
            fresh.rename(folder)
        return _report(manifest, file, "landed" if manifest["n_rows"] else "unusable")


def _must_read_again(old: dict[str, Any], how: dict[str, Any]) -> bool:
    """Known content is read again if the readers have changed or the caller asks for something else by name."""
    if old["reader_version"] != READER_VERSION:
        return True
    asked = {key: value for key, value in how.items() if value is not None}
    return any(old["how"].get(key) != value for key, value in asked.items())


def landed_days(landing: Path) -> list[str]:
    """List the UTC days for which rows have landed, oldest first."""
    return sorted({day for manifest in _manifests(landing) for day in manifest["days"]})


def day_digests(landing: Path) -> dict[str, str]:
    """For every landed UTC day, a SHA-256 over what its rows come from: equal digests mean equal rows."""
    parts: dict[str, list[Any]] = {}
    for manifest in _manifests(landing):
        for day in manifest["days"]:
            parts.setdefault(day, []).append([manifest["key"], manifest["reader_version"], manifest["how"]])
    return {day: hashlib.sha256(json.dumps(p, sort_keys=True).encode()).hexdigest() for day, p in sorted(parts.items())}


def load_day(landing: Path, day: str) -> pd.DataFrame:
    """Read the raw rows of one UTC day from all landed files."""
    return load_rows(landing, [day])


def load_rows(landing: Path, days: Sequence[str] | None = None) -> pd.DataFrame:
    """Read the raw rows of some days, by default of all, in an order that does not depend on when files came."""
    wanted = None if days is None else {_checked(day) for day in days}
    parts = [RAW_SCHEMA.empty_table()]
    for manifest in _manifests(landing):
        for day in manifest["days"]:
            if wanted is None or day in wanted:
                parts.append(pq.read_table(landing / manifest["key"] / f"rows-{day}.parquet", schema=RAW_SCHEMA))
    return raw_frame(pa.concat_tables(parts))


def load_rejects(landing: Path) -> pd.DataFrame:
    """Read what could not be read from all landed files, schema `predictors.schemas.quarantine.Quarantine`.

    Of a file with more than `MAX_REJECTS` the last row says how many more there are and where.
    """
    parts = [_rejects(landing / manifest["key"] / "rejects.parquet", manifest) for manifest in _manifests(landing)]
    told = raw_frame(pa.concat_tables([REJECT_SCHEMA.empty_table(), *parts])).drop(columns="is_file")
    return Quarantine.validate(told.assign(source=None, request_id=None, model=None))


def _rejects(path: Path, manifest: dict[str, Any]) -> pa.Table:
    n_more = manifest["n_rejects"] - MAX_REJECTS
    if n_more <= 0:
        return pq.read_table(path)
    held: list[pa.RecordBatch] = []
    for batch in pq.ParquetFile(path).iter_batches(batch_size=MAX_REJECTS):
        held.append(batch)
        if sum(part.num_rows for part in held) >= MAX_REJECTS:
            break
    told = pa.Table.from_batches(held).slice(0, MAX_REJECTS)
    last = Reject(f"and {n_more} more records of this file", None, f"they are in {path}; is it a log at all?")
    return pa.concat_tables([told, rejects_table([last], manifest["name"])])


def landing_digest(landing: Path) -> str:
    """SHA-256 over what has landed and how it was read: equal digests mean equal rows."""
    parts = [[m["key"], m["reader_version"], m["how"], m["days"], m["n_rejects"]] for m in _manifests(landing)]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def load_manifests(landing: Path) -> pd.DataFrame:
    """List the landed files: one row each, with counts, first and last day."""
    texts, counts = ["key", "name", "format"], ["bytes", "n_read", "n_rows", "n_rejects"]
    rows = []
    for manifest in _manifests(landing):
        span = {"first_day": min(manifest["days"], default=None), "last_day": max(manifest["days"], default=None)}
        rows.append({**{name: manifest[name] for name in [*texts, *counts]}, **span})
    dtypes = {**dict.fromkeys(texts, "str"), **dict.fromkeys(counts, "int64"), "first_day": "str", "last_day": "str"}
    return pd.DataFrame(rows, columns=list(dtypes)).astype(dtypes)


def _manifests(landing: Path) -> list[dict[str, Any]]:
    """All manifests, ordered by key."""
    if not landing.is_dir():
        return []
    found = (_manifest(folder) for folder in sorted(landing.iterdir()) if not folder.name.startswith("."))
    return [manifest for manifest in found if manifest is not None]


def _manifest(folder: Path) -> dict[str, Any] | None:
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    return manifest


def _report(manifest: dict[str, Any], file: Path, status: str) -> FileReport:
    counts = (manifest["n_read"], manifest["n_rows"], manifest["n_rejects"])
    days, problems = list(manifest["days"]), list(manifest["problems"])
    return FileReport(str(file), manifest["sha256"], manifest["format"], status, *counts, days, problems)


def _missing(path: str) -> FileReport:
    problem = f"{path}: no such file or folder, and no file matches it"
    return FileReport(path, "", "unknown", "unusable", 0, 0, 0, [], [problem])


def _expand(path: Path | str) -> list[Path]:
    """Files of a path: itself, everything below a folder, or what a pattern matches; hidden files are left out."""
    path = Path(path)
    if path.is_file():
        return [path]
    found = path.rglob("*") if path.is_dir() else (Path(name) for name in glob.glob(str(path), recursive=True))
    return sorted(p for p in found if p.is_file() and not p.name.startswith("."))


def _checked(date: str | None) -> str | None:
    if date is None:
        return None
    try:
        return Date.fromisoformat(date).isoformat()
    except (TypeError, ValueError):
        raise InvalidInputError(f"`date` must be a day such as 2026-11-22, got {date!r}") from None


def _sha256(file: Path) -> str:
    with file.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
