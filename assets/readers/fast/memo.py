"""Read what repeats once: a function's results by a key, as many as fit a bound of memory."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, Generic, TypeVar

MAX_BYTES = 64 << 20
ENTRY_BYTES = 1000
"""What an entry takes besides its key and a result of about the same size."""
T = TypeVar("T")


class Memo(Generic[T]):
    """Remembers results of `read`; forgets all of them when they take about `MAX_BYTES`.

    Equal keys must mean equal results; `size` is what a key takes.
    """

    def __init__(self, read: Callable[[Any], T], size: Callable[[Any], int] = len) -> None:
        self._read = read
        self._size = size
        self._known: dict[Hashable, T] = {}
        self._n_bytes = 0

    def all(self, keys: Sequence[Hashable], arguments: Iterable[Any]) -> list[T]:
        """Return ``read(argument)`` of each argument."""
        known = self._known
        results = [known.get(key) for key in keys]
        if None not in results:
            return results  # type: ignore[return-value]
        return [self._one(key, argument) for key, argument in zip(keys, arguments, strict=True)]

    def _one(self, key: Hashable, argument: Any) -> T:
        try:
            return self._known[key]
        except KeyError:
            result = self._read(argument)
            if self._n_bytes > MAX_BYTES:
                self._known, self._n_bytes = {}, 0
            self._known[key] = result
            self._n_bytes += 2 * self._size(key) + ENTRY_BYTES
            return result
