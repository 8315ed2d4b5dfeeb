"""What known runs of a query say about its next run: effects of the query, and heads that know more of the runs."""

from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd

from ...arrays import Floats, Mask, load_arrays, save_arrays
from ..heads.boosting import Boosting, rows_learnt
from ..heads.distribution import COLD, PILOT, WARM, Heads, PooledQuantiles, moved_curves
from ..log_quantiles import MIN_INFORMED, Runs
from ..pooling.hierarchy import CATEGORIES, cell_keys
from .context import CONFIG, FlatContext, sample_context, summarise_context
from .details import DetailCentres
from .informed import InformedHeads, InformedRuns
from .query_effects import ContextRuns, QueryEffects, normal_scores

MAX_CONFIGS = 24
KEEP_DETAILS = 0.7


class QueryKnowledge:
    """Learns from runs of the same queries; `effects` and `details` always, `informed` where there are enough."""

    effects: QueryEffects
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
        """Learn from n runs; heads are learnt where queries have two.

        `plain` (n_runs, n_columns) is what the heads read of the request, codes of the categories first; `location`
        (n_runs,) the log tokens that the request alone makes one expect, out of fold; `whole` (n_runs,) log tokens with
        a draw in place of every lower bound; `shapes` are of the residuals.
        """
        X, configs = runs.X, cell_keys(runs.X, CONFIG)
        residual = runs.log_tokens - location
        codes, curves = shapes.lookup(X)
        scores = normal_scores(residual, runs.is_censored, codes, curves)
        self.details = DetailCentres.fit(X, runs.details, runs.weight)
        details = self.details.centred(X, runs.details)
        self.effects = QueryEffects.fit(configs, cell_keys(X, ("benchmark",)), runs.groups, scores)
        self.configs = list(self.effects.noise)[:MAX_CONFIGS]
        self.informed = None
        target, source = sample_context(runs.groups, configs, rng, pilots=True)
        chosen = np.unique(target)
        if len(chosen) < MIN_INFORMED:
            return self
        kept, weight = rows_learnt(cell_keys(X, CATEGORIES)[chosen], runs.groups[chosen], runs.weight[chosen])
        chosen = chosen[kept]
        target, source = (positions[np.isin(target, chosen)] for positions in (target, source))
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
        heads = Heads.cold(np.empty((len(chosen), 0)), codes[chosen], curves)
        informed = self._informed(X.iloc[chosen], heads, plain[chosen], location[chosen], context)
        self.informed = InformedHeads(boosting).fit(informed, whole[chosen], weight, runs.groups[chosen])
        return self

    def context_runs(
        self, X: pd.DataFrame, context: FlatContext, location: Floats, shapes: PooledQuantiles
    ) -> ContextRuns:
        """Known runs of the requests `X` beside what was to be expected of them.

        `location` (n_known,) are the log tokens that each run's own request made one expect.
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
        is_trained: Mask,
    ) -> Heads:
        """Heads of the forecasts that know runs of their query, the others as they were.

        `heads` are cold and not boosted; `plain` and `location` as for `fit`, of the requests `X`. Only those where
        `is_trained` ask the boosters; the others rest on the effects of the query alone.
        """
        informed = self._informed(X, heads, plain, location, context)
        values = heads.values.copy()
        rows = informed.regime != COLD
        values[rows] = (location + informed.centre)[rows, None] + informed.shape[rows]
        boosted = rows & is_trained
        if self.informed is not None and boosted.any():
            values[boosted] = self.informed.values(informed.select(boosted))
        return Heads(values, heads.codes, heads.curves, informed.regime)

    def _informed(
        self, X: pd.DataFrame, heads: Heads, plain: Floats, location: Floats, context: ContextRuns
    ) -> InformedRuns:
        mean, deviation = self.effects.condition(cell_keys(X, CONFIG), cell_keys(X, ("benchmark",)), context)
        centre, shape = moved_curves(heads.curves, heads.codes, mean, deviation)
        columns = np.column_stack([plain, mean, deviation, summarise_context(len(X), context, self.configs)])
        regime = np.full(len(X), COLD, dtype=np.intp)
        regime[context.target] = WARM
        regime[context.target[context.is_pilot]] = PILOT
        return InformedRuns(columns, location, centre, shape, regime)

    def save(self, path: Path) -> dict[str, Any]:
        """Write arrays and boosters into the folder `path`; returns JSON for `load`."""
        details, arrays = self.details.state()
        save_arrays(path / "details.safetensors", arrays)
        return {
            "query_effects": vars(self.effects),
            "details": details,
            "informed": None if self.informed is None else self.informed.save(path),
            "context_configs": self.configs,
        }

    @classmethod
    def load(cls, path: Path, state: dict[str, Any], boosting: Boosting) -> Self:
        """Restore what `save` wrote."""
        knowledge = cls()
        knowledge.effects = QueryEffects(**state["query_effects"])
        knowledge.details = DetailCentres.from_state(state["details"], load_arrays(path / "details.safetensors"))
        informed = state["informed"]
        knowledge.informed = None if informed is None else InformedHeads.load(path, informed, boosting)
        knowledge.configs = state["context_configs"]
        return knowledge
