"""Read what repeats once: a function's results by their text, as many as fit a bound of memory."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

__all__ = ["Memo"]

MAX_BYTES = 64 << 20
T = TypeVar("T")


class Memo(Generic[T]):
    """Remembers results of `read`; forgets all of them when their keys take more than `MAX_BYTES`."""

    def __init__(self, read: Callable[[Any], T]) -> None:
        self._read = read
        self._known: dict[Hashable, T] = {}
        self._n_bytes = 0

    def get(self, key: Hashable, n_bytes: int, argument: Any) -> T:
        """Return ``read(argument)``; equal keys must mean equal results."""
        try:
            return self._known[key]
        except KeyError:
            if self._n_bytes > MAX_BYTES:
                self._known, self._n_bytes = {}, 0
            result = self._known[key] = self._read(argument)
            self._n_bytes += n_bytes
            return result
