"""`foretell ui`: the Dagster pages, the daemon that runs schedules and sensors, and the MLflow server."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from types import FrameType

from pipelines.console import out, say
from pipelines.settings import PROJECT_ROOT, Settings, prepare_dagster_home
from predictors.errors import ForecastError, InvalidInputError

STARTUP_S = 180


def run_ui(settings: Settings, *, host: str, dagster_port: int, mlflow_port: int) -> None:
    """Start three processes, print both addresses, and end them together."""
    for name, port in (("--dagster-port", dagster_port), ("--mlflow-port", mlflow_port)):
        if not _is_free(host, port):
            raise InvalidInputError(f"port {port} on {host} is in use; choose another with {name}")
    prepare_dagster_home(settings)
    (settings.home / "mlflow").mkdir(parents=True, exist_ok=True)
    servers = commands(settings, host=host, dagster_port=dagster_port, mlflow_port=mlflow_port)
    # What the servers print is progress; standard output holds the two addresses and nothing else.
    pages = {"FORETELL_MLFLOW_PAGES": settings.mlflow_pages or f"http://{host}:{mlflow_port}"}
    processes = {
        name: subprocess.Popen(line, cwd=PROJECT_ROOT, stdout=sys.stderr, env={**os.environ, **pages})
        for name, line in servers.items()
    }
    # A shell starts background jobs with SIGINT ignored; both signals end the servers all the same.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        for name, port in (("Dagster", dagster_port), ("MLflow", mlflow_port)):
            _wait_until_open(processes, host, port)
            out.print(f"{name}: http://{host}:{port}", markup=False)
        say("Ctrl-C ends both")
        while all(process.poll() is None for process in processes.values()):
            time.sleep(0.5)
    except KeyboardInterrupt:
        return
    finally:
        for process in processes.values():
            process.terminate()
        for process in processes.values():
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
    ended = next(name for name, process in processes.items() if process.returncode is not None)
    raise ForecastError(f"{ended} ended by itself; its last lines above say why")


def commands(settings: Settings, *, host: str, dagster_port: int, mlflow_port: int) -> dict[str, list[str]]:
    """The command line of every server."""
    definitions = ["-m", "pipelines.definitions"]
    return {
        "dagster-webserver": [
            *(sys.executable, "-m", "dagster_webserver", "-h", host, "-p", str(dagster_port)),
            *definitions,
        ],
        "dagster-daemon": [sys.executable, "-m", "dagster._daemon", "run", *definitions],
        "mlflow": [
            *(sys.executable, "-m", "mlflow", "server", "--host", host, "--port", str(mlflow_port), "--workers", "1"),
            *("--backend-store-uri", settings.mlflow_uri),
            *("--default-artifact-root", (settings.home / "mlflow" / "artifacts").as_uri()),
        ],
    }


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _is_free(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _wait_until_open(processes: dict[str, subprocess.Popen[bytes]], host: str, port: int) -> None:
    deadline = time.monotonic() + STARTUP_S
    while time.monotonic() < deadline:
        for name, process in processes.items():
            if process.poll() is not None:
                raise ForecastError(f"{name} ended with exit code {process.returncode}; its last lines above say why")
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex((host, port)) == 0:
                return
        time.sleep(0.5)
    raise ForecastError(f"nothing answers on port {port} after {STARTUP_S} s")
