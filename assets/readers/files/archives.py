"""Members of a zip archive, also those compressed with zstd, which the standard library cannot read.

Nothing is written to disk, so no name in an archive can leave a folder; a member that inflates beyond
the limit is refused before it fills the memory.
"""

import copy
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

MAX_MEMBER_BYTES = 128 << 20
_ZSTD = 93
_FAULTS = (zipfile.BadZipFile, OSError, ValueError, zlib.error, struct.error, RuntimeError, EOFError)


class MemberError(Exception):
    """A member that cannot be read; the text says why."""


def open_archive(path: Path) -> zipfile.ZipFile:
    """Open a zip archive; its list of members, which may be long, is read once.

    Raises `MemberError` if the file is no whole zip archive.
    """
    try:
        return zipfile.ZipFile(path)
    except _FAULTS as error:
        raise MemberError(f"not a whole zip archive: {error}") from None


def read_member(archive: zipfile.ZipFile, name: str) -> bytes:
    """Return the content of one member (stored, deflated or zstd), at most `MAX_MEMBER_BYTES`.

    Raises `MemberError` if the member is absent, damaged, too large or packed in another way.
    """
    content = bytearray()
    try:
        info = archive.getinfo(name)
        for part in _parts(archive, info):
            content += part
            if len(content) > MAX_MEMBER_BYTES:
                raise MemberError(f"inflates beyond {MAX_MEMBER_BYTES >> 20} MiB")
    except KeyError:
        raise MemberError(f"the archive holds no {name}") from None
    except (zipfile.BadZipFile, RuntimeError):  # whose texts quote the names of members
        raise MemberError("encrypted, or not where the archive says") from None
    except _FAULTS as error:
        raise MemberError(str(error)[:120]) from None
    if zlib.crc32(content) != info.CRC:
        raise MemberError("the checksum does not fit its content")
    return bytes(content)


def _parts(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[bytes]:
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, _ZSTD):
        raise MemberError(f"packed by method {info.compress_type}, which is not read")
    bounded = copy.copy(info)  # neither the size that the archive claims nor its checksum ends the reading
    bounded.file_size, bounded.CRC = MAX_MEMBER_BYTES + 1, None  # type: ignore[assignment]
    if info.compress_type == _ZSTD:
        bounded.compress_type = zipfile.ZIP_STORED
    with archive.open(bounded) as member:
        zstd = info.compress_type == _ZSTD
        stream = pa.CompressedInputStream(pa.PythonFile(member, "r"), "zstd") if zstd else member
        while part := stream.read(1 << 20):
            yield part
