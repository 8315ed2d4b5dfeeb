"""`foretell doctor`: the usual faults of an installation, each with its remedy."""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import typer

from foretell.assets.pages import Page, Section
from foretell.extras import EXTRAS, install_command, missing_extras
from foretell.pipelines.cli.options import flat
from foretell.pipelines.cli.output import PlainOutput
from foretell.pipelines.settings import CHECKOUT, Settings
from foretell.predictors.errors import DatasetError, ForecastError
from foretell.predictors.families import FAMILIES

Status = Literal["ok", "warning", "failure"]
MIN_FREE_GB = 2
MAX_SOURCES = 6


@dataclass(frozen=True)
class Finding:
    """What one check saw, and what to do about it."""

    check: str
    status: Status
    found: str
    remedy: str = ""


def _unless(fault: str, check: str, good: str, remedy: str, status: Status = "failure") -> Finding:
    """What a check saw: `good`, unless there is a fault; then what it is and its remedy."""
    return Finding(check, status, fault, remedy) if fault else Finding(check, "ok", good)


def examine(settings: Settings) -> Iterator[Finding]:
    """What every check says; one that cannot be made is a finding too, and no reason to leave out the others."""
    for check in CHECKS:
        name = check.__name__.strip("_").replace("_", " ")
        try:
            yield from check(settings)
        except ForecastError as error:
            yield Finding(name, "failure", str(error), "see its remedy; or `foretell restore BACKUP`")
        except Exception as error:  # noqa: BLE001  whatever stands in its way is what the user must know
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            remedy = "see the findings on home, disk and databases"
            yield Finding(name, "failure", f"cannot be checked: {reason}", remedy)


def _extras(settings: Settings) -> Iterator[Finding]:
    """What this installation can do beside the core; a core installation has no fault."""
    missing = missing_extras()
    present = sorted(set(EXTRAS.values()) - set(missing))
    yield Finding(
        "extras",
        "ok",
        f"{', '.join(present) or 'core alone'}" + (f"; without {', '.join(missing)}" if missing else ""),
        install_command(",".join(missing)) if missing else "",
    )


def _mlflow_folder(settings: Settings) -> Iterator[Finding]:
    """A package marker in `mlflow/` would hide the real library from every import."""
    if CHECKOUT is None:
        return
    fault = "mlflow/__init__.py exists" if (CHECKOUT / "mlflow" / "__init__.py").exists() else ""
    yield _unless(fault, "mlflow folder", "configuration only", "delete mlflow/__init__.py")


def _home(settings: Settings) -> Iterator[Finding]:
    parent = settings.home if settings.home.exists() else settings.home.parent
    home = str(settings.home)
    fault = "" if os.access(parent, os.W_OK) else home
    yield _unless(fault, "home", home, "set FORETELL_HOME to a folder you can write to")
    free_gb = shutil.disk_usage(parent).free / 1e9
    free = f"{free_gb:.0f} GB free"
    yield _unless(free if free_gb < MIN_FREE_GB else "", "disk", free, "make room", "warning")


def _bundled_data(settings: Settings) -> Iterator[Finding]:
    starter = str(settings.starter)
    fault = "" if settings.starter_traces.exists() else starter
    remedy = "git checkout -- data/starter" if CHECKOUT else "pip install --force-reinstall --no-deps foretell"
    yield _unless(fault, "bundled data", starter, remedy)


def _mirror(settings: Settings) -> Iterator[Finding]:
    mirror = settings.mirror or "none: public data comes from its own addresses"
    is_there = settings.mirror is None or "://" in mirror or Path(mirror).is_dir()
    yield _unless(
        "" if is_there else f"{mirror} is no folder", "mirror", mirror, "set FORETELL_MIRROR to a folder or URL"
    )


def _registry(settings: Settings) -> Iterator[Finding]:
    if "platform" in missing_extras():
        return  # `extras` says so
    if not settings.has_registry:
        yield Finding("registry", "warning", "no model yet", "foretell demo")
        return
    registry = settings.open_registry()
    for family in FAMILIES:
        try:
            champion = registry.champion(family)
            if champion is not None:
                registry.load(champion)
        except Exception as error:  # noqa: BLE001  whatever is wrong with the store is the finding
            remedy = f"foretell retrain {family}: it brings the former champion back, or makes a new one"
            yield Finding(f"champion {family}", "failure", f"cannot be loaded: {error}", remedy)
            continue
        fault, good = ("none", "") if champion is None else ("", f"version {champion.version}")
        yield _unless(fault, f"champion {family}", good, f"foretell retrain {family}", "warning")


def _promotion_policy(settings: Settings) -> Iterator[Finding]:
    from foretell.assets.registry.policy import load_policies

    policies = load_policies(settings.policy_file)
    unknown = sorted(set(policies) - set(FAMILIES))
    fault = f"no such family: {', '.join(unknown)}" if unknown else ""
    good, remedy = f"{len(policies)} families have one of their own", f"correct the names in {settings.policy_file}"
    yield _unless(fault, "promotion policy", good, remedy, "warning")


def _databases(settings: Settings) -> Iterator[Finding]:
    """Whether the databases are whole, and nobody holds them."""
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
        yield _unless("" if verdict == "ok" else str(verdict), name, str(path), "foretell restore BACKUP")


def _version_of_the_home(settings: Settings) -> Iterator[Finding]:
    """Whether this code can work with the home, and whether its artefacts lie in it."""
    from foretell.pipelines.home import addresses_outside, open_home

    yield Finding("version of the home", "ok", "; ".join(open_home(settings)) or "as this code makes it")
    strays = addresses_outside(settings.home / "mlflow" / "mlflow.db", settings.home)
    fault = f"{len(strays)} versions lie outside the home, first {strays[0]}" if strays else ""
    remedy = "register those versions anew with `foretell retrain`; a backup would miss them"
    yield _unless(fault, "artefacts", "all in the home", remedy)


def _landed_files(settings: Settings) -> Iterator[Finding]:
    """Every account of the landing zone can be read, and the tables can hold every landed day."""
    from foretell.assets.lake.landing.deliveries import landed_days, load_manifests
    from foretell.assets.store.days import has_day

    if not settings.landing.is_dir():
        return
    n_files, days = len(load_manifests(settings.landing)), landed_days(settings.landing)
    waiting = [day for day in days if not has_day(day)]
    fault = f"{len(waiting)} days are yet to come on this clock, first {waiting[0]}" if waiting else ""
    remedy = "set the clock of this machine; the days are curated when they come"
    yield _unless(fault, "landed files", f"{n_files} files", remedy, "warning")


def _tables(settings: Settings) -> Iterator[Finding]:
    """Every parquet file of the lake and of the landing zone can be read, its checksums included."""
    from foretell.assets.lake.landing.manifests import read_parquet

    for name, folder, remedy in (
        ("tables", settings.home / "lake", "delete them and run `foretell demo`, or launch curate_day for the day"),
        (
            "landed rows",
            settings.landing,
            "foretell restore BACKUP, or delete their folders and ingest the files again",
        ),
    ):
        damaged, n_files = [], 0
        for path in sorted(folder.rglob("*.parquet")):
            n_files += 1
            try:
                read_parquet(path, None)
            except DatasetError:
                damaged.append(path)
        if n_files:
            fault = f"{len(damaged)} damaged, first {damaged[0]}" if damaged else ""
            yield _unless(fault, name, f"{n_files} files can be read", remedy)


def _lake(settings: Settings) -> Iterator[Finding]:
    """Rows, sources and last night of every canonical table, and what waits for curation."""
    from foretell.assets.lake.export import connect_lake
    from foretell.assets.lake.tables.contracts import TABLES
    from foretell.assets.lake.tables.curation import stale_tables

    lake = settings.home / "lake"
    if not lake.is_dir():
        return
    stale = stale_tables(settings.landing, lake)
    with connect_lake(lake) as connection:
        for name in ("request_traces", *TABLES):
            made = [file.stat().st_mtime for file in (lake / name).glob("*.parquet")]
            if not made:
                yield Finding(f"table {name}", "ok", "nothing has landed for it yet")
                continue
            sources = connection.execute(f"select source, count(*) n from {name} group by 1 order by n desc").fetchall()
            last = f"last made {datetime.fromtimestamp(max(made), UTC):%Y-%m-%d %H:%M} UTC"
            most = ", ".join(f"{source} {n:,}" for source, n in sources[:MAX_SOURCES])
            more = f" and {len(sources) - MAX_SOURCES} more sources" if len(sources) > MAX_SOURCES else ""
            told = f"{sum(n for _, n in sources):,} rows: {most}{more}; {last}"
            fault = f"something has landed since; {told}" if name in stale else ""
            yield _unless(fault, f"table {name}", told, "foretell ingest PATH, or launch curate_tables", "warning")


def _unfinished_runs(settings: Settings) -> Iterator[Finding]:
    """Runs that their process left behind."""
    from foretell.pipelines.runs import dead_runs

    if "platform" in missing_extras() or not (settings.dagster_home / "history" / "runs.db").exists():
        return
    n_dead = dead_runs(settings)
    fault = f"{n_dead} runs were left by a process that is gone" if n_dead else ""
    remedy = "the daemon's run monitoring or the next `foretell demo` marks them as failed"
    yield _unless(fault, "unfinished runs", "none", remedy, "warning")


CHECKS = (_extras, _mlflow_folder, _home, _version_of_the_home, _bundled_data, _mirror, _promotion_policy, _databases,
          _landed_files, _tables, _lake, _unfinished_runs, _registry)  # fmt: skip
"""In this order; a check that cannot be made goes by the name of its function."""


@flat
def doctor(output: PlainOutput) -> None:
    """Look for the usual faults of an installation."""
    import pandas as pd

    findings = pd.DataFrame(list(examine(Settings())))
    open_ones = findings[findings["status"] != "ok"]
    told = [f"{row.status}: {row.check}: {row.found}; {row.remedy}" for row in open_ones.itertuples()]
    sections = [Section(table=findings, n_keys=2, prose=("found", "remedy"))]
    output.show(findings, Page("foretell doctor", sections, answer=told or ["nothing is wrong"]))
    raise typer.Exit(int((findings["status"] == "failure").any()))
