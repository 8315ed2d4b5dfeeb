"""Everything Dagster loads, put together once."""

from __future__ import annotations

import dagster as dg

from pipelines.settings import PROJECT_ROOT, Settings, prepare_dagster_home, quiet_environment

_settings = Settings()
quiet_environment(_settings)
prepare_dagster_home(_settings)

from assets import data_docs, report, thinking_tokens, traces
from assets.io import ParquetIOManager
from assets.resources import Tracking, Workspace
from pipelines.jobs import JOBS
from pipelines.schedules import landed_days_sensor, nightly_retrain_schedule

__all__ = ["build_definitions", "build_tracking", "defs"]

ASSETS = [
    traces.landed_files,
    traces.raw_traces,
    traces.curated_traces,
    traces.quarantine,
    *thinking_tokens.thinking_tokens_assets,
    data_docs.data_docs,
    report.forecast_report,
]


def build_tracking(settings: Settings) -> Tracking:
    """The MLflow store of one installation."""
    return Tracking(
        uri=settings.mlflow_uri,
        artifact_root=None if settings.tracking_uri else str(settings.home / "mlflow" / "artifacts"),
        policy_file=str(PROJECT_ROOT / "mlflow" / "registry.yaml"),
    )


def build_resources(settings: Settings) -> dict[str, object]:
    """The resources of one installation."""
    return {
        "io_manager": ParquetIOManager(root=str(settings.home / "lake")),
        "workspace": Workspace(
            landing=str(settings.landing),
            models=str(settings.home / "models"),
            reports=str(settings.home / "reports"),
            starter=str(settings.starter),
            cache=str(settings.cache),
            home=str(settings.home),
            mirror=settings.mirror,
            price_file=None if settings.price_file is None else str(settings.price_file),
        ),
        "tracking": build_tracking(settings),
    }


def build_definitions(settings: Settings) -> dg.Definitions:
    """Everything of one installation."""
    return dg.Definitions(
        assets=ASSETS,
        jobs=JOBS,
        schedules=[nightly_retrain_schedule],
        sensors=[landed_days_sensor],
        resources=build_resources(settings),
        executor=dg.in_process_executor,
    )


defs = build_definitions(_settings)
