"""`foretell ui`: the Dagster pages, the daemon that runs schedules and sensors, and the MLflow server."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from typing import Annotated

import typer

from foretell.pipelines.cli.console import out, say
from foretell.pipelines.home import open_home
from foretell.pipelines.settings import Settings
from foretell.pipelines.webservers.guard import EVERY_INTERFACE
from foretell.predictors.errors import ForecastError, InvalidInputError

STARTUP_S = 180


def ui(
    dagster_port: Annotated[int, typer.Option(help="Port of the Dagster UI.")] = 3000,
    mlflow_port: Annotated[int, typer.Option(help="Port of the MLflow server.")] = 5000,
    host: Annotated[str, typer.Option(help="Address to bind; loopback unless you know better.")] = "127.0.0.1",
) -> None:
    """Start the Dagster UI (with schedules and sensors) and the MLflow server; Ctrl-C ends both."""
    settings = Settings()
    for name, port in (("--dagster-port", dagster_port), ("--mlflow-port", mlflow_port)):
        if not _is_free(host, port):
            raise InvalidInputError(f"port {port} on {host} is in use; choose another with {name}")
    open_home(settings, create=True)
    (settings.home / "mlflow").mkdir(parents=True, exist_ok=True)
    _make_databases(settings)
    servers = commands(settings, host=host, dagster_port=dagster_port, mlflow_port=mlflow_port)
    # What the servers print is progress; standard output holds the two addresses and nothing else.
    pages = {
        "FORETELL_HOME": str(settings.home),
        "FORETELL_MLFLOW_PAGES": settings.mlflow_pages or f"http://{host}:{mlflow_port}",
    }
    processes = {
        name: subprocess.Popen(line, stdout=sys.stderr, env={**os.environ, **pages}) for name, line in servers.items()
    }
    # A shell starts background jobs with SIGINT ignored; both signals end the servers all the same.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        for name, port in (("Dagster", dagster_port), ("MLflow", mlflow_port)):
            _wait_until_open(processes, host, port)
            out.print(f"{name}: http://{host}:{port}")
        if host in EVERY_INTERFACE and not settings.ui_hosts:
            say("the pages answer to loopback only: set FORETELL_UI_HOSTS to the names that others know them by")
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


def _make_databases(settings: Settings) -> None:
    """Make Dagster's databases before two processes do so at once, of which one would fail."""
    from dagster import DagsterInstance

    with DagsterInstance.from_config(str(settings.dagster_home)) as instance:
        instance.get_runs(limit=1)
        instance.get_latest_materialization_events([])
        instance.all_instigator_state()


def commands(settings: Settings, *, host: str, dagster_port: int, mlflow_port: int) -> dict[str, list[str]]:
    """The command line of every server."""
    pages = [sys.executable, "-m", "foretell.pipelines.webservers"]
    return {
        "dagster-webserver": [*pages, "dagster", "--host", host, "--port", str(dagster_port)],
        "dagster-daemon": [sys.executable, "-m", "dagster._daemon", "run", "-m", "foretell.pipelines.definitions"],
        "mlflow": [*pages, "mlflow", "--host", host, "--port", str(mlflow_port)],
    }


def _is_free(host: str, port: int) -> bool:
    try:
        socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except OSError:
        return False
    return True


def _wait_until_open(processes: dict[str, subprocess.Popen[bytes]], host: str, port: int) -> None:
    deadline = time.monotonic() + STARTUP_S
    while time.monotonic() < deadline:
        for name, process in processes.items():
            if process.poll() is not None:
                raise ForecastError(f"{name} ended with exit code {process.returncode}; its last lines above say why")
        with suppress(OSError):
            socket.create_connection((host, port), timeout=1).close()
            return
        time.sleep(0.5)
    raise ForecastError(f"nothing answers on port {port} after {STARTUP_S} s")
