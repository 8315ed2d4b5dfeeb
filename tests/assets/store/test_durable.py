"""What is published is on the disk before it has its name, so that a power cut leaves the old or the new."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from foretell.assets.store.durable import publish_folder, write_text_durably


@pytest.fixture
def journal(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What was asked of the system, in order: syncs by file name, renames by the new name."""
    calls: list[tuple[str, str]] = []
    fsync, rename, replace = os.fsync, os.rename, os.replace

    def synced(descriptor: int) -> None:
        calls.append(("fsync", Path(os.readlink(f"/proc/self/fd/{descriptor}")).name))
        fsync(descriptor)

    def renamed(old, new) -> None:
        calls.append(("rename", Path(new).name))
        rename(old, new)

    def replaced(old, new) -> None:
        calls.append(("rename", Path(new).name))
        replace(old, new)

    for name, function in (("fsync", synced), ("rename", renamed), ("replace", replaced)):
        monkeypatch.setattr(os, name, function)
    return calls


def test_file_is_on_the_disk_before_its_name_and_its_name_after(tmp_path: Path, journal: list[tuple[str, str]]) -> None:
    write_text_durably("new", tmp_path / "state.json")
    assert [kind for kind, _ in journal] == ["fsync", "rename", "fsync"]
    assert journal[1:] == [("rename", "state.json"), ("fsync", tmp_path.name)]
    assert [path.name for path in tmp_path.iterdir()] == ["state.json"]


def test_every_file_of_a_folder_is_on_the_disk_before_its_name(tmp_path: Path, journal: list[tuple[str, str]]) -> None:
    fresh = tmp_path / ".fresh"
    (fresh / "inner").mkdir(parents=True)
    for name in ("a", "inner/b"):
        (fresh / name).write_text(name, "utf-8")
    publish_folder(fresh, tmp_path / "folder")
    position = journal.index(("rename", "folder"))
    assert {name for _, name in journal[:position]} == {"a", "b", "inner", ".fresh"}
    assert journal[position + 1 :] == [("fsync", tmp_path.name)]


def test_what_a_killed_process_left_of_a_file_goes_when_it_is_written_again(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    here = f".state.json.{socket.gethostname()}-"
    left = tmp_path / f"{here}{ended.pid}-a.tmp"
    others = [
        tmp_path / f"{here}{os.getppid()}-b.tmp",
        tmp_path / f".state.json.another-machine-{ended.pid}-c.tmp",
        tmp_path / f".other.json.{socket.gethostname()}-{ended.pid}-d.tmp",
    ]
    for path in (left, *others):
        path.touch()
    write_text_durably("new", tmp_path / "state.json")
    assert sorted(tmp_path.iterdir()) == sorted([*others, tmp_path / "state.json"])


def test_nothing_is_left_of_a_file_that_could_not_be_written(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text("old", "utf-8")
    with pytest.raises(UnicodeEncodeError):
        write_text_durably("\ud800", tmp_path / "state.json")
    assert [path.name for path in tmp_path.iterdir()] == ["state.json"]
    assert (tmp_path / "state.json").read_text("utf-8") == "old"
