"""A home of the version before opens, is migrated once and serves; a newer one is refused; a moved one follows."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from foretell.assets.lake.landing.deliveries import landed_days, load_rejects, load_rows
from foretell.assets.nightly.record import force_champion, rollback
from foretell.assets.registry.tracking import Registry
from foretell.assets.store.io import read_table
from foretell.pipelines.backups import back_up, restore, verify
from foretell.pipelines.home import HOME_FILE, HOME_VERSION, Stamp, addresses_outside, open_home, read_stamp
from foretell.pipelines.settings import Settings
from foretell.predictors.errors import DatasetError
from tests.former_home import IMPOSSIBLE_DAYS, N_ROWS, unpack_former_home
from tests.pipelines.one_night import run

FAMILY = "thinking_tokens"
QUESTION = pd.DataFrame({"model": ["large"], "prompt_text": ["math question"]})


@pytest.fixture
def former(tmp_path: Path) -> Settings:
    return Settings(home=unpack_former_home(tmp_path / "somewhere else"))


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    settings = Settings(home=unpack_former_home(tmp_path_factory.mktemp("migrated")))
    open_home(settings)
    return settings


def registry(settings: Settings) -> Registry:
    return Registry(settings.mlflow_uri, settings.home / "mlflow" / "artifacts")


def forecast(settings: Settings) -> pd.DataFrame:
    store = registry(settings)
    return store.load(store.champion(FAMILY)).predict_quantiles(QUESTION, levels=(0.05, 0.5, 0.95))


def bytes_of(home: Path) -> dict[str, bytes]:
    return {str(path.relative_to(home)): path.read_bytes() for path in home.rglob("*") if path.is_file()}


def test_former_home_is_backed_up_migrated_once_and_serves(former: Settings) -> None:
    # It was unusable before: artefacts at a place that is gone, a landed day that no calendar holds, rows put aside.
    before = bytes_of(former.home)
    notes = open_home(former)
    assert len(notes) == 4, notes
    assert read_stamp(former.home) == Stamp(HOME_VERSION, former.home)
    assert open_home(former) == []
    assert forecast(former).notna().all(axis=None)
    assert addresses_outside(former.home / "mlflow" / "mlflow.db", former.home) == []
    assert len(load_rows(former.landing)) == N_ROWS
    assert not set(landed_days(former.landing)) & set(IMPOSSIBLE_DAYS)
    rejects = load_rejects(former.landing)
    assert all(day in " ".join(rejects["reason"]) for day in IMPOSSIBLE_DAYS)
    assert not list(former.landing.glob(".old-*"))
    # As it was it is kept: files by their bytes, databases by their content.
    (kept,) = former.home.parent.glob("home.before-version-*")
    names = verify(kept)["files"]
    assert {name for name in before if "artifacts" in name or "landing/" in name} <= set(names)
    assert all((kept / name).read_bytes() == content for name, content in before.items() if "landing/" in name)


def test_migration_that_was_killed_begins_again(former: Settings) -> None:
    from foretell.assets.lake.landing.former import migrate_landing

    assert migrate_landing(former.landing)  # and dies before the home is numbered
    open_home(former)
    assert len(load_rows(former.landing)) == N_ROWS
    assert len(load_rejects(former.landing)) == len(IMPOSSIBLE_DAYS)


def test_newer_home_is_refused_in_one_line(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    settings.home.mkdir()
    (settings.home / HOME_FILE).write_text(json.dumps({"version": HOME_VERSION + 1, "place": "/x"}), "utf-8")
    before = bytes_of(settings.home)
    with pytest.raises(DatasetError, match="upgrade foretell") as refused:
        open_home(settings, create=True)
    assert "\n" not in str(refused.value)
    assert "cannot be opened" not in str(refused.value)  # one reason, not one within another
    assert str(HOME_VERSION + 1) in str(refused.value)
    assert {name: text for name, text in bytes_of(settings.home).items() if name != "run.lock"} == before


def test_damaged_number_is_one_line_with_a_remedy(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    settings.home.mkdir()
    (settings.home / HOME_FILE).write_text("{", "utf-8")
    with pytest.raises(DatasetError, match=r"home\.json: damaged.*delete it"):
        open_home(settings)


def test_new_home_is_numbered_when_it_is_made_and_nothing_is_written_before(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    assert open_home(settings) == []
    assert not settings.home.exists()
    open_home(settings, create=True)
    assert read_stamp(settings.home) == Stamp(HOME_VERSION, settings.home)
    assert [path.name for path in tmp_path.iterdir()] == ["home"]  # no backup of nothing


def test_copied_home_serves_what_lies_in_it(migrated: Settings, tmp_path: Path) -> None:
    # The copy named the artefacts of the original: doctor called it sound, and a retrain in it wrote there.
    expected = forecast(migrated)
    copy = Settings(home=Path(shutil.copytree(migrated.home, tmp_path / "the copy #2")))
    (note,) = open_home(copy)
    assert str(migrated.home) in note
    assert addresses_outside(copy.home / "mlflow" / "mlflow.db", copy.home) == []
    shutil.rmtree(migrated.home / "mlflow" / "artifacts")
    pd.testing.assert_frame_equal(forecast(copy), expected)
    shutil.copytree(copy.home / "mlflow" / "artifacts", migrated.home / "mlflow" / "artifacts")


@pytest.mark.slow
@pytest.mark.xdist_group("former")
def test_night_in_a_copy_of_a_former_home_makes_a_version_there_and_the_old_one_comes_back(
    migrated: Settings, tmp_path: Path
) -> None:
    before = bytes_of(migrated.home)
    copy = Settings(home=Path(shutil.copytree(migrated.home, tmp_path / "copy")))
    open_home(copy)
    old = registry(copy).champion(FAMILY).version
    expected = forecast(copy)
    run(copy.home, 3)
    newest = registry(copy).family(FAMILY).versions[-1]
    assert int(newest.version) == 4
    assert len(read_table(copy.home / "lake", "request_traces")) == N_ROWS + 160
    force_champion(registry(copy), FAMILY, str(newest.version), "a test")
    assert rollback(registry(copy), FAMILY, "a test").champion == str(old)
    pd.testing.assert_frame_equal(forecast(copy), expected)
    assert bytes_of(migrated.home) == before  # a copy writes only into itself
    back_up(copy, tmp_path / "backup")
    restored = Settings(home=tmp_path / "restored")
    assert restore(restored, tmp_path / "backup")["champions"] == {FAMILY: int(old)}
    assert open_home(restored) == []
    pd.testing.assert_frame_equal(forecast(restored), expected)
