"""Which settings of a request are kept: those on a list, as numbers and words; the rest only tells requests apart.

What a request may carry is without end (documents, tools, headers with keys), so what is kept is named here, and not
what is left out.
"""

import hashlib
from typing import Any

from foretell.assets.readers.core.normalise import canonical_json
from foretell.assets.readers.core.secrets import is_secret_name, is_word
from foretell.assets.readers.core.stream import loads
from foretell.assets.readers.spellings import spellings

OTHERS = "others"
"""The key under which everything that is not on the list stands, as one hash."""
MAX_ITEMS = 16

_KEPT = {*spellings("settings")["kept"], OTHERS}
_CHOICES = {*spellings("settings")["choices"], OTHERS}


def settings_json(settings: dict[str, Any]) -> str | None:
    """Return canonical JSON of the settings that are kept, None without any.

    Numbers, truth values and the words of a choice stand as they are, also in small lists and objects. All else stands
    as a hash, and so does, together, what is not on the list: requests that differ in it are not asked alike. Nothing
    is kept of what stands under the name of a secret, not even a hash.

    Examples
    --------
    >>> settings_json({"top_k": 40, "tools": [{"name": "search", "description": "of the house"}], "api_key": "k"})
    '{"tools":"sha256:71cf628ef87ed708","top_k":40}'
    """
    kept: dict[str, Any] = {}
    others: dict[str, Any] = {}
    for key, value in settings.items():
        if value is None or is_secret_name(str(key)):
            continue
        if key in _KEPT:
            kept[key] = value if _is_plain(key, value) else _hash(value)
        else:
            others[str(key)] = value
    if others:
        kept[OTHERS] = _hash(others)
    return canonical_json(kept).decode("utf-8", "replace") if kept else None


def settings_of_text(text: Any) -> str | None:
    """`settings_json` of settings that a table holds as JSON; None for what is no JSON object."""
    try:
        settings = loads(text.encode("utf-8", "replace")) if isinstance(text, str) else text
    except ValueError:
        return None
    return settings_json(settings) if isinstance(settings, dict) else None


def _is_plain(key: str, value: Any, depth: int = 0) -> bool:
    """True for what a setting says without content: numbers, truth values, choices, small lists and objects of them."""
    if isinstance(value, str):
        is_hash = value.startswith("sha256:") and is_word(value)  # of a table that we wrote
        return is_hash or (key in _CHOICES and is_word(value))
    if not isinstance(value, list | dict):
        return True
    if depth > 1 or len(value) > MAX_ITEMS:
        return False
    if isinstance(value, dict):
        return all(is_word(k) and not is_secret_name(k) and _is_plain(k, v, depth + 1) for k, v in value.items())
    return all(_is_plain(key, item, depth + 1) for item in value)


def _hash(value: Any) -> str:
    return "sha256:" + hashlib.sha256(canonical_json(value)).hexdigest()[:16]
