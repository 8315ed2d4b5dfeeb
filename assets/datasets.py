"""The data sets that can be named: loaded, curated and priced in one call."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from assets.catalog import fetch, load_entry
from assets.curation import Curated, Pricer, concat, curate
from assets.readers import read_traces
from predictors.errors import DatasetError, InvalidInputError

__all__ = ["TRACE_DATASETS", "load_traces"]

TRACE_DATASETS = ("starter", "pricing-reversal")


def load_traces(name: str, *, starter: Path, cache: Path, mirror: str | None, price: Pricer) -> Curated:
    """Load a named set of request traces.

    Parameters
    ----------
    name : str
        One of `TRACE_DATASETS`.
    starter : Path
        The file of the set ``starter`` (``data/starter/local_llm_traces.jsonl.gz``).
    cache : Path
        Where public files are kept once fetched.
    mirror : str or None
        Folder or URL that serves ``<mirror>/<host>/<path>`` instead of the original URLs.
    price : callable
        See `assets.curation.Pricer`.

    Raises
    ------
    InvalidInputError
        If the set is not known.
    DatasetError
        If a file is missing or not the one its checksum names.
    """
    if name not in TRACE_DATASETS:
        raise InvalidInputError(f"`name` must be one of {sorted(TRACE_DATASETS)}, got {name!r}")
    if name == "starter":
        if not starter.is_file():
            raise DatasetError(f"{starter}: the starter traces are missing; restore the file from the repository")
        return _curated([starter], format="openai_jsonl", source="starter", price=price)
    entry = load_entry(name)
    files = [path for path in fetch(name, cache=cache, mirror=mirror) if "/data/" in path.as_posix()]
    return _curated(files, format=entry.reader, source=name, price=price)


def _curated(files: Sequence[Path], *, format: str | None, source: str, price: Pricer) -> Curated:
    # Files of one set can share a name (run0.json): the two folders above tell them apart.
    reads = [read_traces(f, format, source=source, source_file="/".join(f.parts[-3:])) for f in files]
    rejects = pd.concat([read.rejects for read in reads], ignore_index=True)
    return curate(concat([read.rows for read in reads]), price=price, rejects=rejects)
