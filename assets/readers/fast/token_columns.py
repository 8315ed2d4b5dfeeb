"""Token counts of many usage blocks with the same keys and types: `usage.tokens_of`, column by column."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from foretell.assets.readers.core.records import Columns, NotCommonError
from foretell.assets.readers.core.usage import CACHE_WRITE_DETAILS, TOTALS, Path, UsageError, sums_of_paths

MAX_COUNT = 10**15
"""Larger counts are left to the reader of single records, so that no sum overflows."""

Counts: TypeAlias = NDArray[np.int64] | None
"""Counts of n records, shape (n,); None where no record tells them."""


def counts_of(values: Sequence[Any]) -> NDArray[np.int64]:
    """Integers as an array of the same shape; raise `NotCommonError` for negative or huge ones."""
    try:
        counts = np.array(values, dtype=np.int64)
    except OverflowError:
        raise NotCommonError from None
    if counts.size and (counts.min() < 0 or counts.max() > MAX_COUNT):
        raise NotCommonError
    return counts


def token_columns(paths: tuple[Path, ...], values: Sequence[Sequence[int]], *, is_anthropic: bool) -> Columns:
    """Return the token columns of usage blocks that hold counts, shape (n, n_paths), at the same paths.

    Raises `NotCommonError` if a count is negative or huge, or the blocks are not understood.
    """
    leaves: dict[Path, NDArray[np.int64]] = dict(zip(paths, counts_of(values).T, strict=True))
    try:
        sums = sums_of_paths(paths, is_anthropic)
    except UsageError:
        raise NotCommonError from None
    columns: dict[str, Counts] = {
        name: None if parts is None else sum((leaves[path] for path in parts), np.zeros(len(values), dtype=np.int64))
        for name, parts in sums
    }
    columns["total_tokens"] = next((leaves[name,] for name in TOTALS if (name,) in leaves), None)
    if columns["cache_write_tokens"] is None:
        columns["cache_write_tokens"] = next((leaves[path] for path in CACHE_WRITE_DETAILS if path in leaves), None)
    return with_reasoning(columns)


def with_reasoning(columns: dict[str, Counts]) -> Columns:
    """The counts as Arrow arrays, with reasoning added to the output where the total shows that it was left out."""
    n_in, n_out, n_reasoning, total = (columns[f"{name}_tokens"] for name in ("input", "output", "reasoning", "total"))
    if n_in is not None and n_out is not None and n_reasoning is not None and total is not None:
        is_left_out = (n_reasoning > 0) & (total == n_in + n_out + n_reasoning)
        columns = {**columns, "output_tokens": n_out + np.where(is_left_out, n_reasoning, 0)}
    return {name: pa.array(counts) for name, counts in columns.items() if counts is not None}
