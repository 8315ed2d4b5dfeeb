"""The trained network as a forecaster of any curve."""

from importlib.resources import files
from pathlib import Path

import numpy as np

from ...errors import DatasetError
from ..curves import CurveBatch
from .forward import ForwardPass
from .mixture import Mixture

FARTHEST = 30.0
"""Doublings between the first and the last point at most; farther ones are squeezed."""
BATCH = 64
"""Curves of one forward pass: their numbers fit into the cache of a core, larger batches are slower."""
SAVED = "network.safetensors"


def weights_file() -> Path:
    """The weights of the project; the code that a registered version carries has none, its predictor saves its own."""
    return Path(str(files(__package__))) / "weights" / "learning_curve_network.safetensors"


class PriorFittedNetwork:
    """Forecasts of learning curves in one forward pass, trained on prior curves alone (zero-shot).

    How the weights were made stands beside them, in a file of the same name that ends in ``.json``.
    """

    def __init__(self, network: ForwardPass, written: bytes) -> None:
        self.network, self.written = network, written

    def save(self, folder: Path) -> None:
        """Write the weights as they were read: a saved predictor carries every number it uses."""
        (folder / SAVED).write_bytes(self.written)

    @classmethod
    def load_pretrained(cls, path: Path | str | None = None) -> "PriorFittedNetwork":
        """Read weights that `foretell.collect.curve_network_train.export` wrote, from a file or a folder of `save`; by
        default those of the project.

        Raises
        ------
        DatasetError
            If the file is missing or not of this project.
        """
        from safetensors import SafetensorError

        path = weights_file() if path is None else Path(path)
        path = path / SAVED if path.is_dir() else path
        try:
            return cls(ForwardPass.read(path), path.read_bytes())
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise DatasetError(
                f"{path}: not the weights of a learning-curve network ({error}); train them anew"
            ) from error

    def forecast(self, batch: CurveBatch) -> Mixture:
        """Forecasts for n curves that `read_curves` read, unit scale."""
        n, k = len(batch), self.network.config.components
        weights, means, sds = np.zeros((3, n, k))
        doublings = np.maximum(batch.target, batch.last_log_x) / np.log(2)
        unit = np.minimum(1.0, FARTHEST / np.maximum(doublings, 1e-9))
        steps, targets = batch.log_x / np.log(2) * unit[:, None], doublings * unit
        order = np.argsort(batch.lengths, kind="stable")
        for start in range(0, n, BATCH):
            rows = order[start : start + BATCH]
            longest, lengths = int(batch.lengths[rows].max()), batch.lengths[rows].astype(np.int64)
            answer = self.network(steps[rows, :longest], batch.values[rows, :longest], lengths, targets[rows, None])
            log_weights, mean, sd = (part[:, 0] for part in answer)
            weights[rows], means[rows], sds[rows] = np.exp(log_weights), mean, sd
        return Mixture(weights / weights.sum(axis=1, keepdims=True), means, sds)
