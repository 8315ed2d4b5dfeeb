"""`foretell doctor` finds each of the usual faults, names it and says what to do."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.doctor import CHECKS, Finding
from pipelines.settings import Settings


def findings(settings: Settings) -> dict[str, Finding]:
    return {finding.check: finding for check in CHECKS for finding in check(settings)}


def damage_table(settings: Settings) -> None:
    next((settings.home / "lake").rglob("*.parquet")).write_bytes(b"PAR1 and nothing else")


def damage_database(settings: Settings) -> None:
    path = settings.home / "mlflow" / "mlflow.db"
    path.write_bytes(b"x" * 4096 + path.read_bytes()[4096:])


def lose_artefacts(settings: Settings) -> None:
    shutil.rmtree(settings.home / "mlflow" / "artifacts")


def misspell_policy(settings: Settings) -> None:
    settings.policy_file.write_text("thinking_tokens: {metrik: crps}", "utf-8")


FAULTS: dict[str, tuple[Callable[[Settings], None], str]] = {
    "damaged table": (damage_table, "tables"),
    "damaged database": (damage_database, "registry database"),
    "lost artefacts": (lose_artefacts, "champion thinking_tokens"),
    "misspelt policy": (misspell_policy, "promotion policy"),
}


@pytest.fixture
def settings(installed, tmp_path: Path) -> Settings:
    from pipelines.backup import back_up, restore

    policy = tmp_path / "registry.yaml"
    shutil.copy(installed.settings.policy_file, policy)
    # Through a backup, so that its artefacts are its own.
    back_up(installed.settings, tmp_path / "backup")
    alone = Settings(home=tmp_path / "alone", policy_file=policy)
    restore(alone, tmp_path / "backup")
    return alone


def test_sound_installation_has_no_failure(settings: Settings) -> None:
    seen = findings(settings)
    assert [f for f in seen.values() if f.status == "failure"] == []
    assert {"registry database", "run database", "tables", "unfinished runs"} <= set(seen)


@pytest.mark.parametrize(("fault", "check"), FAULTS.values(), ids=FAULTS.keys())
def test_fault_is_found_and_has_a_remedy(settings: Settings, fault, check: str) -> None:
    fault(settings)
    found = findings(settings)[check]
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
    from pipelines.doctor import _databases

    return {finding.check: finding for finding in _databases(settings)}
