"""`foretell serve`: forecasts and quotes over HTTP by the champions, which it follows."""

import signal
import socket
from contextlib import suppress
from typing import Annotated

import typer

from foretell.pipelines.cli.console import out, say
from foretell.pipelines.settings import Settings
from foretell.predictors.errors import InvalidInputError

LOOPBACK = ("127.0.0.1", "::1", "localhost")
PATHS = ("/forecast", "/quote", "/health", "/metrics", "/openapi.json", "/")
WARM = {"model": "gpt-5-mini", "prompt_text": "What is 2 + 2?"}


def serve(
    port: Annotated[int, typer.Option(help="Port; 0 for a free one.")] = 8080,
    host: Annotated[str, typer.Option(help="Address to bind; beyond loopback FORETELL_SERVE_TOKEN must be set.")] = (
        "127.0.0.1"
    ),
) -> None:
    """Answer forecasts and quotes over HTTP with the champions, which are followed while requests run."""
    import uvicorn

    from foretell.pipelines.webservers.bounds import MAX_HEAD_BYTES, Bounds, Limits, PatientProtocol
    from foretell.pipelines.webservers.champions import Followed
    from foretell.pipelines.webservers.forecast_app import FAMILIES, RequestRow, forecast_app, frame_of
    from foretell.pipelines.webservers.gauges import Gauges, Watched
    from foretell.pipelines.webservers.guard import guard
    from foretell.predictors.serving import forecast_frame

    settings = Settings()
    token = settings.serve_token.get_secret_value() if settings.serve_token else None
    if host not in LOOPBACK and token is None:
        raise InvalidInputError(
            f"`--host {host}` is open to others: set FORETELL_SERVE_TOKEN to a long random text that callers send as "
            "`Authorization: Bearer ...`"
        )
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        raise InvalidInputError(f"cannot listen on {host}, port {port}: {error.strerror}; see --port, --host") from None
    champions = Followed(settings, FAMILIES, say)
    champions.start()
    forecast_frame(champions.current(FAMILIES[0]).predictor, frame_of([RequestRow(**WARM)]))  # the first answer is slow
    gauges, limits = Gauges(), Limits()
    address = f"http://{f'[{host}]' if ':' in host else host}:{listening.getsockname()[1]}"
    app = forecast_app(
        champions, gauges, limits, price_file=settings.price_file, address=address, has_token=token is not None
    )
    # Who has the token may come from anywhere; without one a browser on this machine must not be made to ask.
    inner = Bounds(app, limits, token)
    bounded = inner if token else guard(inner, bound_to=host, hosts=settings.ui_hosts)
    config = uvicorn.Config(
        Watched(bounded, gauges, PATHS), http=PatientProtocol, ws="none", log_level="warning", access_log=False,
        h11_max_incomplete_event_size=MAX_HEAD_BYTES, timeout_keep_alive=30, limit_concurrency=512,
        timeout_graceful_shutdown=5, server_header=False,
    )  # fmt: skip
    listening.listen(128)  # who reads the address may ask at once
    out.print(f"Foretell: {address}")
    say("Ctrl-C ends it" if token is None else "callers need the token; Ctrl-C ends it")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listening])
    finally:
        champions.stop()
        listening.close()
