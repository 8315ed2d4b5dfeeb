"""The public figures that the package carries: how long models answered elsewhere."""

from collections.abc import Collection
from functools import lru_cache
from importlib.resources import as_file, files

import pandas as pd

from ...errors import DatasetError

MEASURED = "measured"
"""Tier of counts that a provider reported; ``estimated`` ones were counted in the text and are on another scale."""


def public_runs(tiers: Collection[str] = (MEASURED,)) -> pd.DataFrame:
    """Runs of public sets, one row each; estimated counts are never among measured ones unless `tiers` asks for them.

    Columns are `cells.CELL` (text; an effort that was not set is empty), `item`, `replicate`, `tier`, `output_tokens`,
    `is_censored`, `input_tokens`, `reasoning_tokens`, `n_calls`, `prompt_chars`, `cost_usd`, `score`, `started_at`.

    Raises DatasetError if the file is not there.
    """
    runs = _read()
    return runs[runs["tier"].isin(set(tiers))].reset_index(drop=True)


@lru_cache(maxsize=1)
def _read() -> pd.DataFrame:
    resource = files("foretell") / "public" / "token_traces.parquet"
    try:
        with as_file(resource) as path:
            runs = pd.read_parquet(path)
    except FileNotFoundError as error:
        raise DatasetError(f"{resource}: the public figures are missing; is the installation complete?") from error
    return runs.assign(reasoning_effort=runs["reasoning_effort"].replace("default", ""))
