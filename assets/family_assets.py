"""The Dagster assets that every family has, made from its `FamilyPipeline`."""

import base64
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import pandas as pd

from assets.family import (
    FamilyPipeline,
    FittedFamily,
    evaluate_family,
    fit_family,
    floor_table,
    main_segments,
    prune_fits,
)
from assets.promotion import Judged, Record, family_lock, judge
from assets.resources import Tracking, Workspace
from assets.tracking import Fit

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DATASET = "lake"
EXAMPLE_ROWS = 5
KEEP_FITS = 5
RETRY = dg.RetryPolicy(max_retries=2, delay=5, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS)
"""For what talks to a store that may be away for a moment; a fault of the data does not pass with time."""


def build_family_assets(pipeline: FamilyPipeline) -> Sequence[dg.AssetsDefinition]:
    """Noise floor, model, evaluation and registered version of one family.

    They read the asset ``<family>_examples``, one row per run: the inputs, `value`, `is_censored`,
    `is_capped`, `query_id`, `cell_id`, `replicate`, `repeat_prob` and `split`.
    """
    family = pipeline.family
    examples_in = {"examples": dg.AssetIn(f"{family}_examples")}

    @dg.asset(
        name=f"{family}_noise_floor",
        ins=examples_in,
        group_name=family,
        kinds={"parquet"},
        description="One row per segment and metric: the error that repeated runs make unavoidable.",
    )
    def noise_floor(examples: pd.DataFrame, workspace: Workspace) -> dg.MaterializeResult:

        from predictors.plots import plot_floor_by_segment

        floors = floor_table(pipeline, examples, dataset=DATASET)
        file = workspace.reports_path / f"{family}_noise_floor.png"
        plot = _draw(plot_floor_by_segment, floors[main_segments(floors)], file)
        whole = floors[floors["segment"] == "all"].set_index("metric")
        numbers = {f"{m}_floor": float(whole.loc[m, "noise_floor"]) for m in whole.index}
        return dg.MaterializeResult(value=floors, metadata={**_numbers(numbers), "plot": plot})

    @dg.asset(
        name=f"{family}_model",
        ins=examples_in,
        group_name=family,
        kinds={"lightgbm"},
        description="One row: the fit of these data, parameters and code, and where it lies.",
    )
    def model(examples: pd.DataFrame, workspace: Workspace) -> dg.MaterializeResult:
        fitted = _fit(pipeline, examples, workspace)
        row: dict[str, Any] = {
            "digest": fitted.digest,
            "data_digest": fitted.data_digest,
            "predictor": type(fitted.predictor).__name__,
            "n_samples": fitted.predictor.n_samples_,
        }
        return dg.MaterializeResult(
            value=pd.DataFrame([row]), metadata=dict(row), data_version=dg.DataVersion(fitted.digest)
        )

    @dg.asset(
        name=f"{family}_evaluation",
        ins=examples_in,
        deps=[model],
        group_name=family,
        kinds={"parquet"},
        description="One row per predictor, split, segment and metric: error, noise floor, excess, skill.",
    )
    def evaluation(examples: pd.DataFrame, workspace: Workspace) -> dg.MaterializeResult:

        from predictors.plots import plot_error_by_segment

        fitted = _fit(pipeline, examples, workspace)
        table = evaluate_family(pipeline, fitted, examples, dataset=DATASET)
        file = workspace.reports_path / f"{family}_evaluation.png"
        plot = _draw(plot_error_by_segment, table[main_segments(table)], file)
        return dg.MaterializeResult(value=table, metadata={**_headline(table), "plot": plot})

    @dg.asset(
        name=f"{family}_registered_model",
        ins={**examples_in, "evaluation": dg.AssetIn(f"{family}_evaluation")},
        deps=[model],
        group_name=family,
        kinds={"mlflow"},
        retry_policy=RETRY,
        description="One row: the registered version of the newest fit, and whether it is champion.",
    )
    def registered_model(
        examples: pd.DataFrame, evaluation: pd.DataFrame, workspace: Workspace, tracking: Tracking
    ) -> dg.MaterializeResult:
        row = register_fit(pipeline, examples, evaluation, workspace, tracking)
        return dg.MaterializeResult(value=pd.DataFrame([row]), metadata={k: v for k, v in row.items() if v is not None})

    return [noise_floor, model, evaluation, registered_model]


def register_fit(
    pipeline: FamilyPipeline, examples: pd.DataFrame, evaluation: pd.DataFrame, workspace: Workspace, tracking: Tracking
) -> dict[str, str | int | None]:
    """Register the newest fit, decide on it once, and say which versions are champion and shadow."""
    from assets.model_card import model_card

    fitted = _fit(pipeline, examples, workspace)
    registry = tracking.registry()
    policy = tracking.policy(pipeline.family)
    learn = examples[examples["split"] != "test"]
    plots = {p.stem: p for p in workspace.reports_path.glob(f"{pipeline.family}_*.png")}
    fit = Fit(
        family=pipeline.family,
        digest=fitted.digest,
        data_digest=fitted.data_digest,
        predictor=fitted.predictor,
        evaluation=evaluation,
        training=learn,
        input_example=_input_example(pipeline, learn),
        model_card=model_card(pipeline, fitted, examples, evaluation),
        tags={"dataset": DATASET, "reference_baseline": pipeline.reference},
        plots=plots,
    )
    with family_lock(workspace.locks_path, pipeline.family):
        version = registry.register(fit)
        record = judge(registry, Judged(pipeline, fitted, version, examples, evaluation, policy))
        registry.prune(pipeline.family, keep=policy.keep_versions, always=record.former)
        prune_fits(workspace.models_path / pipeline.family, keep=KEEP_FITS)
    return _row(pipeline, fitted, record, int(version.version), str(version.run_id))


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


def _input_example(pipeline: FamilyPipeline, learn: pd.DataFrame) -> pd.DataFrame:
    example = pipeline.inputs(learn).drop_duplicates().head(EXAMPLE_ROWS).reset_index(drop=True)
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
    path.parent.mkdir(parents=True, exist_ok=True)
    figure = plot(table).get_figure(root=True)
    assert figure is not None
    figure.savefig(path, dpi=110)
    encoded = base64.b64encode(path.read_bytes()).decode()
    return dg.MetadataValue.md(f"![{path.stem}](data:image/png;base64,{encoded})")
