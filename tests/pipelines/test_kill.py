"""SIGKILL at any step, then run again: the same tables, nothing half-written, no empty champion."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from foretell.assets.registry.tracking import Registry

COMMAND = [sys.executable, "-m", "foretell.pipelines.cli.app", "demo"]
TABLES = ("request_traces", "thinking_tokens_examples", "thinking_tokens_noise_floor", "thinking_tokens_evaluation")
# The step after which the process dies, and how much later: in the middle of the next one.
POINTS = [("2026-11-22", 0.3), ("quarantine", 1.0), ("thinking_tokens_evaluation", 2.0)]


def run_until(home: Path, step: str, delay_s: float) -> None:
    environment = {**os.environ, "FORETELL_HOME": str(home), "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(COMMAND, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=environment)
    assert process.stderr is not None
    for line in process.stderr:
        if line.split()[:1] == [step]:
            break
    else:
        pytest.fail(f"the demo ended before the step {step}")
    time.sleep(delay_s)
    process.send_signal(signal.SIGKILL)
    assert process.wait(timeout=30) == -signal.SIGKILL


@pytest.mark.slow
@pytest.mark.parametrize(("step", "delay_s"), POINTS, ids=[step for step, _ in POINTS])
def test_demo_killed_and_run_again_ends_the_same(installed, tmp_path: Path, step: str, delay_s: float) -> None:
    from foretell.assets.store.io import read_table

    home = tmp_path / "home"
    run_until(home, step, delay_s)
    for file in (home / "lake").rglob("*.parquet"):
        pd.read_parquet(file)
    registry = Registry(f"sqlite:///{home / 'mlflow' / 'mlflow.db'}", home / "mlflow" / "artifacts")
    if (home / "mlflow" / "mlflow.db").exists():
        champion = registry.champion("thinking_tokens")
        if champion is not None:
            registry.load(champion)
    environment = {**os.environ, "FORETELL_HOME": str(home)}
    again = subprocess.run(COMMAND, capture_output=True, text=True, env=environment, timeout=600)
    assert again.returncode == 0, again.stderr
    for table in TABLES:
        expected = read_table(installed.settings.home / "lake", table)
        pd.testing.assert_frame_equal(read_table(home / "lake", table), expected)
    champion = registry.champion("thinking_tokens")
    assert champion is not None
    registry.load(champion)
    assert len(registry.family("thinking_tokens").versions) == 2
    assert [p for p in home.rglob("*.tmp") if p.parent.name != ".locks" and "lake" in p.parts] == []
