"""The landing zone: every file that was ever delivered, parsed once, under the hash of its content.

``<landing>/<sha256>/<n>/rows-<YYYY-MM-DD>.parquet`` holds the raw rows of one UTC day, ``rejects.parquet`` what
could not be read, ``<landing>/<sha256>/manifest.json`` the account of both; `n` counts how often the file was read.
A folder appears whole or not at all: it is written beside and renamed. Two processes that bring the same file wait for
each other and do the work once.
Overlapping files land side by side; `foretell.assets.lake.traces.curation` tells their common requests by key.
"""

import glob
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import pandas as pd
import pyarrow as pa
from filelock import FileLock

from foretell.assets.engine import current_engine
from foretell.assets.lake.landing.days import Redactor, possible_day, write_days
from foretell.assets.lake.landing.manifests import (
    STREAM_PREFIX,
    facts_digest,
    next_folder,
    origins,
    read_manifest,
    read_manifests,
    read_parquet,
    readable_name,
    remove_former_rows,
    rows_file,
    write_manifest,
)
from foretell.assets.lake.landing.table_rows import write_table_rows
from foretell.assets.readers.core.records import (
    RAW_SCHEMA,
    READER_VERSION,
    REJECT_SCHEMA,
    ReadOptions,
    Reject,
    raw_frame,
    rejects_table,
)
from foretell.assets.readers.reading import READERS, companions_of, detect, is_trace_format, table_reader
from foretell.assets.readers.traces.openai_jsonl import is_batch_input
from foretell.assets.store.days import has_day
from foretell.assets.store.digests import file_digest
from foretell.assets.store.durable import publish_folder
from foretell.predictors.errors import DatasetError, InvalidInputError
from foretell.predictors.schemas.quarantine import Quarantine

MAX_REJECTS = 100_000
"""Rejects of one file that become rows of the quarantine; the rest are counted there and stay in the landing zone."""


@dataclass(frozen=True)
class FileReport:
    """What became of one delivered file, with its first problems and the rows that it feeds each canonical table with.

    `status` is ``landed``, ``known`` (the same content landed before), ``joined`` (a batch input, whose prompts went to
    its output) or ``unusable`` (no row could be read; `problems` say why).
    """

    path: str
    sha256: str = ""
    format: str = "unknown"
    status: str = "unusable"
    n_read: int = 0
    n_rows: int = 0
    n_rejects: int = 0
    days: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    tables: dict[str, int] = field(default_factory=dict)


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
    """Land files: parse each content once, split it by day. Bad content is reported, not raised.

    Parameters
    ----------
    paths : iterable of path
        Files, folders (all files below) and glob patterns.
    landing : Path
        The landing zone; made if absent.
    format, columns : str, dict, optional
        A name in `READERS`, by default told from the content of each file; the column map of a table.
    date : str, optional
        UTC day ``YYYY-MM-DD`` of records that have no time. By default such records are rejected.
    source : str, optional
        First half of the key of every row. By default the name of the format.
    with_prompts, redact : bool, callable, optional
        Whether the text of a prompt is kept, and what of it may be; `query_id` is the hash of the text as it came.

    Raises
    ------
    InvalidInputError
        If `format` or `date` is malformed, or a path is empty.
    """
    if format is not None and format not in READERS:
        raise InvalidInputError(f"`format` must be one of {sorted(READERS)}, got {format!r}")
    how: dict[str, Any] = {"format": format, "date": possible_day(date), "source": source, "with_prompts": with_prompts}
    how["columns"] = columns or None
    landing.mkdir(parents=True, exist_ok=True)
    reports: list[FileReport] = []
    files: list[Path] = []
    for path in paths:
        matching = _expand(path)
        files += [file for file in matching if file not in files]
        if not matching:
            problem = f"{readable_name(path)}: no such file or folder, and no file matches it"
            reports.append(FileReport(readable_name(path), problems=[problem]))
    inputs = [file for file in files if is_batch_input(file)] if format is None else []
    joined = inputs if len(files) > len(inputs) else []
    delivery = _Delivery(landing, how, inputs, joined, redact)
    return IngestReport(reports + current_engine().map(delivery.land, files))


def ingest_stream(stream: IO[bytes], landing: Path, **options: Any) -> IngestReport:
    """Land what a stream holds (standard input); options as in `ingest`."""
    landing.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=landing, prefix=STREAM_PREFIX) as folder:
        path = Path(folder) / "stdin"
        with path.open("wb") as file:
            shutil.copyfileobj(stream, file, 1 << 20)
        return ingest([path], landing, **options)


@dataclass(frozen=True)
class _Delivery:
    """Files that came together: where they land, how they are read, and which of them are inputs of a batch."""

    landing: Path
    how: dict[str, Any]
    inputs: Sequence[Path]
    joined: Sequence[Path]
    redact: Redactor | None

    def land(self, file: Path) -> FileReport:
        """Read a file, unless it goes with another one or cannot be opened."""
        name = readable_name(file)
        try:
            content = file_digest(file)
        except OSError as error:  # of this file: its folder holds others
            problem = f"{name}: cannot be read ({error.strerror}); give this account the right to read it"
            return FileReport(name, problems=[problem])
        if file in self.joined:
            return FileReport(name, content, "batch_input", "joined")
        # What is joined with a file is part of its content.
        format = self.how["format"] or detect(file, self.how["columns"])
        companions = [*(other for other in self.inputs if other != file), *companions_of(file, format)]
        digests = [content, *map(file_digest, companions)]
        key = hashlib.sha256("".join(digests).encode()).hexdigest() if companions else content
        (self.landing / ".locks").mkdir(exist_ok=True)
        with FileLock(self.landing / ".locks" / f"{key}.lock"):
            return self._landed(file, key, content, format, companions)

    def _landed(self, file: Path, key: str, content: str, format: str | None, companions: Sequence[Path]) -> FileReport:
        folder, fresh = self.landing / key, self.landing / f".tmp-{key}"
        try:
            old = read_manifest(folder)
        except DatasetError:  # a damaged account is written anew
            old = None
        if old is not None and not _must_read_again(old, self.how):
            remove_former_rows(folder, old)  # of a run that was killed
            return _report(old, file, "known" if old["n_rows"] else "unusable")
        shutil.rmtree(fresh, ignore_errors=True)
        rows = fresh / next_folder(folder)
        rows.mkdir(parents=True)
        manifest = {"key": key, "sha256": content, "name": readable_name(file), "bytes": file.stat().st_size}
        manifest |= {"folder": rows.name, "how": self.how, "reader_version": READER_VERSION}
        manifest |= self._read_into(rows, file, format, companions)
        if folder.exists():
            # The rows come first, under a name that nobody asks for; the account points to them from one rename on.
            publish_folder(rows, folder / rows.name)
            write_manifest(folder, manifest)
            remove_former_rows(folder, manifest)
            shutil.rmtree(fresh, ignore_errors=True)
        else:
            write_manifest(fresh, manifest)
            publish_folder(fresh, folder)
        return _report(manifest, file, "landed" if manifest["n_rows"] else "unusable")

    def _read_into(self, folder: Path, file: Path, format: str | None, companions: Sequence[Path]) -> dict[str, Any]:
        """Write the rows of a file for every table that it feeds; the account of all."""
        how = self.how
        options = ReadOptions(companions=tuple(companions), columns=how["columns"] or {}, date=how["date"])
        account: dict[str, Any] = {"format": format, "days": {}, "first_day_ahead": None, "tables": {}}
        of_traces = format is None or is_trace_format(format)
        if of_traces:
            account |= write_days(file, folder, {**how, "format": format}, options, self.redact)
        if format is not None and table_reader(format) is not None:
            # Of a log that feeds both, the reader of requests tells what is wrong with it.
            rows = write_table_rows(file, folder, how, format, options, with_rejects=not of_traces)
            if not of_traces:
                return account | rows
            for count in ("n_read", "n_rows"):
                account[count] += rows["n_rows"]
            account["tables"] = rows["tables"]
        return account


def _must_read_again(old: dict[str, Any], how: dict[str, Any]) -> bool:
    """Known content is read again if the readers have changed, the caller asks for something else by name, or a day
    that was yet to come has come."""
    ahead = old.get("first_day_ahead")
    if old["reader_version"] != READER_VERSION or (ahead is not None and has_day(ahead)):
        return True
    if "tables" not in old and old["format"] in READERS and table_reader(old["format"]) is not None:
        return True  # it landed when there were only traces
    asked = {key: value for key, value in how.items() if value is not None}
    return any(old["how"].get(key) != value for key, value in asked.items())


def landed_days(landing: Path) -> list[str]:
    """List the UTC days for which rows have landed, oldest first."""
    return sorted({day for manifest in read_manifests(landing) for day in manifest["days"]})


def day_digests(landing: Path) -> dict[str, str]:
    """For every landed UTC day, a SHA-256 over what its rows come from: equal digests mean equal rows."""
    return {day: facts_digest(files) for day, files in origins(landing, lambda manifest: manifest["days"]).items()}


def load_rows(landing: Path, days: Sequence[str] | None = None) -> pd.DataFrame:
    """Read the raw rows of some days, by default of all, in an order that does not depend on when files came."""
    of_day = ((manifest, day) for manifest in read_manifests(landing) for day in manifest["days"])
    files = [rows_file(landing, manifest, f"rows-{day}") for manifest, day in of_day if days is None or day in days]
    return raw_frame(pa.concat_tables([RAW_SCHEMA.empty_table(), *(read_parquet(f, RAW_SCHEMA) for f in files)]))


def load_rejects(landing: Path) -> pd.DataFrame:
    """Read what could not be read from all landed files, schema `foretell.predictors.schemas.quarantine.Quarantine`.

    Of a file with more than `MAX_REJECTS` the last row says how many more there are and where.
    """
    parts = [_rejects(landing, manifest) for manifest in read_manifests(landing)]
    rejects = raw_frame(pa.concat_tables([REJECT_SCHEMA.empty_table(), *parts])).drop(columns="is_file")
    return Quarantine.validate(rejects.assign(source=None, request_id=None, model=None))


def _rejects(landing: Path, manifest: dict[str, Any]) -> pa.Table:
    path = rows_file(landing, manifest, "rejects")
    n_more = manifest["n_rejects"] - MAX_REJECTS
    if n_more <= 0:
        return read_parquet(path, REJECT_SCHEMA)
    held = read_parquet(path, REJECT_SCHEMA, MAX_REJECTS)
    last = Reject(f"and {n_more} more records of this file", None, f"they are in {path}; is it a log at all?")
    return pa.concat_tables([held, rejects_table([last], manifest["name"])])


def landing_digest(landing: Path) -> str:
    """SHA-256 over the requests that have landed and how they were read: equal digests mean equal rows."""
    files = [m for m in read_manifests(landing) if m["days"] or not m.get("tables")]
    return facts_digest([[m["key"], m["reader_version"], m["how"], m["days"], m["n_rejects"]] for m in files])


def load_manifests(landing: Path) -> pd.DataFrame:
    """List the landed files: one row each, with counts, first and last day."""
    texts, counts = ["key", "name", "format"], ["bytes", "n_read", "n_rows", "n_rejects"]
    rows = []
    for manifest in read_manifests(landing):
        span = {"first_day": min(manifest["days"], default=None), "last_day": max(manifest["days"], default=None)}
        rows.append({**{name: manifest[name] for name in [*texts, *counts]}, **span})
    dtypes = {**dict.fromkeys(texts, "str"), **dict.fromkeys(counts, "int64"), "first_day": "str", "last_day": "str"}
    return pd.DataFrame(rows, columns=list(dtypes)).astype(dtypes)


def _report(manifest: dict[str, Any], file: Path, status: str) -> FileReport:
    counts = (manifest["n_read"], manifest["n_rows"], manifest["n_rejects"])
    days, problems = list(manifest["days"]), list(manifest["problems"])
    tables = {"request_traces": sum(manifest["days"].values())} if days else {}
    tables |= {name: sum(parts.values()) for name, parts in manifest.get("tables", {}).items()}
    name, format = readable_name(file), manifest["format"] or "unknown"
    return FileReport(name, manifest["sha256"], format, status, *counts, days, problems, tables)


def _expand(path: Path | str) -> list[Path]:
    """Files of a path: itself, everything below a folder, or what a pattern matches; hidden files are left out."""
    if str(path) == "":  # which Path takes for the working folder
        raise InvalidInputError("a path to ingest is empty: name a file, a folder (`.` for this one) or a pattern")
    path = Path(os.path.expanduser(path))  # a pattern in quotes keeps its ~ from the shell
    if path.is_file():
        return [path]
    matching = path.rglob("*") if path.is_dir() else (Path(name) for name in glob.glob(str(path), recursive=True))
    return sorted(p for p in matching if p.is_file() and not p.name.startswith("."))
