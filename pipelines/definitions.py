"""Everything Dagster loads, put together once."""

import logging
from collections.abc import Sequence

import dagster as dg

from foretell.pipelines.home import open_home
from foretell.pipelines.settings import Settings, quiet_environment

_settings = Settings()
quiet_environment(_settings)
for _note in open_home(_settings, create=True):
    logging.getLogger("foretell").warning(_note)

from foretell.assets.families import all_families
from foretell.assets.lake.tables.assets import TABLE_ASSETS
from foretell.assets.lake.traces import assets as traces
from foretell.assets.nightly.assets import OWNERS, build_family_assets
from foretell.assets.registry.resource import Tracking
from foretell.assets.reports import REPORTS, cascade, data_docs, eval_comparisons
from foretell.assets.reports import summary as report
from foretell.assets.reports.spec import build_report_asset
from foretell.assets.resources import Workspace, set_by_settings
from foretell.assets.store.io_manager import ParquetIOManager
from foretell.pipelines.jobs import JOBS, family_jobs, housekeeping
from foretell.pipelines.schedules import (
    alerts_sensor,
    cadence_schedules,
    housekeeping_schedule,
    landed_days_sensor,
    nightly_retrain_schedule,
    retrain_sensor,
)


def build_resources(settings: Settings) -> dict[str, object]:
    """The resources of one installation; a run cannot configure them."""
    resources: dict[str, dg.ConfigurableResource | dg.ConfigurableIOManager] = {
        "io_manager": ParquetIOManager(root=str(settings.home / "lake"), window_days=settings.window_days),
        "workspace": Workspace(**settings.model_dump(mode="json", include=set(Workspace.model_fields))),
        "tracking": Tracking(
            uri=settings.mlflow_uri,
            artifact_root=None if settings.artifact_root is None else str(settings.artifact_root),
            policy_file=str(settings.policy_file),
            server=settings.mlflow_pages,
        ),
    }
    return {name: set_by_settings(resource) for name, resource in resources.items()}


def build_definitions(settings: Settings, assets: Sequence[dg.AssetsDefinition] | None = None) -> dg.Definitions:
    """Everything of one installation: `assets`, by default all, with the jobs and the clocks of their families."""
    if assets is None:
        assets = [
            traces.landed_files,
            traces.raw_traces,
            traces.curated_traces,
            traces.quarantine,
            *TABLE_ASSETS,
            *(asset for family in all_families() for asset in (*family.assets(), *build_family_assets(family))),
            # A night fits one router; cascades, which need another, are asked for.
            *(build_report_asset(spec) for spec in REPORTS.values() if spec is not cascade.SPEC),
            eval_comparisons.eval_comparisons,
            data_docs.data_docs,
            report.build_report([family.name for family in all_families()]),
        ]
    groups = {group for asset in assets for group in asset.group_names_by_key.values()}
    families = [family for family in all_families() if family.name in groups]
    names = [family.name for family in families]
    own_jobs = family_jobs(names)
    return dg.Definitions(
        assets=dg.map_asset_specs(_owned, assets),
        jobs=[*JOBS, housekeeping, *own_jobs],
        schedules=[nightly_retrain_schedule, housekeeping_schedule, *cadence_schedules(families)],
        sensors=[alerts_sensor, landed_days_sensor, retrain_sensor(names, own_jobs)],
        resources=build_resources(settings),
        executor=dg.in_process_executor,
    )


def _owned(spec: dg.AssetSpec) -> dg.AssetSpec:
    """Whoever owns a table is asked when its check fails."""
    return spec if spec.owners else spec.replace_attributes(owners=OWNERS)


defs = build_definitions(_settings)
