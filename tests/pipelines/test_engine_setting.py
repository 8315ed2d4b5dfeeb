"""The engine's setting, and that those who do not use it do not pay for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
from pydantic import ValidationError

from foretell.assets.engine import current_engine
from foretell.assets.resources import Workspace
from foretell.pipelines.settings import Settings
from tests.conftest import ROOT

WITHOUT_DASK = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("dask", "distributed"):
            raise ImportError(f"No module named {name!r}")
sys.meta_path.insert(0, Absent())
"""

WORK = """
from pathlib import Path
from foretell.assets.lake.traces.bulk_curation import curate_landed_days
from foretell.assets.engine import Table
from foretell.assets.judging.floors import floor_table
from foretell.assets.lake.landing.deliveries import ingest, landed_days
from foretell.assets.families.thinking_tokens.family import FAMILY
from foretell.assets.families.thinking_tokens.examples import token_examples
home = Path({home!r})
ingest([{starter!r}], home / "landing", source="starter")
curate_landed_days(landed_days(home / "landing"), home / "landing", home / "lake", None)
examples = token_examples(Table.under(home / "lake" / "request_traces"))
print(len(examples), len(floor_table(FAMILY, examples, dataset="lake")))
"""
WHO_ASKS = """
import sys
asked = set()
class Listen:
    def find_spec(self, name, path=None, target=None):
        if name in ("dask", "distributed"):
            frame = sys._getframe(1)
            while "importlib" in frame.f_code.co_filename:
                frame = frame.f_back
            asked.add(frame.f_globals["__name__"])
sys.meta_path.insert(0, Listen())
"""


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, **environment}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, env=env, cwd=ROOT, check=False
    )


def test_setting_is_local_unless_named(clean_environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DASK_SCHEDULER_ADDRESS", raising=False)
    assert (Settings().engine, Settings().scheduler) == ("local", None)
    monkeypatch.setenv("FORETELL_ENGINE", "dask")
    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", "tcp://127.0.0.1:8786")
    assert (Settings().engine, Settings().scheduler) == ("dask", "tcp://127.0.0.1:8786")
    monkeypatch.setenv("FORETELL_ENGINE", "spark")
    with pytest.raises(ValidationError, match="'local' or 'dask'"):
        Settings()


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [("FORETELL_ENGINE", "spark", "'local' or 'dask'"), ("FORETELL_ENGINE_MEMORY", "lots", "a size such as 4GB")],
)
def test_a_setting_that_is_not_usable_is_named_in_one_line(name: str, value: str, told: str, tmp_path: Path) -> None:
    code = "import sys, foretell.pipelines.cli.app as cli\nsys.argv = ['foretell', 'models']\ncli.main()"
    done = run(code, **{"FORETELL_HOME": str(tmp_path), name: value})
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert f"{name}={value} is not usable" in done.stderr
    assert told in done.stderr


def test_a_run_of_dagster_works_on_the_engine_and_lets_go_of_it(tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    seen: list[str] = []

    @dg.asset
    def look(workspace: Workspace) -> None:
        seen.append(current_engine().name)

    folders = dict.fromkeys(("starter", "home"), str(tmp_path))
    for engine in ("dask", "local"):
        assert dg.materialize_to_memory([look], resources={"workspace": Workspace(engine=engine, **folders)}).success
        assert current_engine().name == "local"
    assert seen == ["dask", "local"]


@pytest.mark.slow
def test_a_local_run_imports_everything_without_asking_for_dask(tmp_path: Path) -> None:
    # The definitions load every asset. pandera and LightGBM look for `dask.dataframe` themselves where it is
    # installed; nothing of ours does, and the cluster (`distributed`) is not loaded at all.
    code = (
        WHO_ASKS
        + "import foretell.pipelines.definitions, foretell.pipelines.cli.app, foretell.assets.lake.landing.deliveries\n"
        "import foretell.assets.judging.floors\n"
    )
    code += "print(sorted(asked), 'distributed' in sys.modules)"
    done = run(code, FORETELL_HOME=str(tmp_path), FORETELL_ENGINE="local")
    assert done.returncode == 0, done.stderr
    asked, is_loaded = done.stdout.strip().rsplit(" ", 1)
    assert is_loaded == "False"
    assert "'foretell." not in asked


@pytest.mark.slow
def test_a_local_run_works_where_dask_is_not_installed(tmp_path: Path, starter_traces: Path) -> None:
    code = WITHOUT_DASK + WORK.format(starter=str(starter_traces), home=str(tmp_path))
    done = run(code, FORETELL_HOME=str(tmp_path / "home"))
    assert (done.returncode, done.stdout.split()) == (0, ["1584", "144"]), done.stderr


@pytest.mark.slow
def test_asking_for_dask_where_it_is_not_installed_says_how_to_get_it(tmp_path: Path, starter_traces: Path) -> None:
    code = WITHOUT_DASK + "import foretell.pipelines.cli.app as cli\n"
    code += f"sys.argv = ['foretell', 'ingest', {str(starter_traces)!r}]\ncli.main()"
    done = run(code, FORETELL_HOME=str(tmp_path / "home"), FORETELL_ENGINE="dask")
    assert done.returncode == 2
    assert "pip install 'foretell[dask]'" in done.stderr
    assert "Traceback" not in done.stderr
