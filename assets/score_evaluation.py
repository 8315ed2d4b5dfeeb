"""How score forecasts are judged: folds over leak groups, known scores, benchmarks of the future."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from assets.family import FamilyPipeline
from assets.score_noise import add_noise_floors
from predictors.base import EVALUATION_LEVELS, BasePredictor

__all__ = ["FOLDS", "SHARES", "evaluate_scores", "time_forward", "with_known_scores"]

FOLDS = 5
N_KNOWN = 5
SHARES = (10, 20, 50)
"""Per cent of the forecasts with the narrowest intervals: segments ``narrowest_20=yes`` and so on."""
MODEL_VIEWS = 3
METRICS = ("mae", "crps", "coverage_90", "width_90", "interval_score_90")
FUTURE = 0.7
"""Share of the leak groups that count as the past in the time-forward split."""

Forecasts = dict[str, pd.DataFrame]
Build = Callable[[], BasePredictor]


def evaluate_scores(
    pipeline: FamilyPipeline,
    examples: pd.DataFrame,
    descriptions: pd.DataFrame,
    dataset: str,
    *,
    optimistic: bool = True,
    progress: Callable[[str], None] = lambda _: None,
) -> pd.DataFrame:
    """The Evaluation table of score forecasts.

    Splits: ``leak_group`` (the one that counts; `FOLDS` folds), ``known_5`` (the same folds; five cheap models of
    each new benchmark are known), ``time_forward`` (trained on what was published before the benchmark, where dates
    are known), and ``benchmark_optimistic`` (whole benchmarks, leak groups straddle: flattering, for comparison).
    Segments: each answer format and fold; ``narrowest_20=yes`` is the fifth with the narrowest intervals of each
    fold; ``one_model=NAME`` the benchmarks of one model, which is PRECOG's task, for the `MODEL_VIEWS` models with
    most of them; ``has_noise=known`` the scores of which the noise is known, with its floor.

    Parameters
    ----------
    pipeline : FamilyPipeline
    examples : DataFrame
        As `assets.benchmark_scores.examples_from_scores` makes them.
    descriptions : DataFrame
        The redacted descriptions: two that say the same must not straddle the folds.
    dataset : str
        Name in the table.
    optimistic : bool, optional
        Whether to add the optimistic split, which takes as long again.
    progress : callable, optional
        Told what has been done.

    Raises
    ------
    InvalidInputError
        If two descriptions that nearly say the same stand in different folds.
    """
    from predictors.benchmark_scores.leakage import assign_folds, check_split_leaks

    examples = examples.assign(fold=assign_folds(examples["leak_group"], FOLDS))
    benchmarks = examples.drop_duplicates("benchmark")[["benchmark", "leak_group", "fold"]]
    described = descriptions.merge(benchmarks, on=["benchmark", "leak_group"])
    check_split_leaks(described.assign(task=None), described["fold"])
    judge = _Judge(pipeline, dataset, progress)
    models = {pipeline.family: pipeline.predictor, **{name: judge.baseline(name) for name in pipeline.baselines()}}
    few = {name: models[name] for name in (pipeline.family, pipeline.reference)}
    rounds = [(examples["fold"] != fold, examples["fold"] == fold) for fold in range(FOLDS)]
    strict = judge.forecast(examples, models, rounds, with_known=True)
    tables = [*judge.tables("leak_group", strict), *judge.known_tables(strict)]
    past, future = time_forward(examples)
    if future.any():
        tables += judge.tables("time_forward", judge.forecast(examples, models, [(past, future)]))
    if optimistic:
        loose = examples.assign(fold=assign_folds(examples["benchmark"], FOLDS))
        rounds = [(loose["fold"] != fold, loose["fold"] == fold) for fold in range(FOLDS)]
        tables += judge.tables("benchmark_optimistic", judge.forecast(loose, few, rounds, groups="benchmark"))
    return pd.concat(tables, ignore_index=True)


def time_forward(examples: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """The past and the future of a set: masks over its rows; all False without dates or without a past.

    The cut is the day before which `FUTURE` of the leak groups had their first benchmark. The future are whole leak
    groups that begin after it; the past are benchmarks that were published and models that were released before it.
    Benchmarks after the cut of groups that began before it are in neither.
    """
    nothing = pd.Series(False, index=examples.index)
    published = examples["published_at"]
    if published.isna().any() or examples["leak_group"].nunique() < 10:
        return nothing, nothing
    first = published.groupby(examples["leak_group"]).transform("min")
    begins = first.groupby(examples["leak_group"]).first().sort_values()
    cut = pd.Timestamp(begins.iloc[int(FUTURE * len(begins))])
    year = cut.year + (cut.month - 1) / 12
    released = examples["release_year"].fillna(-np.inf)
    past, future = (published < cut) & (released < year), first >= cut
    return (past, future) if past.any() else (nothing, nothing)


def with_known_scores(rows: pd.DataFrame, models: Sequence[str], *, n_known: int = N_KNOWN) -> pd.DataFrame:
    """Forecast tasks of which the `n_known` cheapest models (fewest parameters) of each benchmark have run.

    Only models in `models` (those trained on) can be known; benchmarks with too few of them, or with no other
    row, are left out, as are the rows that became known.
    """
    parts = []
    usable = rows[rows["model"].isin(list(models)) & rows["n_params"].notna()]
    for benchmark, group in usable.groupby("benchmark"):
        cheap = group.drop_duplicates("model").sort_values(["n_params", "model"]).head(n_known)
        rest = rows[(rows["benchmark"] == benchmark) & ~rows["model"].isin(cheap["model"])]
        if len(cheap) < n_known or rest.empty:
            continue
        told = {"known_models": cheap["model"].tolist(), "known_scores": cheap["value"].tolist()}
        lists = {name: pd.Series([values] * len(rest), index=rest.index) for name, values in told.items()}
        parts.append(rest.assign(**lists))
    return pd.concat(parts) if parts else rows.iloc[:0].assign(known_models=None, known_scores=None)


@dataclass(frozen=True)
class _Forecast:
    """Outcomes that were forecast, with their segments; forecasts by predictor; the same with known scores."""

    outcomes: pd.DataFrame
    quantiles: Forecasts
    known_outcomes: pd.DataFrame
    known: Forecasts


@dataclass(frozen=True)
class _Judge:
    pipeline: FamilyPipeline
    dataset: str
    progress: Callable[[str], None]

    def baseline(self, name: str) -> Build:
        return lambda: self.pipeline.baselines()[name]

    def forecast(
        self,
        examples: pd.DataFrame,
        models: Mapping[str, Build],
        rounds: Sequence[tuple[pd.Series, pd.Series]],
        *,
        groups: str = "leak_group",
        with_known: bool = False,
    ) -> _Forecast:
        """Forecast the second rows of every round after training on the first."""
        inputs = self.pipeline.inputs
        found: dict[str, list[pd.DataFrame]] = {name: [] for name in models}
        outcomes: list[pd.DataFrame] = []
        told_rows: list[pd.DataFrame] = []
        told: dict[str, list[pd.DataFrame]] = {"known": [], "unknown": []}
        for number, (past, future) in enumerate(rounds):
            train, rows = examples[past], examples[future]
            for name, build in models.items():
                model = build().fit(inputs(train), train["value"], groups=train[groups])
                found[name].append(_quantiles(model, inputs(rows), rows))
                self.progress(f"round {number + 1} of {len(rounds)}: {name}")
                if name != self.pipeline.family:
                    continue
                outcomes.append(_segmented(rows, found[name][-1]))
                if with_known:
                    known = with_known_scores(rows, train["model"].unique().tolist())
                    told_rows.append(known)
                    blind = known.drop(columns=["known_models", "known_scores"])
                    told["known"].append(_quantiles(model, inputs(known), known))
                    told["unknown"].append(_quantiles(model, inputs(blind), known))
        joined = {name: pd.concat(parts) for name, parts in found.items()}
        if not with_known:
            return _Forecast(pd.concat(outcomes), joined, examples.iloc[:0], {})
        known_forecasts = {name: pd.concat(parts) for name, parts in told.items()}
        return _Forecast(pd.concat(outcomes), joined, pd.concat(told_rows), known_forecasts)

    def tables(self, split: str, made: _Forecast) -> Iterator[pd.DataFrame]:
        """Evaluation rows of every predictor of a split."""
        most = made.outcomes["model"].value_counts().index[:MODEL_VIEWS]
        view = made.outcomes["model"].where(made.outcomes["model"].isin(most), "another")
        outcomes = made.outcomes.drop(columns="split").assign(one_model=view, fold=made.outcomes["fold"].astype("str"))
        reference = self.pipeline.reference
        own = ("answer_format", "fold", "has_noise", "one_model", *(f"narrowest_{share}" for share in SHARES))
        for name, forecast in made.quantiles.items():
            is_own = name == self.pipeline.family
            base = None if name == reference else made.quantiles[reference]
            segments = own if is_own else ("fold", "one_model")
            table = self._evaluate(outcomes, forecast, base, reference, name, split, segments)
            yield add_noise_floors(table, outcomes) if is_own else table

    def known_tables(self, made: _Forecast) -> Iterator[pd.DataFrame]:
        """Evaluation rows of the predictor that was told a few scores, against itself without them."""
        rows = made.known_outcomes
        if rows.empty:
            return
        outcomes = rows.drop(columns=["split", "known_models", "known_scores"]).assign(fold=rows["fold"].astype("str"))
        yield self._evaluate(outcomes, made.known["known"], made.known["unknown"], "without_known_scores",
                             self.pipeline.family, f"known_{N_KNOWN}", ("fold",))  # fmt: skip

    def _evaluate(
        self, outcomes: pd.DataFrame, forecast: pd.DataFrame, reference: pd.DataFrame | None, reference_name: str,
        name: str, split: str, segments: Sequence[str],
    ) -> pd.DataFrame:  # fmt: skip
        from predictors.metrics import evaluate

        several = tuple(column for column in segments if len(outcomes[column].unique()) > 1)
        return evaluate(
            outcomes, forecast, predictor=name, family=self.pipeline.family, dataset=self.dataset, split=split,
            baseline=reference, baseline_name=None if reference is None else reference_name, metrics=METRICS,
            segments=several,
        )  # fmt: skip


def _quantiles(model: BasePredictor, X: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    return model.predict_quantiles(X, EVALUATION_LEVELS).set_axis(rows["cell_id"])


def _segmented(rows: pd.DataFrame, forecast: pd.DataFrame) -> pd.DataFrame:
    """`rows` with whether each is among the narrowest intervals of its round."""
    width = (forecast[0.95] - forecast[0.05]).to_numpy()
    told = {f"narrowest_{share}": np.where(width <= np.quantile(width, share / 100), "yes", "no") for share in SHARES}
    return rows.assign(**told)
