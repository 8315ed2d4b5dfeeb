"""Forecasts of tokens by what is known of the query: nothing, runs on other models, a pilot run, or both."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, TypeAlias

import pandas as pd

from assets.family import FamilyPipeline, FittedFamily
from predictors.base import EVALUATION_LEVELS
from predictors.errors import InvalidInputError
from predictors.splits import assign_split

__all__ = ["REGIMES", "Regime", "evaluate_regimes", "known_runs", "query_folds", "regime_rows"]

Regime: TypeAlias = Literal["cold", "warm", "pilot", "pilot_and_warm"]
REGIMES: tuple[Regime, ...] = ("cold", "warm", "pilot", "pilot_and_warm")
N_FOLDS = 5
CONFIG = ["model", "reasoning_effort"]


def known_runs(examples: pd.DataFrame) -> pd.DataFrame:
    """Examples as past runs, with the names that `predictors.thinking_tokens.context.attach_context` reads."""
    names = {"value": "output_tokens", "run_reasoning_tokens": "reasoning_tokens", "run_score": "score"}
    return examples[["query_id", *CONFIG, "is_censored", *names]].rename(columns=names)


def regime_rows(pipeline: FamilyPipeline, examples: pd.DataFrame, regime: Regime) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The runs to forecast in a regime, and one row of inputs per cell with what is known of its query.

    Parameters
    ----------
    pipeline : FamilyPipeline
    examples : DataFrame
        Every run of the queries to judge on.
    regime : str
        ``cold``: nothing is known. ``warm``: all runs of the query on other models and efforts. ``pilot``: the first
        run of the cell; the others are forecast. ``pilot_and_warm``: both.

    Returns
    -------
    rows : DataFrame
        Outcomes, columns of `examples`; empty where a regime needs repeats and there are none.
    inputs : DataFrame
        Columns of `Requests`, index ``cell_id``.
    """
    from predictors.thinking_tokens.context import attach_context

    first = ~examples.duplicated("cell_id")
    rows = examples[~first] if regime.startswith("pilot") else examples
    cells = rows.drop_duplicates("cell_id").set_index("cell_id")
    inputs = pipeline.inputs(cells).drop(columns=["run_reasoning_tokens", "run_score"], errors="ignore")
    if regime == "cold" or rows.empty:
        return rows, inputs
    runs = known_runs(examples)
    others = attach_context(inputs, runs, pilots=False)
    own = _with_own(inputs, runs[first])
    if regime == "warm":
        return rows, others
    if regime == "pilot":
        return rows, own
    both = inputs.copy()
    for name in others.columns.difference(inputs.columns):
        both[name] = others[name] + own[name]
    return rows, both


def _with_own(inputs: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """`inputs` with the runs of their own model and effort, and no others."""
    from predictors.thinking_tokens.context import attach_context

    def own(frame: pd.DataFrame) -> pd.Series:
        return frame["query_id"] + "|" + frame["model"] + "|" + frame["reasoning_effort"].fillna("")

    known = attach_context(inputs.assign(query_id=own(inputs)), runs.assign(query_id=own(runs)))
    return known.assign(query_id=inputs["query_id"])


def query_folds(examples: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """The examples once per fold over queries, with ``split`` ``test`` in the fold and ``train`` outside."""
    fractions = {str(fold): 1 / N_FOLDS for fold in range(N_FOLDS)}
    folds = assign_split(examples["query_id"], fractions=fractions, salt="query folds")
    for fold in sorted(folds.unique()):
        yield examples.assign(split=folds.eq(fold).map({True: "test", False: "train"}))


def evaluate_regimes(
    pipeline: FamilyPipeline,
    folds: Sequence[tuple[FittedFamily, pd.DataFrame]],
    *,
    dataset: str,
    regimes: Sequence[Regime],
) -> pd.DataFrame:
    """The Evaluation table by regime, in splits ``test`` (cold) and ``test_<regime>``.

    Parameters
    ----------
    pipeline : FamilyPipeline
    folds : sequence of (fit, examples)
        Each fit with the examples it was made from; those of its split ``test`` are judged.
    dataset : str
    regimes : sequence of str
        A regime for which no run is left to forecast has no rows.

    Raises
    ------
    InvalidInputError
        If no regime has a run to forecast.
    """
    from predictors.metrics import evaluate

    tables = []
    for regime in regimes:
        outcomes, forecasts, baselines, name = [], [], [], ""
        for fitted, examples in folds:
            test = examples[(examples["split"] == "test") & ~examples["is_capped"]]
            rows, _ = regime_rows(pipeline, test, regime)
            if rows.empty:
                continue
            # Runs of models that were mostly cut off are not judged, but they are known.
            everything = examples[examples["split"] == "test"]
            _, inputs = regime_rows(pipeline, everything, regime)
            inputs = inputs.loc[rows["cell_id"].unique()]
            name = type(fitted.predictor).__name__
            outcomes.append(rows.drop(columns="split"))
            forecasts.append(fitted.predictor.predict_quantiles(inputs, EVALUATION_LEVELS))
            baselines.append(fitted.baselines[pipeline.reference].predict_quantiles(inputs, EVALUATION_LEVELS))
        if not outcomes:
            continue
        runs = pd.concat(outcomes, ignore_index=True)
        segments = [
            keys
            for keys in pipeline.segments
            if all(len(runs[k].unique()) > 1 for k in ([keys] if isinstance(keys, str) else keys))
        ]
        tables.append(
            evaluate(
                runs,
                pd.concat(forecasts),
                predictor=name,
                family=pipeline.family,
                dataset=dataset,
                split="test" if regime == "cold" else f"test_{regime}",
                baseline=pd.concat(baselines),
                baseline_name=pipeline.reference,
                scale=pipeline.scale,
                segments=segments,
            )
        )
    if not tables:
        raise InvalidInputError(f"no run of {dataset!r} can be judged: too few examples")
    return pd.concat(tables, ignore_index=True)
