"""What a forecast must beat: the empirical distribution of log tokens by global, model, or model x benchmark."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from ..arrays import Floats, load_arrays, save_arrays
from ..errors import DatasetError
from .heads.distribution import HEAD_LEVELS, Heads, PooledQuantiles, evaluate_curves
from .log_quantiles import LogQuantilePredictor, Runs, complete_censored
from .pooling.hierarchy import PooledLocation


@dataclass(kw_only=True, eq=False, repr=False)
class _EmpiricalBaseline(LogQuantilePredictor):
    """Empirical log quantiles of a group, pulled towards its parent's where the group is small or unseen.

    Parameters
    ----------
    pooling : float
        Runs' worth of evidence for the parent's quantiles.
    calibration_share, refit, random_state
        As for `trained_cells.TrainedCellsPredictor`.
    """

    levels: ClassVar[tuple[tuple[str, ...], ...]]

    pooling: float = 5.0
    calibration_share: float = 0.2
    refit: bool = True
    random_state: int | None = 0

    def _fit_heads(self, runs: Runs, rng: np.random.Generator) -> None:
        self.location_: PooledLocation | None = PooledLocation().prepare(runs.X, np.empty((len(runs), 0)), runs.weight)
        _, self.residuals_ = complete_censored(runs, self.location_)
        self.location_.release()
        whole = self._completed(runs, None, rng.random(len(runs)))
        self.quantiles_ = PooledQuantiles(self.levels, penalty=self.pooling).fit(runs.X, whole, runs.weight)

    def _location(self, X: pd.DataFrame) -> Floats:
        assert self.location_ is not None  # asked for while fitting
        return self.location_.intercept(X)

    def _heads(self, X: pd.DataFrame) -> Heads:
        codes, curves = self.quantiles_.lookup(X)
        return Heads.cold(evaluate_curves(curves, np.array(HEAD_LEVELS))[codes], codes, curves)

    def _shared_deviation(self, X: pd.DataFrame) -> Floats:
        if self.location_ is None:
            raise DatasetError(
                "this baseline was saved by an older version, which did not keep what requests of a batch share; run "
                "`foretell retrain thinking_tokens`"
            )
        return self.location_.shared_deviation(X)

    def _save(self, path: Path) -> dict[str, Any]:
        state, arrays = self.quantiles_.state()
        save_arrays(path / "quantiles.safetensors", arrays)
        if self.location_ is not None:
            location, arrays = self.location_.state()
            save_arrays(path / "location.safetensors", arrays)
            (path / "location.json").write_text(json.dumps(location) + "\n", "utf-8")
        return {"quantiles": state, **self._calibration_state()}

    def _load(self, path: Path, state: dict[str, Any]) -> None:
        self.quantiles_ = PooledQuantiles.from_state(state["quantiles"], load_arrays(path / "quantiles.safetensors"))
        self.location_ = None  # of a version before, which did not keep it
        if (path / "location.json").is_file():
            location = json.loads((path / "location.json").read_text("utf-8"))
            self.location_ = PooledLocation.from_state(location, load_arrays(path / "location.safetensors"))
        self._load_calibration(state)


class GlobalBaseline(_EmpiricalBaseline):
    """One distribution for every request."""

    levels = ()


class ModelBaseline(_EmpiricalBaseline):
    """One distribution per model; an unseen model has the global one."""

    levels = (("model",),)


class ModelBenchmarkBaseline(_EmpiricalBaseline):
    """One distribution per model, benchmark and effort; an unseen cell has its model's, or the global one."""

    levels = (("model",), ("model", "benchmark"), ("model", "benchmark", "reasoning_effort"))
