"""A fifth family costs a folder in `predictors`, a folder in `assets` and one line: all else follows from its value."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

LINE = (
    '    "dice": Family("dice", ".dice.predictor:DicePredictor", {"middle": ".dice.baselines:MiddleBaseline"}, '
    '"middle", "pips"),\n'
)
PREDICTOR = """
import numpy as np
import pandera.pandas as pa
from pandera.typing import Series

from ..base import BasePredictor


class Throws(pa.DataFrameModel):
    sides: Series[float] = pa.Field(coerce=True)


class DicePredictor(BasePredictor):
    family = "dice"
    input_schema = Throws

    def _fit(self, X, y, groups, is_censored):
        self.share_ = float((y / X["sides"]).max())

    def _predict_quantiles(self, X, levels):
        return np.outer(X["sides"] * self.share_, levels)

    def _save(self, path):
        return {"share": self.share_}

    def _load(self, path, state):
        self.share_ = state["share"]
"""
BASELINES = """
import numpy as np

from .predictor import DicePredictor


class MiddleBaseline(DicePredictor):
    def _predict_quantiles(self, X, levels):
        return np.tile(3.5, (len(X), len(levels)))
"""
FAMILY = """
import numpy as np
import pandas as pd

from foretell.assets.judging.family import Family, predictors_of
from foretell.assets.judging.splits import held_out_splits
from foretell.assets.lake.input_tables import read_input_table
from foretell.predictors.splits import assign_split


def throws(dataset, sources):
    query = np.repeat(np.arange(300), 2)
    table = pd.DataFrame({"sides": np.where(query % 2, 6.0, 20.0), "replicate": np.arange(600) % 2})
    names = pd.Series(query).map("throw {}".format)
    return table.assign(
        query_id=names, cell_id=names, value=1 + np.random.default_rng(0).integers(0, table["sides"]).astype(float),
        is_censored=False, is_capped=False, repeat_prob=1.0, split=assign_split(names), started_at=pd.NaT,
        source=dataset,
    )


FAMILY = Family(
    **predictors_of("dice"), scale="identity", segments=("sides",), datasets=("made-up",), dataset="made-up",
    make_examples=throws, splits=lambda family, examples, dataset, sources: held_out_splits(family, examples),
    read_inputs=lambda path: read_input_table(path, columns=["sides"]), cadence="weekly",
    limits="Loaded dice were not measured.",
)
"""
LOOK = """
import json
from foretell.pipelines.definitions import defs
from foretell.pipelines.settings import Settings
graph = defs.resolve_asset_graph()
registry = Settings().open_registry()
print(json.dumps({
    "assets": sorted(key.to_user_string() for key in graph.get_all_asset_keys() if graph.get(key).group_name == "dice"),
    "report": sorted(key.to_user_string() for key in graph.get("forecast_report").parent_keys),
    "crons": {schedule.name: schedule.cron_schedule for schedule in defs.schedules},
    "card": registry.client().get_model_version("dice", registry.champion("dice").version).description,
}))
""".replace('graph.get("forecast_report")', 'graph.get(next(k for k in graph.get_all_asset_keys() if '
            'k.to_user_string() == "forecast_report"))')  # fmt: skip


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This project with a fifth family."""
    root = tmp_path_factory.mktemp("five")
    for room in ("predictors", "assets", "pipelines", "mlflow"):
        shutil.copytree(ROOT / room, root / room, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "foretell", root / "foretell", symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    (root / "data").symlink_to(ROOT / "data")
    for folder, files in {
        root / "predictors" / "dice": {"predictor": PREDICTOR, "baselines": BASELINES},
        root / "assets" / "families" / "dice": {"family": FAMILY},
    }.items():
        folder.mkdir()
        for name, text in {"__init__": "", **files}.items():
            (folder / f"{name}.py").write_text(text, "utf-8")
    listed = root / "predictors" / "families.py"
    end = '}\n"""Families by name."""'
    assert listed.read_text("utf-8").count(end) == 1
    listed.write_text(listed.read_text("utf-8").replace(end, LINE + end), "utf-8")
    return root


def run(tree: Path, *arguments: str) -> str:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("FORETELL", "DAGSTER", "MLFLOW"))}
    environment |= {"PYTHONPATH": str(tree), "FORETELL_HOME": str(tree / "home")}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
def test_a_fifth_family_is_evaluated_retrained_scheduled_and_documented(tree: Path) -> None:
    command = ("-m", "foretell.pipelines.cli.app")
    table = [
        json.loads(line)
        for line in run(tree, *command, "evaluate", "dice", "--dataset", "made-up", "--json").splitlines()
    ]
    errors = {row["predictor"]: row for row in table if row["segment"] == "all" and row["metric"] == "crps"}
    assert errors["DicePredictor"]["gain"] > 0
    assert errors["DicePredictor"]["baseline"] == "middle"
    assert {row["segment"] for row in table} >= {"sides=6.0", "sides=20.0"}
    run(tree, *command, "retrain", "dice")
    seen = json.loads(run(tree, "-c", LOOK).splitlines()[-1])
    parts = ("drift", "evaluation", "examples", "model", "noise_floor", "registered_model")
    assert seen["assets"] == [f"dice_{part}" for part in parts]
    assert "dice_drift" in seen["report"]
    assert seen["crons"]["retrain_dice"] == "0 4 * * 0"
    assert "Loaded dice were not measured." in seen["card"]
    (tree / "throws.jsonl").write_text('{"sides": 6}\n', "utf-8")
    (forecast,) = run(tree, *command, "predict", "dice", "throws.jsonl", "--json").splitlines()
    assert json.loads(forecast)["median"] == pytest.approx(3.0, abs=0.5)
