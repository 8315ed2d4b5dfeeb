"""Tests that share an installation go to one worker, so that it is made once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, group_of

FIXTURE = """
import os
from pathlib import Path
import pytest

@pytest.fixture(scope="session")
def installed():
    with Path({log!r}).open("a") as file:
        file.write(f"{{os.getpid()}}\\n")
"""


def test_files_are_grouped_by_what_they_share() -> None:
    assert group_of("tests/pipelines/cli/operate/test_doctor.py") == "installed"
    assert group_of("tests/pipelines/test_faults.py") == "faults"
    assert group_of("tests/predictors/test_all_predictors.py") is None


@pytest.mark.slow
def test_two_workers_make_one_installation(tmp_path: Path) -> None:
    pytest.importorskip("xdist")
    tests = tmp_path / "tests" / "pipelines"
    tests.mkdir(parents=True)
    (tmp_path / "pytest.ini").write_text("[pytest]\ntestpaths = tests\n", "utf-8")
    shared = (ROOT / "tests" / "conftest.py").read_text("utf-8")
    (tmp_path / "tests" / "conftest.py").write_text(shared, "utf-8")
    (tests / "conftest.py").write_text(FIXTURE.format(log=str(tmp_path / "made")), "utf-8")
    for name in ("a", "b", "c"):
        text = (
            f"import time\ndef test_{name}1(installed): time.sleep(.1)\ndef test_{name}2(installed): time.sleep(.1)\n"
        )
        (tests / f"test_{name}.py").write_text(text, "utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "2", "--dist", "loadgroup"],
        cwd=tmp_path, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert "6 passed" in done.stdout, done.stdout
    assert len((tmp_path / "made").read_text("utf-8").splitlines()) == 1
