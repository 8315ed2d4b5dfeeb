"""Local and Dask agree on every table of the starter data and of the mirror, and on the evaluation."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("distributed")

from foretell.assets.engine import Engine, Table, on_dask, open_engine
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


def numbers(seed: int) -> pd.DataFrame:
    """Rows of which every 37th item has none."""
    n = 0 if seed % 37 == 0 else 300
    rng = np.random.default_rng(seed)
    keys = rng.integers(0, 5_000, n).astype("uint64")
    return pd.DataFrame({"key": keys, "name": [f"row {key}" for key in keys], "value": rng.normal(size=n)})


def test_a_group_of_many_items_brings_equal_keys_together_and_leaves_no_file(
    cluster: DaskEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.map(abs, [1])  # the cluster's own files lie elsewhere
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    bundles = cluster.group(numbers, range(200), "key", lambda rows: (rows, len(list(tmp_path.glob("*/*")))))
    assert max(n_files for _, n_files in bundles) > 0, "nothing was left in a file"
    assert list(tmp_path.iterdir()) == []
    keys = [set(rows["key"]) for rows, _ in bundles]
    assert len(keys) > 1
    assert sum(map(len, keys)) == len(set().union(*keys))
    order = ["key", "value"]
    found = pd.concat([rows for rows, _ in bundles]).sort_values(order, ignore_index=True)
    expected = pd.concat(map(numbers, range(200))).sort_values(order, ignore_index=True)
    pd.testing.assert_frame_equal(found, expected)


def test_many_items_are_few_tasks_and_keep_their_order(cluster: DaskEngine) -> None:
    found = cluster.map(numbers, range(150))
    for seed, rows in enumerate(found):
        pd.testing.assert_frame_equal(rows, numbers(seed))
    found[1].loc[0, "value"] = 7.0  # of one's own, as of this process
    assert found[1]["value"].iloc[0] == 7.0
    assert cluster.map(lambda item: (item, os.getpid()), range(1)) != [(0, os.getpid())]


def test_small_tables_and_frames_stay_in_the_run_and_start_no_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers(2).to_parquet(tmp_path / "rows.parquet")
    table = Table.under(tmp_path)
    with DaskEngine() as engine:
        monkeypatch.setattr(on_dask, "ROWS_WORTH_SENDING", 301)
        assert engine.over(table).name == "local"
        monkeypatch.setattr(on_dask, "ROWS_WORTH_SENDING", 300)
        assert engine.over(table) is engine
        assert engine.over(Table.of(numbers(2))).name == "local"
        assert "client" not in vars(engine)
    assert Engine(7).over(table).bytes_at_once == 7


def test_examples_and_floors_are_the_same(
    cluster: DaskEngine, traces: pd.DataFrame, parts: Table, tmp_path: Path
) -> None:
    expected = examples_from_traces(traces)
    examples = token_examples(parts, engine=cluster)
    pd.testing.assert_frame_equal(examples, expected)
    for place in range(3):
        examples[place::3].to_parquet(tmp_path / f"{place}.parquet")
    floors = floor_table(FAMILY, Table.under(tmp_path), dataset="any", engine=cluster)
    of_whole = floor_table(FAMILY, expected, dataset="any", engine=Engine())
    pd.testing.assert_frame_equal(floors, of_whole, rtol=1e-12)


def test_rules_across_days_are_the_same(
    cluster: DaskEngine, traces: pd.DataFrame, parts: Table, tmp_path: Path
) -> None:
    again = traces.head(50).assign(started_at=pd.Timestamp("2027-01-01", tz="UTC").as_unit("us"))
    again.to_parquet(tmp_path / "again.parquet", index=False)
    table = Table((*parts.parts, *Table.under(tmp_path).parts))
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
            (accounts[name],) = curate_landed_days(days, tmp_path / "landing", tmp_path / name, None)
    dask, local = accounts["dask"], accounts["local"]
    assert (dask.day, dask.counts, dask.checks, dask.failed) == (local.day, local.counts, local.checks, [])
    paths = [{name: told.pop("path") for name, told in account.tables.items()} for account in (dask, local)]
    assert dask.tables == local.tables
    assert paths[0].keys() == paths[1].keys()
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
        n_read, *others = made.counts.values()
        assert n_read == sum(others)
        assert min(others) > 0
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
