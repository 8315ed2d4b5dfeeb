"""Bytes of a file, decompressed on the way, as lines; whole however the file is damaged.

Memory is bounded by the longest line that is accepted, whatever the size of the file and however far
it inflates. A value that is nested deeper, or holds more values, than any request does is refused before
anything walks through it.
"""

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from foretell.assets.readers.core.records import Reject

CHUNK_BYTES = 1 << 20
PIECE_BYTES = 1 << 16
HEAD_BYTES = 1 << 16
MAX_LINE_BYTES = 64 << 20
"""A longer line is rejected unread: no single request is that long, and memory must stay bounded."""
MAX_DOCUMENT_BYTES = 256 << 20
"""A file that is one JSON document is held whole."""
MAX_VALUES = 8_000_000
"""Values of one JSON text: each takes some 60 bytes, an empty list of two bytes as well."""
MAX_DEPTH = 128
"""Lists and objects within each other, serde's limit too. Whatever walks through a value goes less deep than Python's
stack and than what orjson writes."""
NOT_A_REQUEST = "no request to a model is like that; leave the record out"
TOO_DEEP = f"nested more than {MAX_DEPTH} deep"

GZIP_MAGIC = b"\x1f\x8b"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


class CutShortError(Exception):
    """A compressed file ended or broke before its end mark."""


class BoundError(ValueError):
    """JSON that holds more, or is nested deeper, than any request."""


def chunks(path: Path) -> Iterator[bytes]:
    """Yield the decompressed content; raise `CutShortError` after the last good byte of a damaged file.

    UTF-16, as Excel and PowerShell write it, comes as UTF-8; what is no text in it becomes U+FFFD.
    """
    with path.open("rb") as file:
        magic = file.read(4)
    if magic.startswith(GZIP_MAGIC):
        yield from _gunzip(path)
    elif magic == ZSTD_MAGIC:
        yield from _unzstd(path)
    elif magic.startswith(UTF16_MARKS):
        with path.open(encoding="utf-16", errors="replace", newline="") as text:
            while part := text.read(CHUNK_BYTES):
                yield part.encode()
    else:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                yield chunk


def _gunzip(path: Path) -> Iterator[bytes]:
    # gzip.open loses what it has decompressed when it meets the cut, so the members are walked by hand.
    with path.open("rb") as file:
        inflate: Any = zlib.decompressobj(wbits=31)
        is_open = False
        data = b""
        while data or (data := file.read(PIECE_BYTES)):
            data = data if is_open else data.lstrip(b"\0")  # padding between or after members
            if not data:
                continue
            before = inflate.copy()
            try:
                out = inflate.decompress(data, CHUNK_BYTES)
            except zlib.error as error:
                yield _until_damage(before, data)
                raise CutShortError(f"the gzip data are damaged ({error})") from None
            is_open = True
            data = inflate.unconsumed_tail
            if out:
                yield out
            if inflate.eof:
                data = inflate.unused_data
                inflate, is_open = zlib.decompressobj(wbits=31), False
        while is_open and (out := inflate.decompress(inflate.unconsumed_tail, CHUNK_BYTES)):
            yield out
        if is_open:
            raise CutShortError("the gzip file ends before its end mark")


def _until_damage(inflate: Any, data: bytes) -> bytes:
    """What can be decompressed before the damage; byte by byte, since a failing call returns nothing."""
    parts = []
    for i in range(len(data)):
        try:
            parts.append(inflate.decompress(data[i : i + 1]))
        except zlib.error:
            break
    return b"".join(parts)


def _unzstd(path: Path) -> Iterator[bytes]:
    size = 1 << 12  # small reads lose little when a read of a damaged frame fails
    with pa.OSFile(str(path)) as raw, pa.CompressedInputStream(raw, "zstd") as file:
        while True:
            try:
                out = file.read(size)
            except OSError as error:
                raise CutShortError(f"the zstd file is cut short or damaged ({error})") from None
            if not out:
                return
            yield out


def head_of(path: Path) -> bytes:
    """First `HEAD_BYTES` decompressed bytes, as many as there are."""
    head = b""
    try:
        for chunk in chunks(path):
            head += chunk
            if len(head) >= HEAD_BYTES:
                break
    except CutShortError:
        pass  # the reader reports it, with the line
    return head[:HEAD_BYTES].removeprefix(b"\xef\xbb\xbf")


def is_whole(path: Path) -> bool:
    """True if the file can be decompressed to its end."""
    try:
        for _ in chunks(path):
            pass
    except CutShortError:
        return False
    return True


def lines(path: Path, *, max_line_bytes: int = MAX_LINE_BYTES) -> Iterator[tuple[int, bytes] | Reject]:
    """Yield ``(line number, line)`` without blank lines; a line too long or a cut file gives a `Reject`.

    The text before a cut that is not ended by a newline belongs to the cut, not to a line.
    """
    parts: list[bytes] = []
    number, n_bytes = 1, 0
    try:
        for chunk in chunks(path):
            if number == 1 and not parts:
                chunk = chunk.removeprefix(b"\xef\xbb\xbf")
            pieces = chunk.split(b"\n")
            for piece in pieces[:-1]:
                if n_bytes + len(piece) > max_line_bytes:
                    yield _too_long(number, max_line_bytes)
                elif line := (b"".join([*parts, piece]) if parts else piece).rstrip():
                    yield number, line
                number, parts, n_bytes = number + 1, [], 0
            n_bytes += len(pieces[-1])
            parts = [*parts, pieces[-1]] if n_bytes <= max_line_bytes else []
    except CutShortError as error:
        remedy = "deliver the file again; the lines before this one were read"
        yield Reject(f"{error}: line {number} and what follows are lost", number, remedy)
        return
    if n_bytes > max_line_bytes:
        yield _too_long(number, max_line_bytes)
    elif line := b"".join(parts).rstrip():
        yield number, line


def _too_long(number: int, limit: int) -> Reject:
    return Reject(f"the line is longer than {limit >> 20} MiB", number, "split the record or leave out its attachments")


def loads(text: bytes | bytearray, *, is_document: bool = False) -> object:
    """Parse JSON; Python's ``NaN`` and ``Infinity`` are accepted because many tools write them.

    A document of many records may be nested deeper than `MAX_DEPTH`: its records are checked by `is_too_deep`. Raises
    `ValueError` with a readable reason; `BoundError` if it is JSON beyond the bounds of this module.
    """
    try:
        return _plain_loads(text, is_document=is_document)
    except orjson.JSONDecodeError as error:
        if b"NaN" not in text and b"Infinity" not in text and "infinity" not in str(error):
            raise ValueError(str(error)) from None
    import json

    try:
        value: object = json.loads(text)
    except RecursionError:
        raise BoundError(TOO_DEEP) from None
    if not is_document and is_too_deep(value):
        raise BoundError(TOO_DEEP)
    return value


def _plain_loads(text: bytes | bytearray, *, is_document: bool = False) -> object:
    if len(text) > MAX_VALUES and sum(map(text.count, (b",", b"[", b"{"))) > MAX_VALUES:
        raise BoundError(f"more than {MAX_VALUES:,} values in one text")
    value: object = orjson.loads(text)
    # Nearly no line may be deep: so many brackets take long to count only where there are so many.
    may_be_deep = not is_document and len(text) > 2 * MAX_DEPTH and text.count(b"{") + text.count(b"[") > MAX_DEPTH
    if may_be_deep and is_too_deep(value):
        raise BoundError(TOO_DEEP)
    return value


def is_too_deep(value: object) -> bool:
    """True if lists and objects stand more than `MAX_DEPTH` deep within each other."""
    level: list[Any] = [value] if isinstance(value, dict | list) else []
    for _ in range(MAX_DEPTH):
        if not level:
            return False
        held = (inner for outer in level for inner in (outer.values() if type(outer) is dict else outer))
        level = [inner for inner in held if type(inner) is dict or type(inner) is list]
    return bool(level)


def json_document(path: Path, remedy: str) -> Any:
    """Parse a file that is one JSON document of many records; a `Reject` if it is too long, cut short or no JSON."""
    content = bytearray()
    try:
        for chunk in chunks(path):
            content += chunk
            if len(content) > MAX_DOCUMENT_BYTES:
                raise ValueError(f"over {MAX_DOCUMENT_BYTES >> 20} MiB in one JSON document")
        return loads(content, is_document=True)
    except (CutShortError, ValueError) as error:
        return Reject(f"not a whole JSON document: {error}", 1, remedy, is_file=True)


def json_lines(path: Path) -> Iterator[tuple[int, object] | Reject]:
    """Yield ``(line number, value)`` of a JSON file, one value a line or printed over several lines.

    See `json_texts`.
    """
    for item in json_texts(path):
        yield item if isinstance(item, Reject) else item[:2]


def json_texts(path: Path, *, of_batches: bool = False) -> Iterator[tuple[int, Any, bytes | None] | Reject]:
    """Yield ``(line number, value, text)``; the text is given where the line is one object, of plain JSON.

    Where a line is a batch of many records, their reader bounds how deep it goes into each of them.

    A list of objects yields its objects. What is no JSON gives a `Reject`. A line that is whole by
    itself ends a value that was left open before it, so that one cut record never swallows the next.
    """
    parts: list[bytes] = []  # of a value printed over several lines
    start = n_bytes = 0
    for item in lines(path):
        if isinstance(item, Reject):
            if parts:
                yield _open_value(start)
                parts, n_bytes = [], 0
            yield item
            continue
        number, line = item
        if not parts:
            try:
                value = _plain_loads(line, is_document=of_batches)
            except ValueError:
                pass  # `_values` says why, or the line begins a value of several lines
            else:
                if type(value) is dict:
                    yield number, value, line
                    continue
        if not parts and line in (b"{", b"["):
            start, parts, n_bytes = number, [line], len(line)
            continue
        if parts:
            if line[:2] == b'{"' and _is_json(line):
                yield _open_value(start)
                parts, n_bytes = [], 0
            else:
                parts.append(line)
                n_bytes += len(line)
                if line.rstrip(b",") not in (b"}", b"]") and n_bytes <= MAX_LINE_BYTES:
                    continue
                number, line, parts, n_bytes = start, b"\n".join(parts).rstrip(b","), [], 0
        yield from _values(number, line, of_batches)
    if parts:
        yield _open_value(start)


def _values(number: int, line: bytes, of_batches: bool) -> Iterator[tuple[int, Any, None] | Reject]:
    try:
        value = loads(line, is_document=True)
    except BoundError as error:
        yield Reject(str(error), number, NOT_A_REQUEST)
        return
    except ValueError as error:
        yield Reject(f"not JSON: {error}", number, "one whole JSON object a line; was the file cut short?")
        return
    items = [value]
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        items = value
    for item in items:
        is_refused = not of_batches and is_too_deep(item)
        yield Reject(TOO_DEEP, number, NOT_A_REQUEST) if is_refused else (number, item, None)


def _is_json(line: bytes) -> bool:
    try:
        loads(line)
    except ValueError:
        return False
    return True


def _open_value(start: int) -> Reject:
    return Reject("not JSON: the value is never closed", start, "one whole JSON object; was the file cut short?")
