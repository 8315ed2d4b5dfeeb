"""The asset that trains the learning-curve network: bounded, repeatable, its weights usable."""

import json
from pathlib import Path

import dagster as dg
import numpy as np
import pandas as pd
import pytest
import torch

from foretell.assets.families.learning_curves.assets import CurveNetworkConfig, learning_curve_network
from foretell.assets.resources import Workspace
from foretell.predictors.learning_curves.curves import read_curves
from foretell.predictors.learning_curves.pfn import PriorFittedNetwork

BRIEF = CurveNetworkConfig(n_curves=2_000_000, cpu_seconds=0.3, gpu_seconds=0.3)


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.mark.slow
def test_training_ends_in_time_is_not_repeated_and_its_weights_forecast(tmp_path: Path):
    workspace = Workspace(starter=str(tmp_path), home=str(tmp_path))
    frames: list[pd.DataFrame] = []

    class Keep(dg.IOManager):
        def handle_output(self, context: dg.OutputContext, obj: pd.DataFrame) -> None:
            frames.append(obj)

        def load_input(self, context: dg.InputContext) -> None:
            raise NotImplementedError

    for _ in range(2):
        result = dg.materialize(
            [learning_curve_network],
            resources={"workspace": workspace, "io_manager": Keep()},
            run_config=dg.RunConfig(ops={"learning_curve_network": BRIEF}),
        )
        assert result.success
    metadata = result.asset_materializations_for_node("learning_curve_network")[0].metadata
    assert {"curves", "seconds", "held_out_loss", "device"} <= set(metadata)
    (row,), again = (table.to_dict("records") for table in frames)
    assert 0 < int(row["curves"]) < BRIEF.n_curves, "its time ended it, not its curves"
    assert again == [row], "what is trained is not trained again"
    network = PriorFittedNetwork.load_pretrained(str(row["weights"]))
    card = json.loads(Path(row["weights"]).with_suffix(".json").read_text("utf-8"))
    assert card["curves"] == row["curves"]
    curve = pd.DataFrame({"steps": [[1, 2, 4]], "values": [[0.2, 0.3, 0.4]], "target_step": [64.0]})
    assert np.isfinite(network.forecast(read_curves(curve)).mean()).all()
