"""One way to split: by a hash of what must stay together, never by row and never at random again.

A query keeps its place for ever, whichever night it arrives and however many replicates it has, so
a model can not be judged on a query that an earlier fit has seen.
"""

import hashlib
from collections.abc import Mapping

import numpy as np
import pandas as pd

from .errors import InvalidInputError

SPLITS: Mapping[str, float] = {"train": 0.6, "calibration": 0.2, "test": 0.2}


def assign_split(groups: pd.Series, *, fractions: Mapping[str, float] = SPLITS, salt: str = "foretell") -> pd.Series:
    """Name the split of every row from a hash of its group.

    `groups` are what must not straddle a split: the query, the leak group, the curve's data set. `fractions` are shares
    of the groups, summing to 1; another `salt` gives another, independent split. Refuses null groups and fractions that
    do not sum to 1.
    """
    if groups.isna().any():
        raise InvalidInputError(f"`groups` must not be null, got {int(groups.isna().sum())} null values")
    shares = np.array(list(fractions.values()), dtype=np.float64)
    if np.any(shares < 0) or not np.isclose(shares.sum(), 1):
        raise InvalidInputError(f"`fractions` must be shares that sum to 1, got {dict(fractions)}")
    codes, uniques = pd.factorize(groups.astype(str))
    hashes = [int.from_bytes(hashlib.sha256(f"{salt}:{u}".encode()).digest()[:8], "big") for u in uniques]
    position = np.array(hashes, dtype=np.float64) / 2**64
    names = np.array(list(fractions), dtype=object)
    place = np.minimum(np.searchsorted(np.cumsum(shares), position, side="right"), len(names) - 1)
    return pd.Series(names[place[codes]], index=groups.index, name="split", dtype="str")
