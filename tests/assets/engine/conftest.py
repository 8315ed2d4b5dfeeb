"""A Dask cluster on this machine, and every set of traces that tables are compared on."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from foretell.assets.engine import Table, open_engine
from foretell.assets.lake.datasets import TRACE_DATASETS, load_traces
from foretell.predictors.thinking_tokens.prices.cost import price_requests

if TYPE_CHECKING:
    from foretell.assets.engine.on_dask import DaskEngine


@pytest.fixture(scope="module")
def cluster() -> Iterator[DaskEngine]:
    """Two workers, for the tests of a module; they work on small tables too."""
    from foretell.assets.engine import on_dask

    with pytest.MonkeyPatch.context() as patch, open_engine("dask") as engine:
        patch.setattr(on_dask, "ROWS_WORTH_SENDING", 0)
        assert isinstance(engine, on_dask.DaskEngine)
        yield engine


@pytest.fixture(
    scope="module",
    params=[name if name == "starter" else pytest.param(name, marks=pytest.mark.mirror) for name in TRACE_DATASETS],
)
def traces(request: pytest.FixtureRequest, starter_traces: Path, tmp_path_factory) -> pd.DataFrame:
    """The curated traces of a set."""
    mirror = None if request.param == "starter" else str(request.getfixturevalue("mirror"))
    cache, price = tmp_path_factory.mktemp("cache"), partial(price_requests, price_file=None)
    return load_traces(request.param, starter=starter_traces, cache=cache, mirror=mirror, price=price).traces


@pytest.fixture(scope="module")
def parts(traces: pd.DataFrame, tmp_path_factory) -> Table:
    """Five files of rows drawn at random: the runs of a query lie in different files."""
    folder = tmp_path_factory.mktemp("parts")
    places = np.random.default_rng(0).integers(0, 5, len(traces))
    for place, part in traces.groupby(places):
        part.to_parquet(folder / f"{place}.parquet", index=False)
    return Table.under(folder)
