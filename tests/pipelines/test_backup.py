"""A backup that was restored serves the same champion; a damaged one is refused before anything changes."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from pathlib import Path

import pandas as pd
import pytest

from assets.io import read_table
from assets.tracking import Registry
from pipelines.backup import back_up, restore, verify
from pipelines.settings import Settings
from predictors.errors import DatasetError, InvalidInputError

FAMILY = "thinking_tokens"
QUESTION = pd.DataFrame({"model": ["SmolLM2-135M-Instruct"], "prompt_text": ["What is 2 + 2?"]})


def registry(settings: Settings) -> Registry:
    return Registry(settings.mlflow_uri, settings.home / "mlflow" / "artifacts")


def forecast(settings: Settings) -> pd.DataFrame:
    import mlflow

    registry(settings).client()
    return mlflow.pyfunc.load_model(f"models:/{FAMILY}@champion").predict(QUESTION)


@pytest.fixture(scope="module")
def saved(installed, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("backups") / "first"
    back_up(installed.settings, folder)
    return folder


def test_restored_elsewhere_it_serves_the_same_forecast_and_tables(installed, saved: Path, tmp_path: Path) -> None:
    moved = Settings(home=tmp_path / "other" / "home")
    moved.home.parent.mkdir()
    told = restore(moved, saved)
    assert told["champions"] == {FAMILY: 1}
    assert told["before"] is None
    champion = registry(moved).champion(FAMILY)
    assert champion.source.startswith("models:/") or str(moved.home) in champion.source
    expected = forecast(installed.settings)
    pd.testing.assert_frame_equal(forecast(moved), expected)
    for table in ("request_traces", "thinking_tokens_evaluation"):
        pd.testing.assert_frame_equal(
            read_table(moved.home / "lake", table), read_table(installed.settings.home / "lake", table)
        )
    # The copy stands on its own: nothing of it lies in the old home.
    with sqlite3.connect(moved.home / "mlflow" / "mlflow.db") as connection:
        dump = "\n".join(connection.iterdump())
    assert f"{installed.settings.home}/mlflow" not in dump


def test_restore_keeps_what_was_there(copied: Settings, saved: Path) -> None:
    (copied.home / "lake" / "mine.txt").write_text("mine", "utf-8")
    told = restore(copied, saved)
    assert not (copied.home / "lake" / "mine.txt").exists()
    assert (Path(told["before"]) / "lake" / "mine.txt").read_text("utf-8") == "mine"


@pytest.mark.parametrize("damage", ["changed", "missing", "extra"])
def test_damaged_backup_is_refused_and_nothing_changes(copied: Settings, saved: Path, tmp_path: Path, damage) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(saved, broken)
    victim = broken / "mlflow" / "mlflow.db"
    if damage == "changed":
        victim.write_bytes(victim.read_bytes()[:-1] + b"?")
    elif damage == "missing":
        victim.unlink()
    else:
        (broken / "lake" / "stray.parquet").write_bytes(b"")
    before = {p: p.stat().st_mtime_ns for p in copied.home.rglob("*")}
    with pytest.raises(DatasetError):
        restore(copied, broken)
    assert {p: p.stat().st_mtime_ns for p in copied.home.rglob("*")} == before


def test_backup_of_a_store_that_is_being_written_is_whole(copied: Settings, tmp_path: Path) -> None:
    client = registry(copied).client()
    experiment = client.get_experiment_by_name(FAMILY).experiment_id
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            client.create_run(experiment)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        manifest = back_up(copied, tmp_path / "backup")
    finally:
        stop.set()
        writer.join()
    assert verify(tmp_path / "backup") == manifest


def test_backup_is_refused_where_it_would_be_lost_or_mixed_up(installed, saved: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="not empty"):
        back_up(installed.settings, saved)
    with pytest.raises(InvalidInputError, match="another disk"):
        back_up(installed.settings, installed.settings.home / "backup")
    with pytest.raises(DatasetError, match="nothing to back up"):
        back_up(Settings(home=tmp_path / "new"), tmp_path / "backup")
    with pytest.raises(DatasetError, match="no backup here"):
        verify(tmp_path)
