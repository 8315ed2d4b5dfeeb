"""A backup that was restored serves the same champion; a damaged one is refused before anything changes."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pandas as pd
import pytest

from foretell.assets.lake.landing.deliveries import load_rows
from foretell.assets.registry.tracking import Registry
from foretell.assets.store.io import read_table
from foretell.pipelines.backups import back_up, restore, verify
from foretell.pipelines.cli.data.ingest import Options, run_ingest
from foretell.pipelines.cli.output import Output
from foretell.pipelines.home import HOME_VERSION, Stamp, move_addresses, open_home, write_stamp
from foretell.pipelines.runs import State, locked
from foretell.pipelines.settings import Settings
from foretell.predictors.errors import DatasetError, InvalidInputError
from foretell.predictors.families import FAMILIES
from tests.assets.trace_lines import chat, write_jsonl

FAMILY = "thinking_tokens"
QUESTION = pd.DataFrame({"model": ["SmolLM2-135M-Instruct"], "prompt_text": ["What is 2 + 2?"]})


def registry(settings: Settings) -> Registry:
    return Registry(settings.mlflow_uri, settings.home / "mlflow" / "artifacts")


def forecast(settings: Settings) -> pd.DataFrame:
    import mlflow

    registry(settings).client()
    return mlflow.pyfunc.load_model(f"models:/{FAMILY}@champion").predict(QUESTION)


@pytest.fixture(scope="module")
def saved(installed, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("backups") / "first"
    back_up(installed.settings, folder)
    return folder


def test_restored_elsewhere_it_serves_the_same_forecast_and_tables(installed, saved: Path, tmp_path: Path) -> None:
    moved = Settings(home=tmp_path / "other" / "home")
    moved.home.parent.mkdir()
    restored = restore(moved, saved)
    served = {family: installed.settings.open_registry().champion(family) for family in FAMILIES}
    expected_champions = {family: int(version.version) for family, version in served.items() if version is not None}
    assert FAMILY in expected_champions
    assert restored["champions"] == expected_champions
    assert restored["before"] is None
    champion = registry(moved).champion(FAMILY)
    assert champion.source.startswith("models:/") or str(moved.home) in champion.source
    expected = forecast(installed.settings)
    pd.testing.assert_frame_equal(forecast(moved), expected)
    for table in ("request_traces", "thinking_tokens_evaluation"):
        pd.testing.assert_frame_equal(
            read_table(moved.home / "lake", table), read_table(installed.settings.home / "lake", table)
        )
    # The copy stands on its own: nothing of it lies in the old home.
    with sqlite3.connect(moved.home / "mlflow" / "mlflow.db") as connection:
        dump = "\n".join(connection.iterdump())
    assert f"{installed.settings.home}/mlflow" not in dump


def test_restore_keeps_what_was_there(copied: Settings, saved: Path) -> None:
    (copied.home / "lake" / "mine.txt").write_text("mine", "utf-8")
    restored = restore(copied, saved)
    assert not (copied.home / "lake" / "mine.txt").exists()
    assert (Path(restored["before"]) / "lake" / "mine.txt").read_text("utf-8") == "mine"


@pytest.mark.parametrize("damage", ["changed", "missing", "extra"])
def test_damaged_backup_is_refused_and_nothing_changes(copied: Settings, saved: Path, tmp_path: Path, damage) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(saved, broken)
    victim = broken / "mlflow" / "mlflow.db"
    if damage == "changed":
        victim.write_bytes(victim.read_bytes()[:-1] + b"?")
    elif damage == "missing":
        victim.unlink()
    else:
        (broken / "lake" / "stray.parquet").write_bytes(b"")
    before = {p: p.stat().st_mtime_ns for p in copied.home.rglob("*")}
    with pytest.raises(DatasetError):
        restore(copied, broken)
    assert {p: p.stat().st_mtime_ns for p in copied.home.rglob("*")} == before


def test_backup_of_a_store_that_is_being_written_is_whole(copied: Settings, tmp_path: Path) -> None:
    client = registry(copied).client()
    experiment = client.get_experiment_by_name(FAMILY).experiment_id
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            client.create_run(experiment)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        manifest = back_up(copied, tmp_path / "backup")
    finally:
        stop.set()
        writer.join()
    assert verify(tmp_path / "backup") == manifest


def test_backup_waits_for_the_run_that_writes_and_holds_all_of_it(copied: Settings, tmp_path: Path) -> None:
    # Without the lock the lake was copied before that run's rows and its state after: they never came back.
    manifests: list[dict] = []
    saving = threading.Thread(target=lambda: manifests.append(back_up(copied, tmp_path / "backup")))
    with locked(copied):
        saving.start()
        (copied.home / "lake" / "late.txt").write_text("row", "utf-8")
        time.sleep(0.3)
        State(copied).set("day:late", "digest of late.txt")
    saving.join()
    files = manifests[0]["files"]
    assert "lake/late.txt" in files
    assert "day:late" in (tmp_path / "backup" / "state.json").read_text("utf-8")


def test_damaged_database_stops_a_backup_with_one_line(copied: Settings, tmp_path: Path) -> None:
    database = copied.home / "mlflow" / "mlflow.db"
    database.write_bytes(b"x" * 4096 + database.read_bytes()[4096:])
    with pytest.raises(DatasetError, match="not a database"):
        back_up(copied, tmp_path / "backup")
    assert not (tmp_path / "backup").exists()


def test_backup_notices_a_version_that_lies_outside(copied: Settings, tmp_path: Path) -> None:
    # Its backup left the artefacts out, and restore called that verified.
    move_addresses(copied.home / "mlflow" / "mlflow.db", copied.home, tmp_path / "another home")
    with pytest.raises(DatasetError, match="lies outside"):
        back_up(copied, tmp_path / "backup")


def test_backup_of_a_newer_home_is_refused_before_anything_changes(copied: Settings, tmp_path: Path) -> None:
    write_stamp(copied.home, Stamp(HOME_VERSION + 1, copied.home))
    back_up(copied, tmp_path / "backup")
    other = Settings(home=tmp_path / "other")
    with pytest.raises(DatasetError, match="upgrade foretell"):
        restore(other, tmp_path / "backup")
    assert not other.home.exists()


def on_small_disk(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a shell script in a mount namespace of its own, with the command line as `$FORETELL`."""
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", code, "sh", *arguments]
    environment = {**os.environ, "FORETELL": f"{sys.executable} -m foretell.pipelines.cli.app"}
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    except FileNotFoundError:
        pytest.skip("no unshare(1) on this machine: a small disk cannot be mounted")
    if "unshare:" in done.stderr or "mount:" in done.stderr:
        pytest.skip(f"this machine lets nobody mount a small disk: {done.stderr.strip()}")
    return done


READ_ONLY = 'mount --bind "$1" "$1"; mount -o remount,bind,ro "$1"; '
DISKS = {
    "full": 'mount -t tmpfs -o size=200k tmpfs "$2"; FORETELL_HOME="$1" $FORETELL backup "$2/backup"',
    "read-only target": 'mount -t tmpfs -o ro tmpfs "$2"; FORETELL_HOME="$1" $FORETELL backup "$2/backup"',
    "read-only home": READ_ONLY + 'FORETELL_HOME="$1" $FORETELL backup "$2/backup"',
}


@pytest.mark.slow
@pytest.mark.parametrize("script", DISKS.values(), ids=DISKS.keys())
def test_disk_that_takes_nothing_is_one_line(copied: Settings, tmp_path: Path, script: str) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    done = on_small_disk(script, str(copied.home), str(disk))
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("foretell: ")
    assert done.stderr.count("\n") == 1, done.stderr
    assert list(disk.iterdir()) == []


@pytest.mark.slow
def test_doctor_of_a_read_only_home_says_so(copied: Settings, tmp_path: Path) -> None:
    script = READ_ONLY + 'FORETELL_HOME="$1" $FORETELL doctor --json'
    done = on_small_disk(script, str(copied.home))
    assert "Traceback" not in done.stderr
    findings = {row["check"]: row for row in map(json.loads, done.stdout.splitlines())}
    assert findings["home"]["status"] == "failure"
    assert {"tables", "landed files", "run database", "champion thinking_tokens"} <= set(findings)


@pytest.mark.slow
def test_backup_under_load_is_of_one_moment(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    open_home(settings, create=True)
    files = [write_jsonl(tmp_path / f"{n}.jsonl", *[chat(i) for i in range(20 * n, 20 * (n + 1))]) for n in range(2)]
    command = [sys.executable, "-m", "foretell.pipelines.cli.app", "ingest"]
    environment = {**os.environ, "FORETELL_HOME": str(settings.home)}
    busy = subprocess.Popen([*command, str(files[0])], env=environment, stdout=subprocess.DEVNULL)
    while not list(settings.landing.glob("*/manifest.json")) and busy.poll() is None:
        time.sleep(0.02)
    back_up(settings, tmp_path / "backup")
    assert busy.wait(timeout=120) == 0
    restored = Settings(home=tmp_path / "restored")
    restore(restored, tmp_path / "backup")
    rows = read_table(restored.home / "lake", "request_traces")
    assert len(rows) == len(load_rows(restored.landing)) == 20
    # Once 30 of 80 rows were restored, and ingesting the rest again changed nothing.
    assert run_ingest(restored, [str(file) for file in files], Options(), Output(json=True), curate=True) == 0
    assert len(read_table(restored.home / "lake", "request_traces")) == 40


def test_backup_is_refused_where_it_would_be_lost_or_mixed_up(installed, saved: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="not empty"):
        back_up(installed.settings, saved)
    with pytest.raises(InvalidInputError, match="another disk"):
        back_up(installed.settings, installed.settings.home / "backup")
    with pytest.raises(DatasetError, match="nothing to back up"):
        back_up(Settings(home=tmp_path / "new"), tmp_path / "backup")
    with pytest.raises(DatasetError, match="no backup here"):
        verify(tmp_path)
