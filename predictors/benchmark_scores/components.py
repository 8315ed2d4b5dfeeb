"""The parts of a score forecast before stacking: benchmark effects by several routes, model effects, their interplay.

On the logit scale, ``score = mean + benchmark + model + interaction``. The benchmark's effect is forecast from
its description by a Gaussian process, by randomised trees on the structure and by retrieval; the model's effect
is its own record, shrunk towards what its metadata suggest (monotone in size and release); the interaction
is LightGBM on what the two leave. Beside these routes stands one direct LightGBM on all structured features.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from predictors.benchmark_scores.effects import fit_effects
from predictors.benchmark_scores.features import MODEL_COLUMNS, BenchmarkFeatures
from predictors.benchmark_scores.gaussian_process import DescriptionProcess
from predictors.benchmark_scores.neighbours import Neighbours
from predictors.benchmark_scores.trees import boost, grow_forest, load_trees, predict_trees

__all__ = ["ROUTES", "Components", "Parts", "Rows"]

Floats = NDArray[np.float64]
Codes = NDArray[np.intp]
ROUTES = ("process", "forest", "neighbours")
"""Ways to forecast a benchmark's effect."""
MODEL_SIGNS = {"n_params": 1, "release_year": 1}
"""Where the field knows the sign: larger and later models do not score lower, other things equal."""
PRIOR_COLUMNS = [i for i, name in enumerate(MODEL_COLUMNS) if name != "n_shot"]


@dataclass(frozen=True)
class Rows:
    """Rows to learn from or to forecast, as arrays.

    `benchmark` and `model` are codes into `benchmarks` (distinct descriptions), `groups` (leak group of each
    benchmark) and `metadata` (of each model); a model code of -1 was never seen in training.
    """

    benchmarks: pd.DataFrame
    groups: Codes
    metadata: Floats
    benchmark: Codes
    model: Codes
    features: Floats

    def take(self, rows: NDArray[np.bool_] | Codes) -> Rows:
        """The same benchmarks and models with fewer rows."""
        return Rows(self.benchmarks, self.groups, self.metadata, self.benchmark[rows], self.model[rows],
                    self.features[rows])  # fmt: skip


@dataclass(frozen=True)
class Parts:
    """Forecast parts, logit scale: `routes` of shape (n_samples, len(ROUTES)) with the `deviation` of the process,
    what is added to any route (`mean`, `model`, `interaction`), and the `direct` forecast of the whole."""

    routes: Floats
    deviation: Floats
    mean: Floats
    model: Floats
    interaction: Floats
    direct: Floats

    def stacked(self) -> Floats:
        """All as columns, shape (n_samples, len(ROUTES) + 5): `from_columns` reads them."""
        rest = (self.deviation, self.mean, self.model, self.interaction, self.direct)
        return np.column_stack([self.routes, *rest])

    @classmethod
    def from_columns(cls, columns: Floats) -> Self:
        """Parts from the columns of `stacked`."""
        return cls(columns[:, : len(ROUTES)], *columns[:, len(ROUTES) :].T)


@dataclass
class Components:
    """Everything of the forecast that is learnt without held-out data.

    Parameters
    ----------
    features : BenchmarkFeatures
        Fitted.
    with_routes : bool
        Without them only the direct forecast is learnt.
    forest_rounds, response_rounds, direct_rounds, num_threads, seed
        LightGBM.
    """

    features: BenchmarkFeatures
    with_routes: bool = True
    forest_rounds: int = 200
    response_rounds: int = 100
    direct_rounds: int = 200
    num_threads: int = 1
    seed: int | None = 0
    process: DescriptionProcess = field(init=False)
    trees: dict[str, Any] = field(default_factory=dict)
    mean: float = 0.0
    model_effects: Floats = field(default_factory=lambda: np.empty(0))
    model_runs: Floats = field(default_factory=lambda: np.empty(0))
    neighbours: Neighbours = field(init=False)

    def __post_init__(self) -> None:
        self.process = DescriptionProcess(self.features)

    def fit(self, rows: Rows, z: Floats, *, kernel_from: Components | None = None) -> Self:
        """Learn; with `kernel_from`, its kernel weights are used rather than searched for."""
        shape = (len(rows.benchmarks), len(rows.metadata))
        self.model_runs = np.bincount(rows.model, minlength=shape[1]).astype(np.float64)
        effects = fit_effects(z, rows.benchmark, rows.model, shape)
        prior = self._fit_prior(rows.metadata, effects.model)
        effects = fit_effects(z, rows.benchmark, rows.model, shape, prior=prior)
        self.mean, self.model_effects = effects.mean, effects.model
        structure = self.features.matrix(rows.benchmarks)
        columns = np.column_stack([structure[rows.benchmark], rows.features, effects.model[rows.model]])
        weight = group_weights(rows.groups)[rows.benchmark]
        if self.with_routes:
            seen = np.flatnonzero(effects.n_runs > 0)
            self._fit_routes(rows, seen, effects.benchmark[seen], kernel_from)
            left = z - effects.mean - effects.benchmark[rows.benchmark] - effects.model[rows.model]
            self.trees["response"] = self._boost(columns, left, weight, rounds=self.response_rounds, learning_rate=0.08)
        self.trees["direct"] = self._boost(columns, z, weight, rounds=self.direct_rounds, feature_fraction=0.4)
        return self

    def predict(self, rows: Rows) -> Parts:
        """Parts of every row's forecast."""
        structure = self.features.matrix(rows.benchmarks)
        model = self.model_part(rows)
        columns = np.column_stack([structure[rows.benchmark], rows.features, model])
        direct = predict_trees(self.trees["direct"], columns)
        level = np.full(len(model), self.mean)
        if not self.with_routes:
            none = np.zeros(len(model))
            return Parts(np.zeros((len(model), len(ROUTES))), none, level, model, none, direct)
        mean, deviation = self.process.predict(rows.benchmarks)
        vectors = Neighbours.join(self.features.blocks(rows.benchmarks))
        forest = predict_trees(self.trees["forest"], structure)
        routes = np.column_stack([mean, forest, self.neighbours.predict(vectors)])
        interaction = predict_trees(self.trees["response"], columns)
        return Parts(routes[rows.benchmark], deviation[rows.benchmark], level, model, interaction, direct)

    def model_part(self, rows: Rows) -> Floats:
        """Effect of each row's model; of one that was never seen, what its metadata suggest."""
        known = rows.model >= 0
        out = np.empty(len(known))
        out[known] = self.model_effects[rows.model[known]]
        if (~known).any():
            out[~known] = self.prior_effects(rows.features[~known])
        return out

    def prior_effects(self, metadata: Floats) -> Floats:
        """What each model's metadata suggest for its effect."""
        return predict_trees(self.trees["prior"], metadata[:, PRIOR_COLUMNS])

    def is_blank(self, benchmarks: pd.DataFrame) -> NDArray[np.bool_]:
        """Benchmarks of which nothing is known that training knew, or of an unseen metric or answer format."""
        blocks = self.features.blocks(benchmarks)
        empty = ~np.any([block.any(axis=1) for name, block in blocks.items() if name != "sentence"], axis=0)
        for column, block in (("answer_format", "format"), ("metric", "metric")):
            empty |= (benchmarks[column] != "").to_numpy() & ~blocks[block].any(axis=1)
        return np.asarray(empty)

    def _fit_prior(self, metadata: Floats, effects: Floats) -> Floats:
        signs = [MODEL_SIGNS.get(name, 0) for name in MODEL_COLUMNS]
        used = metadata[:, PRIOR_COLUMNS]
        seen = self.model_runs > 0
        weight = np.sqrt(self.model_runs[seen])
        self.trees["prior"] = self._boost(
            used[seen], effects[seen], weight, rounds=80, monotone=[signs[i] for i in PRIOR_COLUMNS], objective="l2",
            num_leaves=8, min_data_in_leaf=10, feature_fraction=0.7,
        )  # fmt: skip
        return predict_trees(self.trees["prior"], used)

    def _fit_routes(self, rows: Rows, seen: Codes, effects: Floats, kernel_from: Components | None) -> None:
        benchmarks = rows.benchmarks.iloc[seen].reset_index(drop=True)
        groups = np.unique(rows.groups[seen], return_inverse=True)[1]
        if kernel_from is not None:
            self.process.weights, self.process.noise = kernel_from.process.weights, kernel_from.process.noise
        self.process.fit(benchmarks, effects, groups, learn=kernel_from is None)
        self.trees["forest"] = grow_forest(
            self.features.matrix(benchmarks), effects, group_weights(groups), rounds=self.forest_rounds,
            num_threads=self.num_threads, seed=self.seed,
        )  # fmt: skip
        self.neighbours = Neighbours(Neighbours.join(self.features.blocks(benchmarks)), effects, groups)

    def _boost(self, columns: Floats, target: Floats, weight: Floats, **settings: Any) -> Any:
        return boost(columns, target, weight, num_threads=self.num_threads, seed=self.seed, **settings)

    def state(self) -> tuple[dict[str, Any], dict[str, Floats], dict[str, str]]:
        """JSON state, arrays and texts of trees, for `from_state`."""
        state: dict[str, Any] = {"mean": self.mean, "with_routes": self.with_routes}
        arrays = {"model_effects": self.model_effects, "model_runs": self.model_runs}
        if self.with_routes:
            state["process"], process = self.process.state()
            near = self.neighbours
            arrays |= {f"process.{name}": values for name, values in process.items()}
            arrays |= {"neighbours.vectors": near.vectors, "neighbours.effects": near.effects}
            arrays |= {"neighbours.groups": near.groups.astype(np.float64)}
        return state, arrays, {name: booster.model_to_string() for name, booster in self.trees.items()}

    @classmethod
    def from_state(
        cls, features: BenchmarkFeatures, state: dict[str, Any], arrays: dict[str, Floats], texts: dict[str, str]
    ) -> Self:
        """Rebuild what `state` wrote, for forecasting."""
        out = cls(features, with_routes=state["with_routes"])
        out.mean, out.model_effects, out.model_runs = state["mean"], arrays["model_effects"], arrays["model_runs"]
        out.trees = {name: load_trees(text) for name, text in texts.items()}
        if out.with_routes:
            own = {name[8:]: values for name, values in arrays.items() if name.startswith("process.")}
            out.process = DescriptionProcess.from_state(features, state["process"], own)
            groups = arrays["neighbours.groups"].astype(np.intp)
            out.neighbours = Neighbours(arrays["neighbours.vectors"], arrays["neighbours.effects"], groups)
        return out


def group_weights(groups: Codes) -> Floats:
    """Weight of each benchmark: the inverse square root of the size of its leak group."""
    return np.asarray(np.bincount(groups)[groups] ** -0.5, dtype=np.float64)
