"""Rows of a CSV file as dicts, with bounded memory; what is no row is a reject."""

import csv
import io
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from foretell.assets.readers.core.records import Reject
from foretell.assets.readers.core.stream import CHUNK_BYTES, MAX_LINE_BYTES, CutShortError, chunks

MAX_HEADER = 1 << 20
"""Characters of the line that names the columns."""
csv.field_size_limit(1 << 24)  # prompts are longer than the 128 KiB that are the default

Item = tuple[int, dict[str, Any]]


def csv_names(line: bytes) -> set[str]:
    """Return the columns that a header line names; none if it is no CSV."""
    text = line.decode("utf-8", "replace")
    try:
        return {name.strip() for name in next(csv.reader([text], delimiter=delimiter_of(text)), [])}
    except csv.Error:
        return set()


def delimiter_of(header: str) -> str:
    return max(",\t;|", key=header.count)


class _Decompressed(io.RawIOBase):
    """The decompressed bytes of a file as a stream; remembers that the file was cut short."""

    def __init__(self, path: Path) -> None:
        self._chunks = chunks(path)
        self._rest = b""
        self.cut: CutShortError | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            try:
                self._rest = next(self._chunks)
            except (StopIteration, CutShortError) as error:
                self.cut = error if isinstance(error, CutShortError) else self.cut
                return 0
        n = min(len(buffer), len(self._rest))
        buffer[:n], self._rest = self._rest[:n], self._rest[n:]
        return n


def _bounded_line(text: io.TextIOWrapper) -> str:
    """The next line, "" after the last; one that is too long is passed over and raised, and the next one follows."""
    line = text.readline(MAX_LINE_BYTES)
    if len(line) < MAX_LINE_BYTES:
        return line
    while len(line) == MAX_LINE_BYTES and line[-1] not in "\r\n":
        line = text.readline(MAX_LINE_BYTES)
    raise csv.Error(f"a line longer than {MAX_LINE_BYTES >> 20} MiB")


def csv_items(path: Path) -> Iterator[Item | Reject]:
    """Yield ``(line, row)`` of a CSV file, or a `Reject` for what is no row of it."""
    raw = _Decompressed(path)
    text = io.TextIOWrapper(io.BufferedReader(raw, CHUNK_BYTES), "utf-8-sig", errors="replace", newline="")
    lines = iter(partial(_bounded_line, text), "")
    try:
        header_line = next(lines, "")
        if len(header_line) > MAX_HEADER:
            raise csv.Error(f"a first line of {len(header_line):,} characters")
        delimiter = delimiter_of(header_line)
        header = [name.strip() for name in next(csv.reader([header_line], delimiter=delimiter), [])]
    except csv.Error as error:
        yield Reject(f"not CSV: {error}", 1, "the first line names the columns", is_file=True)
        return
    reader = csv.reader(lines, delimiter=delimiter)
    pending: Item | Reject | None = None  # held back by one: the last row of a cut file may be half of one
    last = 1
    while True:
        start = last + 1
        try:
            fields = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            item: Item | Reject = Reject(f"not CSV: {error}", start, "is a quote left open?")
        else:
            item = start, dict(zip(header, fields, strict=False))
            if fields and len(fields) != len(header):
                why = f"{len(fields)} fields where the header has {len(header)}"
                item = Reject(why, start, "is a quote left open, or was the file cut short?")
        last = reader.line_num + 1
        if pending is not None:
            yield pending
        pending = item if not isinstance(item, tuple) or item[1] else None
    if raw.cut is not None:
        line = last + 1 if pending is None else (pending[0] if isinstance(pending, tuple) else pending.source_line)
        yield Reject(f"{raw.cut}: line {line} and what follows are lost", line, "deliver the file again")
    elif pending is not None:
        yield pending
