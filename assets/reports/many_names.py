"""Reports of more models or benchmarks than anyone reads: which are told one by one, which are compared."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from foretell.predictors.metrics.segments import MOST_SEGMENTS, Pooled, places_by_segment, told_of

MOST_COMPARED = 50
"""Models of a benchmark that are set side by side; pairs of them are some thousand."""


def pooled(runs: pd.DataFrame, columns: Sequence[str], reasons: list[str]) -> pd.DataFrame:
    """`runs` whose `columns` hold the `MOST_SEGMENTS` groups with most runs, and one group of all others.

    As of an evaluation, ties by name. The others have a word for a name that no group here has; `reasons` is told.
    """
    names = tuple(columns)
    if not (told := told_of(runs, [names])):
        return runs
    others = places_by_segment(runs, (names,), told)[tuple((name, Pooled.OTHERS) for name in names)]
    word = "(others)"
    while any((runs[name] == word).any() for name in names):
        word = f"({word})"
    is_told = np.ones(len(runs), dtype=bool)
    is_told[others] = False
    n = len(runs.iloc[others][list(names)].drop_duplicates())
    reasons.append(
        f"Of {n + MOST_SEGMENTS:,} groups by {', '.join(names)} the {MOST_SEGMENTS} with most runs are told; the other "
        f"{n:,}, with {len(others):,} of {len(runs):,} runs, are {word}."
    )
    return runs.assign(**{name: runs[name].astype("str").where(is_told, word) for name in names})


def compared(runs: pd.DataFrame, reasons: list[str]) -> pd.DataFrame:
    """Runs of the `MOST_COMPARED` models with most runs of each of the `MOST_SEGMENTS` benchmarks with most runs.

    Ties by name; `reasons` is told what is left out. Of fewer all are kept.
    """
    pair = ["benchmark", "model"]
    counts = runs.groupby(pair, observed=True).size().rename("n").reset_index()
    place = counts.sort_values("n", ascending=False, kind="stable").groupby("benchmark").cumcount()
    kept = counts[place.sort_index() < MOST_COMPARED]
    if (told := told_of(runs, ["benchmark"])) != {}:
        kept = kept[kept["benchmark"].isin(told["benchmark",]["benchmark"])]
    if len(kept) == len(counts):
        return runs
    reasons.append(
        f"Compared are the {MOST_COMPARED} models with most runs of each of the {MOST_SEGMENTS} benchmarks with most "
        f"runs: {len(counts) - len(kept):,} of {len(counts):,} pairs of benchmark and model are left out."
    )
    return runs[pd.MultiIndex.from_frame(runs[pair]).isin(pd.MultiIndex.from_frame(kept[pair]))]


def listed(names: Sequence[str] | pd.Index) -> str:
    """Names, of many the first twenty."""
    more = f" and {len(names) - 20:,} more" if len(names) > 20 else ""
    return ", ".join(map(str, names[:20])) + more
