"""Who may read what is written, and what a spreadsheet does with it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from foretell.assets.store.permissions import close_folder
from foretell.assets.store.spreadsheets import without_formulas
from tests.conftest import ROOT

WORK = """
import os, sys
os.umask(int(sys.argv[1], 8))
import pandas as pd
from pathlib import Path
from foretell.assets.lake.export import export_traces
from foretell.assets.store.io import write_table
from foretell.assets.pages import Page
from foretell.pipelines.cli.output import Output
from foretell.pipelines.settings import Settings, prepare_dagster_home, quiet_environment
settings, out = Settings(), Path(sys.argv[2])
quiet_environment(settings)
prepare_dagster_home(settings)
rows = pd.DataFrame({"model": ["=1+1"], "output_tokens": [-3]})
write_table(rows, settings.home / "lake" / "request_traces" / "2026-11-22.parquet")
(settings.home / "dagster" / "runs.db").touch()  # as sqlite makes its files
for name in ("traces.parquet", "traces.csv"):
    export_traces(rows, out / name)
Output(out=[out / "answer.csv"]).write(rows, Page("rows"))
"""


@pytest.mark.parametrize("umask", ["022", "077"])
def test_the_home_is_its_users_alone_and_what_was_asked_for_follows_the_umask(tmp_path: Path, umask: str) -> None:
    # The home was 755 and 644; exports were 644 even under umask 077.
    home, out = tmp_path / "home", tmp_path / "out"
    home.mkdir(mode=0o755)
    out.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", WORK, umask, str(out)], capture_output=True, text=True, check=False, cwd=ROOT,
        env={**os.environ, "FORETELL_HOME": str(home)}, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    modes = {path.relative_to(tmp_path).as_posix(): path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")}
    in_home = {name: mode for name, mode in modes.items() if name.startswith("home")}
    assert set(in_home.values()) == {0o700, 0o600}, in_home
    asked_for = [modes[f"out/{name}"] for name in ("traces.parquet", "traces.csv", "answer.csv")]
    assert asked_for == [0o666 & ~int(umask, 8)] * 3
    for name in ("traces.csv", "answer.csv"):
        assert (out / name).read_text("utf-8").splitlines()[1] == "'=1+1,-3"


def test_a_folder_that_is_shared_by_design_stays_open(tmp_path: Path) -> None:
    for mode, wanted in ((0o1777, 0o1777), (0o755, 0o700)):
        tmp_path.chmod(mode)
        close_folder(tmp_path)
        assert tmp_path.stat().st_mode & 0o7777 == wanted


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_a_text_that_a_spreadsheet_would_compute_is_text(start: str) -> None:
    text = start + "cmd|' /C calc'!A0"
    frame = pd.DataFrame(
        {"model": [text, "m", None], "kind": pd.Categorical([text, "k", "k"]), "delta": [-1.0, 2.0, 3.0]}
    )
    cells = without_formulas(frame)
    assert cells["model"].tolist()[:2] == ["'" + text, "m"]
    assert cells["model"].isna().tolist() == [False, False, True]
    assert cells["kind"].tolist() == ["'" + text, "k", "k"]
    pd.testing.assert_series_equal(cells["delta"], frame["delta"])
