"""What starts a retrain before its time, what is deleted, and the settings of the instance."""

from __future__ import annotations

import json
from pathlib import Path

import dagster as dg
import pytest

from foretell.assets.lake.landing.deliveries import ingest
from foretell.assets.lake.quarantine import report_quarantine
from foretell.pipelines.home import open_home
from foretell.pipelines.jobs import housekeeping, prune_runs
from foretell.pipelines.schedules import CRONS, retrain_sensor
from foretell.pipelines.settings import Settings
from tests.synthetic import chat_call, write_jsonl

FAMILY = "thinking_tokens"


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def tick(instance: dg.DagsterInstance, cursor: str | None = None) -> dg.SensorResult:
    from foretell.pipelines.jobs import family_jobs

    sensor = retrain_sensor([FAMILY], family_jobs([FAMILY]))
    return sensor.evaluate_tick(dg.build_sensor_context(instance=instance, cursor=cursor, definitions=_definitions()))


def _definitions() -> dg.Definitions:
    from foretell.pipelines.definitions import build_definitions

    return build_definitions(Settings())


def night(instance: dg.DagsterInstance, day: str, verdict: str) -> None:
    metadata = {"night": day, "verdict": verdict}
    instance.report_runless_asset_event(dg.AssetMaterialization(f"{FAMILY}_drift", metadata=metadata))


def test_drifted_family_is_retrained_once_a_night(clean_environment: Path, instance: dg.DagsterInstance) -> None:
    assert tick(instance).run_requests == []
    night(instance, "2026-11-20", "ok")
    assert tick(instance).run_requests == []
    night(instance, "2026-11-21", "forecast drifted")
    first = tick(instance)
    assert [(r.job_name, r.run_key) for r in first.run_requests] == [
        (f"retrain_{FAMILY}", f"drift-{FAMILY}-2026-11-21")
    ]
    assert tick(instance, first.cursor).run_requests == []
    night(instance, "2026-11-22", "ambiguous")
    assert len(tick(instance, first.cursor).run_requests) == 1


def test_many_new_rows_ask_for_a_retrain_once(
    clean_environment: Path, instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORETELL_RETRAIN_ROWS", "5")
    cursor = tick(instance).cursor
    for part, n in (("a", 3), ("b", 4)):
        calls = [chat_call(f"{part}-{i}") for i in range(n)]
        ingest([write_jsonl(tmp_path / f"{part}.jsonl", calls)], Settings().landing)
        result = tick(instance, cursor)
        cursor = result.cursor
        expected = [] if part == "a" else ["retrain"]
        assert [r.job_name for r in result.run_requests] == expected
    assert json.loads(cursor)["rows"] == 7


def test_housekeeping_keeps_the_newest_runs(instance: dg.DagsterInstance, clean_environment: Path, monkeypatch) -> None:
    @dg.job
    def nothing() -> None:
        pass

    for _ in range(5):
        nothing.execute_in_process(instance=instance)
    assert prune_runs(instance, keep=10) == 0
    newest = [run.run_id for run in instance.get_runs(limit=2)]
    assert prune_runs(instance, keep=2) == 3
    assert [run.run_id for run in instance.get_runs()] == newest
    monkeypatch.setenv("FORETELL_KEEP_RUNS", "1")
    assert housekeeping.execute_in_process(instance=instance).success
    assert instance.get_runs_count() == 2  # the newest one and the one that did it


def test_housekeeping_deletes_the_files_of_old_runs(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    open_home(settings, create=True)

    @dg.job
    def nothing() -> None:
        pass

    with dg.DagsterInstance.from_config(str(settings.dagster_home)) as made:
        for _ in range(3):
            nothing.execute_in_process(instance=made)
        assert prune_runs(made, keep=1) == 2
        (kept,) = made.get_runs()
        files = {path.stem for path in (settings.dagster_home / "history" / "runs").glob("*.db")}
        assert files == {kept.run_id, "index"}
        assert made.all_logs(kept.run_id)


@pytest.mark.slow
def test_housekeeping_deletes_what_the_checks_of_old_runs_found_but_the_newest_result(tmp_path: Path) -> None:
    # Dagster leaves these rows, which hold a picture each: 90 MB after a year of nights.
    import sqlalchemy as sa
    from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable as Executions

    settings = Settings(home=tmp_path / "home")
    open_home(settings, create=True)

    @dg.asset
    def table() -> None:
        pass

    def check(name: str) -> dg.AssetChecksDefinition:
        @dg.asset_check(asset=table, name=name)
        def found() -> dg.AssetCheckResult:
            return dg.AssetCheckResult(passed=True, metadata={"picture": "x" * 1000})

        return found

    with dg.DagsterInstance.from_config(str(settings.dagster_home)) as made:

        def rows() -> list[tuple[str, str]]:
            with made.event_log_storage.index_connection() as connection:
                columns = sa.select(Executions.c.check_name, Executions.c.run_id).order_by(Executions.c.id)
                return [(name, run_id) for name, run_id in connection.execute(columns)]

        dg.materialize([table, check("always"), check("once")], instance=made)
        for _ in range(3):
            dg.materialize([table, check("always")], instance=made)
        assert len(rows()) == 5
        assert prune_runs(made, keep=1) == 3
        (kept,) = made.get_runs()
        left = rows()
        assert [name for name, _ in left] == ["once", "always"]
        assert left[1][1] == kept.run_id
        key = dg.AssetCheckKey(dg.AssetKey("table"), "once")
        assert made.event_log_storage.get_latest_asset_check_execution_by_key([key])[key].run_id == left[0][1]


def test_housekeeping_keeps_the_newest_of_what_is_told_without_a_run(tmp_path: Path) -> None:
    # 3 KB with every ingest, for ever: a gateway that delivers every five minutes had 300 MB after a year.
    settings = Settings(home=tmp_path / "home")
    open_home(settings, create=True)
    with dg.DagsterInstance.from_config(str(settings.dagster_home)) as made:
        for n_rows in range(4):
            report_quarantine(made, n_rows)
        for day in ("2026-11-01", "2026-11-02"):
            made.report_runless_asset_event(dg.AssetMaterialization("raw_traces", partition=day))
        prune_runs(made, keep=10)
        left = made.fetch_materializations(dg.AssetKey("quarantine"), limit=10).records
        assert [event.asset_materialization.metadata["dagster/row_count"].value for event in left] == [3]
        assert made.get_materialized_partitions(dg.AssetKey("raw_traces")) == {"2026-11-01", "2026-11-02"}
        assert len(made.all_logs("")) == 3


def test_instance_frees_places_of_dead_runs_and_runs_one_retrain_at_a_time(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    open_home(settings, create=True)
    with dg.DagsterInstance.from_config(str(settings.dagster_home)) as made:
        assert made.run_monitoring_enabled
        assert made.run_retries_enabled
        limits = made.get_concurrency_config().run_queue_config.tag_concurrency_limits
        assert {"key": "foretell/retrain", "limit": 1} in limits
    tagged = [job.name for job in _definitions().resolve_all_job_defs() if "foretell/retrain" in job.tags]
    assert {"retrain", "nightly_retrain", f"retrain_{FAMILY}"} <= set(tagged)


def test_every_cadence_has_a_clock() -> None:
    from foretell.assets.families import all_families

    assert {family.cadence for family in all_families()} <= {"nightly", *CRONS}


def test_a_night_makes_the_families_whose_rows_changed(
    clean_environment: Path, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    from foretell.assets.lake.landing.deliveries import ingest
    from foretell.assets.lake.landing.table_rows import tables_digest
    from foretell.assets.nightly.assets import ROWS_DIGEST
    from foretell.pipelines.schedules import nightly_selection

    def groups() -> set[str]:
        graph = _definitions().resolve_asset_graph()
        return {str(graph.get(key).group_name) for key in nightly_selection(instance, settings)}

    settings = Settings(home=tmp_path / "home")
    assert groups() == {"sources", "lake"}
    ladder = tmp_path / "ladder.csv"
    ladder.write_text("family,model,benchmark,n_params,n_train_tokens,score\nf,m,b,1e8,2e9,50\n", "utf-8")
    ingest([ladder], settings.landing)
    assert groups() == {"sources", "lake", "downstream_scaling"}
    seen = {ROWS_DIGEST: tables_digest(settings.landing, ["ladder_measurements"])}
    instance.report_runless_asset_event(dg.AssetMaterialization("downstream_scaling_examples", metadata=seen))
    assert groups() == {"sources", "lake"}


def test_a_night_without_requests_runs_through(
    clean_environment: Path, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    from foretell.assets.lake.landing.deliveries import ingest
    from foretell.assets.lake.tables.contracts import TABLES
    from foretell.pipelines.definitions import build_definitions
    from foretell.pipelines.schedules import nightly_selection

    settings = Settings(home=tmp_path / "home")
    scores = tmp_path / "scores.csv"
    scores.write_text("model,benchmark,score\nm,b,50\n", "utf-8")
    ingest([scores], settings.landing)
    keys = [key for key in nightly_selection(instance, settings) if key.to_user_string() in (*TABLES, "landed_files")]
    job = build_definitions(settings).resolve_job_def("nightly_retrain")
    done = job.execute_in_process(instance=instance, asset_selection=keys, partition_key="2026-11-20")
    assert done.success
    assert TABLES["benchmark_runs"].read(settings.home / "lake")["model"].tolist() == ["m"]
