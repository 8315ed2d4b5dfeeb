"""The whole pipeline on a Dask cluster leaves the tables that it leaves on this process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from tests.conftest import ROOT
from tests.pipelines.conftest import Installation

pytest.importorskip("distributed")
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("installed")]
RUN_ALL = """
import os, sys
from pathlib import Path
from foretell.pipelines.settings import Settings, quiet_environment
if __name__ == "__main__":  # the workers of the cluster begin by reading this file
    from foretell.assets.engine import on_dask
    from tests.pipelines.conftest import run_all
    on_dask.ROWS_WORTH_SENDING = 0  # the demo is small
    settings = Settings()
    quiet_environment(settings)
    os.environ["DAGSTER_HOME"] = str(settings.dagster_home)
    with settings.open_engine() as engine:
        run_all(settings)
        print(engine.name, engine.n_workers)
"""
OF_THE_RUN = {"run_id"}
"""Columns that tell two runs apart, whatever they ran on."""


def tables(home: Path) -> dict[str, pd.DataFrame]:
    lake = home / "lake"
    found = {path.relative_to(lake).as_posix(): pd.read_parquet(path) for path in sorted(lake.rglob("*.parquet"))}
    return {name: table.drop(columns=list(OF_THE_RUN & set(table.columns))) for name, table in found.items()}


def test_every_table_of_the_demo_is_the_same_on_a_cluster(installed: Installation, tmp_path: Path) -> None:
    env = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "DAGSTER_"))}
    env |= {"FORETELL_ENGINE": "dask", "FORETELL_HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT)}
    script = tmp_path / "run_all.py"
    script.write_text(RUN_ALL, "utf-8")
    command = [sys.executable, str(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=env, cwd=ROOT, check=False)
    assert (done.returncode, done.stdout.split()[-2:]) == (0, ["dask", "2"]), done.stderr
    here, there = tables(installed.settings.home), tables(tmp_path / "home")
    assert set(here) == set(there)
    assert len(here) >= 15
    for name, expected in here.items():
        pd.testing.assert_frame_equal(there[name], expected, rtol=1e-9, obj=name)
