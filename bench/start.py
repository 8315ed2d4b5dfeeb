"""Processor seconds of a command with its start, next to ``python -c "import pandas"`` in the same run.

    python bench/start.py                  # five times each, alternating, in a home with the packaged champions
    python bench/start.py --repeats 11

Names of modules that a command may import are tested in `tests/pipelines/cli/test_start.py`; seconds are not.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

PEER = "import pandas"
COMMANDS = {
    PEER: ["-c", "import pandas"],
    "--version": ["--version"],
    "--help": ["--help"],
    "models": ["models"],
    "predict, one row": ["predict", "thinking_tokens", "asked.jsonl"],
    "quote, one row": ["quote", "asked.jsonl", "--model", "gpt-5.2"],
}
ASKED = {"model": "gpt-5.2", "prompt_text": "Prove that the square root of two is irrational.", "max_tokens": 4000}


def make_home(folder: Path) -> None:
    """Make a home whose registry holds the champions that came with the package."""
    from foretell.assets.registry.shipped import load_shipped, register_shipped
    from foretell.assets.registry.tracking import CHAMPION
    from foretell.pipelines.home import open_home
    from foretell.pipelines.settings import Settings, quiet_environment
    from foretell.predictors.families import FAMILIES

    settings = Settings(home=folder / "home")
    quiet_environment(settings)
    open_home(settings, create=True)
    registry = settings.open_registry()
    for family in FAMILIES:
        shipped = load_shipped(settings.sources.public, family)
        if shipped is not None:
            registry.point(family, CHAMPION, register_shipped(registry, shipped).version)


def cpu_seconds(arguments: Sequence[str], folder: Path) -> float:
    """Processor seconds, of user and system, of one process."""
    command = [] if arguments[0] == "-c" else ["-m", "foretell.pipelines.cli.app"]
    environment = {**os.environ, "FORETELL_HOME": str(folder / "home"), "OMP_NUM_THREADS": "1"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *command, *arguments], cwd=folder, env=environment, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(
    repeats: int, names: Sequence[str] = tuple(COMMANDS), *, has_registry: bool = True
) -> dict[str, list[float]]:
    """Seconds of each run of the commands of these names, which take turns; one run of each to warm up.

    Without a registry there is no home, and the champions that came with the package answer.
    """
    seconds: dict[str, list[float]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "asked.jsonl").write_text(json.dumps(ASKED) + "\n", "utf-8")
        if has_registry:
            make_home(Path(place))
        for turn in range(repeats + 1):
            for name in names:
                took = cpu_seconds(COMMANDS[name], Path(place))
                if turn:
                    seconds[name].append(took)
    return seconds


def main() -> None:
    """Command line; see the module's docstring."""
    parser = argparse.ArgumentParser(description="Processor seconds of a command with its start.")
    parser.add_argument("--repeats", type=int, default=5)
    seconds = measure(parser.parse_args().repeats)
    print(f"| command | CPU s, median of {len(seconds[PEER])} | least | times {PEER} |\n|---|---|---|---|")
    for name, took in seconds.items():
        ratio = np.median(np.divide(took, seconds[PEER]))
        print(f"| {name} | {np.median(took):.2f} | {min(took):.2f} | {ratio:.1f} |")


if __name__ == "__main__":
    main()
