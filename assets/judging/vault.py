"""The vault: a sample of test queries that no decision and no nightly report ever reads.

Numbers that are looked at every night wear out: people tune on what they see. A fifth of the test
queries of the lake is therefore sealed, by a hash of its own, as soon as it holds `MIN_QUERIES`. It is
opened for reporting only, and each opening is logged in the registry.
"""

import pandas as pd

from foretell.predictors.splits import assign_split

SHARES = {"open": 0.8, "sealed": 0.2}
MIN_QUERIES = 400
OPENINGS_PER_YEAR = 4


def usable(examples: pd.DataFrame) -> pd.Series:
    """True where a row may decide something, shape (n_runs,): not of a group that was mostly cut off, nor sealed."""
    return ~examples["is_capped"] & ~sealed(examples)


def sealed(examples: pd.DataFrame) -> pd.Series:
    """True where a row lies in the vault, shape (n_runs,), by its `query_id` and `split`.

    False everywhere while the vault would hold fewer than `MIN_QUERIES` queries: too few to report anything, and needed
    elsewhere.
    """
    is_test = examples["split"] == "test"
    place = assign_split(examples.loc[is_test, "query_id"], fractions=SHARES, salt="foretell-vault")
    inside = (place == "sealed").reindex(examples.index, fill_value=False)
    if examples.loc[inside, "query_id"].nunique() < MIN_QUERIES:
        return pd.Series(False, index=examples.index)
    return inside
