"""The whole path in process: landed files -> tables -> model -> registry, on the bundled data."""

from __future__ import annotations

import hashlib
import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from foretell.assets.lake.landing.deliveries import ingest
from foretell.assets.registry.tracking import Registry
from foretell.assets.store import days as store_days
from foretell.assets.store.io import read_table
from foretell.pipelines.runs import State, curate_days, execute, open_instance, retrain
from foretell.pipelines.settings import Settings
from foretell.predictors.families import FAMILIES
from foretell.predictors.schemas import Evaluation, RequestTraces
from tests.assets.trace_lines import chat, write_jsonl


def registry(settings: Settings) -> Registry:
    return Registry(settings.mlflow_uri, settings.home / "mlflow" / "artifacts")


def test_every_table_of_the_run_meets_its_contract(installed) -> None:
    lake = installed.settings.home / "lake"
    traces = read_table(lake, "request_traces")
    RequestTraces.validate(traces, lazy=True)
    evaluation = read_table(lake, "thinking_tokens_evaluation")
    Evaluation.validate(evaluation, lazy=True)
    assert {"crps", "mae", "mse", "coverage_90"} <= set(evaluation["metric"])
    head = evaluation[(evaluation["segment"] == "all") & (evaluation["split"] == "within")].set_index("metric")
    assert 0 < head.loc["crps", "noise_floor"].iloc[0] < head.loc["crps", "value"].iloc[0]


def test_counts_of_the_run_add_up(installed) -> None:
    from foretell.assets.lake.landing.deliveries import load_manifests

    lake = installed.settings.home / "lake"
    n_read = int(load_manifests(installed.settings.landing)["n_read"].sum())
    raw, traces, refused = (read_table(lake, name) for name in ("raw_traces", "request_traces", "quarantine"))
    assert n_read > 0
    assert n_read == len(traces) + len(refused)
    assert len(raw) == len(traces)


def test_no_query_straddles_the_split(installed) -> None:
    examples = read_table(installed.settings.home / "lake", "thinking_tokens_examples")
    assert examples.groupby("query_id")["split"].nunique().max() == 1
    assert set(examples["split"]) == {"train", "calibration", "test"}


def test_first_version_is_champion_with_its_reason_metrics_and_artefacts(installed) -> None:
    store = registry(installed.settings)
    champion = store.champion("thinking_tokens")
    assert champion is not None
    assert int(champion.version) == 2, "version 1 is the one that came with the package"
    assert champion.tags["decision"].startswith("First fit")
    assert "over the version that came with foretell" in champion.tags["decision"]
    assert store.version("thinking_tokens", "1").tags["basis"] == "shipped"
    run = store.client().get_run(champion.run_id)
    assert {"within/crps", "within/crps_floor", "within/crps_excess", "within/coverage_90"} <= set(run.data.metrics)
    assert run.data.tags["git_commit"]
    examples = (installed.settings.home / "lake" / "thinking_tokens_examples.parquet").read_bytes()
    assert run.data.tags["dvc_md5"] == hashlib.md5(examples).hexdigest()
    evaluation = read_table(installed.settings.home / "lake", "thinking_tokens_evaluation")
    head = evaluation[(evaluation["segment"] == "all") & (evaluation["split"] == "within")]
    crps = head[(head["metric"] == "crps") & (head["predictor"] == "ThinkingTokensPredictor")]["value"].iloc[0]
    assert run.data.metrics["within/crps"] == pytest.approx(crps)


def test_no_pickle_is_among_the_artefacts(installed) -> None:
    files = [p for p in (installed.settings.home / "mlflow" / "artifacts").rglob("*") if p.is_file()]
    assert files
    assert [p for p in files if p.suffix in {".pkl", ".pickle", ".joblib", ".pt", ".bin"}] == []
    # Protocol 2 and later start with this opcode, whatever the file is called; so may the length in a safetensors file.
    heads = {p: p.read_bytes()[:9] for p in files}
    assert [p for p, head in heads.items() if head[:1] == b"\x80" and head[8:] != b"{"] == []


def test_a_version_carries_the_code_of_its_own_family_and_no_weights(installed) -> None:
    versions = (installed.settings.home / "mlflow" / "artifacts" / "thinking_tokens").rglob("artifacts/code/predictors")
    shipped, code = sorted(versions, key=lambda path: path.stat().st_mtime)
    assert {path.name for path in shipped.iterdir()} == {path.name for path in code.iterdir()}
    names = {path.relative_to(code).as_posix() for path in code.rglob("*") if path.is_file()}
    assert {"serving.py", "families.py", "thinking_tokens/predictor.py"} <= names
    assert {name.partition("/")[0] for name in names} & set(FAMILIES) == {"thinking_tokens"}
    assert {name.rpartition(".")[2] for name in names} == {"py"}
    assert sum(path.stat().st_size for path in code.rglob("*") if path.is_file()) < 1_000_000


def test_prompts_are_not_logged(installed) -> None:
    from foretell.collect.local_llm import load_prompts

    prompts = load_prompts(installed.settings.starter / "prompts.jsonl")
    logged = b"".join(p.read_bytes() for p in (installed.settings.home / "mlflow").rglob("*.json"))
    assert [p.prompt for p in prompts if json.dumps(p.prompt).encode() in logged] == []


def test_running_again_does_nothing(installed) -> None:
    before = {p: p.stat().st_mtime_ns for p in (installed.settings.home / "lake").rglob("*.parquet")}
    with open_instance(installed.settings) as instance:
        assert curate_days(installed.settings, instance, lambda step, seconds, share: None) == 0
        assert retrain(installed.settings, instance, lambda step, seconds, share: None) is False
    assert {p: p.stat().st_mtime_ns for p in before} == before


@pytest.mark.slow
def test_losing_the_state_file_makes_no_second_version(copied) -> None:
    (copied.home / "state.json").unlink()
    before = read_table(copied.home / "lake", "thinking_tokens_evaluation")
    run_again(copied)
    pd.testing.assert_frame_equal(read_table(copied.home / "lake", "thinking_tokens_evaluation"), before)
    assert len(registry(copied).family("thinking_tokens").versions) == 2


def run_again(settings: Settings) -> None:
    with open_instance(settings) as instance:
        curate_days(settings, instance, lambda step, seconds, share: None)
        retrain(settings, instance, lambda step, seconds, share: None)


@pytest.mark.slow
def test_new_data_makes_a_new_version_that_is_decided_on_once(copied, tmp_path: Path) -> None:
    from foretell.assets.lake.landing.deliveries import ingest
    from tests.synthetic import chat_call, write_jsonl

    lines = [
        chat_call(f"new-{i}", prompt=f"What is {i} plus {i}?", output_tokens=30 + i, created=1_790_000_000 + i)
        for i in range(40)
    ]
    ingest([write_jsonl(tmp_path / "more.jsonl", lines)], copied.landing)
    run_again(copied)
    store = registry(copied)
    versions = store.family("thinking_tokens").versions
    assert [int(v.version) for v in versions] == [1, 2, 3]
    assert "nothing newer than 2026-11-22 was labelled" in versions[2].tags["decision"]
    assert int(store.champion("thinking_tokens").version) == 2
    assert len(list((copied.home / "lake" / "request_traces").glob("*.parquet"))) == 2


def test_run_left_running_by_a_kill_is_closed_and_a_living_one_is_not(copied) -> None:
    import os
    import subprocess
    import sys

    from foretell.assets.registry.tracking import PID_TAG, _close_abandoned_runs

    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    store = registry(copied)
    client = store.client()
    experiment = client.get_experiment_by_name("thinking_tokens")
    left, living = (
        client.create_run(experiment.experiment_id, tags={PID_TAG: str(pid)}) for pid in (ended.pid, os.getpid())
    )
    _close_abandoned_runs(client, experiment.experiment_id)
    assert client.get_run(left.info.run_id).info.status == "KILLED"
    assert client.get_run(living.info.run_id).info.status == "RUNNING"


@pytest.mark.slow
def test_nightly_tick_requests_yesterday_and_the_job_runs(copied, tmp_path: Path, monkeypatch) -> None:
    from datetime import UTC, datetime

    import dagster as dg

    from foretell.pipelines.definitions import build_definitions
    from foretell.pipelines.schedules import nightly_retrain_schedule

    day = sorted((copied.home / "lake" / "request_traces").glob("*.parquet"))[0].stem
    night = datetime.fromisoformat(day).replace(tzinfo=UTC, hour=2, minute=30) + pd.Timedelta(days=1)
    monkeypatch.setenv("FORETELL_HOME", str(copied.home))
    n_versions = len(registry(copied).family("thinking_tokens").versions)
    (tmp_path / "instance").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "instance")) as instance:
        tick = nightly_retrain_schedule.evaluate_tick(
            dg.build_schedule_context(
                instance=instance,
                scheduled_execution_time=night,
                repository_def=build_definitions(copied).get_repository_def(),
            )
        )
        (request,) = tick.run_requests
        assert request.partition_key == day
        steps: list[str] = []
        result = execute(
            "nightly_retrain",
            copied,
            instance,
            partition_key=request.partition_key,
            progress=lambda step, seconds, share: steps.append(step),
        )
    assert result.success
    assert {"curated_traces", "thinking_tokens_model", "thinking_tokens_registered_model"} <= set(steps)
    assert len(registry(copied).family("thinking_tokens").versions) == n_versions, "the same data are the same fit"


def test_sensor_requests_a_day_once_and_again_when_more_lands_for_it(copied, tmp_path: Path, monkeypatch) -> None:
    import dagster as dg

    from foretell.assets.lake.landing.deliveries import ingest
    from foretell.pipelines.definitions import build_definitions
    from foretell.pipelines.schedules import landed_days_sensor
    from tests.synthetic import chat_call, write_jsonl

    def tick(cursor: str | None = None) -> dg.SensorExecutionData:
        context = dg.build_sensor_context(cursor=cursor, definitions=build_definitions(copied))
        return landed_days_sensor.evaluate_tick(context)

    monkeypatch.setenv("FORETELL_HOME", str(copied.home))
    first = tick()
    days = [request.partition_key for request in first.run_requests]
    assert len(days) == 1
    again = tick(first.cursor)
    assert again.run_requests == []
    late = int(pd.Timestamp(days[0], tz="UTC").timestamp()) + 60
    ingest([write_jsonl(tmp_path / "late.jsonl", [chat_call("late", created=late)])], copied.landing)
    more = tick(first.cursor)
    assert [request.partition_key for request in more.run_requests] == days


@pytest.mark.slow
def test_a_failing_step_names_its_file_and_leaves_old_tables(copied) -> None:
    from foretell.pipelines.runs import RunFailedError

    old = read_table(copied.home / "lake", "thinking_tokens_evaluation")
    for file in (copied.home / "lake" / "request_traces").glob("*.parquet"):
        file.write_bytes(b"not parquet")
    State(copied).set("retrain", "something else")
    shutil.rmtree(copied.home / "models")
    with (
        open_instance(copied) as instance,
        pytest.raises(RunFailedError, match=r"failed: /.*request_traces.*parquet"),
    ):
        retrain(copied, instance, lambda step, seconds, share: None)
    pd.testing.assert_frame_equal(read_table(copied.home / "lake", "thinking_tokens_evaluation"), old)


def test_days_before_2023_are_curated_and_days_yet_to_come_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Either made every later ingest and demo fail: no table could hold the day.
    settings = Settings(home=tmp_path / "home")
    now = datetime.now(UTC)

    class Ahead(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) + timedelta(days=30)

    moments = [datetime(2019, 6, 1, tzinfo=UTC), now + timedelta(days=20)]
    lines = [chat(i, response={"created": int(moment.timestamp())}) for i, moment in enumerate(moments)]
    with monkeypatch.context() as patch:
        patch.setattr(store_days, "datetime", Ahead)  # a clock that was ahead, and has been set right since
        assert ingest([write_jsonl(tmp_path / "a.jsonl", *lines)], settings.landing).n_usable == 2
    with open_instance(settings) as instance:
        assert curate_days(settings, instance, lambda step, seconds, share: None) == 1
    days = [path.stem for path in (settings.home / "lake" / "request_traces").iterdir()]
    assert days == ["2019-06-01"]
