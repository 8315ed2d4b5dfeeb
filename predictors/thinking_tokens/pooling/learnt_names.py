"""Names that what is learnt has effects, curves and offsets for: the most frequent; all others are one name."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import pandas as pd

from ...arrays import most_frequent, names_of
from .hierarchy import CATEGORIES

MOST_NAMES = 1_000
"""Of each of `CATEGORIES`: memory and time of a fit grow with their number."""
OTHERS = "\x1eothers"
"""In place of the others; begins with a separator of records, which no name holds."""
AS_CAME = "\x1eas came "
"""Begin of the names of columns that keep what `LearntNames.applied` has replaced."""


@dataclass(frozen=True)
class LearntNames:
    """By column with more than `MOST_NAMES` names: those of most rows (ties by name), which go by themselves."""

    kept: Mapping[str, frozenset[str]]

    @classmethod
    def of(cls, X: pd.DataFrame) -> Self:
        """Those of the runs `X`."""
        most = {name: most_frequent(names_of(X, name), MOST_NAMES) for name in CATEGORIES}
        return cls({name: frozenset(kept) for name, kept in most.items() if len(kept) == MOST_NAMES})

    def applied(self, X: pd.DataFrame) -> pd.DataFrame:
        """`X` by these names; `as_came` finds the former ones again. Null is a name of its own."""
        for name in self.kept.keys() & set(X):
            if AS_CAME + name not in X:
                stays = X[name].isna() | X[name].isin(self.kept[name])
                X = X.assign(**{name: X[name].where(stays, OTHERS), AS_CAME + name: X[name]})
        return X


def as_came(X: pd.DataFrame) -> pd.DataFrame:
    """`X` by the names that came before `LearntNames.applied`."""
    kept = [name for name in CATEGORIES if AS_CAME + name in X]
    return X.assign(**{name: X[AS_CAME + name] for name in kept}) if kept else X
