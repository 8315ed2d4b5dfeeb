"""Forecast what a language model will cost and how well it will score, next to the noise floor.

A notebook needs six functions: `quote` a batch before it is sent, `load` a predictor and ask it, `read_traces` of
requests that were sent, estimate the noise `floor` of repeated runs, `extrapolate` a training curve, and `evaluate` a
family of predictors on a data set. Everything is imported when it is first used.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from foretell.api import evaluate, extrapolate, floor, load, quote, read_traces

    __version__: str

__all__ = ["__version__", "evaluate", "extrapolate", "floor", "load", "quote", "read_traces"]


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version

        return version("foretell")
    if name in __all__:
        from foretell import api

        return getattr(api, name)
    raise AttributeError(f"module 'foretell' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
