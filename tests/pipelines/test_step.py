"""The DVC pipeline: what its stages depend on, and `make dvc` in an environment of DVC's own."""

from __future__ import annotations

import importlib
import inspect
import json
import os
import pkgutil
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import pandas as pd
import pytest
import yaml

from foretell.assets.store.digests import dvc_md5
from foretell.pipelines.settings import Settings, quiet_environment
from foretell.pipelines.step import STEPS
from foretell.predictors.families import FAMILIES
from tests.conftest import ROOT

pytestmark = pytest.mark.xdist_group("dvc")
BIN = Path(sys.executable).parent
CHEAP = ("thinking_tokens", "benchmark_scores", "downstream_scaling")
"""Families that are fitted in seconds."""
PLUMBING = (
    "pipelines/settings.py", "pipelines/cli/", "assets/nightly/", "assets/registry/", "assets/resources.py",
    "assets/families/__init__.py",
)  # fmt: skip
"""What a stage may call although no output depends on it: settings, and how a family is found and registered."""
ALL = {f"{step}@{family}" for step in STEPS for family in FAMILIES}


def stages_of(*steps: str, families: tuple[str, ...] = tuple(FAMILIES)) -> set[str]:
    return {f"{step}@{family}" for step in steps for family in families}


EDITS: dict[str, set[str]] = {
    "assets/readers/core": stages_of("curate"),
    "assets/lake": stages_of("curate"),
    "assets/families/thinking_tokens": stages_of("curate")
    | stages_of("train", "evaluate", families=("thinking_tokens",)),
    "assets/judging": ALL,
    "assets/store": ALL,
    "predictors/schemas": ALL,
    "predictors/fitting/text": stages_of("train", "evaluate"),
    "predictors/base.py": stages_of("train", "evaluate"),
    "predictors/learning_curves/pfn": stages_of(*STEPS, families=("learning_curves",)),
    "predictors/metrics/estimates": stages_of("evaluate"),
    "data/starter/ladder": stages_of("curate", families=("downstream_scaling",)),
    "data/public/models.parquet": stages_of("curate"),
    "pipelines/step.py": ALL,
    "assets/nightly": set(),
    "assets/reports": set(),
    "predictors/plots": set(),
    "pipelines/cli/judge": set(),
    "docs": set(),
    "tests/predictors": set(),
}
"""Where a file is edited, and the stages that are then no longer up to date by it alone."""


def dependencies() -> dict[str, list[str]]:
    """Paths that every stage of dvc.yaml depends on, by ``step@family``."""
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text("utf-8"))["stages"]
    families = yaml.safe_load((ROOT / "params.yaml").read_text("utf-8"))["families"]
    return {
        f"{step}@{family}": [
            path.replace("${key}", family).replace("${item.data}", families[family]["data"])
            for path in stages[step]["do"]["deps"]
        ]
        for step in stages
        for family in families
    }


def test_every_family_has_every_stage_and_what_stages_depend_on_exists() -> None:
    assert set(dependencies()) == ALL
    made = "data/dvc/"
    wanted = {path for paths in dependencies().values() for path in paths if not path.startswith(made)}
    assert sorted(path for path in wanted if not (ROOT / path).exists()) == []


@pytest.mark.parametrize("family", FAMILIES)
def test_parameters_are_those_of_the_predictor(family: str) -> None:
    parameters = yaml.safe_load((ROOT / "params.yaml").read_text("utf-8"))[family]
    assert parameters
    made = FAMILIES[family].new_predictor(**parameters).get_params()
    assert {name: made[name] for name in parameters} == parameters


@contextmanager
def called_files() -> Iterator[set[str]]:
    """Collect the files of this project of which a function is called within the block."""
    names: set[str] = set()
    files: set[str] = set()

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_flags & inspect.CO_OPTIMIZED:  # a function, not a module or a class
            names.add(frame.f_code.co_filename)

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        yield files
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
        paths = [Path(name).resolve() for name in names if not name.startswith("<")]
        files |= {str(path.relative_to(ROOT)) for path in paths if path.is_relative_to(ROOT)}


@pytest.mark.slow
@pytest.mark.parametrize("family", CHEAP)
def test_a_stage_depends_on_every_module_that_it_calls(
    family: str, clean_environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)  # params.yaml is read there
    settings = Settings()
    quiet_environment(settings)
    # What is called only while a module is imported makes no output.
    for room in ("foretell.predictors", "foretell.assets"):
        for module in pkgutil.walk_packages(importlib.import_module(room).__path__, f"{room}."):
            importlib.import_module(module.name)
    for step, run in STEPS.items():
        with called_files() as files:
            run(settings, family, tmp_path)
        wanted = dependencies()[f"{step}@{family}"]
        # Versions that another test loaded run their own code, from memory.
        inner = {path for path in files if not path.startswith(("tests/", ".venv/", "foretell_", *PLUMBING))}
        missing = {path for path in inner if not any(path == dep or path.startswith(f"{dep}/") for dep in wanted)}
        assert missing == set(), f"{step}@{family} calls these, but dvc.yaml does not name them"


@dataclass(frozen=True)
class Clone:
    """A clone of the working tree, with DVC's environment beside it."""

    folder: Path
    environment: dict[str, str]

    def run(self, *command: str | Path) -> str:
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=600
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def make_dvc(self, stage: str) -> str:
        """`make dvc` in the environment of this test: nothing is installed into it."""
        return self.run("make", "-o", "venv", f"BIN={BIN}", "dvc", f"STAGES={stage}")

    def dvc(self, *arguments: str) -> str:
        return self.run(self.folder / ".venv-dvc" / "bin" / "dvc", *arguments)

    def stale(self) -> set[str]:
        """Stages that are not up to date."""
        return set(json.loads(self.dvc("status", "--json")))


def make_clone(folder: Path) -> Clone:
    """Copy what git would commit, links as links, with its times."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_symlink() or (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name, follow_symlinks=False)
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "clone"]):
        subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@localhost", *command], cwd=folder, check=True)
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL", "FORETELL", "DAGSTER"))}
    return Clone(folder, clean | {"PATH": f"{BIN}{os.pathsep}{clean['PATH']}", "PYTHONPATH": str(folder)})


@pytest.fixture(scope="module")
def dvc_environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The environment that `make dvc` installs, made once."""
    clone = make_clone(tmp_path_factory.mktemp("dvc") / "clone")
    clone.run("make", ".venv-dvc/bin/dvc")
    return clone.folder / ".venv-dvc"


@pytest.fixture
def clone(dvc_environment: Path, tmp_path: Path) -> Clone:
    clone = make_clone(tmp_path / "clone")
    (clone.folder / ".venv-dvc").symlink_to(dvc_environment)
    return clone


@pytest.mark.slow
def test_make_dvc_runs_a_family_and_a_second_run_is_a_no_op(clone: Clone) -> None:
    family = "benchmark_scores"
    first = clone.make_dvc(f"evaluate@{family}")
    assert all(f"Running stage '{step}@{family}'" in first for step in STEPS)
    metrics = json.loads(clone.dvc("metrics", "show", "--json"))[""]["data"]
    assert metrics[f"data/dvc/{family}/metrics.json"]["data"]["crps"]["error"] > 0
    locked = yaml.safe_load((clone.folder / "dvc.lock").read_text("utf-8"))["stages"][f"curate@{family}"]["outs"]
    examples = pd.read_parquet(clone.folder / "data" / "dvc" / family / "examples.parquet")
    assert [out["md5"] for out in locked] == [dvc_md5(examples)]
    again = clone.make_dvc(f"evaluate@{family}")
    assert "Running stage" not in again
    assert "up to date" in again
    changed = clone.dvc("exp", "run", "-S", f"{family}.random_state=1", f"evaluate@{family}")
    assert f"Running stage 'train@{family}'" in changed
    assert "Running stage 'curate" not in changed


@pytest.mark.slow
def test_an_edit_in_any_room_makes_the_stages_stale_that_it_should(clone: Clone) -> None:
    # Nothing is fitted: files stand in for the outputs, and DVC is told that they are what the stages made.
    for family in FAMILIES:
        outputs = clone.folder / "data" / "dvc" / family
        (outputs / "model").mkdir(parents=True)
        for name in ("examples.parquet", "model/fit.json", "evaluation.parquet", "metrics.json", "errors.csv"):
            (outputs / name).write_text("{}", "utf-8")
    clone.dvc("commit", "--force")
    assert clone.stale() == set()
    for room, expected in EDITS.items():
        place = clone.folder / room
        path = place if place.is_file() else max(file for file in place.rglob("*.*") if file.suffix in {".py", ".md"})
        before = path.read_bytes()
        path.write_bytes(before + b"\n")
        assert clone.stale() == expected, path
        path.write_bytes(before)
    compiled = clone.folder / "predictors" / "metrics" / "__pycache__" / "evaluate.cpython-311.pyc"
    compiled.parent.mkdir(exist_ok=True)
    compiled.write_bytes(b"compiled")
    assert clone.stale() == set()
