"""The trained network as a forecaster of any curve."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from predictors.errors import DatasetError
from predictors.learning_curves.pfn.mixture import Mixture
from predictors.learning_curves.pfn.scaling import Prefixes, read_prefixes

if TYPE_CHECKING:
    from predictors.learning_curves.pfn.network import CurveNetwork

__all__ = ["WEIGHTS", "PriorFittedNetwork"]

WEIGHTS = Path(str(files("predictors.learning_curves.pfn"))) / "weights" / "learning_curve_network.safetensors"
BATCH = 256


class PriorFittedNetwork:
    """Forecasts of learning curves in one forward pass, trained on prior curves alone (zero-shot).

    Parameters
    ----------
    network : CurveNetwork
        Kept in evaluation mode.
    card : dict
        How the weights were made.
    """

    def __init__(self, network: CurveNetwork, card: dict[str, Any] | None = None) -> None:
        self.network = network.eval().double()  # in single precision a forecast would depend on its neighbours
        self.card = card or {}

    @classmethod
    def load_pretrained(cls, file: Path | str = WEIGHTS) -> PriorFittedNetwork:
        """Read weights that `predictors.learning_curves.pfn.train.export` wrote; by default those of the project.

        Raises
        ------
        DatasetError
            If the file is missing or not of this project.
        """
        from safetensors import SafetensorError, safe_open

        from predictors.learning_curves.pfn.network import CurveNetwork, NetworkConfig

        path = Path(file)
        try:
            with safe_open(path, framework="pt") as handle:
                header = json.loads((handle.metadata() or {})["foretell"])
                weights = {name: handle.get_tensor(name).double() for name in handle.keys()}  # noqa: SIM118
            network = CurveNetwork(NetworkConfig(**header["network"])).double()
            network.load_state_dict(weights)
            card_file = path.with_suffix(".json")
            card = json.loads(card_file.read_text("utf-8")) if card_file.exists() else {}
        except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
            raise DatasetError(
                f"{path}: not the weights of a learning-curve network ({error}); train them anew"
            ) from error
        return cls(network, card)

    def predict_mixture(
        self,
        steps: Sequence[ArrayLike],
        values: Sequence[ArrayLike],
        target_steps: ArrayLike,
        *,
        lower: ArrayLike = 0.0,
        upper: ArrayLike = 1.0,
        higher_is_better: ArrayLike = True,
    ) -> Mixture:
        """Forecast the value of each curve at its target step.

        Parameters
        ----------
        steps, values : sequence of n array-likes
            Observed points of each curve, at least one, in any order and any unit; repeated steps are averaged, more
            than 32 points thinned at even log steps.
        target_steps : array-like of shape (n,)
            Step of the forecast, not before the last observed one, in the unit of `steps`.
        lower, upper : float or array-like of shape (n,)
            Bounds of the metric; infinite where it has none. A metric without bounds is scaled by its observed range.
        higher_is_better : bool or array-like of shape (n,)
            Direction of the metric.

        Returns
        -------
        Mixture
            n rows, in the unit of the metric, truncated to the bounds.

        Raises
        ------
        InvalidInputError
            As `read_prefixes`.
        """
        return self.forecast(
            read_prefixes(steps, values, target_steps, lower=lower, upper=upper, higher_is_better=higher_is_better)
        )

    def forecast(self, prefixes: Prefixes) -> Mixture:
        """Forecast curves that are scaled already; n rows in the unit of the metric."""
        import torch

        n, k = len(prefixes.lengths), self.network.config.components
        weights, means, sds = (np.zeros((n, k)) for _ in range(3))
        order = np.argsort(prefixes.lengths, kind="stable")
        for start in range(0, n, BATCH):
            rows = order[start : start + BATCH]
            longest = int(prefixes.lengths[rows].max())
            inputs = (
                torch.as_tensor(prefixes.log_steps[rows, :longest], dtype=torch.float64),
                torch.as_tensor(prefixes.values[rows, :longest], dtype=torch.float64),
                torch.as_tensor(prefixes.lengths[rows]),
                torch.as_tensor(prefixes.targets[rows, None], dtype=torch.float64),
            )
            with torch.inference_mode():
                log_weights, mean, sd = (part[:, 0].numpy() for part in self.network(*inputs))
            weights[rows], means[rows], sds[rows] = np.exp(log_weights), mean, sd
        weights /= weights.sum(axis=1, keepdims=True)
        slope = prefixes.slope[:, None]
        means = prefixes.offset[:, None] + slope * means
        return Mixture(weights, means, sds * np.abs(slope), prefixes.lower, prefixes.upper)
