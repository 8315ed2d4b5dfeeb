"""How forecasts of curves are judged: by data set, and by what is known of a curve beside its own beginning."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from foretell.assets.families.learning_curves.examples import (
    LEAST_RUNS,
    LISTS,
    TRAINING_RUNS,
    load_lcdb,
    usable_curves,
)
from foretell.assets.judging.family import Family
from foretell.assets.judging.splits import Round, Split
from foretell.assets.store.sources import Sources
from foretell.predictors.base import BasePredictor

METRICS = ("mae", "crps", "coverage_90", "width_90", "interval_score_90")
LEARNER_FOLDS = 4
JUDGED = "algoperf"


def curve_splits(family: Family, examples: pd.DataFrame, dataset: str, sources: Sources) -> Iterator[Split]:
    """The splits of a named set, all cuts together and one by one.

    Intervals are over data sets. Beside the losses stands ``log_likelihood``, the mean log density of
    the outcome in nats per unit of the metric: higher is better, and so is its gain.

    Splits of ``lcdb`` differ in what is known of a test curve beside its own beginning:

    - ``new_benchmark``: the learner's name. What the reference measurements knew; the figures to compare.
    - ``new_benchmark_single_run``: the same, but judged on single runs, which have a floor of their own.
    - ``new_benchmark_no_learner``: nothing. ``new_benchmark_new_model``: nothing, and the learner is not among the
      training curves.
    - ``new_benchmark_same_budget``: the other learners' curves on the data set, up to the budget of the curve itself.
    - ``new_benchmark_warm``: the other learners' whole curves on the data set.

    In ``ladder`` every skill is forecast by a fit to the other skills; of ``training-runs`` see
    `run_splits`.
    """
    if dataset == "lcdb":
        yield from _lcdb_splits(family, examples, sources)
    elif dataset == TRAINING_RUNS:
        yield from run_splits(family, examples)
    else:
        rounds = left_out(family, examples.set_index("cell_id", drop=False))
        yield by_cut(family, family.models(), "new_benchmark", rounds)


def _lcdb_splits(family: Family, examples: pd.DataFrame, sources: Sources) -> Iterator[Split]:
    from foretell.predictors.learning_curves.context import attach_siblings

    train, test = (examples[examples["split"] == name].set_index("cell_id", drop=False) for name in ("train", "test"))
    inputs, outcomes = family.inputs(test), outcomes_of(test)
    models = family.models()
    yield by_cut(family, models, "new_benchmark", [Round(train, inputs, outcomes)])
    single = [Round(train, inputs, _single_runs(test, sources))]
    single_run = by_cut(family, models, "new_benchmark_single_run", single, alone=True)
    yield replace(single_run, others_segments=(), metrics=("mae",), has_likelihood=False)

    def knowing(name: str, rows: pd.DataFrame) -> Split:
        asked = Round(train, family.inputs(rows), outcomes, reference_inputs=inputs)
        return by_cut(family, models, name, [asked], alone=True)

    curves = usable_curves(load_lcdb(sources))
    yield knowing("new_benchmark_no_learner", test.drop(columns="learner"))
    yield knowing("new_benchmark_same_budget", attach_siblings(test, curves, extent="same_budget"))
    yield knowing("new_benchmark_warm", attach_siblings(test, curves, extent="complete"))
    rounds = _learner_rounds(family, train, test, inputs)
    yield by_cut(family, models, "new_benchmark_new_model", rounds, alone=True)


def _learner_rounds(family: Family, train: pd.DataFrame, test: pd.DataFrame, inputs: pd.DataFrame) -> list[Round]:
    """Each learner's test curves, forecast by fits to the other learners' training curves."""
    learners = np.sort(test["learner"].unique())
    rounds = []
    for fold in range(LEARNER_FOLDS):
        out = list(learners[fold::LEARNER_FOLDS])
        rest = train[~train["learner"].isin(out)].drop(columns="learner")
        rows = test[test["learner"].isin(out)]
        asked = family.inputs(rows.drop(columns="learner"))
        rounds.append(Round(rest, asked, outcomes_of(rows), reference_inputs=inputs, reference_train=train))
    return rounds


def _single_runs(test: pd.DataFrame, sources: Sources) -> pd.DataFrame:
    """The single runs at the last anchor of every curve, with the floor of their spread."""
    from foretell.assets.readers.curves.lcdb import load_final_runs

    cells = test[["cell_id", "query_id", "cut", "dataset", "learner"]].reset_index(drop=True)
    outcomes = cells.merge(load_final_runs(sources.starter / "lcdb"), on=["dataset", "learner"])
    # A curve that a few runs went beyond its last usable anchor is asked about another step than they ended at.
    n_runs = outcomes.groupby("cell_id")["value"].transform("size")
    outcomes = outcomes[n_runs >= LEAST_RUNS].reset_index(drop=True)
    return outcomes.assign(replicate=outcomes["outer_seed"] * 100 + outcomes["inner_seed"])


def run_splits(family: Family, examples: pd.DataFrame) -> Iterator[Split]:
    """``new_benchmark``: each base workload by a fit to the others; ``within``: every third setting by a fit to the
    rest; ``new_source``: each source by a fit to the other.

    Errors are shares of the 5-95 % range of the whole curve; intervals are over base workloads.
    """
    rows = examples.set_index("cell_id", drop=False)
    models = family.models()
    judged, other = rows[rows["source"] == JUDGED], rows[rows["source"] != JUDGED]
    yield by_cut(family, models, "new_benchmark", left_out(family, judged, other))
    out = rows["setting"].map(lambda name: int(name, 16) % 3 == 0)
    within = _round(family, rows[~out], rows[out & (rows["source"] == JUDGED)])
    yield by_cut(family, models, "within", [within], alone=True)
    both_ways = [_round(family, judged, other), _round(family, other, judged)]
    yield by_cut(family, models, "new_source", both_ways, alone=True)


def _round(family: Family, train: pd.DataFrame, asked: pd.DataFrame) -> Round:
    return Round(train, family.inputs(asked), outcomes_of(asked))


def left_out(family: Family, rows: pd.DataFrame, always: pd.DataFrame | None = None) -> list[Round]:
    """Each query of `rows`, index `cell_id`, forecast by a fit to the others and to the rows `always`."""
    return [
        _round(family, pd.concat([rows[rows["query_id"] != query], always]), part)
        for query, part in rows.groupby("query_id", sort=True)
    ]


def outcomes_of(rows: pd.DataFrame) -> pd.DataFrame:
    """What is judged: the rows without what was known before."""
    return rows.reset_index(drop=True).drop(columns=["split", *(name for name in LISTS if name in rows)])


def by_cut(
    family: Family, models: Mapping[str, BasePredictor], name: str, rounds: Sequence[Round], *, alone: bool = False
) -> Split:
    """A split that is judged whole and by cut, with the log density of the outcomes; `alone`: without baselines."""
    judged = {family.name: models[family.name]} if alone else models
    reference, cut = (family.reference, models[family.reference]), ("cut",)
    return Split(name, rounds, judged, reference, cut, cut, metrics=METRICS, has_likelihood=True)
