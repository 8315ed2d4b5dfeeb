"""What known runs of a query say about its next run: a copula, what the runs tell beside, heads that know both."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..heads.boosting import Boosting
from ..heads.distribution import COLD, HEAD_LEVELS, PILOT, WARM, Heads, PooledQuantiles
from ..log_quantiles import MIN_INFORMED, Floats, Runs, save_arrays
from ..pooling.hierarchy import cell_keys
from .context import CONFIG, MEAN_RESIDUALS, N_PILOTS, FlatContext, sample_context, summarise_context
from .copula import ContextRuns, QueryCopula, normal_scores
from .details import DetailCentres
from .informed import InformedHeads, centred_tilt

MAX_CONFIGS = 24
KEEP_DETAILS = 0.7


class QueryKnowledge:
    """Learns from runs of the same queries; `copula` and `details` always, `informed` where there are enough."""

    copula: QueryCopula
    details: DetailCentres
    configs: list[str]
    informed: InformedHeads | None

    def fit(
        self,
        runs: Runs,
        plain: Floats,
        location: Floats,
        whole: Floats,
        shapes: PooledQuantiles,
        boosting: Boosting,
        rng: np.random.Generator,
    ) -> Self:
        """Learn from n runs.

        Parameters
        ----------
        runs : Runs
        plain : ndarray of shape (n_runs, n_columns)
            What the heads read of the request: codes of the categories first.
        location : ndarray of shape (n_runs,)
            Log tokens that the request alone makes one expect, out of fold.
        whole : ndarray of shape (n_runs,)
            Log tokens, with a draw in place of every lower bound.
        shapes : PooledQuantiles
            Of the residuals.
        boosting : Boosting
            Settings of the heads; they are learnt where queries have two runs.
        rng : Generator
        """
        X, configs = runs.X, cell_keys(runs.X, CONFIG)
        residual = runs.log_tokens - location
        codes, curves = shapes.lookup(X)
        scores = normal_scores(residual, runs.is_censored, codes, curves)
        self.details = DetailCentres().fit(X, runs.details, runs.weight)
        details = self.details.centred(X, runs.details)
        benchmarks = cell_keys(X, ("benchmark",))
        self.copula = QueryCopula().fit(configs, benchmarks, runs.groups, scores)
        self.configs = self.copula.configs_[:MAX_CONFIGS]
        self.informed = None
        target, source = sample_context(runs.groups, configs, rng, pilots=True)
        chosen = np.unique(target)
        if len(chosen) < MIN_INFORMED:
            return self
        # Some forecasts know nothing but lengths: the heads learn to do without the rest.
        keeps_details = rng.random(len(chosen)) < KEEP_DETAILS
        context = ContextRuns(
            np.searchsorted(chosen, target),
            configs[source],
            residual[source],
            scores[source],
            configs[source] == configs[target],
            np.where(keeps_details[np.searchsorted(chosen, target), None], details[source], np.nan),
        )
        mean, deviation = self.copula.condition(configs[chosen], benchmarks[chosen], context)
        centre, shape = centred_tilt(curves, codes[chosen], np.array(HEAD_LEVELS), mean, deviation)
        summary = summarise_context(len(chosen), context, self.configs)
        columns = np.column_stack([plain[chosen], mean, deviation, summary])
        signals = self._signals(configs[chosen], centre, summary)
        self.informed = InformedHeads(boosting).fit(
            columns, location[chosen], signals, shape, whole[chosen], runs.weight[chosen], runs.groups[chosen],
            _regimes(len(chosen), context),
        )  # fmt: skip
        return self

    def context_runs(
        self, X: pd.DataFrame, context: FlatContext, location: Floats, shapes: PooledQuantiles
    ) -> ContextRuns:
        """Known runs of the requests `X` beside what was to be expected of them.

        Parameters
        ----------
        X : DataFrame of shape (n_samples, n_columns)
        known : FlatContext
            Of n_known runs.
        location : ndarray of shape (n_known,)
            Log tokens that each run's own request made one expect.
        shapes : PooledQuantiles
        """
        residual = context.log_tokens - location
        codes, curves = shapes.lookup(context.frame)
        configs = cell_keys(context.frame, CONFIG)
        return ContextRuns(
            context.target,
            configs,
            residual,
            normal_scores(residual, context.is_censored, codes, curves),
            configs == cell_keys(X, CONFIG)[context.target],
            self.details.centred(context.frame, context.details),
        )

    def inform(
        self,
        X: pd.DataFrame,
        heads: Heads,
        plain: Floats,
        location: Floats,
        context: ContextRuns,
        is_trained: NDArray[np.bool_],
    ) -> Heads:
        """Heads of the forecasts that know runs of their query, the others as they were.

        Parameters
        ----------
        X : DataFrame of shape (n_samples, n_columns)
        heads : Heads
            Cold and not boosted.
        plain, location
            As for `fit`, of the requests `X`.
        context : ContextRuns
        is_trained : ndarray of bool of shape (n_samples,)
            Where the heads may be asked; elsewhere the copula alone speaks.
        """
        configs = cell_keys(X, CONFIG)
        mean, deviation = self.copula.condition(configs, cell_keys(X, ("benchmark",)), context)
        regime = _regimes(len(X), context)
        values = heads.values.copy()
        rows = regime != COLD
        centre, shape = centred_tilt(heads.curves, heads.codes, np.array(HEAD_LEVELS), mean, deviation)
        values[rows] = (location + centre)[rows, None] + shape[rows]
        boosted = rows & is_trained
        if self.informed is not None and boosted.any():
            summary = summarise_context(len(X), context, self.configs)
            columns = np.column_stack([plain, mean, deviation, summary])
            signals = self._signals(configs, centre, summary)
            values[boosted] = self.informed.values(
                *(part[boosted] for part in (columns, location, signals, shape, regime))
            )
        return Heads(values, heads.codes, heads.curves, mean, deviation, regime)

    def _signals(self, configs: NDArray[np.object_], centre: Floats, summary: Floats) -> Floats:
        """What copula, warm runs and pilots make one expect, for `InformedHeads`; shape (n_samples, 3).

        The mean of n pilots counts (1 - v) / (1 - v + v / n), v the share of a run's variance that is noise.
        """
        noise = self.copula.noise_of(configs)
        warm, pilot = summary[:, MEAN_RESIDUALS].T
        n = np.maximum(summary[:, N_PILOTS], 1.0)
        return np.column_stack([centre, warm, pilot * (1 - noise) / (1 - noise + noise / n)])

    def save(self, path: Path) -> dict[str, Any]:
        """Write arrays and boosters into the folder `path`; returns JSON for `load`."""
        copula, arrays = self.copula.state()
        save_arrays(path / "copula.safetensors", arrays)
        details, arrays = self.details.state()
        save_arrays(path / "details.safetensors", arrays)
        return {
            "copula": copula,
            "details": details,
            "informed": None if self.informed is None else self.informed.save(path),
            "context_configs": self.configs,
        }

    @classmethod
    def load(cls, path: Path, state: dict[str, Any], boosting: Boosting) -> Self:
        """Restore what `save` wrote."""
        from safetensors.numpy import load_file

        knowledge = cls()
        knowledge.copula = QueryCopula.from_state(state["copula"], load_file(path / "copula.safetensors"))
        knowledge.details = DetailCentres.from_state(state["details"], load_file(path / "details.safetensors"))
        informed = state["informed"]
        knowledge.informed = None if informed is None else InformedHeads.load(path, informed, boosting)
        knowledge.configs = state["context_configs"]
        return knowledge


def _regimes(n: int, context: ContextRuns) -> NDArray[np.intp]:
    """What each of n forecasts knows: `COLD`, `WARM` or `PILOT`."""
    regime = np.full(n, COLD, dtype=np.intp)
    regime[context.target] = WARM
    regime[context.target[context.is_pilot]] = PILOT
    return regime
