"""What others call the things that we have one word for, as YAML: a new spelling needs no Python."""

from functools import cache
from importlib.resources import files
from typing import Any

import yaml


@cache
def spellings(name: str) -> dict[str, Any]:
    """The mapping in ``<name>.yaml``; lists come as tuples."""
    text = files("foretell.assets.readers.spellings").joinpath(f"{name}.yaml").read_text("utf-8")
    loaded = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return {key: tuple(value) if isinstance(value, list) else value for key, value in loaded.items()}
