"""A sample of queries, drawn alike wherever their rows lie."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

__all__ = ["is_drawn"]

KEY = "foretell: a draw"
"""Sixteen characters: another hash than the one by which rows are bundled."""


def is_drawn(query_id: pd.Series, share: float) -> NDArray[np.bool_]:
    """Whether the query of each row is among the drawn ones, shape (n_rows,).

    A query is drawn by its hash: with all its rows, in every part of a table, and every night again. Splits are drawn
    by another hash (`predictors.splits`), so a sample keeps their shares.

    Examples
    --------
    >>> is_drawn(pd.Series(["a", "b", "a", "c"]), 0.5).tolist()
    [False, True, False, False]
    """
    if share >= 1:
        return np.ones(len(query_id), dtype=np.bool_)
    hashes = pd.util.hash_pandas_object(query_id, index=False, hash_key=KEY, categorize=False)
    drawn: NDArray[np.bool_] = hashes.to_numpy() < np.uint64(share * 2**64)
    return drawn
