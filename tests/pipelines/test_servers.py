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
def test_ui_prints_both_addresses_serves_the_graph_and_binds_to_loopback_only(installed) -> None:
    ports = {"--dagster-port": free_port(), "--mlflow-port": free_port()}
    arguments = [str(part) for item in ports.items() for part in item]
    environment = {**os.environ, "FORETELL_HOME": str(installed.settings.home), "PYTHONUNBUFFERED": "1"}
    environment.pop("DAGSTER_HOME", None)
    process = subprocess.Popen(
        [sys.executable, "-m", "pipelines.cli", "ui", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    )
    try:
        assert process.stdout is not None
        printed = [line for line in (process.stdout.readline() for _ in range(2)) if "http://127.0.0.1" in line]
        assert len(printed) == 2
        query = json.dumps({"query": "{assetNodes{assetKey{path} groupName}}"}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{ports['--dagster-port']}/graphql", query, {"Content-Type": "application/json"}
        )
        nodes = json.loads(urllib.request.urlopen(request, timeout=60).read())["data"]["assetNodes"]
        assert ["thinking_tokens_model"] in [node["assetKey"]["path"] for node in nodes]
        with urllib.request.urlopen(f"http://127.0.0.1:{ports['--mlflow-port']}/health", timeout=60) as answer:
            assert answer.status == 200
        for port in ports.values():
            assert listening_addresses(port) == {LOOPBACK}
    finally:
        process.send_signal(signal.SIGINT)
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
        [*command, "-m", "pipelines.definitions"],
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
    command = [Path(sys.executable).with_name("dg"), "launch", "--job", "retrain"]
    root = Path(__file__).parent.parent.parent
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=root, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "RUN_SUCCESS" in done.stderr
