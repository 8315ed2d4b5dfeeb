"""Forecasts of tokens by what is known of the query: nothing, runs on other models, a pilot run, or both."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial, reduce
from operator import add
from typing import Literal, TypeAlias

import pandas as pd

from foretell.assets.families.thinking_tokens.shift import shift_splits
from foretell.assets.judging.family import Family
from foretell.assets.judging.pipeline import FittedFamily, fit_family, unfitted
from foretell.assets.judging.splits import Round, Split, held_out_splits, varying_segments
from foretell.assets.lake.datasets import PUBLIC
from foretell.assets.store.sources import Sources
from foretell.predictors.splits import assign_split
from foretell.predictors.thinking_tokens.predictor import ThinkingTokensPredictor

Regime: TypeAlias = Literal["cold", "warm", "pilot", "pilot_and_warm"]
REGIMES: tuple[Regime, ...] = ("cold", "warm", "pilot", "pilot_and_warm")
N_FOLDS = 5
MIN_QUERIES_OF_A_SPLIT = 100
CONFIG = ["model", "reasoning_effort"]


def past_runs(examples: pd.DataFrame) -> pd.DataFrame:
    """Examples as past runs, with the names that `thinking_tokens.known_runs.context.attach_context` reads."""
    names = {"value": "output_tokens", "run_reasoning_tokens": "reasoning_tokens", "run_score": "score"}
    return examples[["query_id", *CONFIG, "is_censored", *names]].rename(columns=names)


def regime_rows(family: Family, examples: pd.DataFrame, regime: Regime) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The runs to forecast in a regime, and one row of inputs per cell (index ``cell_id``) with what is known of it.

    ``cold``: nothing is known. ``warm``: all runs of the query on other models and efforts. ``pilot``: the first run of
    the cell; the others are forecast. ``pilot_and_warm``: both. `examples` are every run of the queries to judge on; no
    run is left where a regime needs repeats and there are none.
    """
    from foretell.predictors.thinking_tokens.known_runs.context import attach_context

    first = ~examples.duplicated("cell_id")
    rows = examples[~first] if regime.startswith("pilot") else examples
    cells = rows.drop_duplicates("cell_id").set_index("cell_id")
    inputs = family.inputs(cells).drop(columns=["run_reasoning_tokens", "run_score"], errors="ignore")
    if regime == "cold" or rows.empty:
        return rows, inputs
    runs, informed = past_runs(examples), []
    if "warm" in regime:
        informed.append(attach_context(inputs, runs, pilots=False))
    if "pilot" in regime:
        informed.append(_with_pilots(inputs, runs[first]))
    lists = informed[0].columns.difference(inputs.columns)
    return rows, inputs.assign(**{name: reduce(add, (each[name] for each in informed)) for name in lists})


def _with_pilots(inputs: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """`inputs` with the runs of their own model and effort, and no others."""
    from foretell.predictors.thinking_tokens.known_runs.context import attach_context

    def cell(frame: pd.DataFrame) -> pd.Series:
        return frame["query_id"] + "|" + frame["model"] + "|" + frame["reasoning_effort"].fillna("")

    with_runs = attach_context(inputs.assign(query_id=cell(inputs)), runs.assign(query_id=cell(runs)))
    return with_runs.assign(query_id=inputs["query_id"])


def query_folds(examples: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """The examples once per fold over queries, with ``split`` ``test`` in the fold and ``train`` outside."""
    fractions = {str(fold): 1 / N_FOLDS for fold in range(N_FOLDS)}
    folds = assign_split(examples["query_id"], fractions=fractions, salt="query folds")
    for fold in sorted(folds.unique()):
        yield examples.assign(split=folds.eq(fold).map({True: "test", False: "train"}))


def token_splits(family: Family, examples: pd.DataFrame, dataset: str, sources: Sources) -> Iterator[Split]:
    """The splits ``within`` and ``within_capped`` of cold forecasts, and those that know other runs of their query.

    These are ``within_warm``, ``within_pilot`` and ``within_pilot_warm``, see `regime_rows`.

    A set of fewer than 100 queries is judged by five folds over queries, each forecast by a fit that has not seen it,
    and without the groups of runs that were mostly cut off.

    Public figures hold no prompts, so ``within`` rests on what cells share, as it does for who asks about them; the
    splits of `shift.shift_splits` follow.
    """
    if dataset == PUBLIC:
        light = replace(family, predictor=partial(ThinkingTokensPredictor, heads=False))
        yield next(held_out_splits(light, examples))
        yield from shift_splits(family, examples)
        return
    if examples["query_id"].nunique() < MIN_QUERIES_OF_A_SPLIT:
        yield from regime_splits(family, list(query_folds(examples)), REGIMES)
        return
    fitted = fit_family(family, examples, store=sources.home / "models")
    yield from held_out_splits(family, examples, fitted)
    yield from regime_splits(family, [examples], REGIMES[1:], fitted)


def regime_splits(
    family: Family, folds: Sequence[pd.DataFrame], regimes: Sequence[Regime], fitted: FittedFamily | None = None
) -> Iterator[Split]:
    """One split for every regime, in which the rows ``test`` of every fold are forecast by a fit to its other rows.

    `folds` are the examples, once for every fold, with their `split` there; `fitted` is the fit of a single fold that
    is there already.
    """
    tests = [fold[fold["split"] == "test"].drop(columns="split") for fold in folds]
    trains = [None if fitted is not None else fold[fold["split"] != "test"] for fold in folds]
    models = fitted or unfitted(family)
    for regime in regimes:
        rounds = [_round(family, train, test, regime) for train, test in zip(trains, tests, strict=True)]
        runs = pd.concat([each.outcomes for each in rounds])
        yield Split(
            family.held_out if regime == "cold" else f"{family.held_out}_{regime.replace('_and_', '_')}",
            rounds,
            {type(models.predictor).__name__: models.predictor},
            (family.reference, models.baselines[family.reference]),
            segments=varying_segments(family.segments, runs),
        )


def _round(family: Family, train: pd.DataFrame | None, test: pd.DataFrame, regime: Regime) -> Round:
    """Runs of models that were mostly cut off are not judged, but they are known."""
    rows, _ = regime_rows(family, test[~test["is_capped"]], regime)
    _, inputs = regime_rows(family, test, regime)
    return Round(train, inputs.loc[rows["cell_id"].unique()], rows)
