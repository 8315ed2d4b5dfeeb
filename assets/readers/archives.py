"""Members of a zip archive, also those compressed with zstd, which the standard library cannot read.

Nothing is written to disk, so no name in an archive can leave a folder; a member that inflates beyond
the limit is refused before it fills the memory.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

__all__ = ["MAX_MEMBER_BYTES", "MemberError", "member_names", "read_member"]

MAX_MEMBER_BYTES = 256 << 20
_LOCAL_HEADER = struct.Struct("<4s5H3I2H")
_ZSTD = 93


class MemberError(Exception):
    """A member that cannot be read; the text says why."""


def member_names(path: Path) -> list[str]:
    """List the members in the order of the archive.

    Raises
    ------
    MemberError
        If the file is no whole zip archive.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return [info.filename for info in archive.infolist() if not info.is_dir()]
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise MemberError(f"not a whole zip archive: {error}") from None


def read_member(path: Path, name: str, *, max_bytes: int | None = None) -> bytes:
    """Return the content of one member (stored, deflated or zstd), at most `max_bytes` (`MAX_MEMBER_BYTES`).

    Raises
    ------
    MemberError
        If the member is absent, damaged, too large or packed in another way.
    """
    parts: list[bytes] = []
    size, limit = 0, MAX_MEMBER_BYTES if max_bytes is None else max_bytes
    try:
        with zipfile.ZipFile(path) as archive, path.open("rb") as file:
            info = archive.getinfo(name)
            for part in _inflated(file, info):
                size += len(part)
                if size > limit:
                    raise MemberError(f"{name} inflates beyond {limit >> 20} MiB")
                parts.append(part)
    except (zipfile.BadZipFile, KeyError, OSError, ValueError, zlib.error, struct.error, NotImplementedError) as error:
        raise MemberError(f"{name}: {str(error)[:120]}") from None
    content = b"".join(parts)
    if zlib.crc32(content) != info.CRC:
        raise MemberError(f"{name}: the checksum does not fit its content")
    return content


def _inflated(file, info: zipfile.ZipInfo) -> Iterator[bytes]:  # type: ignore[no-untyped-def]
    file.seek(info.header_offset)
    header = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
    if header[0] != b"PK\x03\x04" or header[2] & 1:
        raise MemberError(f"{info.filename}: encrypted, or not where the archive says")
    file.seek(header[9] + header[10], 1)
    start, left = file.tell(), info.compress_size
    if info.compress_type == _ZSTD:
        with pa.CompressedInputStream(pa.PythonFile(_Window(file, start, left)), "zstd") as stream:
            while part := stream.read(1 << 20):
                yield part
        return
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise MemberError(f"{info.filename}: packed by method {info.compress_type}, which is not read")
    inflate = zlib.decompressobj(wbits=-15) if info.compress_type == zipfile.ZIP_DEFLATED else None
    while left and (raw := file.read(min(left, 1 << 16))):
        left -= len(raw)
        while inflate is not None and raw:
            yield inflate.decompress(raw, 1 << 20)
            raw = inflate.unconsumed_tail
        if inflate is None:
            yield raw
    if inflate is not None:
        yield inflate.flush()


class _Window:
    """A part of a file as a file of its own, for Arrow."""

    closed = False

    def __init__(self, file, start: int, size: int) -> None:  # type: ignore[no-untyped-def]
        self._file, self._at, self._end = file, start, start + size

    def read(self, n: int = -1) -> bytes:
        self._file.seek(self._at)
        left = self._end - self._at
        part: bytes = self._file.read(left if n < 0 else min(n, left))
        self._at += len(part)
        return part

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def writable(self) -> bool:
        return False

    def close(self) -> None:
        self.closed = True
