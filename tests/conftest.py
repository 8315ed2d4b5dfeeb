"""Fixtures that several test packages share."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Set before any library that reads them is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")


SHARED = re.compile(r"\b(?:installed|copied)\b")
GROUP = re.compile(r"xdist_group\(\"(\w+)\"\)")


def group_of(file: str) -> str | None:
    """The tests of one group run on one worker, in turn: those that share an installation, which takes long to make."""
    text = (ROOT / file).read_text("utf-8") if (ROOT / file).is_file() else ""
    named = GROUP.search(text)
    if named is not None:
        return named[1]
    return "installed" if file.startswith("tests/pipelines/") and SHARED.search(text) else None


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log):
    """Group tests: those that share an installation, and of the fast ones all of a file, which share what it makes.

    `--dist loadgroup` groups nothing here: xdist 3.8 writes the group into an attribute that pytest 9.2 does not read.
    """
    from xdist.scheduler import LoadScopeScheduling

    groups: dict[str, str | None] = {}
    by_file = config.getoption("markexpr") == "not slow"

    class OneInstallation(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.split("::")[0]
            if file not in groups:
                groups[file] = group_of(file)
            return groups[file] or (file if by_file else nodeid)

    return OneInstallation(config, log)


@pytest.fixture(scope="session")
def mirror() -> Path:
    """The mirror of public data; skips where there is none."""
    for candidate in (os.environ.get("FORETELL_MIRROR"), ROOT.parent / "shared" / "mirror"):
        if candidate and Path(candidate).is_dir():
            return Path(candidate)
    pytest.skip("public data is not here: set FORETELL_MIRROR to a mirror of it")


@pytest.fixture(scope="session")
def starter_traces() -> Path:
    """The bundled traces."""
    return ROOT / "data" / "starter" / "local_llm_traces.jsonl.gz"


@pytest.fixture(autouse=True)
def _no_store_of_the_test_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow sets the variable to the store that was opened last."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No FORETELL_ variable but a home of its own."""
    for name in [name for name in os.environ if name.startswith("FORETELL_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("FORETELL_HOME", str(tmp_path / "home"))
    return tmp_path / "home"
