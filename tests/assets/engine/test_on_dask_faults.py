"""Workers that die, a scheduler that is restarted, memory that does not suffice: real processes on loopback."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

dask = pytest.importorskip("dask")
pytest.importorskip("distributed")

from foretell.assets.engine import EngineError, open_engine
from foretell.assets.engine.on_dask import DaskEngine
from foretell.assets.lake.landing.deliveries import ingest, landed_days, load_rows
from tests.synthetic import chat_call, write_jsonl

pytestmark = pytest.mark.slow
DAY = 86_400


@pytest.fixture(scope="module")
def engine() -> Iterator[DaskEngine]:
    """One cluster for the tests that kill its workers: each also shows that it recovered from the one before."""
    fewer_tries = dask.config.set({"distributed.scheduler.allowed-failures": 1})
    with fewer_tries, open_engine("dask", worker_memory="700MB") as engine:
        assert isinstance(engine, DaskEngine)
        yield engine


def worker_pids(engine: DaskEngine) -> list[int]:
    return sorted(engine.client.run(os.getpid).values())


@contextmanager
def killing(engine: DaskEngine, when: Callable[[], bool]) -> Iterator[list[int]]:
    """SIGKILL one worker as soon as `when` is true, while the block runs."""
    killed: list[int] = []
    victims = worker_pids(engine)

    def wait_and_kill() -> None:
        end = time.monotonic() + 60
        while not when():
            if time.monotonic() > end:
                return
            time.sleep(0.01)
        os.kill(victims[0], signal.SIGKILL)
        killed.append(victims[0])

    thread = threading.Thread(target=wait_and_kill)
    thread.start()
    yield killed
    thread.join()


def test_a_worker_killed_while_files_land_duplicates_nothing(engine: DaskEngine, tmp_path: Path) -> None:
    (tmp_path / "exports").mkdir()
    for file in range(8):
        calls = [
            chat_call(f"f{file}-{i}", prompt=f"Question {i}", created=1_790_000_000 + (i % 5) * DAY)
            for i in range(1500)
        ]
        write_jsonl(tmp_path / "exports" / f"{file}.jsonl", calls)
    with open_engine("local"):
        expected = ingest([tmp_path / "exports"], tmp_path / "local", source="gateway")
    landing = tmp_path / "landing"
    with killing(engine, lambda: any(landing.glob(".tmp-*"))) as killed:
        report = ingest([tmp_path / "exports"], landing, source="gateway")
    assert killed
    assert [file.n_rows for file in report.files] == [file.n_rows for file in expected.files]
    assert report.days == expected.days == landed_days(landing)
    keys = ["source", "request_id"]
    rows = load_rows(landing)
    assert not rows.duplicated(keys).any()
    assert sorted(rows["request_id"]) == sorted(load_rows(tmp_path / "local")["request_id"])
    assert not list(landing.glob(".tmp-*"))


def slow_rows(seed: int) -> pd.DataFrame:
    time.sleep(0.1)
    return pd.DataFrame({"key": np.arange(40_000, dtype="uint64"), "item": seed})


def test_a_worker_killed_within_a_group_loses_and_duplicates_nothing(
    engine: DaskEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with killing(engine, lambda: any(tmp_path.glob("*/*"))) as killed:
        bundles = engine.group(slow_rows, range(24), "key", lambda rows: rows)
    assert killed
    found = pd.concat(bundles)
    assert len(found) == 24 * 40_000
    assert (found.groupby("key")["item"].agg(["size", "nunique"]) == 24).all(axis=None)


def test_work_that_outgrows_a_worker_is_told_and_the_engine_goes_on(engine: DaskEngine) -> None:
    with pytest.raises(EngineError, match=r"memory did not suffice.*start the run again"):
        engine.map(_eat_slowly, [1500])
    assert engine.map(abs, [-1, -2]) == [1, 2]


def _eat_slowly(megabytes: int) -> int:
    held = []
    for _ in range(megabytes // 10):
        held.append(os.urandom(10 << 20))
        time.sleep(0.02)
    time.sleep(5)
    return len(held)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def scheduler(port: int) -> Iterator[subprocess.Popen]:
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", str(port)]
    with _process([*command, "--dashboard-address", "127.0.0.1:0"]) as process:
        yield process


@contextmanager
def worker(port: int) -> Iterator[subprocess.Popen]:
    command = [sys.executable, "-m", "distributed.cli.dask_worker", f"tcp://127.0.0.1:{port}", "--host", "127.0.0.1"]
    options = ["--nthreads", "1", "--no-dashboard", "--no-nanny", "--memory-limit", "0"]
    with _process([*command, *options]) as process:
        yield process


@contextmanager
def _process(command: list[str]) -> Iterator[subprocess.Popen]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait(timeout=20)


def test_a_scheduler_that_is_restarted_ends_the_run_clearly_and_the_next_one_works() -> None:
    port = free_port()
    address = f"tcp://127.0.0.1:{port}"
    with scheduler(port) as first, worker(port), DaskEngine(address) as engine:
        assert engine.map(abs, [-1]) == [1]
        threading.Timer(1.0, first.kill).start()
        began = time.monotonic()
        with pytest.raises(EngineError, match=r"scheduler is gone or was restarted .*start the run again"):
            engine.map(time.sleep, [20.0, 20.0])
        assert time.monotonic() - began < 60
    with scheduler(port), worker(port), DaskEngine(address) as engine:
        assert engine.map(abs, [-1, -2]) == [1, 2]
        # Workers elsewhere see no folder of the run: what is large comes by the connection.
        assert [len(rows) for rows in engine.map(slow_rows, range(3))] == [40_000] * 3
        assert sum(engine.group(slow_rows, range(3), "key", len)) == 120_000


def test_no_scheduler_at_the_address_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("foretell.assets.engine.on_dask.CONNECT_SECONDS", 1)
    with (
        DaskEngine(f"tcp://127.0.0.1:{free_port()}") as engine,
        pytest.raises(EngineError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1"),
    ):
        engine.map(abs, [1])


RUN = """
import os, time
from foretell.assets.engine import open_engine
def main():
    with open_engine("dask") as engine:
        print(*engine.client.run(os.getpid).values(), flush=True)
        engine.map(time.sleep, [60, 60])
if __name__ == "__main__":
    main()
"""


def test_a_run_that_is_killed_leaves_no_worker_behind(tmp_path: Path) -> None:
    (tmp_path / "run.py").write_text(RUN, "utf-8")
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    with subprocess.Popen(
        [sys.executable, str(tmp_path / "run.py")], stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        pids = [int(pid) for pid in process.stdout.readline().split()]
        process.kill()
    assert len(pids) == 2
    end = time.monotonic() + 30
    while any(Path(f"/proc/{pid}").exists() for pid in pids) and time.monotonic() < end:
        time.sleep(0.2)
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
