"""The asset that trains the learning-curve network: bounded, repeatable, its weights usable."""

from pathlib import Path

import dagster as dg
import numpy as np
import pandas as pd
import pytest
import torch

from assets.curve_network import CurveNetworkConfig, learning_curve_network, train_curve_network
from assets.resources import Workspace
from predictors.learning_curves.pfn import PriorFittedNetwork

BRIEF = CurveNetworkConfig(n_curves=2_000_000, cpu_seconds=0.3, gpu_seconds=0.3)


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def test_training_ends_in_time_is_not_repeated_and_its_weights_forecast(tmp_path: Path):
    row = train_curve_network(BRIEF, tmp_path)
    assert row["seconds"] < 30
    assert int(row["curves"]) > 0
    assert train_curve_network(BRIEF, tmp_path) == row
    network = PriorFittedNetwork.load_pretrained(str(row["weights"]))
    assert network.card["curves"] == row["curves"]
    assert np.isfinite(network.predict_mixture([[1, 2, 4]], [[0.2, 0.3, 0.4]], [64]).mean()).all()


def test_asset_returns_one_row_with_where_the_weights_lie(tmp_path: Path):
    workspace = Workspace(**dict.fromkeys(("landing", "models", "reports", "starter", "cache", "home"), str(tmp_path)))
    frames: list[pd.DataFrame] = []

    class Keep(dg.IOManager):
        def handle_output(self, context: dg.OutputContext, obj: pd.DataFrame) -> None:
            frames.append(obj)

        def load_input(self, context: dg.InputContext) -> None:
            raise NotImplementedError

    result = dg.materialize(
        [learning_curve_network],
        resources={"workspace": workspace, "io_manager": Keep()},
        run_config=dg.RunConfig(ops={"learning_curve_network": BRIEF}),
    )
    assert result.success
    (table,) = frames
    assert len(table) == 1
    assert Path(table["weights"].iloc[0]).is_file()
    metadata = result.asset_materializations_for_node("learning_curve_network")[0].metadata
    assert {"curves", "seconds", "held_out_loss", "device"} <= set(metadata)
