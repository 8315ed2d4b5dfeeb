"""A run is told which job it is and no more: folders and schedulers are settings, which no form in a page reaches."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from foretell.assets.resources import Workspace, set_by_settings
from foretell.assets.store.io_manager import ParquetIOManager


@pytest.fixture
def job(tmp_path: Path) -> dg.JobDefinition:
    folders = dict.fromkeys(("starter", "home"), str(tmp_path))

    @dg.asset
    def opened(workspace: Workspace) -> None:
        assert workspace.root == tmp_path

    resources = {
        "io_manager": set_by_settings(ParquetIOManager(root=str(tmp_path / "lake"))),
        "workspace": set_by_settings(Workspace(**folders)),
    }
    definitions = dg.Definitions([opened], jobs=[dg.define_asset_job("look")], resources=resources)
    return definitions.resolve_job_def("look")


def test_a_run_that_configures_nothing_has_the_settings(job: dg.JobDefinition) -> None:
    assert job.execute_in_process().success


@pytest.mark.parametrize(
    ("resource", "config"),
    [
        ("io_manager", {"root": "/elsewhere"}),
        ("workspace", {"engine": "dask", "scheduler": "tcp://203.0.113.1:8786"}),
        ("workspace", {"home": "/elsewhere"}),
    ],
)
def test_a_run_cannot_name_folders_or_a_scheduler(job: dg.JobDefinition, resource: str, config: dict) -> None:
    # `io_manager.root` wrote tables into a folder of the caller's choice, `scheduler` unpickled what a listener sent.
    with pytest.raises(dg.DagsterInvalidConfigError, match=r"unexpected config entr"):
        job.execute_in_process(run_config={"resources": {resource: {"config": config}}})


def test_no_resource_of_an_installation_can_be_configured_by_a_run(clean_environment: Path) -> None:
    from foretell.pipelines.definitions import build_resources
    from foretell.pipelines.settings import Settings

    for name, resource in build_resources(Settings()).items():
        assert resource.config_schema.config_type.fields == {}, name
