"""What a command imports before its first result: seconds are measured by `bench/start.py`, names are tested here."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from foretell.pipelines.settings import Settings
from tests.synthetic import write_jsonl

HEAVY = {"mlflow", "dagster", "sklearn", "scipy.stats", "scipy.optimize", "lightgbm", "matplotlib", "dask",
         "great_expectations", "duckdb", "sqlalchemy", "dvc", "numpy.f2py.crackfortran", "httpx2._client"}  # fmt: skip
"""Each takes a fifth of a second or more; the last two .05, and come with scipy and the prices."""
BARE = HEAVY | {"pandas", "numpy", "pyarrow", "scipy", "pandera"}


def imports_of(*arguments: str, home: Path) -> set[str]:
    """Modules that `foretell` with these arguments imports, as ``-X importtime`` lists them."""
    command = [sys.executable, "-X", "importtime", "-m", "foretell.pipelines.cli.app", *arguments]
    environment = {**os.environ, "FORETELL_HOME": str(home)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    return set(re.findall(r"^import time: +\d+ \| +\d+ \| +(\S+)$", done.stderr, re.MULTILINE))


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]], ids=lambda arguments: arguments[0])
def test_help_and_version_import_no_table(arguments: list[str], clean_environment: Path) -> None:
    assert not imports_of(*arguments, home=clean_environment) & (BARE | {"pydantic"})


@pytest.mark.slow
def test_one_forecast_imports_neither_the_registry_nor_what_only_a_fit_needs(copied: Settings, tmp_path: Path) -> None:
    """Of a champion of this installation, and of the one that came with the package."""
    asked = write_jsonl(tmp_path / "asked.jsonl", [{"model": "SmolLM2-135M-Instruct", "prompt_text": "What is 2 + 2?"}])
    for home in (copied.home, tmp_path / "none"):
        for command in (["predict", "thinking_tokens", str(asked)], ["quote", str(asked), "--model", "gpt-5.2"]):
            assert not imports_of(*command, home=home) & HEAVY, (home.name, command)
    # Its result is a table like every other's, so pandas it may: .6 s of 1.5 (decision 1550).
    assert not imports_of("models", home=copied.home) & HEAVY


def test_a_start_is_light_and_nothing_is_missing_after_it() -> None:
    """What is put off is there once it is asked for, and cycles are searched for as usual after the first search."""
    script = (
        "import gc, sys; usual = gc.get_threshold()\n"
        "from foretell.pipelines.cli.start import start_lightly; start_lightly()\n"
        "import numpy, scipy.special\n"
        "assert 'numpy.f2py.crackfortran' not in sys.modules and gc.get_threshold() != usual\n"
        "assert numpy.f2py.get_include() and 'numpy.f2py.crackfortran' in sys.modules\n"
        "gc.collect(); assert gc.get_threshold() == usual and not gc.callbacks\n"
        "gc.collect(); assert gc.get_threshold() == usual\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
