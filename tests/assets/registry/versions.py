"""Versions to load: packed as a fit packs them, with changed code, and as Foretell made them before."""

from __future__ import annotations

import shutil
from pathlib import Path

import mlflow
import pandas as pd
from mlflow.pyfunc import PyFuncModel

from foretell.assets.registry.packing import packed
from foretell.predictors.base import BasePredictor
from tests.archives import unpack

BEFORE = Path(__file__).with_name("versions_before.tar.xz")
FAMILIES_BEFORE = ("benchmark_scores", "downstream_scaling")
LAST_LINE = "\n    return "
"""How the last line of `forecast_frame`, and of its file, begins: today's, and that of the versions before."""


def saved_version(predictor: BasePredictor, input_example: pd.DataFrame, folder: Path) -> Path:
    """A version in `folder`, as `Registry.register` logs it, without a registry."""
    version = folder / "version"
    (folder / "packed").mkdir(parents=True)
    mlflow.pyfunc.save_model(version, **packed(predictor, input_example, folder / "packed"))
    shutil.rmtree(folder / "packed")
    return version


def thousandfold(version: Path, copy: Path) -> Path:
    """A copy of a version whose code multiplies the median by 1,000; everything else is equal."""
    shutil.copytree(version, copy, ignore=shutil.ignore_patterns("__pycache__"))
    (serving,) = copy.rglob("predictors/serving.py")
    text = serving.read_text("utf-8")
    body, _, last = text.rpartition(LAST_LINE)
    assert last.count("\n") == 1
    serving.write_text(f'{body}\n    frame["median"] *= 1_000{LAST_LINE}{last}', "utf-8")
    return copy


def versions_before(folder: Path) -> dict[str, Path]:
    """Versions that import their code as `predictors`, by family."""
    unpack(BEFORE, folder)
    return {family: folder / family for family in FAMILIES_BEFORE}


def first_median(model: PyFuncModel) -> float:
    """The forecast of the first row of the model's own input example."""
    return float(model.predict(model.input_example)["median"].iloc[0])
