"""What a column map may say."""

import math
from functools import cache
from importlib.resources import files

import yaml
from pydantic import BaseModel, ConfigDict, Field

from foretell.assets.readers.core.records import RAW_SCHEMA
from foretell.assets.readers.spellings import spelt
from foretell.predictors.errors import InvalidInputError

_MORE = {"messages", "ended_at", "first_token_at"}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Failed(_Strict):
    """A row is a failed call if `column` holds a text, or a number that is at least or at most a limit."""

    column: str
    at_least: float = math.inf
    at_most: float = -math.inf


class RelativeTime(_Strict):
    """Times that count from the start of a trace: the column, and how many seconds its unit has."""

    column: str
    seconds: float


class Preset(_Strict):
    """A column map.

    Attributes
    ----------
    detect, detect_any : lists
        Columns that a table of this kind has (all of them; all of one of several lists).
    where : dict
        Value that a column must have for a row to be a request; other rows are passed over.
    failed : Failed or None
        Which rows are calls that failed.
    columns : dict
        Canonical column -> column, path into JSON (``metadata.item_id``), several of them (the first
        that is there), or a template (``{prompt_id}/{run}``). Besides the canonical columns: ``messages``,
        ``ended_at`` and ``first_token_at``.
    estimates : list
        Token columns that the source has estimated: fractions are rounded, and an estimate that exceeds the output
        of which it is a part is unknown.
    scale : dict
        Canonical column -> factor to its unit.
    constants : dict
        Canonical column -> value of every row.
    usage, usage_parts : str or None
        Column with a provider's usage block, or with named parts of the usage.
    relative_time : RelativeTime or None
        Times that count from the start of a trace.
    """

    detect: list[str] = Field(default_factory=list)
    detect_any: list[list[str]] = Field(default_factory=list)
    where: dict[str, str] = Field(default_factory=dict)
    failed: Failed | None = None
    columns: dict[str, str | list[str]]
    estimates: list[str] = Field(default_factory=list)
    scale: dict[str, float] = Field(default_factory=dict)
    constants: dict[str, str] = Field(default_factory=dict)
    usage: str | None = None
    usage_parts: str | None = None
    relative_time: RelativeTime | None = None

    def fits(self, names: set[str]) -> bool:
        """True if a table with these columns is of this kind."""
        wanted, known = [self.detect] if self.detect else self.detect_any, spelt(names)
        return any(known.keys() >= set(group) for group in wanted)

    def as_spelt(self, names: set[str]) -> "Preset":
        """The same for a table with these columns, by their own spelling: ``Prompt Tokens`` for ``prompt_tokens``."""
        known = spelt(names)
        columns = {
            ours: known.get(theirs, theirs) if isinstance(theirs, str) else [known.get(name, name) for name in theirs]
            for ours, theirs in self.columns.items()
        }
        return self.model_copy(update={"columns": columns})


@cache
def load_presets() -> dict[str, Preset]:
    """Load all presets by name, ``canonical`` last because it asks for least."""
    folder = files("foretell.assets.readers.presets")
    names = [item.name.removesuffix(".yaml") for item in folder.iterdir() if item.name.endswith(".yaml")]
    names.sort(key=lambda name: (name == "canonical", name))
    texts = {name: folder.joinpath(f"{name}.yaml").read_text("utf-8") for name in names}
    return {name: Preset.model_validate(yaml.safe_load(text)) for name, text in texts.items()}


def preset_of(columns: dict[str, str]) -> Preset:
    """Return the preset of a caller's own column map.

    Raises `InvalidInputError` if it names a canonical column that does not exist, or none for the output.
    """
    known = {*RAW_SCHEMA.names, *_MORE}
    unknown = sorted(set(columns) - known)
    if unknown:
        raise InvalidInputError(f"`columns` names {unknown}, which are no canonical columns; known are {sorted(known)}")
    if "output_tokens" not in columns:
        raise InvalidInputError("`columns` must name the column of output_tokens")
    return Preset(columns=dict(columns))
