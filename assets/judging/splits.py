"""The one loop that judges every family: fit, forecast, evaluate, name the split.

A family says what is to be judged as a generator of `Split`; nothing is fitted before the loop asks for it.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from foretell.assets.judging.family import Family, Segments, columns_of
from foretell.assets.judging.known_noise import add_noise_floors
from foretell.assets.judging.likelihood import likelihood_rows
from foretell.assets.judging.parts import Evaluations, Forecaster, Terms, evaluations, evaluations_in_parts, is_large
from foretell.assets.judging.pipeline import FittedFamily, unfitted
from foretell.assets.judging.vault import sealed
from foretell.assets.store.sources import Sources
from foretell.predictors.base import EVALUATION_LEVELS, BasePredictor
from foretell.predictors.errors import InvalidInputError
from foretell.predictors.metrics.segments import ToldSegments, told_of

Progress = Callable[[str], None]
T = TypeVar("T")
Describe = Callable[[Forecaster, pd.DataFrame, pd.DataFrame, pd.DataFrame], pd.DataFrame]


@dataclass(frozen=True, eq=False)
class Round:
    """What the models of a split are fitted to, what they are asked, and how it came out.

    Rounds that share a table (the same object) share the fit, and the forecast where they share `inputs` too.

    Attributes
    ----------
    train : DataFrame or None
        Examples to fit to; None where the models are fitted already.
    inputs : DataFrame of shape (n_cells, n_columns)
        What is known of each cell before its outcome, index `cell_id`.
    outcomes : DataFrame of shape (n_runs, n_columns)
        Runs of these cells: `cell_id`, `query_id` (what intervals resample), `value`, the columns of the segments,
        and `standard_error` where the noise of an outcome is known.
    reference_inputs, reference_train : DataFrame, optional
        What the reference is asked and fitted to, where that is something else.
    """

    train: pd.DataFrame | None
    inputs: pd.DataFrame
    outcomes: pd.DataFrame
    reference_inputs: pd.DataFrame | None = None
    reference_train: pd.DataFrame | None = None


@dataclass(frozen=True, eq=False)
class Split:
    """One split of an evaluation: its rounds are forecast one by one and judged together.

    Attributes
    ----------
    name : str
    rounds : sequence of Round
    models : mapping of str to Forecaster
        Name in the table -> model, unfitted unless the rounds have no `train`. The first is the one that counts.
    reference : (str, Forecaster)
        What gain and skill are measured against; where it stands in `models` too, it has no baseline.
    segments, others_segments : tuple of str or of tuple of str
        What the table of the first model, and those of the others, are broken down by.
    metrics : tuple of str, optional
        By default those of `foretell.predictors.metrics.evaluate`.
    describe : callable, optional
        The fitted first model, inputs, its forecast and the outcomes of a round -> these outcomes with segment columns
        that only a forecast can tell.
    has_likelihood : bool
        Whether the models forecast a density (`distribution`), whose log at the outcomes is reported as well.
    """

    name: str
    rounds: Sequence[Round]
    models: Mapping[str, Forecaster]
    reference: tuple[str, Forecaster]
    segments: Segments = ()
    others_segments: Segments = ()
    metrics: tuple[str, ...] | None = None
    describe: Describe | None = None
    has_likelihood: bool = False


def evaluate_dataset(
    family: Family, dataset: str, sources: Sources, *, leave_out_vault: bool, progress: Progress = lambda _: None
) -> pd.DataFrame:
    """The Evaluation table of a family on one of its data sets; `progress` is told what has been done.

    With `leave_out_vault` the sealed test queries (`foretell.assets.judging.vault`) are not judged.

    Raises
    ------
    InvalidInputError
        If there is no such data set, or too few examples to judge on.
    DatasetError
        If its files can neither be fetched nor found in the mirror.
    """
    examples = family.examples(dataset, sources)
    progress(f"{dataset}: {len(examples)} examples")
    queries = set(examples.loc[sealed(examples), "query_id"]) if leave_out_vault else set()
    splits = family.splits(family, examples, dataset, sources)
    return judge_splits(family, splits, dataset=dataset, leave_out=queries, progress=progress, examples=examples)


def evaluate_family(
    family: Family, fitted: FittedFamily, examples: pd.DataFrame, *, dataset: str, leave_out_vault: bool
) -> pd.DataFrame:
    """The Evaluation table of a fit on the rows that it held out, see `held_out_splits` and `evaluate_dataset`."""
    queries = set(examples.loc[sealed(examples), "query_id"]) if leave_out_vault else set()
    splits = held_out_splits(family, examples, fitted)
    return judge_splits(family, splits, dataset=dataset, leave_out=queries, examples=examples)


def held_out_splits(family: Family, examples: pd.DataFrame, fitted: FittedFamily | None = None) -> Iterator[Split]:
    """The rows whose `split` is ``test``, forecast by a fit to the others: the predictor by segment, baselines whole.

    The split is called `family.held_out`. Groups of runs of which more than a fifth were cut off stand in one of their
    own, ``<held out>_capped``: there the outcome is min(tokens, cap), and so is the forecast (Powell 1986), which is
    fair to both but says little about the forecaster.
    """
    is_test = examples["split"] == "test"
    train = None if fitted is not None else examples[~is_test]
    models = fitted or unfitted(family)
    others = {name: model for name, model in models.baselines.items() if name != family.reference}
    test = examples[is_test].drop(columns="split")
    parts = {"": test[~test["is_capped"]], "_capped": test[test["is_capped"]]}
    for suffix, rows in parts.items():
        yield Split(
            family.held_out + suffix,
            [Round(train, family.inputs_by_cell(rows), rows)],
            {type(models.predictor).__name__: models.predictor, **others},
            (family.reference, models.baselines[family.reference]),
            segments=varying_segments(family.segments, rows),
        )


def varying_segments(segments: Segments, rows: pd.DataFrame) -> Segments:
    """Segments by columns that have more than one value here; the others repeat what stands there already."""
    varies = {name for keys in segments for name in columns_of(keys) if name in rows and len(rows[name].unique()) > 1}
    return tuple(keys for keys in segments if varies.issuperset(columns_of(keys)))


def judge_splits(
    family: Family,
    splits: Iterable[Split],
    *,
    dataset: str,
    leave_out: Collection[str] = (),
    progress: Progress = lambda _: None,
    examples: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Fit, forecast and evaluate split by split: one Evaluation table, in which a split without runs has no rows.

    `leave_out` are queries whose outcomes are not judged, `dataset` a name for the table. Of many segments by columns
    of the `examples` those with most runs there are told, as of their floors; by others, with most runs of the split.

    Raises
    ------
    InvalidInputError
        If no split has a run to judge.
    """
    fits, told = _Fits(family, progress), _Told(examples)
    tables: list[pd.DataFrame] = []
    for split in splits:
        rounds = [
            replace(each, outcomes=each.outcomes[~each.outcomes["query_id"].isin(leave_out)]) for each in split.rounds
        ]
        rounds = [each for each in rounds if not each.outcomes.empty]
        if not rounds:
            continue
        tables += _tables(family, replace(split, rounds=rounds), fits, dataset, told.of(split))
        progress(f"judged {split.name}: {sum(len(r.outcomes) for r in rounds)} runs")
        fits.forget_unused()
    if not tables:
        raise InvalidInputError(f"no row of {dataset!r} is held out to be judged on: the examples are too few")
    return pd.concat(tables, ignore_index=True)


class _Told:
    """Which segments are told one by one: where the examples have their columns, these say it for all splits."""

    def __init__(self, examples: pd.DataFrame | None) -> None:
        self._examples = pd.DataFrame() if examples is None else examples
        self._by_examples: dict[tuple[str, ...], ToldSegments] = {}

    def of(self, split: Split) -> ToldSegments:
        """Those of a split; columns that only a forecast can tell take few values."""
        told: dict[tuple[str, ...], pd.DataFrame] = {}
        for names in dict.fromkeys(map(columns_of, (*split.segments, *split.others_segments))):
            if set(names) <= set(self._examples):
                if names not in self._by_examples:
                    self._by_examples[names] = told_of(self._examples, [names])
                told |= self._by_examples[names]
            elif set(names) <= set(split.rounds[0].outcomes):
                told |= told_of(pd.concat([each.outcomes[list(names)] for each in split.rounds]), [names])
        return told


def _tables(family: Family, split: Split, fits: "_Fits", dataset: str, told: ToldSegments) -> Iterator[pd.DataFrame]:
    terms = _terms(family, split, told)
    judged = _judged_in_parts(split, terms, fits) if _is_cut(split) else _judged_at_once(split, terms, fits)
    called = split.reference[0]
    for name, evaluation in judged.evaluations.items():
        names = {"predictor": name, "family": family.name, "dataset": dataset, "split": split.name}
        table = evaluation.table(
            predictor=name, family=family.name, dataset=dataset, split=split.name, baseline_name=called
        )
        has_noise = "standard_error" in judged.outcomes
        yield add_noise_floors(table, judged.outcomes, terms[name]["segments"], told) if has_noise else table
        if split.has_likelihood:
            base = None if name == called else (called, judged.densities[called])
            yield likelihood_rows(
                judged.outcomes, judged.densities[name], base, segments=split.segments, told=told, names=names
            )


@dataclass(frozen=True, eq=False)
class _Judged:
    """Outcomes of a split with the columns of its segments, its evaluations by model, and log densities by cell."""

    outcomes: pd.DataFrame
    evaluations: Evaluations
    densities: Mapping[str, pd.Series]


# -- in one piece ---------------------------------------------------------------------------------------
def _judged_at_once(split: Split, terms: Mapping[str, Terms], fits: "_Fits") -> _Judged:
    """All rounds are forecast, then judged together; a fit or forecast that an earlier split made is used again."""
    name, model = split.reference
    quantiles: dict[str, list[pd.DataFrame]] = {}
    densities: dict[str, list[pd.Series]] = {}
    outcomes: list[pd.DataFrame] = []

    def ask(called: str, asked: Forecaster, inputs: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
        cells = pd.Index(rows["cell_id"].unique())
        forecast, distribution = fits.forecast(asked, inputs, has_density=split.has_likelihood)
        quantiles.setdefault(called, []).append(forecast.loc[cells])
        if distribution is not None:
            values = rows.drop_duplicates("cell_id")["value"]
            densities.setdefault(called, []).append(distribution.loc(cells).log_density(values))
        return quantiles[called][-1]

    for each in split.rounds:
        fitted = {key: fits.fitted(key, unfitted, each.train) for key, unfitted in split.models.items()}
        forecasts_here = [ask(key, asked, each.inputs, each.outcomes) for key, asked in fitted.items()]
        if name not in fitted:
            train = each.train if each.reference_train is None else each.reference_train
            inputs = each.inputs if each.reference_inputs is None else each.reference_inputs
            ask(name, fits.fitted(name, model, train), inputs, each.outcomes)
        rows = each.outcomes
        if split.describe is not None:
            rows = split.describe(next(iter(fitted.values())), each.inputs, forecasts_here[0], rows)
        outcomes.append(rows)
    runs = pd.concat(outcomes, ignore_index=True)
    forecasts = {key: pd.concat(parts) for key, parts in quantiles.items()}
    made = evaluations(runs, forecasts, name, terms)
    return _Judged(runs, made, {key: pd.concat(parts) for key, parts in densities.items()})


class _Fits:
    """Fits and forecasts of the split at hand and the one before it, which often share them."""

    def __init__(self, family: Family, progress: Progress) -> None:
        self._family = family
        self._progress = progress
        self._kept: dict[tuple[int, ...], tuple[tuple[object, ...], Any]] = {}
        self._used: set[tuple[int, ...]] = set()

    def fitted(self, name: str, model: Forecaster, train: pd.DataFrame | None) -> Forecaster:
        """`model` fitted to `train`, or as it is where there is none."""
        return model if train is None else self._once((model, train), lambda: self._fit(name, model, train))

    def forecast(self, model: Forecaster, inputs: pd.DataFrame, *, has_density: bool) -> tuple[pd.DataFrame, Any]:
        """Quantiles of a fitted model for `inputs`, and its distribution where that is wanted."""
        return self._once((model, inputs, has_density), lambda: _forecast(model, inputs, has_density))

    def forget_unused(self) -> None:
        """Keep what was asked for since the last call."""
        self._kept = {key: self._kept[key] for key in self._used}
        self._used = set()

    def _fit(self, name: str, model: Forecaster, train: pd.DataFrame) -> Forecaster:
        assert isinstance(model, BasePredictor)
        self._progress(f"fitting {name} to {len(train)} examples")
        return self._family.fit(model.unfitted(), train)

    def _once(self, made_of: tuple[object, ...], make: Callable[[], T]) -> T:
        # The objects are kept beside what is made of them, so that no other one takes their identity.
        key = tuple(id(part) for part in made_of)
        if key not in self._kept:
            self._kept[key] = made_of, make()
        self._used.add(key)
        made: T = self._kept[key][1]
        return made


def _forecast(model: Any, inputs: pd.DataFrame, has_density: bool) -> tuple[pd.DataFrame, Any]:
    if not has_density:
        return model.predict_quantiles(inputs, EVALUATION_LEVELS), None
    distribution = model.distribution(inputs)
    return distribution.quantiles(np.array(EVALUATION_LEVELS)), distribution


# -- in parts -------------------------------------------------------------------------------------------
def _is_cut(split: Split) -> bool:
    """Whether a split is judged in parts: never where rounds, descriptions or densities need it whole."""
    if len(split.rounds) > 1 or split.describe is not None or split.has_likelihood:
        return False
    (only,) = split.rounds
    return only.reference_inputs is None and is_large(only.outcomes["cell_id"].nunique())


def _judged_in_parts(split: Split, terms: Mapping[str, Terms], fits: _Fits) -> _Judged:
    (only,) = split.rounds
    name, reference = split.reference
    models = {key: fits.fitted(key, model, only.train) for key, model in split.models.items()}
    models.setdefault(name, fits.fitted(name, reference, only.train))
    made = evaluations_in_parts(only.outcomes, only.inputs, models, name, terms)
    return _Judged(only.outcomes, made, {})


def _terms(family: Family, split: Split, told: ToldSegments) -> dict[str, Terms]:
    """How each model is evaluated: arguments of `partial_evaluation`."""
    common: Terms = {"scale": family.scale, "told": told} | (
        {} if split.metrics is None else {"metrics": split.metrics}
    )
    first = next(iter(split.models))
    segments = {name: split.segments if name == first else split.others_segments for name in split.models}
    return {name: common | {"segments": segments[name]} for name in split.models}
