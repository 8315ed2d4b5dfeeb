"""Training of the learning-curve network on draws of its prior: no data go in, weights come out."""

import hashlib
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import dagster as dg
import pandas as pd

from foretell.assets.resources import Workspace
from foretell.assets.store.digests import file_digest

WEIGHTS = "learning_curve_network.safetensors"


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
    row = train_curve_network(config, workspace.root / "models" / "learning_curves" / "network", log=context.log.info)
    return dg.MaterializeResult(
        value=pd.DataFrame([row]),
        metadata={**row, "weights": dg.MetadataValue.path(str(row["weights"]))},
        data_version=dg.DataVersion(str(row["digest"])),
    )


def train_curve_network(
    config: CurveNetworkConfig, store: Path, *, log: Callable[[str], None] = lambda _: None
) -> dict[str, str | int | float]:
    """Train within the time of `config`, or go on where a killed run stopped; export the averaged weights.

    Returns
    -------
    dict
        `digest` of the weights, `weights` (file), `device`, `curves`, `seconds`, `cpu_seconds` and the held-out loss
        (negative log density of fresh prior curves; lower is better).
    """
    import torch

    from foretell.collect.curve_network_prior import CurvePrior
    from foretell.collect.curve_network_train import TrainingConfig, describe, export, train

    device = "cuda" if torch.cuda.is_available() else "cpu"
    seconds = config.gpu_seconds if device == "cuda" else config.cpu_seconds
    training = TrainingConfig(
        seed=config.seed, n_curves=config.n_curves, batch=config.gpu_batch if device == "cuda" else config.batch
    )
    prior = CurvePrior()
    identity = json.dumps([asdict(training), describe(prior), seconds], sort_keys=True)
    folder = store / hashlib.sha256(identity.encode()).hexdigest()[:16]
    done = train(training, folder, max_seconds=seconds, prior=prior, device=device, progress=log)
    file = folder / WEIGHTS
    card = export(folder, file, facts={"device": device, "torch": torch.__version__, "python": sys.version.split()[0]})
    return {
        "digest": file_digest(file),
        "weights": str(file),
        "device": device,
        "curves": done.curves,
        "seconds": round(done.seconds, 1),
        "cpu_seconds": round(done.cpu_seconds, 1),
        "held_out_loss": float(card["held_out_loss"]),
    }


ASSETS = [learning_curve_network]
