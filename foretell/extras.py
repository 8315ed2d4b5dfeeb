"""What a command or function says when a package is missing that an extra of the installation brings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec

from foretell.predictors.errors import ForecastError

__all__ = ["EXTRAS", "MissingExtraError", "install_command", "missing_extras", "names_missing_extras"]

EXTRAS: Mapping[str, str] = {
    "dagster": "platform",
    "great_expectations": "platform",
    "mlflow": "platform",
    "opentelemetry": "platform",
    "sqlalchemy": "platform",
    "matplotlib": "plots",
    "torch": "train",
    "tensorboard": "tensorboard",
    "fastapi": "serve",
    "uvicorn": "serve",
    "dask": "dask",
    "distributed": "dask",
    "fsspec": "dask",
}
"""Package that is imported -> extra of pyproject.toml that installs it."""


class MissingExtraError(ForecastError, ImportError):
    """A package is not installed that is no part of the core."""


def install_command(extra: str) -> str:
    """What to type to install an extra."""
    return f"pip install 'foretell[{extra}]'"


def missing_extras() -> list[str]:
    """Extras of which a package is not installed."""
    return sorted({extra for package, extra in EXTRAS.items() if find_spec(package) is None})


@contextmanager
def names_missing_extras() -> Iterator[None]:
    """Turn the failed import of an optional package into one line with the command that installs it.

    Raises
    ------
    MissingExtraError
        In place of the `ModuleNotFoundError` of a package in `EXTRAS`; others pass.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in EXTRAS:
            raise
        command = install_command(EXTRAS[package])
        raise MissingExtraError(f"this needs {package}, which is not installed: {command}") from error
