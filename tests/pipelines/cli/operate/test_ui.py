"""The pages and Dagster's own command line, as real processes on loopback."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from tests.conftest import ROOT

LOOPBACK = "0100007F"  # 127.0.0.1 as /proc/net/tcp writes it
LISTEN = "0A"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listening_addresses(port: int) -> set[str]:
    lines = Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]
    sockets = [line.split()[1:4] for line in lines]
    return {local.split(":")[0] for local, _, state in sockets if state == LISTEN and int(local[-4:], 16) == port}


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="needs Linux to see who listens where")
def test_make_ui_serves_both_pages_on_loopback_only_and_ctrl_c_ends_both(
    clean_environment: Path, tmp_path: Path
) -> None:
    ports = {"--dagster-port": free_port(), "--mlflow-port": free_port()}
    options = " ".join(f"{name} {port}" for name, port in ports.items())
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(ROOT)}
    # A `make` that a `make` started says which folder it enters, on standard output.
    for name in ("DAGSTER_HOME", "MAKELEVEL", "MAKEFLAGS", "MFLAGS"):
        environment.pop(name, None)
    log = tmp_path / "servers.log"
    with log.open("wb") as errors:
        process = subprocess.Popen(
            ["make", "-o", "venv", f"BIN={Path(sys.executable).parent}", "ui", f"ARGS={options}"],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment, start_new_session=True,
        )  # fmt: skip
    try:
        assert process.stdout is not None
        printed = [line for line in (process.stdout.readline() for _ in range(2)) if "http://127.0.0.1" in line]
        assert len(printed) == 2, log.read_text("utf-8", "replace")[-4000:]
        for line in printed:
            with urllib.request.urlopen(line.split()[-1], timeout=60) as page:
                assert page.status == 200
                assert b"<html" in page.read()
        query = json.dumps({"query": "{assetNodes{assetKey{path} groupName}}"}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{ports['--dagster-port']}/graphql", query, {"Content-Type": "application/json"}
        )
        nodes = json.loads(urllib.request.urlopen(request, timeout=60).read())["data"]["assetNodes"]
        assert ["thinking_tokens_model"] in [node["assetKey"]["path"] for node in nodes]
        for port in ports.values():
            assert listening_addresses(port) == {LOOPBACK}
    finally:
        # What a terminal does on Ctrl-C: make, `foretell ui` and the servers all get the signal.
        os.killpg(process.pid, signal.SIGINT)
        process.wait(timeout=60)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and any(listening_addresses(port) for port in ports.values()):
        time.sleep(0.5)
    assert not any(listening_addresses(port) for port in ports.values())


@pytest.mark.slow
@pytest.mark.parametrize("selection", ["thinking_tokens_noise_floor", "+thinking_tokens_noise_floor"])
def test_string_selections_work_on_the_shipped_environment(copied, selection: str) -> None:
    # DVC in this environment would bring a parser that breaks these (dagster-io/dagster issue 27487).
    environment = {**os.environ, "FORETELL_HOME": str(copied.home), "DAGSTER_HOME": str(copied.dagster_home)}
    command = [sys.executable, "-m", "dagster", "asset", "materialize", "--select", selection]
    done = subprocess.run(
        [*command, "-m", "foretell.pipelines.definitions"],
        capture_output=True,
        text=True,
        env=environment,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "RUN_SUCCESS" in done.stderr


@pytest.mark.slow
def test_job_can_be_launched_by_name(copied) -> None:
    environment = {**os.environ, "FORETELL_HOME": str(copied.home), "DAGSTER_HOME": str(copied.dagster_home)}
    command = [
        sys.executable,
        "-m",
        "dagster",
        "job",
        "execute",
        "--job",
        "retrain",
        "-m",
        "foretell.pipelines.definitions",
    ]
    definitions = ["-m", "foretell.pipelines.definitions"]
    done = subprocess.run([*command, *definitions], capture_output=True, text=True, env=environment, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "RUN_SUCCESS" in done.stderr
