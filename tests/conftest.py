"""Fixtures that several test packages share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Set before any library that reads them is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")


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


@pytest.fixture
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No FORETELL_ variable but a home of its own."""
    for name in [name for name in os.environ if name.startswith("FORETELL_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("FORETELL_HOME", str(tmp_path / "home"))
    return tmp_path / "home"
