"""Days that a command curates leave the tables, account and checks of a run per day, and begin where it stopped."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pandas as pd
import pytest
from dagster_shared.record import replace

from foretell.assets.engine import Engine, local
from foretell.assets.lake.landing.deliveries import ingest
from foretell.assets.lake.traces import bulk_curation
from foretell.assets.lake.traces.checks import CHECKS
from foretell.pipelines import runs
from foretell.pipelines.runs import RunFailedError, curate_days, execute, open_instance
from foretell.pipelines.settings import Settings, quiet_environment
from tests.synthetic import chat_call, write_jsonl

TABLES = ("raw_traces", "request_traces", "quarantined_traces")
DAYS = ["2026-09-21", "2026-09-22", "2026-09-23"]


class TwoWorkers(Engine):
    n_workers = 2


def landed(home: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("FORETELL_HOME", str(home))
    monkeypatch.setenv("DAGSTER_HOME", str(home / "dagster"))
    settings = Settings(home=home)
    quiet_environment(settings)
    calls = [chat_call(f"r{i}", prompt=f"Q{i % 4}", created=1_790_000_000 + (i % 3) * 86_400) for i in range(12)]
    calls.append(chat_call("bad", created=1_790_000_000, model="unknown"))
    home.mkdir()
    ingest([write_jsonl(home / "calls.jsonl", calls)], settings.landing, source="gateway")
    return settings


def quiet(step: str, seconds: float, share: float) -> None:
    del step, seconds, share


@pytest.mark.slow
@pytest.mark.parametrize("engine", [Engine(), TwoWorkers()])
def test_bulk_leaves_the_tables_and_the_account_of_a_run_per_day(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_by_one = landed(tmp_path / "one", monkeypatch)
    with open_instance(one_by_one) as instance:
        for day in DAYS:
            execute("curate_day", one_by_one, instance, partition_key=day, progress=quiet)
        expected_checks = checks(instance)
    monkeypatch.setattr(local, "in_process", engine)
    bulk = landed(tmp_path / "bulk", monkeypatch)
    with open_instance(bulk) as instance:
        assert curate_days(bulk, instance, quiet) == 3
        assert curate_days(bulk, instance, quiet) == 0
        for table in TABLES:
            assert sorted(instance.get_materialized_partitions(dg.AssetKey(table))) == DAYS
        assert checks(instance) == expected_checks
        assert not instance.get_runs()
    for table in TABLES:
        for day in DAYS:
            paths = [s.home / "lake" / table / f"{day}.parquet" for s in (bulk, one_by_one)]
            found, expected = (pd.read_parquet(path).drop(columns="source_file") for path in paths)
            pd.testing.assert_frame_equal(found, expected)


def checks(instance: dg.DagsterInstance) -> dict[str, bool]:
    keys = [dg.AssetCheckKey(dg.AssetKey("request_traces"), spec["name"]) for spec in CHECKS]
    records = instance.event_log_storage.get_latest_asset_check_execution_by_key(keys)
    return {key.name: record.event.dagster_event.asset_check_evaluation_data.passed for key, record in records.items()}


def test_bulk_that_fails_names_the_day_and_begins_again_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "in_process", TwoWorkers())
    monkeypatch.setattr(runs, "DAYS_PER_WORKER", 1)
    settings = landed(tmp_path / "home", monkeypatch)
    whole = bulk_curation.check_traces

    def fails_once(curated):
        for check in whole(curated):
            is_it = check.check_name == "contract" and curated.traces["started_at"].dt.day.eq(22).any()
            yield replace(check, passed=False) if is_it else check

    with open_instance(settings) as instance:
        with monkeypatch.context() as patch:
            patch.setattr(bulk_curation, "check_traces", fails_once)
            with pytest.raises(RunFailedError, match=r"2026-09-22: the checks contract did not pass"):
                curate_days(settings, instance, quiet)
        assert curate_days(settings, instance, quiet) == 2
        for table in TABLES:
            assert sorted(instance.get_materialized_partitions(dg.AssetKey(table))) == DAYS
        assert checks(instance)["contract"]
        told = instance.get_latest_materialization_event(dg.AssetKey("landed_files"))
    assert told is not None
    assert pd.read_parquet(settings.home / "lake" / "landed_files.parquet")["n_rows"].sum() == 13
