"""The exceptions that Foretell raises on purpose.

A message says what was wrong, the value that was seen and what to do about it.
"""

from __future__ import annotations

__all__ = ["DatasetError", "ForecastError", "InsufficientReplicatesError", "InvalidInputError", "NotFittedError"]


class ForecastError(Exception):
    """Base of every error of this project; the command line prints it and exits with 2."""


class InvalidInputError(ForecastError, ValueError):
    """An argument, a table or a file does not have the form that was asked for."""


class NotFittedError(ForecastError, ValueError, AttributeError):
    """A forecast was asked of a predictor before `fit`."""


class DatasetError(ForecastError, OSError):
    """A data file is missing, incomplete or not the one its checksum names."""


class InsufficientReplicatesError(ForecastError, ValueError):
    """A quantity needs repeated runs that the data does not hold."""
