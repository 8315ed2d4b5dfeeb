"""Every report of the starter data and of the mirror is the same on a Dask cluster as in this process."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("distributed")

from assets.datasets import load_traces
from assets.engine import Table, open_engine
from assets.engine.on_dask import DaskEngine
from assets.reports import REPORTS
from assets.reports.trace_parts import draw_queries
from predictors.thinking_tokens.cost import price_requests

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def engine() -> Iterator[DaskEngine]:
    with open_engine("dask") as engine:
        assert isinstance(engine, DaskEngine)
        yield engine


@pytest.fixture(scope="module", params=["starter", pytest.param("pricing-reversal", marks=pytest.mark.mirror)])
def traces(request: pytest.FixtureRequest, starter_traces: Path, tmp_path_factory) -> pd.DataFrame:
    mirror = None if request.param == "starter" else str(request.getfixturevalue("mirror"))
    price = partial(price_requests, price_file=None)
    cache = tmp_path_factory.mktemp("cache")
    return load_traces(request.param, starter=starter_traces, cache=cache, mirror=mirror, price=price).traces


@pytest.fixture(scope="module")
def parts(traces: pd.DataFrame, tmp_path_factory) -> Table:
    """Four files of rows drawn at random: the runs of a query lie in different files."""
    folder = tmp_path_factory.mktemp("parts")
    places = np.random.default_rng(0).integers(0, 4, len(traces))
    for place, part in traces.groupby(places):
        part.to_parquet(folder / f"{place}.parquet", index=False)
    return Table.under(folder)


@pytest.fixture(scope="module")
def prices(traces: pd.DataFrame, tmp_path_factory) -> Path | None:
    """Made-up prices where no model has one, so that there are costs to compare."""
    if traces["cost_usd"].notna().any():
        return None
    lines = [
        f"  - {{model: {model}, input_usd_per_mtok: {1 + n}, output_usd_per_mtok: {10 - n}}}"
        for n, model in enumerate(sorted(set(traces["model"])))
    ]
    path = tmp_path_factory.mktemp("prices") / "prices.yaml"
    path.write_text("\n".join(["version: test", "models:", *lines]), "utf-8")
    return path


@pytest.mark.parametrize("name", sorted(REPORTS))
def test_report_is_that_of_this_process(
    engine: DaskEngine, traces: pd.DataFrame, parts: Table, prices: Path | None, name: str
) -> None:
    found, expected = REPORTS[name].make(parts, prices), REPORTS[name].make(traces, prices)
    assert len(expected.table) or expected.reasons
    pd.testing.assert_frame_equal(found.table, expected.table, rtol=1e-9)
    assert list(found.more) == list(expected.more)
    for title, table in expected.more.items():
        pd.testing.assert_frame_equal(found.more[title], table, rtol=1e-9)
    assert (found.findings, found.reasons) == (expected.findings, expected.reasons)


def test_queries_that_are_drawn_are_those_of_this_process(
    engine: DaskEngine, traces: pd.DataFrame, parts: Table
) -> None:
    found, expected = (draw_queries(table, ["model", "prompt_text"], max_rows=700) for table in (parts, traces))
    assert 0 < len(expected.rows) < len(traces)
    pd.testing.assert_frame_equal(found.rows, expected.rows)
    assert found.reasons() == expected.reasons()
