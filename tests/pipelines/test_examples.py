"""The examples for systemd, compose and Postgres are accepted by the programs that they are meant for.

Nothing here starts a container or a service: units and settings are read by their own parsers, and every command line
by the program that it names. The last test runs two nights on a real Postgres where there is one.
"""

from __future__ import annotations

import configparser
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import pytest
import typer
import yaml

from foretell.assets.nightly.record import read_record
from foretell.assets.registry.tracking import Registry
from foretell.pipelines.webservers.__main__ import DEFINITIONS, parse_arguments
from tests.conftest import ROOT
from tests.pipelines.cli.operate.test_ui import free_port

EXAMPLES = ROOT / "examples"
FAMILY = "thinking_tokens"


def command(words: list[str]) -> click.Command:
    """The command that a line starts, and what it leaves of the line."""
    name = Path(words.pop(0)).name
    if name == "foretell":
        from foretell.pipelines.cli.app import app

        group = typer.main.get_command(app)
        return group.commands[words.pop(0)].load()
    assert name == "dagster-daemon", name
    from dagster._daemon.cli import create_dagster_daemon_cli

    return create_dagster_daemon_cli().commands[words.pop(0)]


def options_of(line: str) -> dict[str, object]:
    """What the program makes of a command line; an option that it does not know raises."""
    words = shlex.split(line)
    if words[:3] == ["python", "-m", "foretell.pipelines.webservers"]:
        return vars(parse_arguments(words[3:]))
    found = command(words)
    return found.make_context(str(found.name), words).params


@pytest.fixture(scope="module")
def compose() -> dict[str, dict]:
    return yaml.safe_load((EXAMPLES / "compose.yaml").read_text("utf-8"))


def test_compose_names_only_what_it_has(compose: dict[str, dict]) -> None:
    services = compose["services"]
    for name, service in services.items():
        assert set(service.get("depends_on", {})) <= set(services), name
        for waited in service.get("depends_on", {}).values():
            assert waited == {"condition": "service_healthy"}
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert (EXAMPLES / source).is_file() if source.startswith("./") else source in compose["volumes"], volume
        # Nothing asks for a password, so nothing is reachable from elsewhere.
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
    assert "healthcheck" in services["postgres"]


def test_commands_of_compose_are_accepted_by_their_programs(compose: dict[str, dict]) -> None:
    seen = {name: options_of(service["command"]) for name, service in compose["services"].items() if name != "postgres"}
    assert seen["daemon"]["module_name"] == (DEFINITIONS,)
    assert [seen[name]["name"] for name in ("webserver", "mlflow")] == ["dagster", "mlflow"]
    server = compose["services"]["mlflow"]["environment"]
    # The daemon asks for it by this name; a server that does not know its own name answers 400.
    assert server["FORETELL_UI_HOSTS"] == "mlflow"
    store = str(server["FORETELL_TRACKING_URI"])
    assert store.endswith("@postgres/mlflow")
    # Without the driver's name SQLAlchemy 2.1 looks for psycopg 3, which the image does not have.
    assert store.startswith("postgresql+psycopg2://")
    assert "psycopg2-binary" in (ROOT / "Dockerfile").read_text("utf-8")
    settings = compose["services"]["webserver"]["environment"]
    assert settings["FORETELL_TRACKING_URI"] == f"http://mlflow:{seen['mlflow']['port']}"
    assert settings == compose["services"]["daemon"]["environment"]
    # `dagster-daemon` ends at once where it does not know its folder, which our settings tell it too late.
    assert settings["DAGSTER_HOME"] == f"{settings['FORETELL_HOME']}/dagster"
    for name in ("webserver", "daemon"):
        mounted = [volume.split(":")[1] for volume in compose["services"][name]["volumes"]]
        assert f"{settings['DAGSTER_HOME']}/dagster.yaml" in mounted


def test_settings_of_compose_are_settings_of_ours(compose: dict[str, dict]) -> None:
    from foretell.pipelines.settings import Settings

    names = {f"FORETELL_{name.upper()}" for name in Settings.model_fields}
    environments = [service.get("environment", {}) for service in compose["services"].values()]
    used = {name for environment in environments for name in environment if name.startswith("FORETELL_")}
    texts = [path.read_text("utf-8") for pattern in ("*.conf", "*.service") for path in EXAMPLES.glob(pattern)]
    used |= {name for text in texts for name in re.findall(r"FORETELL_[A-Z_]+(?==)", text)}
    assert "FORETELL_UI_HOSTS" in used
    assert used <= names


@pytest.mark.parametrize("name", ["nginx-basic.conf", "nginx-oidc.conf"])
def test_nginx_accepts_the_proxies_with_a_login(name: str, tmp_path: Path) -> None:
    text = (EXAMPLES / name).read_text("utf-8")
    assert "proxy_set_header Host              $http_host;" in text  # with its port, which origins have too
    nginx, openssl = shutil.which("nginx"), shutil.which("openssl")
    if nginx is None or openssl is None:
        pytest.skip("no nginx on this machine")
    key = ["-keyout", tmp_path / "foretell.key", "-out", tmp_path / "foretell.pem"]
    subprocess.run(
        [openssl, "req", "-x509", "-nodes", "-newkey", "rsa:2048", "-subj", "/CN=foretell", *key],
        check=True, capture_output=True,
    )  # fmt: skip
    (tmp_path / "site.conf").write_text(text.replace("/etc/nginx/foretell", f"{tmp_path}/foretell"), "utf-8")
    paths = "".join(
        f"{kind}_temp_path {tmp_path}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "scgi", "uwsgi")
    )
    http = f"http {{ access_log off; {paths} include {tmp_path}/site.conf; }}"
    whole = f"pid {tmp_path}/pid; error_log stderr; events {{}} {http}"
    (tmp_path / "nginx.conf").write_text(whole, "utf-8")
    done = subprocess.run([nginx, "-t", "-c", tmp_path / "nginx.conf"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_dagster_accepts_its_settings_for_postgres(tmp_path: Path) -> None:
    from dagster._core.instance.config import dagster_instance_config
    from dagster._core.instance.ref import InstanceRef

    shutil.copy(EXAMPLES / "dagster-postgres.yaml", tmp_path / "dagster.yaml")
    settings, _ = dagster_instance_config(str(tmp_path))
    database = settings["storage"]["postgres"]["postgres_db"]
    assert database["scheme"] == "postgresql+psycopg2"
    assert f"create database {database['db_name']} " in (EXAMPLES / "initdb.sql").read_text("utf-8")
    reference = InstanceRef.from_dir(str(tmp_path))
    assert reference.storage_data is not None
    assert reference.storage_data.module_name == "dagster_postgres"
    # An unknown key would be refused: the schema is looked at, not only the YAML.
    (tmp_path / "dagster.yaml").write_text("storage: {postgres: {postgres_db: {}}}\nrun_monitorin: {}\n", "utf-8")
    with pytest.raises(Exception, match="run_monitorin"):
        dagster_instance_config(str(tmp_path))


def test_settings_for_postgres_differ_from_the_shipped_ones_in_the_store_only() -> None:
    ours = yaml.safe_load((ROOT / "mlflow" / "dagster.yaml").read_text("utf-8"))
    theirs = yaml.safe_load((EXAMPLES / "dagster-postgres.yaml").read_text("utf-8"))
    assert theirs.pop("storage")
    assert theirs == ours


@pytest.mark.parametrize("name", ["foretell.service", "foretell-backup.service", "foretell-backup.timer"])
def test_units_of_systemd_are_units(name: str) -> None:
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str
    unit.read_string((EXAMPLES / name).read_text("utf-8"))
    for key in ("ExecStart", "ExecStartPre"):
        line = unit.get("Service", key, fallback=None)
        if line is not None and not line.startswith("/bin/sh"):
            options_of(line)
        elif line is not None:
            (inner,) = shlex.split(re.sub(r"\$\(.*?\)", "DAY", line))[2:]
            assert isinstance(options_of(inner.removeprefix("exec "))["folder"], Path)
    verify = shutil.which("systemd-analyze")
    if verify is None:
        return
    told = subprocess.run([verify, "verify", str(EXAMPLES / name)], capture_output=True, text=True, timeout=60).stderr
    # Paths and users are those of the reader's machine.
    ours = [line for line in told.splitlines() if name in line]
    faults = [line for line in ours if "not executable" not in line and "No such file" not in line]
    assert faults == []


@dataclass(frozen=True)
class Postgres:
    """A server of its own on loopback."""

    port: int

    def uri(self, database: str) -> str:
        return f"postgresql://foretell@127.0.0.1:{self.port}/{database}"


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    psycopg2 = pytest.importorskip("psycopg2", reason="pip install dagster-postgres psycopg2-binary")
    pytest.importorskip("dagster_postgres", reason="pip install dagster-postgres psycopg2-binary")
    folders = [Path(path) for path in os.environ["PATH"].split(os.pathsep)]
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    bin_ = next((folder for folder in folders if (folder / "initdb").exists()), None)
    if bin_ is None:
        pytest.skip("no Postgres server on this machine")
    # Not below pytest's folder, which nobody but its owner may enter.
    data, port = Path(tempfile.mkdtemp(prefix="foretell-postgres-")), free_port()
    who: dict[str, str] = {}
    if os.geteuid() == 0:  # the server refuses to run as root
        who = {"user": "nobody"}
        shutil.chown(data, "nobody")
    subprocess.run(
        [bin_ / "initdb", "-D", data / "db", "-U", "foretell", "-A", "trust"],
        check=True, capture_output=True, cwd=data, **who,
    )  # fmt: skip
    options = f"-p {port} -c listen_addresses=127.0.0.1 -k {data}"
    start = [bin_ / "pg_ctl", "-D", data / "db", "-w", "-o", options, "-l", data / "log", "start"]
    subprocess.run(start, check=True, stdout=subprocess.DEVNULL, cwd=data, timeout=60, **who)
    try:
        server = Postgres(port)
        store = psycopg2.connect(server.uri("postgres"))
        store.autocommit = True  # a database cannot be made within a transaction
        with store.cursor() as cursor:
            for statement in (EXAMPLES / "initdb.sql").read_text("utf-8").split(";"):
                if statement.strip():
                    cursor.execute(statement)
        store.close()
        yield server
    finally:
        stop = [bin_ / "pg_ctl", "-D", data / "db", "-m", "fast", "stop"]
        subprocess.run(stop, check=True, stdout=subprocess.DEVNULL, cwd=data, timeout=60, **who)
        shutil.rmtree(data)


@pytest.fixture
def mlflow_server(postgres: Postgres, tmp_path: Path) -> Iterator[str]:
    """The server of compose.yaml, here."""
    port = free_port()
    store = postgres.uri("mlflow").replace("postgresql:", "postgresql+psycopg2:")
    environment = {**os.environ, "FORETELL_HOME": str(tmp_path / "server"), "FORETELL_TRACKING_URI": store}
    process = subprocess.Popen(
        [sys.executable, "-m", "foretell.pipelines.webservers", "mlflow", "--port", str(port)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True, env=environment,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 180
        while time.monotonic() < deadline:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2).close()
                break
            except OSError:
                assert process.poll() is None
                time.sleep(0.5)
        yield f"http://127.0.0.1:{port}"
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=60)


@pytest.mark.slow
def test_two_nights_on_postgres(postgres: Postgres, mlflow_server: str, tmp_path: Path) -> None:
    from psycopg2 import connect

    home = tmp_path / "home"
    (home / "dagster").mkdir(parents=True)
    settings = yaml.safe_load((EXAMPLES / "dagster-postgres.yaml").read_text("utf-8"))
    database = settings["storage"]["postgres"]["postgres_db"]
    database.update(hostname="127.0.0.1", port=postgres.port)
    (home / "dagster" / "dagster.yaml").write_text(yaml.safe_dump(settings), "utf-8")
    environment = {**os.environ, "FORETELL_TRACKING_URI": mlflow_server, "POSTGRES_PASSWORD": "any"}
    environment["DAGSTER_HOME"] = str(home / "dagster")
    driver = [sys.executable, "-m", "tests.pipelines.one_night", str(home)]
    for night in range(2):
        done = subprocess.run([*driver, str(night)], capture_output=True, text=True, env=environment, timeout=300)
        assert done.returncode == 0, done.stderr[-3000:]
    registry = Registry(mlflow_server)
    record = read_record(registry, FAMILY)
    champion = registry.champion(FAMILY)
    assert record is not None
    assert champion is not None
    assert record.champion == champion.version
    registry.load(champion)
    assert len(registry.family(FAMILY).versions) == 3
    with connect(postgres.uri("dagster")) as store, store.cursor() as cursor:
        cursor.execute("select status, count(*) from runs group by 1")
        assert cursor.fetchall() == [("SUCCESS", 2)]
    assert not (home / "mlflow").exists()
    assert not list((home / "dagster").rglob("*.db"))
