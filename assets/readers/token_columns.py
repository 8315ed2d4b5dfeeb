"""Token counts of many usage blocks with the same keys: `usage.tokens_of`, column by column."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from assets.readers.base import Columns, NotCommonError
from assets.readers.usage import CACHE_WRITE_DETAILS, TOTALS, Path, UsageError, is_count_key, sums_of_paths

__all__ = ["Counts", "add_reasoning", "token_columns"]

MAX_COUNT = 10**15
"""Larger counts are left to the reader of single records, so that no sum overflows."""

Blocks: TypeAlias = "list[dict[str, Any]]"


@dataclass
class Counts:
    """Nullable counts of n records; a count that is not known is 0 in `values`.

    Attributes
    ----------
    values : ndarray of int64, shape (n,)
    known : ndarray of bool, shape (n,)
    """

    values: NDArray[np.int64]
    known: NDArray[np.bool_]

    @classmethod
    def unknown(cls, n: int) -> Counts:
        """Return n counts that are not known."""
        return cls(np.zeros(n, dtype=np.int64), np.zeros(n, dtype=bool))

    @classmethod
    def of(cls, values: list[int | None]) -> Counts:
        """Return counts of a list of integers and None; raise `NotCommonError` for negative or huge ones."""
        known = np.ones(len(values), dtype=bool)
        if None in values:
            known = np.array([value is not None for value in values])
            values = [value or 0 for value in values]
        try:
            counts = np.array(values, dtype=np.int64)
        except OverflowError:
            raise NotCommonError from None
        if counts.size and (counts.min() < 0 or counts.max() > MAX_COUNT):
            raise NotCommonError
        return cls(counts, known)

    def or_else(self, other: Counts) -> Counts:
        """Return these, and where one is not known the other."""
        return Counts(np.where(self.known, self.values, other.values), self.known | other.known)

    def array(self) -> pa.Array:
        """Return them as an Arrow array."""
        return pa.array(self.values, mask=None if self.known.all() else ~self.known)


def token_columns(usages: Blocks, *, is_anthropic: bool) -> Columns:
    """Return the token columns of usage blocks with the same keys.

    Raises
    ------
    NotCommonError
        If a count is no whole, non-negative number, or the blocks are not alike.
    """
    leaves = dict(_leaves(usages))
    if not leaves:
        raise NotCommonError
    columns = _sums(leaves, len(usages), is_anthropic)
    total = Counts.unknown(len(usages))
    for name in reversed(TOTALS):
        total = leaves[name,].or_else(total) if (name,) in leaves else total
    columns["total_tokens"] = total
    columns["output_tokens"] = add_reasoning(columns, total)
    details = [leaves[path] for path in CACHE_WRITE_DETAILS if path in leaves]
    for detail in details:
        columns["cache_write_tokens"] = columns["cache_write_tokens"].or_else(detail)
    return {name: counts.array() for name, counts in columns.items()}


def add_reasoning(columns: dict[str, Counts], total: Counts) -> Counts:
    """Return the output, with reasoning added where the total shows that it was left out."""
    n_in, n_out, n_reasoning = (columns[f"{name}_tokens"] for name in ("input", "output", "reasoning"))
    is_left_out = total.known & n_in.known & n_out.known & n_reasoning.known & (n_reasoning.values > 0)
    is_left_out &= total.values == n_in.values + n_out.values + n_reasoning.values
    return Counts(n_out.values + np.where(is_left_out, n_reasoning.values, 0), n_out.known)


def _leaves(blocks: Blocks, above: Path = ()) -> Iterator[tuple[Path, Counts]]:
    """Paths and values of all counts."""
    keys = tuple(blocks[0])
    if above and any(tuple(block) != keys for block in blocks):
        raise NotCommonError
    for key in keys:
        values = [block[key] for block in blocks]
        kinds = set(map(type, values))
        if kinds == {dict}:
            yield from _leaves(values, (*above, key))
        elif kinds <= {int, type(None)}:
            yield (*above, key), Counts.of(values)
        elif dict in kinds or int in kinds or is_count_key(key):
            raise NotCommonError
        # else no count: the name of a tier, a cost


def _sums(leaves: dict[Path, Counts], n: int, is_anthropic: bool) -> dict[str, Counts]:
    """Add the counts up to columns, for each pattern of what is null apart."""
    names = ("input_tokens", "output_tokens", "reasoning_tokens", "cache_read_tokens", "cache_write_tokens")
    columns = {name: Counts.unknown(n) for name in names}
    if all(counts.known.all() for counts in leaves.values()):
        patterns = [(tuple(leaves), np.ones(n, dtype=bool))]
    else:
        known = np.column_stack([counts.known for counts in leaves.values()])
        distinct, codes = np.unique(known, axis=0, return_inverse=True)
        patterns = [
            (tuple(path for path, is_known in zip(leaves, row, strict=True) if is_known), codes.ravel() == code)
            for code, row in enumerate(distinct)
        ]
    for paths, rows in patterns:
        try:
            sums = sums_of_paths(paths, is_anthropic)
        except UsageError:
            raise NotCommonError from None
        for name, parts in sums:
            if parts is not None:
                columns[name].known[rows] = True
                for path in parts:
                    columns[name].values[rows] += leaves[path].values[rows]
    return columns
