"""Load and check the entries of the catalogue."""

from datetime import date
from functools import cache
from importlib.resources import files
from typing import Annotated, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from foretell.predictors.errors import InvalidInputError


class CatalogFile(BaseModel):
    """One file: its place below the entry's `base_url`, its SHA-256 and its size."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    bytes: int = Field(ge=0)

    @model_validator(mode="after")
    def _stays_below(self) -> Self:
        if self.path.startswith("/") or ".." in self.path.split("/") or "\\" in self.path:
            raise ValueError(f"path {self.path!r} leaves the cache")
        return self


class CatalogEntry(BaseModel):
    """One public data set: `name` on the command line, what it is and where it lives, what its authors ask for.

    It fills the canonical table `table` through the reader of that name (None where a family of predictors reads it);
    `day` is that of publication, for records that tell no time. `base_url` is pinned to a commit or release, `good_for`
    and `known_faults` say what to use it for and what is wrong with it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    title: str
    homepage: str
    licence: str
    citation: str
    table: str
    reader: str | None = None
    day: date | None = None
    base_url: Annotated[str, StringConstraints(pattern=r"^https://.*/$")]
    good_for: list[str]
    known_faults: list[str]
    files: list[CatalogFile] = Field(min_length=1)

    @property
    def n_bytes(self) -> int:
        """Size of all files."""
        return sum(file.bytes for file in self.files)


def list_entries() -> list[str]:
    """List the names of all entries."""
    names = (item.name for item in files("foretell.assets.catalog").iterdir())
    return sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml"))


@cache
def load_entry(name: str) -> CatalogEntry:
    """Load one entry.

    Raises `InvalidInputError` if there is no such entry, or it is malformed.
    """
    if name not in list_entries():
        raise InvalidInputError(f"`name` must be one of {list_entries()}, got {name!r}")
    text = files("foretell.assets.catalog").joinpath(f"{name}.yaml").read_text("utf-8")
    try:
        return CatalogEntry.model_validate(yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
    except ValidationError as error:
        raise InvalidInputError(f"catalogue entry {name}: {error}") from None
