"""The learning-curve family: how it is fitted and judged, by data set and by what is known of a curve."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import dagster as dg
import numpy as np
import pandas as pd

from assets.curve_examples import DATASETS, LCDB_CUTS, LEAST_RUNS, examples_from_dataset, load_lcdb, usable_curves
from assets.family import family_pipeline
from assets.family_assets import build_family_assets
from assets.input_tables import read_input_table
from assets.resources import Workspace
from assets.sources import Sources
from predictors.base import EVALUATION_LEVELS, BasePredictor
from predictors.errors import InvalidInputError

if TYPE_CHECKING:
    from predictors.learning_curves.forecaster import CurveForecast, CurveForecaster
    from predictors.learning_curves.pfn.predictor import MixtureForecast, PfnPredictor

    Forecast: TypeAlias = CurveForecast | MixtureForecast
    Forecaster: TypeAlias = CurveForecaster | PfnPredictor

__all__ = [
    "DATASETS",
    "PIPELINE",
    "curve_from_mlflow",
    "evaluate_dataset",
    "examples_from_dataset",
    "learning_curves_assets",
    "read_inputs",
]

METRICS = ("mae", "crps", "coverage_90", "width_90", "interval_score_90")
LISTS = ("steps", "values", "standard_errors", "train_values", "sibling_learners", "sibling_steps", "sibling_values")
LEARNER_FOLDS = 4


PIPELINE = family_pipeline("learning_curves", scale="identity", segments=("cut",), dataset="lcdb")
Progress = Callable[[str], None]


def evaluate_dataset(dataset: str, sources: Sources, *, progress: Progress = lambda _: None) -> pd.DataFrame:
    """The Evaluation table of a named set, all cuts together and one by one.

    Intervals are over data sets (Pythia: tasks). Beside the losses stands ``log_likelihood``, the mean log density of
    the outcome in nats per unit of the metric: higher is better, and so is its gain.

    Splits of ``lcdb`` differ in what is known of a test curve beside its own beginning:

    - ``test``: the learner's name. What the reference measurements knew; the figures to compare.
    - ``test_no_learner``: nothing. ``test_unseen_learner``: nothing, and the learner is not among the training curves.
    - ``test_same_budget``: the other learners' curves on the data set, up to the budget of the curve itself.
    - ``test_complete``: the other learners' whole curves on the data set.
    - ``test_train_values``: the learner's scores on its own training data; ``test_same_budget_train_values``: these and
      the other learners' curves up to the same budget.
    - ``test_single_run``: as ``test``, but judged on single runs, which have a floor of their own.

    In ``pythia`` every task is forecast by a fit to the other tasks (``task_out``); ``task_out_siblings`` knows whole
    curves of the other models on the task as well. In ``ladder`` every skill is forecast by a fit to the other skills
    (``skill_out``).

    Parameters
    ----------
    dataset : str
        One of `DATASETS`.
    sources : Sources
    progress : callable, optional
        Told what has been done.
    """
    examples = examples_from_dataset(dataset, sources)
    if dataset == "ladder":
        return pd.concat(list(_evaluate_ladder(examples, progress)), ignore_index=True)
    if dataset == "pythia":
        return _evaluate_pythia(examples, sources, progress)
    return pd.concat(list(_evaluate_lcdb(examples, sources, progress)), ignore_index=True)


# -- LCDB ---------------------------------------------------------------------------------------------
def _evaluate_lcdb(examples: pd.DataFrame, sources: Sources, progress: Progress) -> Iterator[pd.DataFrame]:
    from predictors.learning_curves.context import attach_siblings

    train, test = (examples[examples["split"] == name].set_index("cell_id") for name in ("train", "test"))
    found = {}
    for name, model in PIPELINE.models().items():
        fitted = _fit(model, train)
        found[name] = fitted.distribution(PIPELINE.inputs(test))
        if name == PIPELINE.family:
            own = fitted
        progress(f"{name}: fitted on {len(train)} forecasts, asked for {len(test)}")
    yield from _tables("lcdb", "test", found, test)
    base = {PIPELINE.reference: found[PIPELINE.reference]}
    curves = usable_curves(load_lcdb(sources))
    plain = test.drop(columns="learner")
    regimes = {
        "test_no_learner": plain,
        "test_same_budget": attach_siblings(test, curves, known="same_budget"),
        "test_complete": attach_siblings(test, curves, known="complete"),
    }
    for split, rows in regimes.items():
        given = {PIPELINE.family: own.distribution(PIPELINE.inputs(rows)), **base}
        yield from _tables("lcdb", split, given, test, only=PIPELINE.family)
        progress(split)
    richer = _fit(PIPELINE.predictor(use_train_values=True), train)
    for split, rows in (("", test), ("_same_budget", regimes["test_same_budget"])):
        given = {PIPELINE.family: richer.distribution(PIPELINE.inputs(rows)), **base}
        yield from _tables("lcdb", f"test{split}_train_values", given, test, only=PIPELINE.family)
        progress(f"test{split}_train_values")
    unseen = {PIPELINE.family: _unseen_learners(train, test), **base}
    yield from _tables("lcdb", "test_unseen_learner", unseen, test, only=PIPELINE.family)
    progress("test_unseen_learner")
    yield _single_runs(found, test, sources)


def _fit(model: BasePredictor, rows: pd.DataFrame) -> "Forecaster":
    return model.fit(PIPELINE.inputs(rows), rows["value"], groups=rows["query_id"])


def _unseen_learners(train: pd.DataFrame, test: pd.DataFrame) -> "Forecast":
    """Forecasts of each learner's test curves by fits to the other learners' training curves."""
    learners = np.sort(test["learner"].unique())
    parts = []
    for fold in range(LEARNER_FOLDS):
        out = list(learners[fold::LEARNER_FOLDS])
        rest = train[~train["learner"].isin(out)].drop(columns="learner")
        model = _fit(PIPELINE.predictor(use_siblings=False), rest)
        rows = test[test["learner"].isin(out)].drop(columns="learner")
        parts.append(model.distribution(PIPELINE.inputs(rows)))
    return _joined(parts, test.index)


def _joined(parts: "Sequence[Forecast]", index: pd.Index) -> "Forecast":
    """One model's forecasts of several parts of the rows, in the order of `index`."""
    kind: Any = type(parts[0])
    joined: Forecast = kind.concat(parts).loc(index)
    return joined


def _single_runs(found: "Mapping[str, Forecast]", test: pd.DataFrame, sources: Sources) -> pd.DataFrame:
    """Errors on the single runs at the last anchor, with the floor of their spread."""
    from assets.readers.lcdb import load_final_runs
    from predictors.metrics import evaluate

    runs = load_final_runs(sources.starter / "lcdb")
    cells = test.reset_index()[["cell_id", "query_id", "cut", "dataset", "learner"]]
    outcomes = cells.merge(runs, on=["dataset", "learner"])
    # A curve that a few runs went beyond its last usable anchor is asked about another step than they ended at.
    n_runs = outcomes.groupby("cell_id")["value"].transform("size")
    outcomes = outcomes[n_runs >= LEAST_RUNS].reset_index(drop=True)
    outcomes["replicate"] = outcomes["outer_seed"] * 100 + outcomes["inner_seed"]
    levels = np.array(EVALUATION_LEVELS)
    return evaluate(
        outcomes, found[PIPELINE.family].quantiles(levels), predictor=PIPELINE.family, family=PIPELINE.family,
        dataset="lcdb", split="test_single_run", baseline=found[PIPELINE.reference].quantiles(levels),
        baseline_name=PIPELINE.reference, metrics=("mae",), segments=("cut",),
    )  # fmt: skip


# -- Pythia -------------------------------------------------------------------------------------------
def _evaluate_pythia(examples: pd.DataFrame, sources: Sources, progress: Progress) -> pd.DataFrame:
    from assets.curve_examples import load_pythia
    from predictors.learning_curves.context import attach_siblings

    rows = examples.set_index("cell_id")
    curves = load_pythia(sources)
    known = attach_siblings(rows, curves[curves["step"] >= 1_000], known="complete")
    parts: dict[str, list[Forecast]] = {name: [] for name in ("siblings", *PIPELINE.models())}
    for task in sorted(rows["query_id"].unique()):
        rest, asked = rows[rows["query_id"] != task], rows[rows["query_id"] == task]
        for name, model in PIPELINE.models().items():
            fitted = _fit(model, rest)
            parts[name].append(fitted.distribution(PIPELINE.inputs(asked)))
            if name == PIPELINE.family:
                parts["siblings"].append(fitted.distribution(PIPELINE.inputs(known.loc[asked.index])))
        progress(f"{task}: forecast by the other tasks")
    found = {name: _joined(part, rows.index) for name, part in parts.items()}
    siblings = {PIPELINE.family: found.pop("siblings"), PIPELINE.reference: found[PIPELINE.reference]}
    tables = [*_tables("pythia", "task_out", found, rows, reference="last_value")]
    siblings["last_value"] = found["last_value"]
    tables += _tables("pythia", "task_out_siblings", siblings, rows, only=PIPELINE.family, reference="last_value")
    jitter = rows.assign(standard_error=rows["jitter"])
    own = {name: found[name] for name in (PIPELINE.family, "last_value")}
    tables += _tables("pythia", "task_out_jitter_floor", own, jitter, only=PIPELINE.family, reference="last_value")
    return pd.concat(tables, ignore_index=True)


def _evaluate_ladder(examples: pd.DataFrame, progress: Progress) -> Iterator[pd.DataFrame]:
    rows = examples.set_index("cell_id")
    parts: dict[str, list[Forecast]] = {name: [] for name in PIPELINE.models()}
    for skill in sorted(rows["query_id"].unique()):
        rest, asked = rows[rows["query_id"] != skill], rows[rows["query_id"] == skill]
        for name, model in PIPELINE.models().items():
            parts[name].append(_fit(model, rest).distribution(PIPELINE.inputs(asked)))
        progress(f"{skill}: forecast by the other skills")
    found = {name: _joined(part, rows.index) for name, part in parts.items()}
    return _tables("ladder", "skill_out", found, rows, reference="last_value")


# -- tables -------------------------------------------------------------------------------------------
def _tables(
    dataset: str, split: str, found: "Mapping[str, Forecast]", rows: pd.DataFrame, *, only: str | None = None,
    reference: str = PIPELINE.reference,
) -> Iterator[pd.DataFrame]:  # fmt: skip
    """Evaluation rows of each model (or of `only` one) on the same rows: losses beside their floors, log likelihood."""
    from assets.score_noise import add_noise_floors
    from predictors.metrics import evaluate

    levels = np.array(EVALUATION_LEVELS)
    quantiles = {name: forecast.quantiles(levels) for name, forecast in found.items()}
    outcomes = rows.reset_index().drop(columns=["split", *(c for c in LISTS if c in rows)])
    for name in found if only is None else [only]:
        base = None if name == reference else reference
        table = evaluate(
            outcomes, quantiles[name], predictor=name, family=PIPELINE.family, dataset=dataset, split=split,
            baseline=None if base is None else quantiles[base], baseline_name=base, metrics=METRICS, segments=("cut",),
        )  # fmt: skip
        yield add_noise_floors(table, outcomes)
        yield _likelihood_rows(table, rows, found[name], None if base is None else (base, found[base]))


def _likelihood_rows(
    table: pd.DataFrame, rows: pd.DataFrame, found: "Forecast", base: "tuple[str, Forecast] | None"
) -> pd.DataFrame:
    from predictors.metrics import mean_estimate
    from predictors.schemas import as_evaluation

    head = table.iloc[0]
    density = found.log_density(rows["value"]).to_numpy()
    reference = None if base is None else base[1].log_density(rows["value"]).to_numpy()
    out: list[dict[str, object]] = []
    for segment in ["all", *(f"cut={cut}" for cut in rows["cut"].unique())]:
        at = np.arange(len(rows)) if segment == "all" else np.flatnonzero(rows["cut"] == segment.removeprefix("cut="))
        codes, groups = pd.factorize(rows["query_id"].iloc[at])
        value = mean_estimate(density[at], codes, len(groups))
        lower, upper = value.interval()
        row: dict[str, object] = {
            **{key: head[key] for key in ("predictor", "family", "dataset", "split")}, "segment": segment,
            "metric": "log_likelihood", "value": value.value, "ci_lower": lower, "ci_upper": upper,
            "floor_source": "none: the entropy of the outcome is not known",
            "n_queries": len(groups), "n_replicates": len(at),
        }  # fmt: skip
        if base is not None and reference is not None:
            other = mean_estimate(reference[at], codes, len(groups))
            gain = value - other
            ends = gain.interval()
            row |= {"baseline": base[0], "baseline_value": other.value, "gain": gain.value,
                    "gain_ci_lower": ends[0], "gain_ci_upper": ends[1]}  # fmt: skip
        out.append(row)
    return as_evaluation(out)


# -- inputs -------------------------------------------------------------------------------------------
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


def curve_from_mlflow(tracking_uri: str, run_id: str, metric: str, *, target_step: float | None = None) -> pd.DataFrame:
    """The history of a metric of an MLflow run as one request.

    Points that were logged twice for a step keep the latest; the `dataset` is the experiment, the `learner` the run's
    name. Without `target_step` the run's parameter or tag ``target_step``, ``max_steps`` or ``epochs`` is read.

    Parameters
    ----------
    tracking_uri : str
    run_id : str
    metric : str
        Name of the metric, such as ``val_accuracy``. Names with ``loss`` or ``error`` count as better when lower.
    target_step : float, optional
        Step that is asked about.

    Returns
    -------
    DataFrame of one row, valid under `CurveRequests`; index is the run.

    Raises
    ------
    InvalidInputError
        If the run or the metric is not there, or no target is known; says what is there.
    """
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    from predictors.learning_curves.curves import lower_is_better

    client = MlflowClient(tracking_uri=tracking_uri)
    try:
        run = client.get_run(run_id)
        history = client.get_metric_history(run_id, metric)
    except MlflowException as error:
        raise InvalidInputError(f"{run_id}: no such run at {tracking_uri} ({error.message})") from error
    if not history:
        there = ", ".join(sorted(run.data.metrics)) or "none"
        raise InvalidInputError(f"{run_id}: has no metric {metric!r}; it has {there}")
    told = {**run.data.tags, **run.data.params}
    if target_step is None:
        target_step = next((float(told[name]) for name in TARGET_NAMES if _is_number(told.get(name))), None)
    if target_step is None:
        raise InvalidInputError(
            f"{run_id}: no target; give `--target-step` or log a parameter {' or '.join(TARGET_NAMES)}"
        )
    latest = {point.step: point for point in sorted(history, key=lambda p: (p.step, p.timestamp))}
    steps = sorted(latest)
    row: dict[str, list[object]] = {
        "steps": [[float(step) for step in steps]], "values": [[float(latest[step].value) for step in steps]],
        "target_step": [target_step], "metric": [metric], "learner": [run.info.run_name or run_id],
        "dataset": [run.info.experiment_id], "higher_is_better": [not lower_is_better(metric)],
    }  # fmt: skip
    return pd.DataFrame(row, index=pd.Index([run_id], name="run_id"))


TARGET_NAMES = ("target_step", "max_steps", "total_steps", "epochs", "num_train_epochs", "n_epochs")


def _is_number(value: object) -> bool:
    try:
        return float(str(value)) > 0
    except ValueError:
        return False


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
            "curves": len(examples) // len(LCDB_CUTS),
            "datasets": int(examples["dataset"].nunique()),
            "learners": int(examples["learner"].nunique()),
        },
    )


learning_curves_assets = [learning_curves_examples, *build_family_assets(PIPELINE, fresh_hours=8 * 24)]
