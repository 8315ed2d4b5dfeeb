"""The Dagster assets that every family has, made from its `FamilyPipeline`."""

import base64
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import pandas as pd

from assets.family import FamilyPipeline, decide, evaluate_family, fit_family, floor_table, main_segments
from assets.resources import Tracking, Workspace
from assets.tracking import Fit
from predictors.errors import DatasetError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DATASET = "lake"
EXAMPLE_ROWS = 5


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
        fitted = fit_family(pipeline, examples, store=workspace.models_path)
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

        fitted = fit_family(pipeline, examples, store=workspace.models_path)
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
    """Register the newest fit, decide on it once, and say which version is champion."""
    from assets.model_card import model_card

    fitted = fit_family(pipeline, examples, store=workspace.models_path)
    registry = tracking.registry()
    learn = examples[examples["split"] != "test"]
    plots = {p.stem: p for p in workspace.reports_path.glob(f"{pipeline.family}_*.png")}
    version = registry.register(
        Fit(
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
    )
    champion = registry.champion(pipeline.family)
    reason = version.tags.get("decision")
    # A version that was decided on stays decided: running twice must not test twice.
    if reason is None or champion is None:
        current, unreadable = None, ""
        try:
            current = None if champion is None else registry.load(champion)
        except DatasetError as error:
            # Consumers can load it with the code it carries; we cannot, so the newcomer is judged as a first.
            unreadable = f"the champion cannot be compared with ({error}); "
        decision = decide(pipeline, fitted, current, examples, evaluation, tracking.policy(pipeline.family))
        reason = unreadable + decision.reason
        (registry.set_champion if decision.promote else registry.note_decision)(version, reason)
        champion = registry.champion(pipeline.family)
    return {
        "version": int(version.version),
        "champion": None if champion is None else int(champion.version),
        "decision": reason,
        "fit_digest": fitted.digest,
        "run_id": str(version.run_id),
        "uri": f"models:/{pipeline.family}@champion",
    }


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
