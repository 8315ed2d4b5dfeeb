"""A night in a process of its own, for tests that kill it: ``one_night.py HOME NIGHT [STEP]`` dies after STEP.

Nights are those of bench/year_study.py: the real job and stores, a cheap predictor, seconds each.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from pathlib import Path
from types import ModuleType

from tests.conftest import ROOT

QUERIES = 80


def year_study() -> ModuleType:
    """The study's module, which is no part of a package."""
    folder = str(ROOT / "bench")
    if folder not in sys.path:
        sys.path.append(folder)
    return importlib.import_module("year_study")


def run(home: Path, night: int, die_after: str | None = None) -> None:
    """Land and run one night; SIGKILL after the step `die_after`."""
    study = year_study()
    world = study.World(30, queries=QUERIES)
    settings, _, run_night = study.install(home, world, window_days=60)
    import dagster as dg

    @dg.success_hook(name="die")
    def die(context: dg.HookContext) -> None:
        if context.op.name == die_after:
            os.kill(os.getpid(), signal.SIGKILL)

    run_night(study.land(settings, world, night), frozenset({die}) if die_after else frozenset())


if __name__ == "__main__":
    run(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else None)
