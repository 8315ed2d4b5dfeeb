"""Local and Dask agree on every table of the starter data and of the mirror, and on the evaluation."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from pathlib import Path

import pandas as pd
import pytest

pytest.importorskip("distributed")

from foretell.assets.engine import Engine, Table, open_engine
from foretell.assets.engine.on_dask import DaskEngine
from foretell.assets.families.thinking_tokens.examples import examples_from_traces, token_examples
from foretell.assets.families.thinking_tokens.family import FAMILY
from foretell.assets.judging import parts
from foretell.assets.judging.floors import floor_table
from foretell.assets.judging.pipeline import fit_family
from foretell.assets.judging.splits import evaluate_family
from foretell.assets.lake.datasets import load_traces
from foretell.assets.lake.landing.deliveries import ingest
from foretell.assets.lake.tables.contracts import TABLES
from foretell.assets.lake.tables.curation import QUARANTINED, curate_table
from foretell.assets.lake.traces.across_days import repeated_requests, rules_across_days
from foretell.assets.lake.traces.bulk_curation import curate_landed_days
from foretell.predictors.thinking_tokens.prices.cost import price_requests

pytestmark = pytest.mark.slow


def test_examples_and_floors_are_the_same(cluster: DaskEngine, traces: pd.DataFrame, parts: Table) -> None:
    expected = examples_from_traces(traces)
    examples = token_examples(parts, engine=cluster)
    pd.testing.assert_frame_equal(examples, expected)
    floors = floor_table(FAMILY, examples, dataset="any", engine=cluster)
    of_whole = floor_table(FAMILY, expected, dataset="any", engine=Engine())
    pd.testing.assert_frame_equal(floors, of_whole, rtol=1e-12)


def test_rules_across_days_are_the_same(cluster: DaskEngine, traces: pd.DataFrame, parts: Table) -> None:
    again = traces.head(50).assign(started_at=pd.Timestamp("2027-01-01", tz="UTC").as_unit("us"))
    table = Table((*parts.parts, again))
    here, there = rules_across_days(table, Engine()), rules_across_days(table, cluster)
    assert len(here.repeated) == 50
    pd.testing.assert_frame_equal(here.repeated, there.repeated, check_dtype=False)
    pd.testing.assert_frame_equal(here.replicates, there.replicates, check_dtype=False)
    pd.testing.assert_frame_equal(repeated_requests(table, here.repeated), repeated_requests(table, there.repeated))


def test_days_curated_on_the_cluster_are_those_of_this_process(
    cluster: DaskEngine, starter_traces: Path, tmp_path: Path
) -> None:
    ingest([starter_traces], tmp_path / "landing", source="starter")
    raw = next((tmp_path / "landing").glob("*/*/rows-*.parquet"))
    accounts = {}
    for name in ("dask", "local"):
        with open_engine(name):
            days = [raw.stem.removeprefix("rows-")]
            accounts[name] = curate_landed_days(days, tmp_path / "landing", tmp_path / name, None)
    assert accounts["dask"] == accounts["local"]
    assert accounts["dask"][0].failed == []
    for table in ("raw_traces", "request_traces", "quarantined_traces"):
        found, expected = (Table.under(tmp_path / name / table).collect() for name in accounts)
        pd.testing.assert_frame_equal(found, expected)


def test_canonical_tables_made_on_the_cluster_are_those_of_this_process(cluster: DaskEngine, tmp_path: Path) -> None:
    header, files = "family,model,benchmark,train_flops,score,date", []
    for number in range(6):
        file = tmp_path / f"{number}.csv"
        rows = [f"a,m{k},b,1e20,{30 + k},2026-11-0{1 + (number + k) % 4}" for k in range(5)]
        rows += [f"a,m0,b,1e20,{40 + number},2026-11-01", "a,m9,b,1e20,many,2026-11-01"]
        file.write_text("\n".join([header, *rows]) + "\n", "utf-8")
        files.append(file)
    found = {}
    for name in ("dask", "local"):
        with open_engine(name):
            ingest(files, tmp_path / name / "landing")
            made = curate_table(TABLES["ladder_measurements"], tmp_path / name / "landing", tmp_path / name / "lake")
        assert made.adds_up
        assert min(made.count(kind) for kind in ("accepted", "quarantined", "duplicates")) > 0
        refused = Table.under(tmp_path / name / "lake" / QUARANTINED).collect()
        found[name] = made, TABLES["ladder_measurements"].read(tmp_path / name / "lake"), refused
    assert found["dask"][0] == found["local"][0]
    for here, there in zip(found["local"][1:], found["dask"][1:], strict=True):
        pd.testing.assert_frame_equal(here, there)


def test_evaluation_agrees(cluster: DaskEngine, starter_traces: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "CELLS_IN_PARTS", 1)
    price = partial(price_requests, price_file=None)
    traces = load_traces(
        "starter", starter=starter_traces, cache=starter_traces.parent, mirror=None, price=price
    ).traces
    examples = examples_from_traces(traces)
    small = partial(FAMILY.predictor, n_estimators=20, n_components=20, refit=False)
    chosen = replace(FAMILY, predictor=small, segments=())
    tables = {}
    for name in ("dask", "local"):
        with open_engine(name):
            fitted = fit_family(chosen, examples)
            tables[name] = evaluate_family(chosen, fitted, examples, dataset="any", leave_out_vault=False)
    pd.testing.assert_frame_equal(tables["dask"], tables["local"], rtol=1e-9)


def test_servers_of_the_cluster_listen_on_loopback_only(cluster: DaskEngine) -> None:
    cluster.map(abs, [1])
    pids = {str(pid) for pid in cluster.client.run(os.getpid).values()}
    for pid in pids:
        inodes = {link.readlink().name for link in Path(f"/proc/{pid}/fd").iterdir()}
        for line in Path("/proc/net/tcp").read_text("utf-8").splitlines()[1:]:
            columns = line.split()
            if columns[3] == "0A" and f"socket:[{columns[9]}]" in inodes:
                assert columns[1].startswith("0100007F:"), "a worker listens beyond loopback"
