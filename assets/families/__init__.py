"""One folder per family: what it is (`family`), its examples, how it is judged, the Dagster assets of its own.

Which families there are, `foretell.predictors.families` says, in one line each. The half of a family that lies here
is imported when it is asked for, so that naming families costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from foretell.predictors.errors import unknown_name
from foretell.predictors.families import FAMILIES

if TYPE_CHECKING:
    from foretell.assets.judging.family import Family


def get_family(name: str) -> "Family":
    """The family of this name: `FAMILY` of the module `family` in its folder.

    Raises
    ------
    InvalidInputError
        If there is none.
    """
    if name not in FAMILIES:
        raise unknown_name("family", name, FAMILIES)
    family: Family = import_module(f"{__name__}.{name}.family").FAMILY
    return family


def all_families() -> "tuple[Family, ...]":
    """Every family, in the order of `foretell.predictors.families`."""
    return tuple(get_family(name) for name in FAMILIES)
