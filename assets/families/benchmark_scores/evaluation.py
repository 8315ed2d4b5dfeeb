"""How score forecasts are judged: folds over leak groups, known scores, benchmarks of the future."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from foretell.assets.families.benchmark_scores.examples import MODERN
from foretell.assets.judging.family import Family
from foretell.assets.judging.parts import Forecaster
from foretell.assets.judging.splits import Round, Split, varying_segments
from foretell.assets.store.sources import Sources
from foretell.predictors.base import BasePredictor

FOLDS = 5
N_KNOWN = 5
SHARES = (10, 20, 50)
"""Per cent of the forecasts with the narrowest intervals: segments ``narrowest_20=yes`` and so on."""
NARROWEST = tuple(f"narrowest_{share}" for share in SHARES)
MODEL_VIEWS = 3
METRICS = ("mae", "crps", "coverage_90", "width_90", "interval_score_90")
MODEL_DAYS = (2025.0, 2025.25, 2025.55)
BENCHMARK_DAYS = (2024.67, 2025.1, 2025.4)
KNOWN_SEED = 0
MANY_UNKNOWN = 0.3
"""Share of rows without a size from which on sizes do not say what is cheap."""
FUTURE = 0.7
"""Share of the leak groups that count as the past in the time-forward split."""


def score_splits(family: Family, examples: pd.DataFrame, dataset: str, sources: Sources) -> Iterator[Split]:
    """`FOLDS` folds over leak groups, all folds together and one by one.

    Splits: ``new_benchmark`` (the one that counts; `FOLDS` folds over leak groups), ``new_benchmark_k5`` (the same
    folds; five cheap models of each new benchmark are known) and ``later`` (trained on what was published before the
    benchmark, where dates are known).
    Segments: each answer format and fold; ``narrowest_20=yes`` is the fifth with the narrowest intervals of each
    fold; ``one_model=NAME`` the benchmarks of one model, which is PRECOG's task, for the `MODEL_VIEWS` models with
    most of them; ``has_noise=known`` the scores of which the noise is known, with its floor.

    Raises
    ------
    InvalidInputError
        If a leak group stands in different folds.
    """
    from foretell.predictors.benchmark_scores.description.leakage import assign_folds, check_split_leaks

    if dataset == MODERN:
        yield from modern_splits(family, examples)
        return
    strict = examples.assign(fold=assign_folds(examples["leak_group"], FOLDS))
    benchmarks = strict.drop_duplicates("benchmark").assign(task=None)
    check_split_leaks(benchmarks, benchmarks["fold"])
    models = family.models()
    rounds = _fold_rounds(family, strict)
    yield _split(family, "new_benchmark", rounds, models)
    yield _split_with_known_scores(family, strict, rounds, models[family.name], N_KNOWN)
    past, future = time_forward(strict)
    if future.any():
        yield _split(family, "later", [_round(family, strict[past], strict[future])], models)


def modern_splits(family: Family, examples: pd.DataFrame) -> Iterator[Split]:
    """Splits of the set ``modern``, folds over leak groups or cuts in time.

    ``new_benchmark``, and ``_k3`` and ``_k5`` with as many scores of other models known; ``new_model`` (released after
    every model of training, on known benchmarks; `MODEL_DAYS`), and ``_k5`` with five of its own scores known;
    ``later`` (benchmarks of leak groups that begin after `BENCHMARK_DAYS`, by what was there before).
    """
    from foretell.predictors.benchmark_scores.description.leakage import assign_folds

    models = family.models()
    folded = examples.assign(fold=assign_folds(examples["leak_group"], FOLDS))
    rounds = _fold_rounds(family, folded)
    yield _split(family, "new_benchmark", rounds, models)
    for n_known in (3, N_KNOWN):
        yield _split_with_known_scores(family, folded, rounds, models[family.name], n_known)
    later_models = []
    for i, (day, end) in enumerate(zip(MODEL_DAYS, (*MODEL_DAYS[1:], np.inf), strict=True)):
        train = examples[examples["release_year"] < day].assign(fold=i)
        asked = examples["release_year"].between(day, end, inclusive="left")
        asked &= examples["benchmark"].isin(train["benchmark"])
        later_models.append(_round(family, train, examples[asked].assign(fold=i, query_id=examples["model"])))
    yield _split(family, "new_model", later_models, models)
    known = [_with_own_scores(family, each, examples) for each in later_models]
    yield Split(
        f"new_model_k{N_KNOWN}", known, {family.name: models[family.name]},
        ("without_own_scores", models[family.name]), segments=("fold",), metrics=METRICS,
    )  # fmt: skip
    first = examples.groupby("leak_group")["published_year"].transform("min")
    later = []
    for i, day in enumerate(BENCHMARK_DAYS):
        past = (examples["published_year"] < day) & (examples["release_year"] < day)
        rows = examples[first >= day].assign(fold=i, cell_id=examples["cell_id"] + f"|{i}")
        later.append(_round(family, examples[past].assign(fold=i), rows))
    yield _split(family, "later", later, models)


def _with_own_scores(family: Family, each: Round, examples: pd.DataFrame) -> Round:
    """The same round, in which `N_KNOWN` random scores of each asked model are known, and no longer asked."""
    rng = np.random.default_rng(KNOWN_SEED)
    parts = []
    for _, rows in examples[examples["cell_id"].isin(each.outcomes["cell_id"])].groupby("model"):
        known = rows.iloc[rng.permutation(len(rows))[:N_KNOWN]]
        rest = rows.drop(known.index)
        if len(rest):
            parts.append(_given(rest, own_benchmarks=known["benchmark"], own_scores=known["value"]))
    asked = pd.concat(parts)
    outcomes = each.outcomes[each.outcomes["cell_id"].isin(asked["cell_id"])]
    inputs = family.inputs(asked.set_index("cell_id")).loc[outcomes["cell_id"]]
    without = inputs.drop(columns=["own_benchmarks", "own_scores"])
    return replace(each, outcomes=outcomes, inputs=inputs, reference_inputs=without)


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

    Where sizes are secret, as many random ones.

    Only models in `models` (those trained on) can be known; benchmarks with too few of them, or with no other
    row, are left out, as are the rows that became known.
    """
    parts = []
    usable = rows[rows["model"].isin(list(models)) & rows["n_params"].notna()].sort_values("model")
    if rows["n_params"].isna().mean() > MANY_UNKNOWN:  # sizes are secret: any models
        usable = rows[rows["model"].isin(list(models))].sample(frac=1, random_state=KNOWN_SEED).assign(n_params=0.0)
    for benchmark, group in usable.groupby("benchmark"):
        cheap = group.drop_duplicates("model").sort_values("n_params", kind="stable").head(n_known)
        rest = rows[(rows["benchmark"] == benchmark) & ~rows["model"].isin(cheap["model"])]
        if len(cheap) < n_known or rest.empty:
            continue
        parts.append(_given(rest, known_models=cheap["model"], known_scores=cheap["value"]))
    return pd.concat(parts) if parts else rows.iloc[:0].assign(known_models=None, known_scores=None)


def _given(rows: pd.DataFrame, **known: pd.Series) -> pd.DataFrame:
    """`rows`, each of which knows these lists."""
    return rows.assign(**{name: pd.Series([list(v)] * len(rows), index=rows.index) for name, v in known.items()})


def _fold_rounds(family: Family, examples: pd.DataFrame) -> list[Round]:
    """Every fold, forecast by a fit to the others, whose calibration keeps the rows of a leak group together."""
    return [_round(family, examples[examples["fold"] != k], examples[examples["fold"] == k]) for k in range(FOLDS)]


def _round(family: Family, train: pd.DataFrame, rows: pd.DataFrame) -> Round:
    outcomes = rows.drop(columns="split").assign(fold=rows["fold"].astype("str"))
    return Round(train, family.inputs(rows.set_index("cell_id")), outcomes)


def _split(family: Family, name: str, rounds: Sequence[Round], models: Mapping[str, BasePredictor]) -> Split:
    most = pd.concat([each.outcomes["model"] for each in rounds]).value_counts().index[:MODEL_VIEWS]
    views = [each.outcomes["model"].where(each.outcomes["model"].isin(most), "another") for each in rounds]
    rounds = [
        replace(each, outcomes=each.outcomes.assign(one_model=view)) for each, view in zip(rounds, views, strict=True)
    ]
    rows = pd.concat([each.outcomes for each in rounds])
    return Split(
        name, rounds, models, (family.reference, models[family.reference]),
        segments=(*varying_segments(("answer_format", "fold", "has_noise", "one_model"), rows), *NARROWEST),
        others_segments=varying_segments(("fold", "one_model"), rows), metrics=METRICS, describe=_narrowest,
    )  # fmt: skip


def _split_with_known_scores(
    family: Family, examples: pd.DataFrame, rounds: Sequence[Round], predictor: BasePredictor, n_known: int
) -> Split:
    """The predictor that is given a few scores, against itself without them."""
    asked = []
    for each in rounds:
        assert each.train is not None
        rows = examples[examples["cell_id"].isin(each.outcomes["cell_id"])]
        given = with_known_scores(rows, each.train["model"].unique().tolist(), n_known=n_known)
        if given.empty:
            continue
        blind = given.drop(columns=["known_models", "known_scores"])
        asked.append(replace(
            _round(family, each.train, given), reference_inputs=family.inputs(blind.set_index("cell_id"))
        ))  # fmt: skip
    rows = pd.concat([each.outcomes for each in asked]) if asked else examples.iloc[:0]
    return Split(
        f"new_benchmark_k{n_known}", asked, {family.name: predictor}, ("without_known_scores", predictor),
        segments=varying_segments(("fold",), rows), metrics=METRICS,
    )  # fmt: skip


def _narrowest(model: Forecaster, inputs: pd.DataFrame, forecast: pd.DataFrame, outcomes: pd.DataFrame) -> pd.DataFrame:
    """`outcomes` with whether each is among the narrowest intervals of its round."""
    ends = forecast.loc[outcomes["cell_id"]]
    width = (ends[0.95] - ends[0.05]).to_numpy()
    is_narrow = {name: width <= np.quantile(width, share / 100) for name, share in zip(NARROWEST, SHARES, strict=True)}
    return outcomes.assign(**{name: np.where(narrow, "yes", "no") for name, narrow in is_narrow.items()})
