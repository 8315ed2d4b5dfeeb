"""Dagster's pages as an ASGI application, for the definitions of this installation."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from dagster import DagsterInstance
from dagster import __version__ as version
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import ModuleTarget
from dagster_webserver.app import create_app_from_workspace_process_context
from dagster_webserver.cli import DEFAULT_DB_STATEMENT_TIMEOUT, DEFAULT_POOL_MAX_OVERFLOW, DEFAULT_POOL_RECYCLE
from starlette.types import ASGIApp

from foretell.pipelines.settings import Settings

DEFINITIONS = "foretell.pipelines.definitions"
POLL_MS = 2000
"""How often a page asks for news of its assets; what `dagster-webserver` does."""


@contextmanager
def dagster_app(settings: Settings) -> Iterator[ASGIApp]:
    """The pages; a process that loads the definitions lives as long as the block."""
    # The working folder is part of the name that runs go by: the daemon must come to the same one.
    target = ModuleTarget(module_name=DEFINITIONS, attribute=None, working_directory=os.getcwd(), location_name=None)
    with DagsterInstance.from_config(str(settings.dagster_home)) as instance:
        instance.optimize_for_webserver(DEFAULT_DB_STATEMENT_TIMEOUT, DEFAULT_POOL_RECYCLE, DEFAULT_POOL_MAX_OVERFLOW)
        with WorkspaceProcessContext(instance, version=version, workspace_load_target=target) as context:
            yield create_app_from_workspace_process_context(context, live_data_poll_rate=POLL_MS)
