"""Requests to more models than can be looked up one by one: names that one price list entry prices, found at once."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from ...arrays import Codes, Mask
from ...model_names import CLOUD_PREFIX
from .rates import PROVIDERS, PriceFile, find_model

FEW = 500
"""Cases that are looked up one by one: that is quicker."""
COMPACT_DATE = r"-20\d{6}"
"""`genai-prices` reads such a date in a second way, if the first finds nothing."""


def priced_alike(cases: pd.DataFrame, own: PriceFile | None) -> pd.DataFrame:
    """Cases (`model`, `provider`, `service_tier`, text without nulls) in which names that cost the same are one name.

    What `rates.published_rates` would find for each is found for all at once; names that the user has prices of stay.
    """
    codes = cases.groupby(list(cases), sort=False).ngroup().to_numpy()
    distinct = cases[~pd.Series(codes).duplicated().to_numpy()]
    if len(distinct) <= FEW:
        return cases
    entry = pd.Series(-1, index=distinct.index)
    models, sellers = distinct["model"], distinct["provider"]
    parts = models.str.partition("/")
    makers = parts[0].str.lower().where(parts[2] != "", "")
    unnamed = sellers == ""
    is_cloud = unnamed & models.str.lower().str.match(CLOUD_PREFIX.pattern)
    for asked, names, seller in (
        (models != "", models, sellers),
        (unnamed & (makers != ""), parts[2], makers.replace(PROVIDERS)),
        (is_cloud, models, pd.Series("aws", index=models.index)),
    ):
        rest = asked & (entry < 0)
        entry[rest] = _entries(names[rest], seller[rest])
    stay = np.zeros(len(distinct), dtype=bool)
    if own is not None:
        stay = models.str.lower().isin({priced.model.lower() for priced in own.models}).to_numpy()
    entry[stay] = -2 - np.arange(int(stay.sum()))
    first = distinct.groupby([entry, sellers, distinct["service_tier"]], sort=False)["model"].transform("first")
    return distinct.assign(model=first).iloc[codes].set_axis(cases.index)


def _entries(names: pd.Series, sellers: pd.Series) -> Codes:
    """A number for what `rates.find_model` finds for each name and seller, -1 where that is nothing; (n_names,)."""
    from genai_prices.data_snapshot import get_snapshot

    providers, lower = get_snapshot().providers, names.astype("str").str.lower()
    codes, distinct = pd.factorize(sellers.astype("str").str.lower().str.strip())
    by_id = pd.Index([each.id for each in providers]).get_indexer(distinct)
    by_match = _first_match([each.provider_match for each in providers], pd.Series(distinct, dtype="str"))
    provider, is_unnamed = np.where(by_id < 0, by_match, by_id)[codes], (sellers == "").to_numpy()
    provider[is_unnamed] = _first_match([each.model_match for each in providers], lower[is_unnamed])
    entry = np.full(len(names), -1, dtype=np.intp)
    for place in np.unique(provider[provider >= 0]):
        here, ids = provider == place, [each.id for each in providers]
        for at in (int(place), *map(ids.index, providers[place].fallback_model_providers or ())):
            rest = np.flatnonzero(here & (entry < 0))
            found = _first_match([model.match for model in providers[at].models], lower.iloc[rest])
            entry[rest] = np.where(found < 0, -1, 10_000 * at + found)
    alone = (entry < 0) & lower.str.contains(COMPACT_DATE).to_numpy() | (distinct == "litellm")[codes]
    for row in np.flatnonzero(alone):
        model = find_model(names.iloc[row], sellers.iloc[row] or None)
        entry[row] = -1 if model is None else 10_000 * len(providers) + id(model)
    return entry


def _first_match(clauses: Sequence[Any], names: pd.Series) -> Codes:
    """The first of the clauses that each name meets, -1 where it meets none; shape (n_names,)."""
    place = np.full(len(names), -1, dtype=np.intp)
    for at, clause in enumerate(clauses):
        if clause is not None and len(names):
            place[(place < 0) & _meets(clause, names)] = at
    return place


def _meets(clause: Any, names: pd.Series) -> Mask:
    """Which of the names (lower case) a clause of `genai-prices` matches."""
    match vars(clause):
        case {"or_": clauses}:
            # Most of a clause are names as they are.
            equal = {each.equals.lower() for each in clauses if hasattr(each, "equals")}
            rest = [_meets(each, names) for each in clauses if not hasattr(each, "equals")]
            return np.asarray(np.logical_or.reduce([names.isin(equal).to_numpy(), *rest]))
        case {"and_": clauses}:
            return np.asarray(np.logical_and.reduce([_meets(each, names) for each in clauses]))
        case {"equals": text}:
            found = names == text.lower()
        case {"starts_with": text}:
            found = names.str.startswith(text.lower())
        case {"ends_with": text}:
            found = names.str.endswith(text.lower())
        case {"contains": text}:
            found = names.str.contains(text.lower(), regex=False)
        case {"regex": text}:
            found = names.map(re.compile(text).search).notna()
        case _:
            found = names.map(clause.is_match)
    return np.asarray(found, dtype=bool)
