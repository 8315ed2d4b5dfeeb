"""What was known before a forecast was made, as the first line that people read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from foretell.pipelines.cli.console import counted

if TYPE_CHECKING:
    import pandas as pd

WORDS = {
    "neither": "neither model nor benchmark known",
    "benchmark": "benchmark known, model not",
    "model": "model known, benchmark not",
    "cell": "model and benchmark known",
}
"""What `BasePredictor.known_of` answers, in words, the least known first."""


def known_lines(known: pd.Series) -> list[str]:
    """How many rows each is true of, such as ``neither model nor benchmark known: 2 rows``; none where none is told."""
    counts = known.value_counts()
    parts = [f"{words}: {counted(int(counts[name]), 'row')}" for name, words in WORDS.items() if name in counts]
    return ["; ".join(parts)] if parts else []
