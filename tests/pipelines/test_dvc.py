"""The DVC pipeline in an environment of its own: it reproduces, and a second run does nothing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest
import yaml

from pipelines.step import STEPS
from predictors.families import FAMILIES

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.slow
def test_dvc_repro_works_and_a_second_run_is_a_no_op(tmp_path: Path) -> None:
    environment = tmp_path / "dvc"
    venv.create(environment, with_pip=True)
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL", "FORETELL", "DAGSTER"))}
    install = [environment / "bin" / "python", "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    subprocess.run([*install, "-r", ROOT / "dvc-requirements.txt"], check=True, env=clean, timeout=900)
    clone = tmp_path / "clone"
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file():
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, clone / name)
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "clone"]):
        subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@localhost", *command], cwd=clone, check=True)
    clean |= {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{clean['PATH']}", "PYTHONPATH": str(clone)}

    def dvc(*arguments: str) -> str:
        done = subprocess.run(
            [environment / "bin" / "dvc", *arguments], cwd=clone, env=clean, capture_output=True, text=True, timeout=900
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    first = dvc("repro")
    families = yaml.safe_load((ROOT / "params.yaml").read_text())["families"]
    assert set(families) == set(FAMILIES)
    assert all(f"Running stage '{step}@{family}'" in first for family in families for step in STEPS)
    metrics = json.loads(dvc("metrics", "show", "--json"))[""]["data"]
    assert set(metrics) == {f"data/dvc/{family}/metrics.json" for family in families}
    crps = metrics["data/dvc/thinking_tokens/metrics.json"]["data"]["crps"]
    assert 0 < crps["floor"] < crps["error"]
    again = dvc("repro")
    assert "Running stage" not in again
    assert "up to date" in again
    changed = dvc("exp", "run", "-S", "thinking_tokens.random_state=1")
    assert "Running stage 'train@thinking_tokens'" in changed
    assert "Running stage 'curate" not in changed
