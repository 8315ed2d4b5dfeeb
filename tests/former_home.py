"""The home of the version before homes had a number; `tests/fixtures/make_former_home.py` says how it was made."""

from __future__ import annotations

from pathlib import Path

from tests.archives import unpack

ARCHIVE = Path(__file__).with_name("fixtures") / "former_home.tar.xz"
N_ROWS = 3 * 160
IMPOSSIBLE_DAYS = ["2001-05-16", "2125-12-25"]


def unpack_former_home(folder: Path) -> Path:
    """Unpack it below `folder`; its databases name the place that it was made in."""
    unpack(ARCHIVE, folder)
    return folder / "home"
