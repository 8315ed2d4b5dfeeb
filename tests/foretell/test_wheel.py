"""The wheel, away from any checkout: alone on its core dependencies, and with everything installed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import time
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from foretell.predictors.thinking_tokens.predictor import ThinkingTokensPredictor
from tests.conftest import ROOT
from tests.predictors.thinking_tokens.synthetic_runs import INPUTS, make_runs

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("wheel")]

MOST_PACKAGES = 50
PARTS = ("pyproject.toml", "README.md", "LICENSE", "foretell", "predictors", "assets", "pipelines", "mlflow", "data")
CORE = """
import importlib.util, json, sys
from importlib.metadata import distributions
from importlib.resources import as_file, files
import foretell, pandas as pd

with as_file(files("foretell.starter") / "local_llm_traces.jsonl.gz") as path:
    read = foretell.read_traces(path)
predictor = foretell.load(source=sys.argv[1])
X = pd.DataFrame({"model": ["small"], "prompt_text": ["count apple"]})
ends = predictor.predict_interval(X, coverage=0.9).iloc[0].tolist()
curve = foretell.extrapolate([1, 2, 4, 8], [0.3, 0.4, 0.5, 0.55], 64).iloc[0].to_dict()
print(json.dumps({
    "n_traces": len(read.traces),
    "floor": foretell.floor(read.traces).loc["crps", "noise_floor"],
    "interval": ends,
    "curve": curve,
    "quoted": foretell.quote(["Why do leaves turn red?"], ["gpt-5"]).totals["known"].tolist(),
    "packages": sorted({d.name for d in distributions()} - {"pip", "setuptools"}),
    "present": [n for n in sys.argv[2:] if importlib.util.find_spec(n)],
    "imported": foretell.__file__,
}))
"""
ABSENT = ("dagster", "mlflow", "torch", "great_expectations", "matplotlib", "assets", "pipelines", "predictors")

SECONDS: dict[str, float] = {}
"""What the steps of a newcomer took: printed, not judged, since machines differ."""


@dataclass(frozen=True)
class Environment:
    """A virtual environment and an empty folder to work in."""

    folder: Path
    cwd: Path

    def run(self, *command: object, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        foreign = ("PYTHON", "VIRTUAL", "FORETELL", "DAGSTER", "MLFLOW")
        clean = {k: v for k, v in os.environ.items() if not k.startswith(foreign)}
        program, *arguments = map(str, command)
        program = str(self.folder / "bin" / program)
        return subprocess.run(
            [program, *arguments], capture_output=True, text=True, env=clean, cwd=self.cwd, timeout=timeout
        )

    def result(self, *command: object, timeout: float = 300) -> str:
        done = self.run(*command, timeout=timeout)
        assert done.returncode == 0, done.stderr
        return done.stdout

    @property
    def site_packages(self) -> Path:
        return next((self.folder / "lib").glob("python*/site-packages"))


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built of a copy: a build leaves folders behind, and takes in what an earlier one left."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in PARTS:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, source / name)
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(out)]
    done = subprocess.run([*build, str(source)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return next(out.glob("*.whl"))


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = make_runs(80, seed=1)
    predictor = ThinkingTokensPredictor(n_estimators=20, refit=False)
    predictor.fit(runs[INPUTS], runs["output_tokens"], groups=runs["query_id"])
    return predictor.save(tmp_path_factory.mktemp("saved") / "tokens")


@pytest.fixture(scope="session")
def core(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """What `pip install foretell` gives."""
    environment = Environment(tmp_path_factory.mktemp("core"), tmp_path_factory.mktemp("empty"))
    venv.create(environment.folder, with_pip=True)
    install = ("python", "-m", "pip", "install", "-q", "--no-compile", "--disable-pip-version-check")
    began = time.monotonic()
    environment.result(*install, "-c", ROOT / "constraints.txt", wheel, timeout=900)
    SECONDS["pip install foretell"] = time.monotonic() - began
    return environment


@pytest.fixture(scope="session")
def platform(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """The wheel beside the dependencies of the running environment, without its editable installation."""
    environment = Environment(tmp_path_factory.mktemp("platform"), tmp_path_factory.mktemp("empty"))
    venv.create(environment.folder, with_pip=True)
    bare = set(environment.site_packages.iterdir())
    environment.result("python", "-m", "pip", "install", "-q", "--no-deps", "--no-compile", wheel)
    installed = {path.name.split("-")[0] for path in set(environment.site_packages.iterdir()) - bare}
    assert installed == {"foretell"}
    # The folder of a .pth file is searched for modules, its own .pth files are not read.
    (environment.site_packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", "utf-8")
    return environment


def test_wheel_holds_everything_once_and_no_link(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = [info.filename for info in archive.infolist()]
        assert not any((info.external_attr >> 16) & 0o170000 == 0o120000 for info in archive.infolist())
    assert {name.split("/")[0].split("-")[0] for name in names} == {"foretell"}
    assert len(set(names)) == len(names)
    for ending in (
        "foretell/py.typed",
        "foretell/examples.txt",
        "foretell/config/registry.yaml",
        "foretell/starter/local_llm_traces.jsonl.gz",
        "foretell/assets/readers/presets/langfuse.yaml",
        "foretell/assets/catalog/lcdb.yaml",
        "weights/learning_curve_network.safetensors",
    ):
        assert sum(name.endswith(ending) for name in names) == 1, ending
    assert not [name for name in names if name.endswith("__init__.py") and "/config/" in name]


def test_core_reads_estimates_loads_and_extrapolates(core: Environment, saved: Path) -> None:
    answer = json.loads(core.result("python", "-c", CORE, saved, *ABSENT))
    assert answer["n_traces"] == 1584
    assert answer["quoted"] == ["model"], "public figures came with the package"
    assert 0.3 < answer["floor"] < 0.5
    assert 0 < answer["interval"][0] < answer["interval"][1]
    assert answer["curve"]["lower_90"] < answer["curve"]["median"] < answer["curve"]["upper_90"]
    assert len(answer["packages"]) <= MOST_PACKAGES, answer["packages"]
    assert answer["present"] == []
    assert Path(answer["imported"]).is_relative_to(core.folder)


def test_core_quotes_with_a_saved_predictor(core: Environment, saved: Path) -> None:
    requests = ROOT / "examples" / "inputs" / "requests.jsonl"
    quoted = core.result("foretell", "quote", requests, "--model", "small", "--predictor", saved, "--json")
    (total,) = map(json.loads, quoted.splitlines())
    assert 0 < total["tokens_lower_90"] < total["tokens_upper_90"]
    assert not list(core.cwd.iterdir())


def test_core_is_sound_to_the_doctor(core: Environment) -> None:
    findings = {f["check"]: f for f in map(json.loads, core.result("foretell", "doctor", "--json").splitlines())}
    assert findings["extras"]["remedy"] == "pip install 'foretell[dask,platform,plots,serve,tensorboard,train]'"
    assert not {"mlflow folder", "versions", "registry"} & set(findings)


@pytest.mark.parametrize("command", ["demo", "models"])
def test_core_says_in_one_line_which_extra_a_command_needs(core: Environment, command: str) -> None:
    done = core.run("foretell", command)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("foretell: this needs ")
    assert done.stderr.rstrip().endswith("which is not installed: pip install 'foretell[platform]'")
    assert "Traceback" not in done.stderr
    assert not list(core.cwd.iterdir()), "nothing is half made"


def test_platform_runs_the_demo_and_quotes_from_an_empty_folder(platform: Environment) -> None:
    assert platform.result("foretell", "--version").startswith("foretell 0.")
    platform.result("foretell", "demo", timeout=600)
    requests = ROOT / "examples" / "inputs" / "requests.jsonl"
    assert "gpt-5-mini" in platform.result("foretell", "quote", requests, "--model", "gpt-5-mini")
    assert [path.name for path in platform.cwd.iterdir()] == [".foretell"]
    doctor = [json.loads(line) for line in platform.result("foretell", "doctor", "--json").splitlines()]
    assert not {"mlflow folder", "versions"} & {finding["check"] for finding in doctor}


# -- the newcomer: how many commands, from nothing to an answer of their own ----------------------------------------
def timed(core: Environment, capsys: pytest.CaptureFixture[str], *command: object) -> subprocess.CompletedProcess[str]:
    """Run a command of a newcomer, and print what every step has taken so far."""
    began = time.monotonic()
    done = core.run(*command)
    assert done.returncode == 0, done.stderr
    SECONDS[" ".join(Path(str(word)).name for word in command if word != "--json")] = time.monotonic() - began
    with capsys.disabled():
        sys.stdout.write("".join(f"\n{seconds:6.1f} s  {step}" for step, seconds in SECONDS.items()) + "\n")
    return done


def is_honest(row: dict) -> bool:
    """An interval that says it is one of work which nobody has seen: wide, around the median, and in dollars."""
    ends = [row["usd_lower_90"], row["usd_median"], row["usd_upper_90"]]
    return 0 < ends[0] < ends[1] < ends[2] and row["tokens_upper_90"] > 5 * row["tokens_lower_90"]


def test_a_newcomer_has_a_quote_of_their_own_with_the_second_command(
    core: Environment, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = tmp_path / "own.jsonl"
    own.write_text('{"messages": [{"role": "user", "content": "Which of our invoices are overdue?"}]}\n' * 50, "utf-8")
    done = timed(core, capsys, "foretell", "quote", own, "--model", "gpt-5", "--json")
    (row,) = map(json.loads, done.stdout.splitlines())
    assert (row["model"], row["n_requests"], row["is_known_model"]) == ("gpt-5", 50, True)
    assert is_honest(row)
    assert "came with foretell" in done.stderr, "it says what it rests on"
    assert not list(core.cwd.iterdir()), "no home, no settings, nothing to set up"
    assert {"pip install foretell", "foretell quote own.jsonl --model gpt-5"} <= set(SECONDS), "two commands"


def test_a_newcomer_quotes_a_project_of_promptfoo_as_it_lies(
    core: Environment, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = shutil.copytree(ROOT / "examples" / "promptfoo", tmp_path / "evals")
    done = timed(core, capsys, "foretell", "quote", project / "promptfooconfig.yaml", "--json")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    # Four prompts x ten tests x two repeats, on the models that the configuration names, and nothing is asked for.
    assert [(row["model"], row["n_requests"], row["worst_case_tokens"]) for row in rows] == [
        (model, 80, 80 * 2000) for model in ("gpt-5-mini", "claude-haiku-4-5", "gpt-5")
    ]
    assert all(map(is_honest, rows))
    assert not list(core.cwd.iterdir())
    assert len(list(project.rglob("*"))) == len(list((ROOT / "examples" / "promptfoo").rglob("*"))), (
        "nothing is written"
    )
