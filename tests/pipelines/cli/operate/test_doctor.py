"""`foretell doctor` finds each of the usual faults, names it and says what to do."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from foretell.pipelines.backups import back_up, restore
from foretell.pipelines.cli.operate.doctor import Finding, examine
from foretell.pipelines.home import HOME_VERSION, Stamp, move_addresses, write_stamp
from foretell.pipelines.settings import Settings


def damage_table(settings: Settings) -> None:
    next((settings.home / "lake").rglob("*.parquet")).write_bytes(b"PAR1 and nothing else")


def damage_database(settings: Settings) -> None:
    path = settings.home / "mlflow" / "mlflow.db"
    path.write_bytes(b"x" * 4096 + path.read_bytes()[4096:])


def lose_artefacts(settings: Settings) -> None:
    shutil.rmtree(settings.home / "mlflow" / "artifacts")


def misspell_policy(settings: Settings) -> None:
    settings.policy_file.write_text("thinking_tokens: {metrik: crps}", "utf-8")


def damage_account(settings: Settings) -> None:
    next(settings.landing.glob("*/manifest.json")).write_text('{"key": 1', "utf-8")


def flip_landed_bit(settings: Settings) -> None:
    path = next(settings.landing.glob("*/*/rows-*.parquet"))
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 3] ^= 4
    path.write_bytes(whole)


def age(settings: Settings) -> None:
    write_stamp(settings.home, Stamp(HOME_VERSION + 1, settings.home))


def lend_artefacts(settings: Settings) -> None:
    move_addresses(settings.home / "mlflow" / "mlflow.db", settings.home, settings.home.with_name("another"))


FAULTS: dict[str, tuple[Callable[[Settings], None], str]] = {
    "damaged table": (damage_table, "tables"),
    "damaged database": (damage_database, "registry database"),
    "lost artefacts": (lose_artefacts, "champion thinking_tokens"),
    "damaged account of a landed file": (damage_account, "landed files"),
    "flipped bit of landed rows": (flip_landed_bit, "landed rows"),
    "home of a newer version": (age, "version of the home"),
    "artefacts of another home": (lend_artefacts, "artefacts"),
    "misspelt policy": (misspell_policy, "promotion policy"),
}


@pytest.fixture(scope="module")
def backup(installed, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("doctor") / "backup"
    back_up(installed.settings, folder)
    return folder


@pytest.fixture
def settings(installed, backup: Path, tmp_path: Path) -> Settings:
    policy = tmp_path / "registry.yaml"
    shutil.copy(installed.settings.policy_file, policy)
    # From a backup, so that its artefacts are its own.
    alone = Settings(home=tmp_path / "alone", policy_file=policy)
    restore(alone, backup)
    return alone


def test_sound_installation_has_no_failure(settings: Settings) -> None:
    seen = {finding.check: finding for finding in examine(settings)}
    assert [f for f in seen.values() if f.status == "failure"] == []
    assert {"registry database", "run database", "tables", "unfinished runs"} <= set(seen)


@pytest.mark.parametrize(("fault", "check"), FAULTS.values(), ids=FAULTS.keys())
def test_fault_is_found_and_has_a_remedy(settings: Settings, fault, check: str) -> None:
    fault(settings)
    found = next(finding for finding in examine(settings) if finding.check == check)
    assert found.status == "failure"
    assert found.remedy


@pytest.mark.slow
def test_database_that_another_holds_is_found(settings: Settings) -> None:
    holder = sqlite3.connect(settings.home / "mlflow" / "mlflow.db", isolation_level=None)
    holder.execute("begin exclusive")
    seen = findings_of_databases(settings)
    holder.rollback()
    holder.close()
    assert seen["registry database"].status == "failure"
    assert "locked" in seen["registry database"].found


def findings_of_databases(settings: Settings) -> dict[str, Finding]:
    from foretell.pipelines.cli.operate.doctor import _databases

    return {finding.check: finding for finding in _databases(settings)}
