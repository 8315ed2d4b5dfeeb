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

    assert "Running stage 'curate'" in dvc("repro")
    (metrics,) = json.loads(dvc("metrics", "show", "--json"))[""]["data"].values()
    crps = metrics["data"]["thinking_tokens"]["crps"]
    assert 0 < crps["floor"] < crps["error"]
    again = dvc("repro")
    assert "Running stage" not in again
    assert "up to date" in again
    changed = dvc("exp", "run", "-S", "thinking_tokens.random_state=1")
    assert "Running stage 'train'" in changed
    assert "Running stage 'curate'" not in changed
