"""Serve one of the two: ``python -m foretell.pipelines.webservers {dagster,mlflow} [--host HOST] [--port PORT]``.

`foretell ui` starts both this way; in containers each is a process of its own (examples/compose.yaml).
"""

import argparse
import signal
from collections.abc import Sequence
from contextlib import suppress

import uvicorn

from foretell.pipelines.home import open_home
from foretell.pipelines.settings import Settings, quiet_environment
from foretell.pipelines.webservers.guard import guard
from foretell.pipelines.webservers.pages import dagster_app, mlflow_app

APPS = {"dagster": dagster_app, "mlflow": mlflow_app}
PORTS = {"dagster": 3000, "mlflow": 5000}
SECONDS_TO_END = 5
"""What requests and websockets that are open get when the server is stopped."""


def main() -> None:
    """Serve until SIGINT or SIGTERM."""
    args = parse_arguments()
    settings = Settings()
    quiet_environment(settings)
    open_home(settings, create=True)
    # uvicorn ends in good order on both signals and then raises them again, which must not skip what follows it.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt), APPS[args.name](settings) as app:
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
