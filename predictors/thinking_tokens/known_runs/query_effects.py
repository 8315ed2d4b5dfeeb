"""What the runs of a query on some models say about its next run on any model.

Residuals of log tokens (after location) become normal scores through the residual distribution of their cell. A score
is what the query does to every configuration (model and effort), what it does to this one, and noise of the single run:
normal, independent, together of variance 1. The runs that are known give the score of the next run a mean and a
standard deviation, which move and narrow its cell's quantile function. No known run: mean 0, standard deviation 1.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtri

from ...arrays import Codes, Floats, Mask
from ..heads.distribution import GRID

MAX_SCORE = 3.0
DEFAULT_NOISE = 0.25
POOLING = 20.0
NOISE_POOLING = 30.0
LEAST_VARIANCE = 0.01


@dataclass(frozen=True)
class ContextRuns:
    """Known runs of the queries of n forecasts, in one flat table of n_runs rows.

    Of each run `target` is the position of the forecast that it informs, `config` model and effort as
    `hierarchy.cell_keys` joins them, `residual` log tokens minus location, `score` its normal score, `is_pilot` whether
    model and effort are those of the forecast, `details` (n_runs, 3) what it tells beside its length
    (`details.DetailCentres.centred`), NaN where unknown.
    """

    target: Codes
    config: NDArray[np.object_]
    residual: Floats
    score: Floats
    is_pilot: Mask
    details: Floats


def normal_scores(residual: Floats, is_censored: Mask, codes: Codes, curves: Floats) -> Floats:
    """Normal score of each residual within its cell's curve (at `GRID`); shape (n_samples,).

    A lower bound has the expected score of what exceeds it. Scores are cut at ±3: beyond, a residual
    says "far out" and no more.
    """
    level = np.empty(len(residual))
    for code, curve in enumerate(curves):
        rows = codes == code
        level[rows] = np.interp(residual[rows], curve + 1e-12 * np.arange(len(GRID)), GRID)
    score = ndtri(level)
    density = np.exp(-(score**2) / 2) / np.sqrt(2 * np.pi)
    score = np.where(is_censored, density / (1 - level), score)
    return np.asarray(np.clip(score, -MAX_SCORE, MAX_SCORE))


@dataclass(frozen=True)
class QueryEffects:
    """Variances of scores: `noise` of a run, by configuration, and what configurations of a query share, by benchmark.

    What is left of 1 is the configuration's own.
    """

    noise: dict[str, float]
    shared: dict[str, float]

    @classmethod
    def fit(
        cls, configs: NDArray[np.object_], benchmarks: NDArray[np.object_], queries: NDArray[np.object_], scores: Floats
    ) -> Self:
        """Estimate from one row per run; arrays of shape (n_samples,)."""
        runs = pd.DataFrame({"config": configs, "benchmark": benchmarks, "query": queries, "score": scores})
        cells = runs.groupby(["benchmark", "query", "config"])["score"].agg(["mean", "size", "var"])
        freedom = cells["size"] - 1
        repeats = pd.DataFrame({"n": freedom, "squares": (freedom * cells["var"]).fillna(0.0)})
        by_config = repeats.groupby(level="config").sum()
        usual = (by_config["squares"].sum() + NOISE_POOLING * DEFAULT_NOISE) / (by_config["n"].sum() + NOISE_POOLING)
        noise = (by_config["squares"] + NOISE_POOLING * usual) / (by_config["n"] + NOISE_POOLING)
        by_name = {str(config): float(variance) for config, variance in noise.clip(0.01, 0.95).items()}
        # The mean product of two configurations' scores, a query of n of them counting n - 1 times.
        scored = cells.assign(square=cells["mean"] ** 2).groupby(level=["benchmark", "query"])
        n = scored.size()
        products = (scored["mean"].sum() ** 2 - scored["square"].sum()) / n
        by_benchmark = pd.DataFrame({"products": products, "n": n - 1}).groupby(level="benchmark").sum()
        common = by_benchmark["products"].sum() / max(by_benchmark["n"].sum(), 1)
        shared = (by_benchmark["products"] + POOLING * common) / (by_benchmark["n"] + POOLING)
        return cls(by_name, {"": float(common), **{str(name): float(part) for name, part in shared.items()}})

    @property
    def usual_noise(self) -> float:
        """Mean over the configurations."""
        return float(np.mean(list(self.noise.values())))

    def condition(
        self, configs: NDArray[np.object_], benchmarks: NDArray[np.object_], context: ContextRuns
    ) -> tuple[Floats, Floats]:
        """Mean and standard deviation of the score of each forecast's next run; shape (n_samples,) each.

        An unknown configuration has the usual noise, an unknown benchmark the usual share. Runs on unknown
        configurations say nothing, unless they are pilots: what is usual for them is not known.
        """
        n = len(configs)
        noise = self._noise_of(configs)
        shared = pd.Series(benchmarks).map(self.shared).fillna(self.shared[""]).to_numpy(np.float64)
        shared = np.clip(shared, LEAST_VARIANCE, 0.98 * (1 - noise))
        own = 1 - noise - shared
        runs = pd.DataFrame({"target": context.target, "config": context.config, "score": context.score})
        runs["is_pilot"], runs["noise"] = context.is_pilot, self._noise_of(context.config)
        runs = runs[runs["is_pilot"] | runs["config"].isin(self.noise)]
        columns = {"score": "mean", "config": "size", "noise": "first", "is_pilot": "first"}
        known = runs.groupby(["target", runs["config"].rename("of")], sort=False).agg(columns)
        at, is_pilot = known.index.get_level_values("target").to_numpy(), known["is_pilot"].to_numpy(dtype=bool)
        score, noise_of_run = known["score"].to_numpy(), known["noise"].to_numpy()
        own_of_run = np.maximum(1 - noise_of_run - shared[at], 2 * LEAST_VARIANCE)
        error = own_of_run + noise_of_run / known["config"].to_numpy()
        precision = 1 / shared + np.bincount(at, 1 / error, n)
        mean = np.bincount(at, score / error, n) / precision
        variance = 1 / precision + own + noise
        pilot, gain = at[is_pilot], (own_of_run / error)[is_pilot]
        mean[pilot] += gain * (score[is_pilot] - mean[pilot])
        variance[pilot] = (1 - gain) ** 2 / precision[pilot] + own[pilot] * (1 - gain) + noise[pilot]
        return np.asarray(mean), np.sqrt(variance)

    def _noise_of(self, configs: NDArray[np.object_]) -> Floats:
        noise = pd.Series(configs, dtype=object).map(self.noise).fillna(self.usual_noise)
        return np.asarray(noise, dtype=np.float64)
