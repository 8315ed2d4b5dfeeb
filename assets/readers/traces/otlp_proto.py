"""OTLP as protobuf: one export, or the exports of the Collector's file exporter, each behind its length."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from foretell.assets.readers.core.records import Reject
from foretell.assets.readers.core.stream import MAX_LINE_BYTES, CutShortError, chunks

_SPAN_IDS = b"\x0a\x10", b"\x12\x08"
"""How a trace id of 16 bytes and a span id of 8 bytes begin: no text holds both."""
_ONE_EXPORT = 0x0A
"""First byte of an export; that of a length, four bytes, the highest first, is less."""
_LENGTH = 4
_REMEDY = "deliver the file again; `format: json` of the exporter can be mended by hand"


def is_protobuf(head: bytes) -> bool:
    """Whether a file begins as exports of spans do."""
    return head[:1] <= bytes([_ONE_EXPORT]) and all(mark in head for mark in _SPAN_IDS)


def export_batches(path: Path) -> Iterator[tuple[int, Any, None] | Reject]:
    """Yield ``(number of the export, the export as OTLP JSON has it, None)``; what is cut or damaged is a `Reject`.

    Identifiers are base64 here, as protobuf's own JSON has them.
    """
    import opentelemetry.proto.trace.v1.trace_pb2 as otlp  # noqa: I001  the first: it is what an extra brings

    from google.protobuf.json_format import MessageToDict
    from google.protobuf.message import DecodeError

    number = 0
    for item in _messages(path):
        number += 1
        if isinstance(item, str):
            yield Reject(item, number, _REMEDY)
            continue
        try:
            batch = MessageToDict(otlp.TracesData.FromString(item))
        except (DecodeError, ValueError, RecursionError) as error:
            yield Reject(f"no whole export of OTLP in protobuf ({error})", number, _REMEDY)
        else:
            yield number, batch, None


def _messages(path: Path) -> Iterator[bytes | str]:
    """The bytes of each export, or why the next one cannot be had."""
    held = bytearray()
    is_one: bool | None = None
    try:
        for chunk in chunks(path):
            held += chunk
            is_one = held[0] == _ONE_EXPORT if is_one is None else is_one
            while not is_one and len(held) >= _LENGTH:
                size = int.from_bytes(held[:_LENGTH], "big")
                if size > MAX_LINE_BYTES:
                    yield f"an export of {size:,} bytes, more than {MAX_LINE_BYTES >> 20} MiB"
                    return
                if len(held) < _LENGTH + size:
                    break
                yield bytes(held[_LENGTH : _LENGTH + size])
                del held[: _LENGTH + size]
            if is_one and len(held) > MAX_LINE_BYTES:
                yield f"one export of more than {MAX_LINE_BYTES >> 20} MiB"
                return
    except CutShortError as error:
        yield f"{error}: what follows is lost"
        return
    if is_one:
        yield bytes(held)
    elif held:
        yield "the file ends within an export"
