"""Everything Dagster loads, put together once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import dagster as dg

from pipelines.settings import Settings, prepare_dagster_home, quiet_environment

_settings = Settings()
quiet_environment(_settings)
prepare_dagster_home(_settings)

from assets import (
    benchmark_scores,
    curve_network,
    data_docs,
    downstream_scaling,
    ladder,
    learning_curves,
    report,
    thinking_tokens,
    traces,
)
from assets.family_assets import OWNERS
from assets.io import ParquetIOManager
from assets.reports import REPORT_ASSETS
from assets.resources import Tracking, Workspace
from pipelines.jobs import JOBS, family_jobs
from pipelines.operations import housekeeping
from pipelines.schedules import (
    cadence_schedules,
    housekeeping_schedule,
    landed_days_sensor,
    nightly_retrain_schedule,
    retrain_sensor,
)
from predictors.families import FAMILIES

__all__ = ["build_definitions", "build_tracking", "defs"]

FAMILY_ASSETS: Mapping[str, Sequence[dg.AssetsDefinition]] = {
    "thinking_tokens": thinking_tokens.thinking_tokens_assets,
    "benchmark_scores": benchmark_scores.benchmark_scores_assets,
    "learning_curves": learning_curves.learning_curves_assets,
    "downstream_scaling": downstream_scaling.downstream_scaling_assets,
}
"""What is wired, by family; jobs, schedules, triggers and the report follow from it."""

ASSETS = [
    traces.landed_files,
    traces.raw_traces,
    traces.curated_traces,
    traces.quarantine,
    *(asset for assets in FAMILY_ASSETS.values() for asset in assets),
    *ladder.ladder_assets,
    curve_network.learning_curve_network,
    *REPORT_ASSETS,
    data_docs.data_docs,
    report.build_report(list(FAMILY_ASSETS)),
]


def build_tracking(settings: Settings) -> Tracking:
    """The MLflow store of one installation."""
    return Tracking(
        uri=settings.mlflow_uri,
        artifact_root=None if settings.tracking_uri else str(settings.home / "mlflow" / "artifacts"),
        policy_file=str(settings.policy_file),
        server=settings.mlflow_pages,
    )


def build_resources(settings: Settings) -> dict[str, object]:
    """The resources of one installation."""
    return {
        "io_manager": ParquetIOManager(root=str(settings.home / "lake"), window_days=settings.window_days),
        "workspace": Workspace(
            landing=str(settings.landing),
            models=str(settings.home / "models"),
            reports=str(settings.home / "reports"),
            starter=str(settings.starter),
            cache=str(settings.cache),
            home=str(settings.home),
            mirror=settings.mirror,
            price_file=None if settings.price_file is None else str(settings.price_file),
            engine=settings.engine,
            scheduler=settings.scheduler,
            engine_workers=settings.engine_workers,
            engine_memory=settings.engine_memory,
            learn_rows=settings.learn_rows,
        ),
        "tracking": build_tracking(settings),
    }


def build_definitions(settings: Settings, assets: Sequence[dg.AssetsDefinition] = ASSETS) -> dg.Definitions:
    """Everything of one installation."""
    groups = {group for asset in assets for group in asset.group_names_by_key.values()}
    families = [family for family in FAMILIES if family in groups]
    own_jobs = family_jobs(families)
    return dg.Definitions(
        assets=dg.map_asset_specs(_owned, assets),
        jobs=[*JOBS, housekeeping, *own_jobs],
        schedules=[nightly_retrain_schedule, housekeeping_schedule, *cadence_schedules(families)],
        sensors=[landed_days_sensor, retrain_sensor(families, own_jobs)],
        resources=build_resources(settings),
        executor=dg.in_process_executor,
    )


def _owned(spec: dg.AssetSpec) -> dg.AssetSpec:
    """Whoever owns a table is asked when its check fails."""
    return spec if spec.owners else spec.replace_attributes(owners=OWNERS)


defs = build_definitions(_settings)
