"""Texts of strangers in cells of a spreadsheet."""

from typing import Any

import pandas as pd

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")
"""A cell that begins so is computed when a spreadsheet opens the file, and can send away what other cells hold."""


def without_formulas(frame: pd.DataFrame) -> pd.DataFrame:
    """Put an apostrophe before every text that a spreadsheet would compute; numbers stay as they are.

    References
    ----------
    OWASP, CSV Injection.
    """
    texts = [str(name) for name, dtype in frame.dtypes.items() if _holds_texts(dtype)]
    return frame.assign(**{name: frame[name].map(_as_text, na_action="ignore") for name in texts})


def _holds_texts(dtype: Any) -> bool:
    return isinstance(dtype, pd.CategoricalDtype) or pd.api.types.is_string_dtype(dtype)


def _as_text(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA_STARTS) else value
