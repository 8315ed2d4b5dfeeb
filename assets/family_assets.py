"""The Dagster assets that every family has, made from its `FamilyPipeline`."""

import base64
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import pandas as pd

from assets.digests import lists_as_text
from assets.drift import HISTORY, LARGE_PSI, PSI_P_VALUE, RESETTING, drift_start, night_row, training_rows, with_night
from assets.family import (
    FamilyPipeline,
    FittedFamily,
    evaluate_family,
    fit_family,
    main_segments,
    prune_fits,
)
from assets.floor_tables import floor_table
from assets.io import read_table
from assets.promotion import Judged, judge
from assets.promotion_record import Record, family_lock
from assets.resources import Tracking, Workspace
from assets.tracking import Fit
from assets.window import choose_window, within_window

if TYPE_CHECKING:
    from matplotlib.axes import Axes

EXAMPLE_ROWS = 5
KEEP_FITS = 5
DRAWN_NIGHTS = 120
DPI = 72
OWNERS = ["team:forecasts"]
RETRY = dg.RetryPolicy(max_retries=2, delay=5, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS)
"""For what talks to a store that may be away for a moment; a fault of the data does not pass with time."""


DRIFT_CHECKS = {
    "forecast_holds": "The champion's excess error is what it was: no refit is asked for.",
    "noise_holds": "The noise floor is what it was: intervals need no new calibration.",
    "inputs_hold": "Requests look like those before: no column moved far beyond what sampling explains.",
}


def build_family_assets(pipeline: FamilyPipeline, *, fresh_hours: int = 36) -> Sequence[dg.AssetsDefinition]:
    """Noise floor, model, evaluation, registered version and drift of one family.

    They read the asset ``<family>_examples``, one row per run: the inputs, `value`, `is_censored`, `is_capped`,
    `query_id`, `cell_id`, `replicate`, `repeat_prob`, `split`, and `started_at` where it is known: without it
    later versions cannot be judged on later data. `fresh_hours` is how old the registered model may become.
    """
    family = pipeline.family
    freshness = dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=fresh_hours))
    examples_in = {"examples": dg.AssetIn(f"{family}_examples")}

    @dg.asset(
        name=f"{family}_noise_floor",
        ins=examples_in,
        group_name=family,
        owners=OWNERS,
        kinds={"parquet"},
        description="One row per segment and metric: the error that repeated runs make unavoidable.",
    )
    def noise_floor(examples: pd.DataFrame, workspace: Workspace) -> dg.MaterializeResult:

        from predictors.plots import plot_floor_by_segment

        floors = floor_table(pipeline, examples, dataset=pipeline.dataset)
        file = workspace.reports_path / f"{family}_noise_floor.png"
        plot = _draw(plot_floor_by_segment, floors[main_segments(floors)], file)
        whole = floors[floors["segment"] == "all"].set_index("metric")
        numbers = {f"{m}_floor": float(whole.loc[m, "noise_floor"]) for m in whole.index}
        return dg.MaterializeResult(value=floors, metadata={**_numbers(numbers), "plot": plot})

    @dg.asset(
        name=f"{family}_model",
        ins=examples_in,
        group_name=family,
        owners=OWNERS,
        kinds={"lightgbm"},
        description="One row: the fit of these data, parameters and code, and where it lies.",
    )
    def model(examples: pd.DataFrame, workspace: Workspace, tracking: Tracking) -> dg.MaterializeResult:
        started = time.perf_counter()
        policy = tracking.policy(family)
        rows = training_rows(examples, _history(pipeline, workspace), policy)
        window = choose_window(pipeline, rows, policy)
        rows = within_window(rows, window.days)
        fitted = _fit(pipeline, rows, workspace)
        row: dict[str, Any] = {
            "digest": fitted.digest,
            "data_digest": fitted.data_digest,
            "predictor": type(fitted.predictor).__name__,
            "n_samples": fitted.predictor.n_samples_,
            "window_days": window.days,
        }
        seconds = dg.MetadataValue.float(time.perf_counter() - started)
        return dg.MaterializeResult(
            value=pd.DataFrame([row]).astype({"window_days": "Int64"}),
            metadata={**row, "rows": len(rows), "seconds": seconds, "window_days": window.reason},
            data_version=dg.DataVersion(fitted.digest),
        )

    @dg.asset(
        name=f"{family}_evaluation",
        ins={**examples_in, "fit": dg.AssetIn(f"{family}_model")},
        group_name=family,
        owners=OWNERS,
        kinds={"parquet"},
        description="One row per predictor, split, segment and metric: error, noise floor, excess, skill.",
    )
    def evaluation(
        examples: pd.DataFrame, fit: pd.DataFrame, workspace: Workspace, tracking: Tracking
    ) -> dg.MaterializeResult:

        from predictors.plots import plot_error_by_segment

        examples = _window(pipeline, examples, fit, workspace, tracking)
        fitted = _fit(pipeline, examples, workspace)
        table = evaluate_family(pipeline, fitted, examples, dataset=pipeline.dataset)
        file = workspace.reports_path / f"{family}_evaluation.png"
        plot = _draw(plot_error_by_segment, table[main_segments(table)], file)
        return dg.MaterializeResult(value=table, metadata={**_headline(table), "plot": plot})

    @dg.asset(
        name=f"{family}_registered_model",
        ins={
            **examples_in,
            "fit": dg.AssetIn(f"{family}_model"),
            "evaluation": dg.AssetIn(f"{family}_evaluation"),
        },
        group_name=family,
        owners=OWNERS,
        kinds={"mlflow"},
        retry_policy=RETRY,
        freshness_policy=freshness,
        description="One row: the registered version of the newest fit, and whether it is champion.",
    )
    def registered_model(
        context: dg.AssetExecutionContext,
        examples: pd.DataFrame,
        fit: pd.DataFrame,
        evaluation: pd.DataFrame,
        workspace: Workspace,
        tracking: Tracking,
    ) -> dg.MaterializeResult:
        drifted_on = drift_start(examples, _history(pipeline, workspace))
        examples = _window(pipeline, examples, fit, workspace, tracking)
        back = {"dagster.run_id": context.run_id, "dagster.asset": context.asset_key.to_user_string()}
        row = register_fit(pipeline, examples, evaluation, workspace, tracking, drifted_on=drifted_on, dagster=back)
        told = {k: v for k, v in row.items() if v is not None}
        return dg.MaterializeResult(value=pd.DataFrame([row]), metadata={**told, **_links(tracking, row)})

    @dg.asset(
        name=f"{family}_drift",
        ins={**examples_in, "registered": dg.AssetIn(f"{family}_registered_model")},
        group_name=family,
        owners=OWNERS,
        kinds={"parquet"},
        dagster_type=dg.Any,  # with checks, the annotation alone is taken for "returns nothing"
        check_specs=[
            dg.AssetCheckSpec(name, asset=f"{family}_drift", description=text) for name, text in DRIFT_CHECKS.items()
        ],
        description="One row per night: the champion's excess error, the noise floor and how far the inputs moved.",
    )
    def drift(
        examples: pd.DataFrame, registered: pd.DataFrame, workspace: Workspace, tracking: Tracking
    ) -> dg.MaterializeResult:
        policy = tracking.policy(family)
        history = _history(pipeline, workspace)
        number = registered["champion"].iloc[0]
        if pd.notna(number):
            registry = tracking.registry()
            champion = registry.load(registry.version(family, str(int(number))))
            fresh = bool(number == registered["version"].iloc[0])
            row = night_row(
                pipeline,
                champion,
                str(int(number)),
                examples,
                history,
                learnt_tonight=fresh,
                base_nights=policy.drift_base_nights,
            )
            if row is not None:
                history = with_night(history, row, policy)
        return dg.MaterializeResult(
            value=history, metadata=_drift_metadata(history), check_results=_drift_checks(pipeline, history, workspace)
        )

    return [noise_floor, model, evaluation, registered_model, drift]


def register_fit(
    pipeline: FamilyPipeline,
    examples: pd.DataFrame,
    evaluation: pd.DataFrame,
    workspace: Workspace,
    tracking: Tracking,
    *,
    drifted_on: pd.Timestamp | None = None,
    dagster: Mapping[str, str] | None = None,
) -> dict[str, str | int | None]:
    """Register the newest fit, decide on it once, and say which versions are champion and shadow.

    A shadow that was frozen before `drifted_on` is dropped. `dagster` are tags that lead from the MLflow run
    back to the Dagster run.
    """
    from assets.model_card import model_card

    fitted = _fit(pipeline, examples, workspace)
    registry = tracking.registry()
    policy = tracking.policy(pipeline.family)
    learn = examples[examples["split"] != "test"]
    plots = {p.stem: p for p in workspace.reports_path.glob(f"{pipeline.family}_[!d]*.png")}
    fit = Fit(
        family=pipeline.family,
        digest=fitted.digest,
        data_digest=fitted.data_digest,
        predictor=fitted.predictor,
        evaluation=evaluation,
        training=learn,
        input_example=_input_example(pipeline, learn),
        model_card=model_card(pipeline, fitted, examples, evaluation),
        tags={"dataset": pipeline.dataset, "reference_baseline": pipeline.reference, **dict(dagster or {})},
        plots=plots,
    )
    with family_lock(workspace.locks_path, pipeline.family):
        version = registry.register(fit)
        record = judge(registry, Judged(pipeline, fitted, version, examples, evaluation, policy, drifted_on))
        registry.prune(pipeline.family, keep=policy.keep_versions, always=record.former)
        prune_fits(workspace.models_path / pipeline.family, keep=KEEP_FITS)
    experiment = registry.client().get_run(str(version.run_id)).info.experiment_id
    return {**_row(pipeline, fitted, record, int(version.version), str(version.run_id)), "experiment_id": experiment}


def _row(
    pipeline: FamilyPipeline, fitted: FittedFamily, record: Record, version: int, run_id: str
) -> dict[str, str | int | None]:
    return {
        "version": version,
        "champion": None if record.champion is None else int(record.champion),
        "shadow": None if record.shadow is None else int(record.shadow),
        "action": record.action,
        "decision": record.reason,
        "fit_digest": fitted.digest,
        "run_id": run_id,
        "uri": f"models:/{pipeline.family}@champion",
    }


def _fit(pipeline: FamilyPipeline, examples: pd.DataFrame, workspace: Workspace) -> FittedFamily:
    """Fit, or read the fit that is there; two runs at once do the work once."""
    with family_lock(workspace.locks_path, pipeline.family):
        return fit_family(pipeline, examples, store=workspace.models_path)


def _window(
    pipeline: FamilyPipeline, examples: pd.DataFrame, fit: pd.DataFrame, workspace: Workspace, tracking: Tracking
) -> pd.DataFrame:
    """The rows of the newest fit, which chose its window."""
    rows = training_rows(examples, _history(pipeline, workspace), tracking.policy(pipeline.family))
    days = fit["window_days"].iloc[0] if "window_days" in fit else None
    return within_window(rows, None if pd.isna(days) else int(days))


def _history(pipeline: FamilyPipeline, workspace: Workspace) -> pd.DataFrame:
    try:
        return read_table(Path(workspace.home) / "lake", f"{pipeline.family}_drift")
    except FileNotFoundError:
        return pd.DataFrame({name: pd.Series(dtype=dtype) for name, dtype in HISTORY.items()})


def _drift_metadata(history: pd.DataFrame) -> dict[str, Any]:
    if history.empty:
        return {"verdict": "no night yet"}
    last = history.iloc[-1]
    numbers = {name: float(last[name]) for name in ("excess", "floor", "psi")}
    told = {"verdict": str(last["verdict"]), "night": str(last["night"]), "champion": str(last["champion"])}
    return {**told, **_numbers(numbers), "training_since": str(last["since"]) or "the whole window"}


def _drift_checks(pipeline: FamilyPipeline, history: pd.DataFrame, workspace: Workspace) -> list[dg.AssetCheckResult]:
    """Three warnings, each with the nights drawn."""
    from predictors.plots import plot_drift

    last = None if history.empty else history.iloc[-1]
    verdict = "ok" if last is None else str(last["verdict"])
    shifted = last is not None and last["psi"] > LARGE_PSI and last["psi_p_value"] < PSI_P_VALUE
    passed = {
        "forecast_holds": verdict not in RESETTING,
        "noise_holds": verdict not in ("noise moved", "ambiguous"),
        "inputs_hold": not shifted,
    }
    columns = {"forecast_holds": "excess", "noise_holds": "floor", "inputs_hold": "psi"}
    results = []
    for name, column in columns.items():
        metadata: dict[str, Any] = {"nights": len(history), "verdict": verdict}
        if last is not None:
            metadata["column"] = str(last["psi_column"])
            file = workspace.reports_path / f"{pipeline.family}_drift_{column}.png"
            metadata["plot"] = _draw(partial(plot_drift, column=column), history.tail(DRAWN_NIGHTS), file)
        results.append(
            dg.AssetCheckResult(
                check_name=name,
                asset_key=f"{pipeline.family}_drift",
                passed=bool(passed[name]),
                severity=dg.AssetCheckSeverity.WARN,
                metadata=metadata,
            )
        )
    return results


def _links(tracking: Tracking, row: dict[str, str | int | None]) -> dict[str, dg.MetadataValue]:
    """To the run and the version in MLflow's pages, where a server shows them."""
    if tracking.server is None:
        return {}
    family, address = str(row["uri"]).removeprefix("models:/").removesuffix("@champion"), tracking.server
    return {
        "mlflow_run": dg.MetadataValue.url(f"{address}/#/experiments/{row['experiment_id']}/runs/{row['run_id']}"),
        "mlflow_version": dg.MetadataValue.url(f"{address}/#/models/{family}/versions/{row['version']}"),
    }


def _input_example(pipeline: FamilyPipeline, learn: pd.DataFrame) -> pd.DataFrame:
    inputs = pipeline.inputs(learn)
    example = inputs[~lists_as_text(inputs).duplicated()].head(EXAMPLE_ROWS).reset_index(drop=True)
    if "prompt_text" in example:
        # Prompts can be private; an example of the columns needs none of them.
        example["prompt_text"] = "Why do leaves turn red in autumn?"
    return example.drop(columns="query_id", errors="ignore")


def _headline(table: pd.DataFrame) -> dict[str, dg.MetadataValue]:
    head = table[(table["segment"] == "all") & (table["split"] == "test")]
    head = head[head["predictor"] == head["predictor"].iloc[0]].set_index("metric")
    numbers = {}
    for metric in head.index:
        for name, column in (
            ("", "value"),
            ("_floor", "noise_floor"),
            ("_excess", "excess_error"),
            ("_skill", "skill"),
        ):
            numbers[metric + name] = float(head.loc[metric, column])
    return _numbers(numbers)


def _numbers(values: dict[str, float]) -> dict[str, dg.MetadataValue]:
    """Numeric metadata is what the UI plots over time; NaN is left out rather than drawn as nothing."""
    return {key: dg.MetadataValue.float(value) for key, value in values.items() if pd.notna(value)}


def _draw(plot: "Callable[[pd.DataFrame], Axes]", table: pd.DataFrame, path: Path) -> dg.MetadataValue:
    """Save a figure and return it inline, as the UI shows it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    path.parent.mkdir(parents=True, exist_ok=True)
    figure = plot(table).get_figure(root=True)
    assert figure is not None
    # The event log keeps every picture of every night, so they are small. `savefig` would lay out and draw twice.
    figure.set_dpi(DPI)
    canvas: Any = FigureCanvasAgg(figure)
    canvas.print_png(str(path))
    encoded = base64.b64encode(path.read_bytes()).decode()
    return dg.MetadataValue.md(f"![{path.stem}](data:image/png;base64,{encoded})")
