"""A consumer has mlflow and the model's own requirements, and nothing of this project."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest

from foretell.assets.registry.tracking import CHAMPION, Fit, Registry
from foretell.pipelines.settings import Settings
from foretell.predictors.learning_curves.predictor import LearningCurvePredictor
from tests.assets.registry.versions import FAMILIES_BEFORE, thousandfold, versions_before
from tests.conftest import ROOT
from tests.predictors.learning_curves.synthetic_curves import INPUTS, make_curves

CONSUMER = """
import importlib.util, json, sys
import mlflow, pandas as pd
assert not [name for name in ("assets", "pipelines", "predictors", "foretell") if importlib.util.find_spec(name)]
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model("models:/thinking_tokens@champion")
frame = pd.DataFrame({"model": ["SmolLM2-135M-Instruct", "gpt-5-mini"],
                      "prompt_text": ["What is 2 + 2?", "Prove that the square root of two is irrational."]})
print(model.predict(frame).to_json(orient="records"))
"""
MANY_VERSIONS = """
import json, sys
from concurrent.futures import ThreadPoolExecutor
import mlflow
sys.path[:0] = sys.argv[2:3]
import foretell, predictors  # of the consumer's own
from model_watch import load_version
mlflow.set_tracking_uri(sys.argv[1])
uris, threaded = json.loads(sys.argv[3]), json.loads(sys.argv[4])
first_median = lambda model: float(model.predict(model.input_example)["median"].iloc[0])
models = {uri: load_version(uri) for uri in uris}
answers = {uri: first_median(model) for uri, model in models.items()}
load = lambda uri: (uri, first_median(load_version(uri)))
with ThreadPoolExecutor(9) as pool:
    wrong = [uri for uri, answer in pool.map(load, threaded) if answer != answers[uri]]
assert foretell.MINE and predictors.MINE and not hasattr(foretell, "__version__")
print(json.dumps({"answers": answers, "wrong": wrong}))
"""
SECONDS = ["benchmark_scores", "downstream_scaling"]
"""Families that are retrained in seconds; learning curves take minutes, so that a small fit is registered instead."""


FAMILIES = ("thinking_tokens", *SECONDS, "learning_curves")
FAMILIES_OF_BEFORE = {family: f"{family}_before" for family in FAMILIES_BEFORE}
"""Names that versions of before are registered under here."""


@dataclass(frozen=True)
class Consumer:
    """An environment that holds MLflow and what the model requires, and a folder to work in."""

    python: Path
    folder: Path

    def run(self, code: str, *arguments: str) -> Any:
        """The JSON that a program printed in its last line."""
        # The consumer allows no pickle, and the model needs none.
        environment = without_ours() | {"MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"}
        command = [self.python, "-I", "-c", code, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=self.folder, timeout=300)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])


def without_ours() -> dict[str, str]:
    """The environment without what this run of the tests has set; MLflow hands its settings on to its children."""
    prefixes = ("PYTHON", "VIRTUAL", "FORETELL", "DAGSTER", "MLFLOW")
    return {name: value for name, value in os.environ.items() if not name.startswith(prefixes)}


@pytest.fixture(scope="module")
def consumer(installed, tmp_path_factory: pytest.TempPathFactory) -> Consumer:
    folder = tmp_path_factory.mktemp("consumer")
    venv.create(folder / "environment", with_pip=True)
    python = folder / "environment" / "bin" / "python"
    install = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "-c", ROOT / "constraints.txt"]
    requirements = model_requirements(installed.settings.home)
    subprocess.run([*install, "-r", requirements], check=True, env=without_ours(), cwd=folder, timeout=900)
    return Consumer(python, folder)


@pytest.fixture(scope="module")
def all_families(installed, tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """A registry with a champion of every family."""
    home = tmp_path_factory.mktemp("all_families") / "home"
    shutil.copytree(installed.settings.home, home)
    settings = Settings(home=home)
    retrain = [sys.executable, "-m", "foretell.pipelines.cli.app", "retrain", *SECONDS]
    environment = without_ours() | {"FORETELL_HOME": str(home)}
    done = subprocess.run(retrain, capture_output=True, text=True, env=environment, cwd=ROOT, timeout=900)
    assert done.returncode == 0, done.stderr
    # Version 1 of each came with foretell.
    assert [f"{family} version 2: First fit" in done.stdout for family in SECONDS] == [True, True]
    registry = Registry(settings.mlflow_uri, home / "mlflow" / "artifacts")
    register_small_curves(registry)
    return registry


def model_requirements(home: Path) -> Path:
    return next((home / "mlflow" / "artifacts").rglob("requirements.txt"))


def register_small_curves(registry: Registry) -> None:
    curves = make_curves(60, 0)
    X = curves[INPUTS].assign(higher_is_better=pd.array([True] * len(curves), dtype="boolean"))
    small = LearningCurvePredictor(location_rounds=20, scale_rounds=10, n_prefixes=3)
    small.fit(X, curves["value"], groups=curves["dataset"])
    head = pd.DataFrame([{"segment": "all", "split": "within", "metric": "crps", "value": 0.1, "predictor": "p"}])
    version = registry.register(Fit("learning_curves", "d", "d", small, head, curves, X.head(3), ""))
    registry.point("learning_curves", CHAMPION, str(version.version))


@pytest.mark.slow
def test_champion_predicts_in_an_environment_without_this_project(consumer: Consumer, all_families: Registry) -> None:
    rows = consumer.run(CONSUMER, all_families.uri)
    for row in rows:
        assert 0 < row["lower_90"] <= row["median"] <= row["upper_90"]
        assert row["mean"] > 0
    assert rows[1]["cost_mean_usd"] > 0


@pytest.mark.slow
def test_versions_of_all_families_run_their_own_code_in_one_process_of_a_consumer(
    consumer: Consumer, all_families: Registry
) -> None:
    """New and old versions, each beside one whose code answers 1,000 times as much, in both orders."""
    names = register_changed_versions(all_families, consumer.folder / "changed")
    folder = consumer.folder / "own"
    folder.mkdir()
    shutil.copy(ROOT / "examples" / "model_watch.py", folder)
    for package in ("foretell", "predictors"):
        (folder / f"{package}.py").write_text("MINE = True\n", "utf-8")
    uris = [f"models:/{name}/1" for name in names] + [f"models:/{name}/{number}" for name, number in names.items()]
    quick = ("thinking_tokens", "benchmark_scores")
    threaded = [f"models:/{name}/{number}" for name in quick for number in ("1", names[name])] * 23
    for order, loads in ((uris, threaded[:90]), (uris[::-1], [])):
        result = consumer.run(MANY_VERSIONS, all_families.uri, str(folder), json.dumps(order), json.dumps(loads))
        assert result["wrong"] == []
        answers = result["answers"]
        for name, number in names.items():
            assert answers[f"models:/{name}/{number}"] == pytest.approx(1_000 * answers[f"models:/{name}/1"], rel=1e-12)
            assert answers[f"models:/{name}/1"] > 0


def register_changed_versions(registry: Registry, folder: Path) -> dict[str, str]:
    """Of every family and of old versions, beside version 1 another with changed code; its number by name."""
    client = registry.client()
    for family, path in versions_before(folder / "before").items():
        client.create_registered_model(FAMILIES_OF_BEFORE[family])
        client.create_model_version(FAMILIES_OF_BEFORE[family], source=path.as_uri())
    changed = {}
    for name in [*FAMILIES, *FAMILIES_OF_BEFORE.values()]:
        version = Path(mlflow.artifacts.download_artifacts(f"models:/{name}/1"))
        made = client.create_model_version(name, source=thousandfold(version, folder / name).as_uri())
        changed[name] = str(made.version)
    return changed


def test_model_pins_what_it_needs(installed) -> None:
    pins = model_requirements(installed.settings.home).read_text("utf-8").split()
    assert all("==" in pin for pin in pins)
    assert {"mlflow", "lightgbm", "pandas", "safetensors"} <= {pin.split("==")[0] for pin in pins}
    assert not {"dagster", "torch", "dvc"} & {pin.split("==")[0] for pin in pins}


def test_signature_requires_the_model_alone(installed) -> None:
    Registry(installed.settings.mlflow_uri).client()  # the store that MLflow asks from now on
    model = mlflow.pyfunc.load_model("models:/thinking_tokens@champion")
    schema = model.metadata.get_input_schema()
    assert schema.required_input_names() == ["model"]
    assert {"prompt_text", "benchmark", "reasoning_effort", "max_tokens"} <= set(schema.optional_input_names())
    kinds = {column.name: str(column.type) for column in schema.inputs}
    assert (kinds["prompt_text"], kinds["max_tokens"], kinds["context_models"]) == (
        "DataType.string",
        "DataType.double",
        "Any",
    )
    assert len(model.input_example) > 0
