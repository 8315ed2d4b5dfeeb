"""Readers: foreign formats -> raw canonical rows. Pure functions; see docs/formats.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from foretell.assets.readers.core.records import READER_VERSION, ReadOptions, TraceRead
    from foretell.assets.readers.reading import (
        READERS,
        companions_of,
        detect,
        is_trace_format,
        read_tables,
        read_traces,
        table_reader,
    )

__all__ = [
    "READERS",
    "READER_VERSION",
    "ReadOptions",
    "TraceRead",
    "companions_of",
    "detect",
    "is_trace_format",
    "read_tables",
    "read_traces",
    "table_reader",
]


def __getattr__(name: str) -> Any:
    """Every reader is imported when one is asked for: who only reads a prompt needs none of them."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from foretell.assets.readers import reading
    from foretell.assets.readers.core import records

    return getattr(records, name) if hasattr(records, name) else getattr(reading, name)
