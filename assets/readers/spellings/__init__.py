"""What others call the things that we have one word for, as YAML: a new spelling needs no Python."""

import re
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

_NO_WORD = re.compile(r"[\W_]+")


def plain(name: str) -> str:
    """A column's name without case, spaces and signs: ``prompt_tokens`` for ``Prompt Tokens``."""
    return _NO_WORD.sub("_", name.strip().lower()).strip("_")


def spelt(names: Iterable[str]) -> dict[str, str]:
    """The names of a table by `plain` name and, where they say another thing, by themselves."""
    listed = list(names)
    return {**{plain(name): name for name in reversed(listed)}, **{name: name for name in listed}}


@cache
def spellings(name: str) -> dict[str, Any]:
    """The mapping in ``<name>.yaml``; lists come as tuples."""
    text = files("foretell.assets.readers.spellings").joinpath(f"{name}.yaml").read_text("utf-8")
    loaded = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return {key: tuple(value) if isinstance(value, list) else value for key, value in loaded.items()}
