"""Dagster's and MLflow's pages as ASGI applications, for the definitions and the store of this installation."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.types import ASGIApp

from foretell.pipelines.settings import Settings

DEFINITIONS = "foretell.pipelines.definitions"
POLL_MS = 2000
"""How often a page asks for news of its assets; what `dagster-webserver` does."""


@contextmanager
def dagster_app(settings: Settings) -> Iterator[ASGIApp]:
    """Dagster's pages; a process that loads the definitions lives as long as the block."""
    from dagster import DagsterInstance
    from dagster import __version__ as version
    from dagster._core.workspace.context import WorkspaceProcessContext
    from dagster._core.workspace.load_target import ModuleTarget
    from dagster_webserver import cli
    from dagster_webserver.app import create_app_from_workspace_process_context

    # The working folder is part of the name that runs go by: the daemon must come to the same one.
    target = ModuleTarget(module_name=DEFINITIONS, attribute=None, working_directory=os.getcwd(), location_name=None)
    with DagsterInstance.from_config(str(settings.dagster_home)) as instance:
        instance.optimize_for_webserver(
            cli.DEFAULT_DB_STATEMENT_TIMEOUT, cli.DEFAULT_POOL_RECYCLE, cli.DEFAULT_POOL_MAX_OVERFLOW
        )
        with WorkspaceProcessContext(instance, version=version, workspace_load_target=target) as context:
            yield create_app_from_workspace_process_context(context, live_data_poll_rate=POLL_MS)


@contextmanager
def mlflow_app(settings: Settings) -> Iterator[ASGIApp]:
    """The server that `mlflow server` runs; it reads its settings from the environment, some when it is imported."""
    os.environ |= {
        # Its own checks take any host that begins like a private address and any page on loopback; our guard takes
        # neither, and one list of hosts is enough to get right.
        "MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE": "true",
        # Judges of language models that the server runs itself: nothing of ours is made with them.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    from mlflow.server import constants

    artifacts = settings.home / "mlflow" / "artifacts"
    # A store that other machines reach hands artefacts out itself, and takes them.
    root = "mlflow-artifacts:/" if settings.tracking_uri else artifacts.as_uri()
    os.environ |= {
        constants.BACKEND_STORE_URI_ENV_VAR: settings.mlflow_uri,
        constants.REGISTRY_STORE_URI_ENV_VAR: settings.mlflow_uri,
        constants.ARTIFACT_ROOT_ENV_VAR: root,
        constants.SERVE_ARTIFACTS_ENV_VAR: "true",
        constants.ARTIFACTS_DESTINATION_ENV_VAR: str(artifacts),
    }
    from mlflow.server.fastapi_app import app
    from mlflow.server.handlers import initialize_backend_stores

    initialize_backend_stores(settings.mlflow_uri, settings.mlflow_uri, root)
    yield app
