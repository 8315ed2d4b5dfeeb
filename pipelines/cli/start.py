"""How a command starts sooner: without modules that others import and nothing asks, or searches for cycles."""

import gc
import os
import sys
from importlib.machinery import PathFinder
from importlib.util import LazyLoader
from typing import Any

UNASKED = {"numpy.f2py", "httpx2"}
"""Scipy looks at all that numpy has, `genai-prices` could fetch prices: loaded once one of their names is read."""
USUAL, FIRST = gc.get_threshold(), 1_000_000
"""Objects between searches for cycles as Python has them, and before the first, which most commands never reach."""


class _LateFinder(PathFinder):
    @classmethod
    def find_spec(cls, fullname: str, path: Any = None, target: Any = None) -> Any:
        spec = super().find_spec(fullname, path, target) if fullname in UNASKED else None
        if spec is not None and spec.loader is not None:
            spec.loader = LazyLoader(spec.loader)
        return spec


def _search_as_usual(phase: str, info: dict[str, int]) -> None:
    gc.set_threshold(*USUAL)
    gc.callbacks.remove(_search_as_usual)


def start_lightly() -> None:
    """Prepare this process to import what a command needs, before any of it is imported."""
    sys.meta_path.insert(0, _LateFinder)
    gc.callbacks.append(_search_as_usual)
    gc.set_threshold(FIRST)
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # it would search all packages for them
