"""`foretell doctor`: the usual faults of an installation, each with its remedy."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from pipelines.console import print_json, print_table
from pipelines.settings import PROJECT_ROOT, Settings
from predictors.errors import InvalidInputError
from predictors.families import FAMILIES

Status = Literal["ok", "warning", "failure"]
MIN_FREE_GB = 2
RESTORE = "foretell restore BACKUP"


@dataclass(frozen=True)
class Finding:
    """What one check saw, and what to do about it."""

    check: str
    status: Status
    found: str
    remedy: str = ""


def run_doctor(settings: Settings, *, as_json: bool) -> int:
    """Print every finding; 1 if one is a failure, else 0."""
    findings = [finding for check in CHECKS for finding in check(settings)]
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        print_table(
            "foretell doctor",
            ("check", "status", "found", "remedy"),
            [(f.check, f.status, f.found, f.remedy) for f in findings],
        )
    return int(any(finding.status == "failure" for finding in findings))


def _python(settings: Settings) -> Iterator[Finding]:
    good = sys.version_info >= (3, 11)
    yield Finding("python", "ok" if good else "failure", sys.version.split()[0], "" if good else "use Python 3.11+")


def _versions(settings: Settings) -> Iterator[Finding]:
    """Packages that differ from the tested ones; a different major version is worth a word."""
    constraints = PROJECT_ROOT / "constraints.txt"
    if not constraints.exists():
        yield Finding("versions", "warning", "no constraints.txt", "run from a clone to compare versions")
        return
    pinned = dict(line.split("==") for line in constraints.read_text("utf-8").splitlines() if "==" in line)
    core = ("dagster", "mlflow", "pandas", "numpy", "pandera", "lightgbm", "torch", "great_expectations")
    differing = []
    for name in core:
        try:
            seen = importlib.metadata.version(name).split("+")[0]
        except importlib.metadata.PackageNotFoundError:
            seen = "missing"
        if seen != pinned.get(name, seen):
            differing.append(f"{name} {seen} (tested with {pinned[name]})")
    yield Finding(
        "versions",
        "warning" if differing else "ok",
        ", ".join(differing) or f"{len(core)} core packages as tested",
        "make venv" if differing else "",
    )


def _mlflow_folder(settings: Settings) -> Iterator[Finding]:
    """A package marker in `mlflow/` would hide the real library from every import."""
    shadowed = (PROJECT_ROOT / "mlflow" / "__init__.py").exists()
    yield Finding(
        "mlflow folder",
        "failure" if shadowed else "ok",
        "mlflow/__init__.py exists" if shadowed else "configuration only",
        "delete mlflow/__init__.py" if shadowed else "",
    )


def _home(settings: Settings) -> Iterator[Finding]:
    parent = settings.home if settings.home.exists() else settings.home.parent
    writable = os.access(parent, os.W_OK)
    yield Finding(
        "home",
        "ok" if writable else "failure",
        str(settings.home),
        "" if writable else "set FORETELL_HOME to a folder you can write to",
    )
    free_gb = shutil.disk_usage(parent).free / 1e9
    low = free_gb < MIN_FREE_GB
    yield Finding("disk", "warning" if low else "ok", f"{free_gb:.0f} GB free", "make room" if low else "")


def _starter(settings: Settings) -> Iterator[Finding]:
    present = settings.starter_traces.exists()
    yield Finding(
        "bundled data",
        "ok" if present else "failure",
        str(settings.starter),
        "" if present else "the clone is incomplete: git checkout -- data/starter",
    )


def _mirror(settings: Settings) -> Iterator[Finding]:
    if settings.mirror is None:
        yield Finding("mirror", "ok", "none: public data comes from its own addresses")
    elif "://" in settings.mirror or Path(settings.mirror).is_dir():
        yield Finding("mirror", "ok", settings.mirror)
    else:
        yield Finding("mirror", "failure", f"{settings.mirror} is no folder", "set FORETELL_MIRROR to a folder or URL")


def _registry(settings: Settings) -> Iterator[Finding]:
    from pipelines.definitions import build_tracking

    if settings.tracking_uri is None and not (settings.home / "mlflow" / "mlflow.db").exists():
        yield Finding("registry", "warning", "no model yet", "foretell demo")
        return
    registry = build_tracking(settings).registry()
    for family in FAMILIES:
        try:
            champion = registry.champion(family)
            if champion is None:
                yield Finding(f"champion {family}", "warning", "none", f"foretell retrain {family}")
                continue
            registry.load(champion)
        except Exception as error:  # noqa: BLE001  whatever is wrong with the store is the finding
            remedy = f"foretell rollback {family} --why broken, or without a former champion: foretell retrain {family}"
            yield Finding(f"champion {family}", "failure", f"cannot be loaded: {error}", remedy)
            continue
        yield Finding(f"champion {family}", "ok", f"version {champion.version}")


def _policy(settings: Settings) -> Iterator[Finding]:
    from assets.policy import load_policies

    try:
        known = load_policies(settings.policy_file)
    except InvalidInputError as error:
        yield Finding("promotion policy", "failure", str(error), "correct the file; its keys are in assets/policy.py")
        return
    unknown = sorted(set(known) - set(FAMILIES))
    yield Finding(
        "promotion policy",
        "warning" if unknown else "ok",
        f"no such family: {', '.join(unknown)}" if unknown else f"{len(known)} families have one of their own",
        f"correct the names in {settings.policy_file}" if unknown else "",
    )


def _databases(settings: Settings) -> Iterator[Finding]:
    """Whether the databases are whole, and nobody holds them."""
    import sqlite3
    from contextlib import closing

    for name, path in (
        ("registry database", settings.home / "mlflow" / "mlflow.db"),
        ("run database", settings.dagster_home / "history" / "runs.db"),
    ):
        if not path.exists():
            continue
        try:
            with closing(sqlite3.connect(path, timeout=5)) as connection:
                (verdict,) = connection.execute("pragma quick_check").fetchone()
                connection.execute("begin immediate")
                connection.rollback()
        except sqlite3.Error as error:
            yield Finding(name, "failure", f"{path}: {error}", "end what holds it open, or `foretell restore`")
            continue
        good = verdict == "ok"
        yield Finding(name, "ok" if good else "failure", str(path if good else verdict), "" if good else RESTORE)


def _tables(settings: Settings) -> Iterator[Finding]:
    """Every parquet file of the lake has a readable footer."""
    import pyarrow.parquet as pq
    from pyarrow import ArrowException

    damaged, n_files = [], 0
    for path in sorted((settings.home / "lake").rglob("*.parquet")):
        n_files += 1
        try:
            pq.read_metadata(path)
        except (OSError, ArrowException):
            damaged.append(path)
    if n_files:
        yield Finding(
            "tables",
            "failure" if damaged else "ok",
            f"{len(damaged)} damaged, first {damaged[0]}" if damaged else f"{n_files} files can be read",
            "delete them and run `foretell demo`, or launch curate_day for the day" if damaged else "",
        )


def _dead_runs(settings: Settings) -> Iterator[Finding]:
    """Runs that their process left behind."""
    from pipelines.runs import dead_runs

    if not (settings.dagster_home / "history" / "runs.db").exists():
        return
    n_dead = dead_runs(settings)
    yield Finding(
        "unfinished runs",
        "warning" if n_dead else "ok",
        f"{n_dead} runs were left by a process that is gone" if n_dead else "none",
        "the daemon's run monitoring or the next `foretell demo` marks them as failed" if n_dead else "",
    )


def _telemetry(settings: Settings) -> Iterator[Finding]:
    names = ("DAGSTER_DISABLE_TELEMETRY", "MLFLOW_DISABLE_TELEMETRY", "DVC_NO_ANALYTICS", "GX_ANALYTICS_ENABLED")
    yield Finding("telemetry", "ok", ", ".join(f"{name}={os.environ.get(name)}" for name in names))


CHECKS: tuple[Callable[[Settings], Iterator[Finding]], ...] = (
    _python,
    _versions,
    _mlflow_folder,
    _home,
    _starter,
    _mirror,
    _policy,
    _databases,
    _tables,
    _dead_runs,
    _registry,
    _telemetry,
)
