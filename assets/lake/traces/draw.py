"""Queries by their hash: bundles for `Engine.group`, and a sample that is the same wherever its rows lie."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

KEY = "foretell: a draw"
"""Sixteen characters: another hash than the one by which rows are bundled."""


def query_bundles(keys: pd.Series | pd.DataFrame) -> NDArray[np.uint64]:
    """What brings the rows of a query (of a key of several columns) together in `Engine.group`, shape (n_rows,)."""
    return np.asarray(pd.util.hash_pandas_object(keys, index=False, categorize=False), dtype=np.uint64)


def is_drawn(query_id: pd.Series, share: float) -> NDArray[np.bool_]:
    """Whether the query of each row is among the drawn ones, shape (n_rows,).

    A query is drawn by its hash: with all its rows, in every part of a table, and every night again. Splits are drawn
    by another hash (`foretell.predictors.splits`), so a sample keeps their shares.

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
