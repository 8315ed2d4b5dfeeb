"""The fault drill: whatever breaks in a night, running it again ends where a night without the fault ends.

Each test compares with a twin that ran the same nights in peace: tables, versions, decisions, aliases.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path

import pandas as pd
import pytest

from foretell.assets.nightly.record import read_record
from foretell.assets.registry.tracking import Registry
from foretell.assets.store.io import read_table
from foretell.pipelines.home import open_home
from foretell.pipelines.settings import Settings
from tests.pipelines.one_night import run

FAMILY = "thinking_tokens"
DRIVER = [sys.executable, "-m", "tests.pipelines.one_night"]
TABLES = ("request_traces", *(f"{FAMILY}_{name}" for name in ("examples", "noise_floor", "evaluation", "drift")))
STEPS = ("landed_files", "raw_traces", "curated_traces", *(f"{FAMILY}_{name}" for name in (
    "examples", "noise_floor", "model", "evaluation", "registered_model", "drift")))  # fmt: skip
NIGHT = 2

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("faults")]


def registry(home: Path) -> Registry:
    return Registry(f"sqlite:///{home / 'mlflow' / 'mlflow.db'}", home / "mlflow" / "artifacts")


def picture(home: Path) -> dict[str, object]:
    """What must be the same: everything but ids and times."""
    store = registry(home)
    record = read_record(store, FAMILY)
    return {
        "aliases": store.family(FAMILY).aliases,
        "record": None if record is None else asdict(record),
        "decisions": {str(v.version): v.tags.get("decision") for v in store.family(FAMILY).versions},
        "digests": [v.tags["fit_digest"] for v in store.family(FAMILY).versions],
    }


def assert_same(home: Path, twin: Path) -> None:
    assert picture(home) == picture(twin)
    assert_same_tables(home, twin, TABLES)
    assert list((home / "lake").rglob("*.tmp")) == []
    assert_champion_loads(home)


def assert_same_tables(home: Path, twin: Path, tables: tuple[str, ...]) -> None:
    for table in tables:
        found, expected = (read_table(place / "lake", table) for place in (home, twin))
        # The requests of each installation lay in a file of its own.
        found, expected = (frame.drop(columns="source_file", errors="ignore") for frame in (found, expected))
        pd.testing.assert_frame_equal(found, expected)


def assert_champion_loads(home: Path) -> None:
    store = registry(home)
    champion = store.champion(FAMILY)
    assert champion is not None
    store.load(champion)


@pytest.fixture(scope="module")
def eve(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An installation with a champion, on the eve of the night that goes wrong; paths in it are absolute."""
    home = tmp_path_factory.mktemp("eve") / "home"
    for night in range(NIGHT):
        run(home, night)
    assert_champion_loads(home)
    return home


@pytest.fixture(scope="module")
def saved(eve: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = tmp_path_factory.mktemp("saved") / "home"
    shutil.copytree(eve, copy)
    open_home(Settings(home=copy))  # its addresses name the eve's artefacts until it is opened
    return copy


@pytest.fixture(scope="module")
def twin(eve: Path, saved: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, after a night in peace."""
    return _copied(saved, tmp_path_factory.mktemp("twin") / "home", run_night=True)


@pytest.fixture
def home(saved: Path, tmp_path: Path) -> Path:
    return _copied(saved, tmp_path / "home")


def _copied(saved: Path, home: Path, *, run_night: bool = False) -> Path:
    """A copy that stands on its own: through a backup, which moves the addresses along."""
    from foretell.pipelines.backups import back_up, restore

    folder = saved.with_name("backup")
    if not folder.exists():
        back_up(Settings(home=saved), folder)
    restore(Settings(home=home), folder)
    if run_night:
        run(home, NIGHT)
    return home


def _bytes(home: Path) -> int:
    parts = (home / name for name in ("dagster", "lake", "landing", "mlflow"))
    return sum(path.stat().st_size for part in parts for path in part.rglob("*") if path.is_file())


def driver(home: Path, *arguments: str, **options) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*DRIVER, str(home), str(NIGHT), *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        **options,
    )  # fmt: skip


@pytest.mark.parametrize("step", STEPS)
def test_killed_after_a_step_and_run_again(home: Path, twin: Path, step: str) -> None:
    process = driver(home, step)
    process.communicate(timeout=300)
    assert process.returncode == -signal.SIGKILL
    assert_champion_loads(home)
    run(home, NIGHT)
    assert_same(home, twin)


def test_quota_of_a_file_and_run_again(home: Path, twin: Path) -> None:
    largest_file = 900_000  # less than the stores

    def small_disk() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))

    process = driver(home, preexec_fn=small_disk)
    _, told = process.communicate(timeout=300)
    assert process.returncode != 0
    assert "File too large" in told or "disk" in told
    assert_champion_loads(home)
    run(home, NIGHT)
    assert_same(home, twin)


SMALL_DISK = """\
set -e
home=$1 left=$2 room=$3
shift 3
mount -t tmpfs tmpfs "$home"
cp -a "$left/." "$home"
used=$(df --output=used -B1 "$home" | tail -n 1)
mount -o remount,size=$((used + room)) "$home"
ended=0
"$@" > /dev/null || ended=$?
cp -a "$home/." "$left"
exit $ended
"""
"""A disk of its own for the night's home: a tmpfs in a mount namespace, full but for a little room."""


@pytest.fixture(scope="module")
def namespace() -> list[str]:
    """How to start a program that may mount a disk that nobody else sees."""
    command = ["unshare", "--map-root-user", "--mount"]
    try:
        tried = subprocess.run([*command, "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("no unshare(1) on this machine: a small disk cannot be mounted")
    if tried.returncode != 0:
        pytest.skip(f"this machine lets nobody mount a small disk: {tried.stderr.strip()}")
    return command


@pytest.mark.parametrize("share", [0.05, 0.5, 0.85])
def test_full_disk_and_run_again(
    home: Path, saved: Path, twin: Path, namespace: list[str], tmp_path: Path, share: float
) -> None:
    # Room for a part of what the night writes: the disk is full at once, among the artefacts, near the end.
    room = int(share * (_bytes(twin) - _bytes(saved)))
    left = tmp_path / "left"
    home.rename(left)
    home.mkdir()
    arguments = [str(home), str(left), str(room), *DRIVER, str(home), str(NIGHT)]
    done = subprocess.run(
        [*namespace, "sh", "-c", SMALL_DISK, "small-disk", *arguments], capture_output=True, text=True, timeout=300
    )
    home.rmdir()
    left.rename(home)
    assert done.returncode != 0
    # The last is what sqlite says where there is no room for the memory that it shares.
    words = ("No space left on device", "disk is full", "disk I/O error")
    assert any(word in done.stderr for word in words), done.stderr[-2000:]
    assert_champion_loads(home)
    run(home, NIGHT)
    assert_same(home, twin)


@pytest.mark.parametrize("held_s", [8.0, 60.0], ids=["for a moment", "for long"])
def test_sqlite_locked_is_waited_for_or_run_again(home: Path, twin: Path, held_s: float) -> None:
    process = driver(home)
    store = sqlite3.connect(home / "mlflow" / "mlflow.db", isolation_level=None)
    deadline = time.monotonic() + held_s
    # From before the first write of the night on.
    store.execute("begin immediate")
    while time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.2)
    store.rollback()
    store.close()
    process.communicate(timeout=300)
    if process.returncode != 0:
        assert_champion_loads(home)
        run(home, NIGHT)
    assert_same(home, twin)


def test_server_down_and_run_again(home: Path, twin: Path) -> None:
    down = {"FORETELL_TRACKING_URI": "http://127.0.0.1:9", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    process = driver(home, env={**os.environ, **down})
    _, told = process.communicate(timeout=300)
    assert process.returncode != 0
    assert "127.0.0.1" in told
    assert_champion_loads(home)
    run(home, NIGHT)
    assert_same(home, twin)


def test_damaged_partition_is_named_and_curating_it_again_mends_it(home: Path, twin: Path) -> None:
    day = sorted((home / "lake" / "request_traces").glob("*.parquet"))[0]
    day.write_bytes(day.read_bytes()[:100])
    with pytest.raises(Exception, match=f"{day.name}: damaged"):
        run(home, NIGHT)
    assert_champion_loads(home)
    run(home, 0)
    run(home, NIGHT)
    mended = picture(home)
    assert mended["aliases"] == picture(twin)["aliases"]
    assert_same_tables(home, twin, TABLES[:2])


def test_clock_a_year_behind_changes_nothing(home: Path, twin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() - 365 * 86_400)
    run(home, NIGHT)
    monkeypatch.undo()
    assert_same(home, twin)


def test_two_runs_of_one_night_at_once(home: Path, twin: Path) -> None:
    first, second = driver(home), driver(home)
    for process in (first, second):
        _, told = process.communicate(timeout=300)
        assert process.returncode == 0, told[-2000:]
    assert_same(home, twin)


def test_lock_of_a_killed_holder_is_free_at_once(tmp_path: Path) -> None:
    from foretell.assets.nightly.record import family_lock

    code = (
        "import sys, time; from pathlib import Path; from foretell.assets.nightly.record import family_lock\n"
        f"with family_lock(Path({json.dumps(str(tmp_path))}), 'f'):\n    print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    freed = threading.Timer(0.5, holder.kill)
    freed.start()
    started = time.monotonic()
    with family_lock(tmp_path, "f", wait_s=20):
        assert 0.1 < time.monotonic() - started < 15
    holder.wait()
    holder.stdout.close()
