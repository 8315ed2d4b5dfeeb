"""`make studies` names every script of bench/, with options that the script has."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from types import ModuleType

import pytest

from tests.conftest import ROOT

BENCH = ROOT / "bench"
APART = {"studies.py", "year_age.py"}
"""The list itself, and a script that uses up an installation."""


@pytest.fixture(scope="module")
def studies() -> ModuleType:
    spec = importlib.util.spec_from_file_location("studies", BENCH / "studies.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["studies"] = module  # a dataclass looks its module up
    spec.loader.exec_module(module)
    return module


def test_every_script_is_a_study(studies: ModuleType) -> None:
    named = {study.command.split()[0] for study in studies.STUDIES.values()}
    scripts = {path.name for path in BENCH.glob("*.py") if 'if __name__ == "__main__"' in path.read_text("utf-8")}
    assert named | APART == scripts


def test_options_are_those_of_the_script_and_pages_are_there(studies: ModuleType) -> None:
    for name, study in studies.STUDIES.items():
        script, *words = study.command.split()
        text = (BENCH / script).read_text("utf-8")
        assert [word for word in words if word.startswith("--") and f'"{word}"' not in text] == [], name
        assert not study.page or (ROOT / "docs" / "studies" / study.page).is_file(), name


def test_what_cannot_run_here_is_said_and_an_unknown_name_refused(
    studies: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FORETELL_MIRROR", raising=False)
    assert "FORETELL_MIRROR" in studies.STUDIES["tokens-lrm"].obstacle()
    assert studies.STUDIES["drift"].obstacle() == ""
    done = subprocess.run([sys.executable, BENCH / "studies.py", "drifft"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert re.search("no such study: drifft", done.stderr)
