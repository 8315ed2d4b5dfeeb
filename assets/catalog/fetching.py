"""Fetch the files of an entry: from a mirror folder in place, else by HTTP with resume, retries and checksum."""

import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from foretell.assets.catalog.entries import CatalogEntry, CatalogFile, load_entry
from foretell.predictors.errors import DatasetError

Progress: TypeAlias = Callable[[int, int, str], None]
"""Called with bytes done, bytes in all, and the path of the current file."""

TIMEOUT_S = (10, 30)
"""Longest wait for a connection, and for the next bytes."""
RETRIES = 4
RETRY_WAIT_S = 1.0
"""Before the second try; twice as long before each further one."""
CHUNK_BYTES = 1 << 15
_RETRY_STATUS = {408, 425, 429, 500, 502, 503, 504}


def fetch(name: str, *, cache: Path, mirror: str | None, progress: Progress | None = None) -> list[Path]:
    """Return the files of an entry, fetching what is absent into ``<cache>/<host>/<path>``.

    `mirror` is a folder or URL that serves ``<mirror>/<host>/<path>``; files of a folder are checked and used in place.
    Raises `InvalidInputError` if there is no such entry, and `DatasetError` if a file is not there or not the one its
    checksum names.
    """
    entry = load_entry(name)
    done = 0
    paths = []
    for file in entry.files:
        if mirror is not None and "://" not in mirror:
            path = _in_folder(entry, file, Path(mirror))
        else:
            path = _download(entry, file, cache, mirror)
        paths.append(path)
        done += file.bytes
        if progress is not None:
            progress(done, entry.n_bytes, file.path)
    return paths


def provenance(name: str) -> list[dict[str, Any]]:
    """Where each file of an entry comes from: url, sha256, bytes, licence, path in cache or mirror."""
    entry = load_entry(name)
    return [
        {"url": _url(entry, f), "sha256": f.sha256, "bytes": f.bytes, "licence": entry.licence,
         "path": _place(entry, f).as_posix()}
        for f in entry.files
    ]  # fmt: skip


def _url(entry: CatalogEntry, file: CatalogFile) -> str:
    return entry.base_url + file.path


def _place(entry: CatalogEntry, file: CatalogFile) -> Path:
    parts = urlsplit(_url(entry, file))
    return Path(parts.netloc) / parts.path.lstrip("/")


def _in_folder(entry: CatalogEntry, file: CatalogFile, mirror: Path) -> Path:
    path = mirror / _place(entry, file)
    if not path.is_file():
        raise DatasetError(f"{path}: not in the mirror; it should be a copy of {_url(entry, file)}")
    digest = _sha256(path)
    if digest != file.sha256:
        raise DatasetError(f"{path}: SHA-256 is {digest}, expected {file.sha256}; copy {_url(entry, file)} again")
    return path


def _download(entry: CatalogEntry, file: CatalogFile, cache: Path, mirror: str | None) -> Path:
    place = _place(entry, file)
    url = _url(entry, file) if mirror is None else f"{mirror.rstrip('/')}/{place.as_posix()}"
    target = cache / place
    if target.is_file() and _sha256(target) == file.sha256:
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _bring(file, url, cache / ".partial" / file.sha256, target)
    except DatasetError:
        raise
    except OSError as error:
        raise DatasetError(f"{url}: {error}; set FORETELL_MIRROR to a folder or URL with a copy") from error
    return target


def _sha256(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _bring(file: CatalogFile, url: str, partial: Path, target: Path) -> None:
    """Put a file at `target`, whole and checked; goes on where a transfer broke off, and gives up after `RETRIES`."""
    partial.parent.mkdir(parents=True, exist_ok=True)
    problem = ""
    for attempt in range(RETRIES):
        if attempt:
            time.sleep(RETRY_WAIT_S * 2 ** (attempt - 1))
        problem = _fetch_rest(file, url, partial)
        if not problem:
            os.replace(partial, target)
            return
        if problem.startswith("status") and int(problem.split()[1]) not in _RETRY_STATUS:
            break
    raise DatasetError(f"{url}: {problem} after {attempt + 1} tries; set FORETELL_MIRROR to a copy, or try later")


def _fetch_rest(file: CatalogFile, url: str, partial: Path) -> str:
    """Fetch what `partial` lacks of a file; return what went wrong, "" if nothing did."""
    import requests

    start = partial.stat().st_size if partial.exists() else 0
    headers = {"Range": f"bytes={start}-"} if start else {}
    try:
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT_S) as response:
            if response.status_code not in (200, 206):
                return f"status {response.status_code}"
            mode = "ab" if start and response.status_code == 206 else "wb"
            with partial.open(mode) as out:
                for chunk in response.iter_content(CHUNK_BYTES):
                    out.write(chunk)
                    if out.tell() > file.bytes:
                        break
    except (requests.RequestException, OSError) as error:
        return f"{type(error).__name__}: {error}"
    size = partial.stat().st_size
    if size < file.bytes:
        return f"cut off at {size} of {file.bytes} bytes"
    digest = _sha256(partial)
    if digest != file.sha256:
        partial.unlink()  # wrong bytes are no start to go on from
        return f"wrong content, SHA-256 {digest[:12]}... instead of {file.sha256[:12]}..."
    return ""
