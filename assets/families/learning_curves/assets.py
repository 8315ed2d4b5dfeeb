"""Training of the learning-curve network on draws of its prior: no data go in, weights come out."""

import dagster as dg
import pandas as pd

from foretell.assets.resources import Workspace


class CurveNetworkConfig(dg.Config):
    """How long to train, and from which seed.

    The time counts over all runs with the same seed and number of curves: a run that was killed is continued, a
    finished one is not repeated. Where there is a GPU, `gpu_seconds` and `gpu_batch` hold.
    """

    seed: int = 0
    n_curves: int = 20_000_000
    cpu_seconds: float = 1_500.0
    gpu_seconds: float = 3_600.0
    batch: int = 256
    gpu_batch: int = 2_048


@dg.asset(
    group_name="collection",
    kinds={"torch"},
    description="One row: the network trained on prior curves, how long, and where its weights lie.",
)
def learning_curve_network(
    context: dg.AssetExecutionContext, config: CurveNetworkConfig, workspace: Workspace
) -> dg.MaterializeResult:
    import torch

    from foretell.collect.curve_network_train import TrainingConfig, train_once

    device, batch, seconds = "cpu", config.batch, config.cpu_seconds
    if torch.cuda.is_available():
        device, batch, seconds = "cuda", config.gpu_batch, config.gpu_seconds
    training = TrainingConfig(seed=config.seed, n_curves=config.n_curves, batch=batch)
    store = workspace.root / "models" / "learning_curves" / "network"
    row = train_once(training, store, max_seconds=seconds, device=device, progress=context.log.info)
    return dg.MaterializeResult(
        value=pd.DataFrame([row]),
        metadata={**row, "weights": dg.MetadataValue.path(str(row["weights"]))},
        data_version=dg.DataVersion(str(row["digest"])),
    )


ASSETS = [learning_curve_network]
