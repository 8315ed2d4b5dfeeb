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

MAX_MEMBER_BYTES = 128 << 20
_LOCAL_HEADER = struct.Struct("<4s5H3I2H")
_ZSTD = 93
_FAULTS = (zipfile.BadZipFile, OSError, ValueError, zlib.error, struct.error, NotImplementedError, EOFError)


class MemberError(Exception):
    """A member that cannot be read; the text says why."""


class Archive:
    """An open zip archive: its list of members, which may be long, is read once.

    Raises
    ------
    MemberError
        If the file is no whole zip archive.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        try:
            self._archive = zipfile.ZipFile(self._file)
        except _FAULTS as error:
            self._file.close()
            raise MemberError(f"not a whole zip archive: {error}") from None

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *exception: object) -> None:
        self._archive.close()
        self._file.close()

    def names(self) -> list[str]:
        """List the members in the order of the archive."""
        return [info.filename for info in self._archive.infolist() if not info.is_dir()]

    def read(self, name: str) -> bytes:
        """Return the content of one member (stored, deflated or zstd), at most `MAX_MEMBER_BYTES`.

        Raises
        ------
        MemberError
            If the member is absent, damaged, too large or packed in another way.
        """
        parts: list[bytes] = []
        size = 0
        try:
            info = self._archive.getinfo(name)
            for part in _inflated(self._file, info):
                size += len(part)
                if size > MAX_MEMBER_BYTES:
                    raise MemberError(f"inflates beyond {MAX_MEMBER_BYTES >> 20} MiB")
                parts.append(part)
        except KeyError:
            raise MemberError(f"the archive holds no {name}") from None
        except _FAULTS as error:
            raise MemberError(str(error)[:120]) from None
        content = b"".join(parts)
        if zlib.crc32(content) != info.CRC:
            raise MemberError("the checksum does not fit its content")
        return content


def _inflated(file, info: zipfile.ZipInfo) -> Iterator[bytes]:  # type: ignore[no-untyped-def]
    file.seek(info.header_offset)
    header = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
    if header[0] != b"PK\x03\x04" or header[2] & 1:
        raise MemberError("encrypted, or not where the archive says")
    file.seek(header[9] + header[10], 1)
    start, left = file.tell(), info.compress_size
    if info.compress_type == _ZSTD:
        with pa.CompressedInputStream(pa.PythonFile(_Window(file, start, left)), "zstd") as stream:
            while part := stream.read(1 << 20):
                yield part
        return
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise MemberError(f"packed by method {info.compress_type}, which is not read")
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
