"""The learning-curve family: its examples, and how it is fitted and judged by data set."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd

from assets.family import FamilyPipeline
from assets.family_assets import build_family_assets
from assets.input_tables import read_input_table
from assets.resources import Workspace
from assets.sources import Sources
from predictors.base import EVALUATION_LEVELS, BasePredictor
from predictors.errors import InvalidInputError

__all__ = [
    "CUTS",
    "DATASETS",
    "PIPELINE",
    "evaluate_dataset",
    "examples_from_curves",
    "examples_from_dataset",
    "lcdb_split",
    "learning_curves_assets",
    "read_inputs",
]

DATASETS = ("lcdb",)
CUTS = (0.1, 0.2, 0.4, 0.8)
"""Shares of the anchors that are observed."""
LEAST_ANCHORS = 8
LEAST_RUNS = 5
TRAIN_SHARE = 0.6
METRICS = ("mae", "crps", "coverage_90", "width_90", "interval_score_90")
LISTS = ("steps", "values", "standard_errors", "train_values", "sibling_learners", "sibling_steps", "sibling_values")


def _predictor(**params: Any) -> BasePredictor:
    from predictors.learning_curves.predictor import LearningCurvePredictor

    return LearningCurvePredictor(**{"random_state": 0, **params})


def _baselines() -> dict[str, BasePredictor]:
    from predictors.learning_curves.baselines import (
        BestFitBaseline,
        LastValueBaseline,
        MapEnsembleBaseline,
        MapMmfBaseline,
    )

    return {
        "map_ensemble": MapEnsembleBaseline(),
        "map_mmf4": MapMmfBaseline(),
        "best_fit": BestFitBaseline(),
        "last_value": LastValueBaseline(),
    }


PIPELINE = FamilyPipeline(
    family="learning_curves",
    predictor=_predictor,
    baselines=_baselines,
    reference="map_ensemble",
    scale="identity",
    segments=("cut",),
    unit="unit of the metric (accuracy: share, 0-1)",
)


# -- LCDB ---------------------------------------------------------------------------------------------
def lcdb_split(datasets: pd.Series) -> pd.Series:
    """``train`` or ``test`` for every row: 60 % of the data sets, drawn as in the reference measurements (seed 0)."""
    names = np.sort(datasets.astype("int64").unique())
    train = np.random.default_rng(0).permutation(names)[: int(TRAIN_SHARE * len(names))]
    return pd.Series(np.where(datasets.astype("int64").isin(train), "train", "test"), index=datasets.index, dtype="str")


def usable_curves(table: pd.DataFrame) -> pd.DataFrame:
    """Anchors with five runs or more, of curves that have eight such anchors or more."""
    kept = table[table["n"] >= LEAST_RUNS].sort_values(["dataset", "learner", "step"], ignore_index=True)
    return kept[kept.groupby(["dataset", "learner"])["step"].transform("size") >= LEAST_ANCHORS]


def examples_from_curves(table: pd.DataFrame) -> pd.DataFrame:
    """One row per curve and cut: the first anchors as inputs, the mean accuracy at the last one as `value`.

    `query_id` is the data set. `standard_errors` of the inputs count runs as independent; `standard_error` of the
    outcome respects the outer splits, between which a share of the variance lies.
    """
    rows = []
    for (dataset, learner), part in usable_curves(table).groupby(["dataset", "learner"]):
        columns = {name: part[name].to_numpy(dtype=np.float64) for name in ("step", "value", "train_value", "sd", "n")}
        error = columns["sd"] / np.sqrt(columns["n"])
        last = part.iloc[-1]
        split_error = last["split_sd"] / np.sqrt(last["n_splits"])
        for cut in CUTS:
            k = max(2, round(cut * len(part)))
            rows.append({
                "cell_id": f"{dataset}/{learner}/{cut:.0%}", "query_id": str(dataset), "value": last["value"],
                "standard_error": error[-1] if np.isnan(split_error) else split_error, "cut": f"{cut:.0%}",
                "dataset": str(dataset), "learner": str(learner), "steps": columns["step"][:k].tolist(),
                "values": columns["value"][:k].tolist(), "standard_errors": error[:k].tolist(),
                "train_values": columns["train_value"][:k].tolist(), "target_step": float(last["step"]),
            })  # fmt: skip
    out = pd.DataFrame(rows)
    return out.assign(
        split=lcdb_split(out["dataset"]), replicate=0, is_censored=False, is_capped=False, repeat_prob=1.0,
        metric="accuracy", resource_unit="items", lower_bound=0.0, upper_bound=1.0,
    )  # fmt: skip


def _load_lcdb(sources: Sources) -> pd.DataFrame:
    from assets.readers.lcdb import load_mean_curves

    return load_mean_curves(sources.starter / "lcdb")


def examples_from_dataset(dataset: str, sources: Sources) -> pd.DataFrame:
    """One row per curve and cut of a named set, see `examples_from_curves`.

    Raises
    ------
    InvalidInputError
        If the set is not known.
    DatasetError
        If a file is missing.
    """
    if dataset not in DATASETS:
        raise InvalidInputError(f"unknown data set {dataset!r}; learning_curves has {', '.join(DATASETS)}")
    return examples_from_curves(_load_lcdb(sources))


def evaluate_dataset(
    dataset: str, sources: Sources, *, progress: Callable[[str], None] = lambda _: None
) -> pd.DataFrame:
    """The Evaluation table of a named set: every predictor on the test split, all cuts together and one by one.

    Intervals are over data sets. Beside the losses stands ``log_likelihood``, the mean log density of the outcome in
    nats per unit of the metric: higher is better.

    Parameters
    ----------
    dataset : str
        One of `DATASETS`.
    sources : Sources
    progress : callable, optional
        Told what has been done.
    """
    examples = examples_from_dataset(dataset, sources)
    train, test = (examples[examples["split"] == name] for name in ("train", "test"))
    fitted: dict[str, BasePredictor] = {}
    for name, model in {PIPELINE.family: _predictor(), **_baselines()}.items():
        X = PIPELINE.inputs(train)
        fitted[name] = model.fit(X, train["value"], groups=train["query_id"])
        progress(f"{name}: fitted on {len(train)} forecasts")
    return pd.concat(list(_evaluate_split(dataset, "test", fitted, test)), ignore_index=True)


def _evaluate_split(
    dataset: str, split: str, models: Mapping[str, BasePredictor], rows: pd.DataFrame
) -> Iterator[pd.DataFrame]:
    """The tables of all models on the same rows, gain and skill against the reference among them."""
    cells = rows.set_index("cell_id")
    X = PIPELINE.inputs(cells)
    forecasts = {name: model.predict_quantiles(X, EVALUATION_LEVELS) for name, model in models.items()}
    densities = {name: _log_densities(model, X, cells["value"]) for name, model in models.items()}
    for name in models:
        reference = None if name == PIPELINE.reference else PIPELINE.reference
        yield evaluation_rows(dataset, split, name, rows, forecasts, densities, reference)


def _log_densities(model: BasePredictor, X: pd.DataFrame, y: pd.Series) -> pd.Series:
    from predictors.learning_curves.forecaster import CurveForecaster

    assert isinstance(model, CurveForecaster)
    return model.predict_log_density(X, y)


def evaluation_rows(
    dataset: str, split: str, name: str, rows: pd.DataFrame, forecasts: Mapping[str, pd.DataFrame],
    densities: Mapping[str, pd.Series], reference: str | None,
) -> pd.DataFrame:  # fmt: skip
    """Evaluation rows of one model: losses beside their floors, and the log likelihood."""
    from assets.score_noise import add_noise_floors
    from predictors.metrics import evaluate

    outcomes = rows.drop(columns=["split", *(c for c in LISTS if c in rows)])
    table = evaluate(
        outcomes, forecasts[name], predictor=name, family=PIPELINE.family, dataset=dataset, split=split,
        baseline=None if reference is None else forecasts[reference], baseline_name=reference,
        metrics=METRICS, segments=("cut",),
    )  # fmt: skip
    return pd.concat([add_noise_floors(table, outcomes), _likelihood_rows(table, outcomes, densities, name, reference)])


def _likelihood_rows(
    table: pd.DataFrame, outcomes: pd.DataFrame, densities: Mapping[str, pd.Series], name: str, reference: str | None
) -> pd.DataFrame:
    from predictors.metrics import mean_estimate
    from predictors.schemas import as_evaluation

    head = table.iloc[0]
    parts = {"all": outcomes, **{f"cut={cut}": part for cut, part in outcomes.groupby("cut")}}
    out: list[dict[str, object]] = []
    for segment, part in parts.items():
        codes, groups = pd.factorize(part["query_id"])
        value = mean_estimate(densities[name].loc[part["cell_id"]].to_numpy(), codes, len(groups))
        lower, upper = value.interval()
        row: dict[str, object] = {
            **{key: head[key] for key in ("predictor", "family", "dataset", "split")}, "segment": segment,
            "metric": "log_likelihood", "value": value.value, "ci_lower": lower, "ci_upper": upper,
            "floor_source": "none: a log density has no floor that these runs identify",
            "n_queries": len(groups), "n_replicates": len(part),
        }  # fmt: skip
        if reference is not None:
            base = mean_estimate(densities[reference].loc[part["cell_id"]].to_numpy(), codes, len(groups))
            ends = (value - base).interval()
            row |= {"baseline": reference, "baseline_value": base.value, "gain": value.value - base.value,
                    "gain_ci_lower": ends[0], "gain_ci_upper": ends[1]}  # fmt: skip
        out.append(row)
    return as_evaluation(out)


def read_inputs(path: Path) -> pd.DataFrame:
    """What `foretell predict learning_curves FILE` reads: a row per forecast, the columns of `CurveRequests`.

    csv (lists as JSON), parquet or JSON lines.

    Raises
    ------
    InvalidInputError
        If the file cannot be read or lacks `steps`, `values` or `target_step`, naming file, row and remedy.
    """
    from predictors.schemas.learning_curves import CurveRequests

    table = read_input_table(path, known=list(CurveRequests.to_schema().columns), lists=LISTS)
    missing = sorted({"steps", "values", "target_step"} - set(table.columns))
    if missing:
        raise InvalidInputError(f"{path}: lacks the columns {missing}; a row is one observed curve and a target_step")
    return table


# -- Dagster ------------------------------------------------------------------------------------------
@dg.asset(
    group_name="learning_curves",
    kinds={"parquet"},
    description="One row per curve and cut: the observed anchors, the accuracy at the last one and its split.",
)
def learning_curves_examples(workspace: Workspace) -> dg.MaterializeResult:
    examples = examples_from_dataset("lcdb", workspace.sources)
    return dg.MaterializeResult(
        value=examples,
        metadata={
            "curves": len(examples) // len(CUTS),
            "datasets": int(examples["dataset"].nunique()),
            "learners": int(examples["learner"].nunique()),
        },
    )


learning_curves_assets = [learning_curves_examples, *build_family_assets(PIPELINE)]
