"""Serve one of the two: ``python -m foretell.pipelines.webservers {dagster,mlflow} [--host HOST] [--port PORT]``.

They are Dagster's and MLflow's pages, as ASGI applications for the definitions and the store of this installation.
`foretell ui` starts both this way; in containers each is a process of its own (examples/compose.yaml).
"""

import argparse
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import uvicorn
from starlette.types import ASGIApp

from foretell.pipelines.home import open_home
from foretell.pipelines.settings import Settings, quiet_environment
from foretell.pipelines.webservers.guard import guard

DEFINITIONS = "foretell.pipelines.definitions"
POLL_MS = 2000
"""How often a page asks for news of its assets; what `dagster-webserver` does."""
PORTS = {"dagster": 3000, "mlflow": 5000}
SECONDS_TO_END = 5
"""What requests and websockets that are open get when the server is stopped."""


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


def main() -> None:
    """Serve until SIGINT or SIGTERM."""
    args = parse_arguments()
    settings = Settings()
    quiet_environment(settings)
    open_home(settings, create=True)
    # uvicorn ends in good order on both signals and then raises them again, which must not skip what follows it.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt), (dagster_app if args.name == "dagster" else mlflow_app)(settings) as app:
        uvicorn.run(
            guard(app, bound_to=args.host, hosts=settings.ui_hosts),
            host=args.host,
            port=args.port or PORTS[args.name],
            log_level="warning",
            timeout_graceful_shutdown=SECONDS_TO_END,
        )


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Which application, and where it listens."""
    parser = argparse.ArgumentParser(prog="python -m foretell.pipelines.webservers", description=__doc__)
    parser.add_argument("name", choices=sorted(PORTS))
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
