"""The exceptions that Foretell raises on purpose.

A message says what was wrong, the value that was seen and what to do about it.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class ForecastError(Exception):
    """Base of every error of this project; the command line prints it and exits with 2."""


class InvalidInputError(ForecastError, ValueError):
    """An argument, a table or a file does not have the form that was asked for."""


class NotFittedError(ForecastError, ValueError, AttributeError):
    """A forecast was asked of a predictor before `fit`."""


class DatasetError(ForecastError, OSError):
    """A data file is missing, incomplete or not the one its checksum names."""


class OtherCodeError(DatasetError):
    """A saved predictor that is whole, and that another version of the code wrote: this one cannot read it."""


class InsufficientReplicatesError(ForecastError, ValueError):
    """A quantity needs repeated runs that the data does not hold."""


def unknown_name(kind: str, name: str, names: Iterable[str]) -> InvalidInputError:
    """The error to raise for a name that is none of `names`: it lists them, the likely one first.

    >>> str(unknown_name("report", "fronteir", ["frontier", "routing"]))
    "unknown report 'fronteir': did you mean 'frontier'? There is frontier, routing"
    """
    listed = list(names)
    likely = get_close_matches(name, listed, n=1)
    hint = f": did you mean {likely[0]!r}? There is" if likely else "; there is"
    return InvalidInputError(f"unknown {kind} {name[:80]!r}{hint} {', '.join(listed)}")
