"""What stands in front of Dagster's and MLflow's pages, which ask nobody for a password.

A browser sends requests to loopback for whatever page it has open. So a request passes only if it names a host of this
installation, comes from a page of this installation or from no page at all, and changes nothing by its address alone.
Programs that are no browsers (MLflow's client, curl) name no origin and pass: the host is loopback, or a proxy with a
login stands before it.
"""

import logging
import re
from collections.abc import Sequence

from starlette.datastructures import Headers, MutableHeaders, QueryParams
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
EVERY_INTERFACE = ("0.0.0.0", "::")
HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "SAMEORIGIN",
    "referrer-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
FORBIDDEN_ORIGIN = 1008  # "policy violation" among the codes that close a websocket
MUTATION = re.compile(r"\bmutation\b", re.ASCII)
FRAMES = "frame-ancestors 'self'"

_logger = logging.getLogger(__name__)


def guard(app: ASGIApp, *, bound_to: str, hosts: Sequence[str] = ()) -> ASGIApp:
    """Put the checks in front of a web application.

    Requests may name loopback, the address `bound_to` that the server listens on unless that is every interface, and
    `hosts`, without a port: the names of a proxy before the server; ``*.example.com`` for all below one.
    """
    own_address = () if bound_to in EVERY_INTERFACE else (f"[{bound_to}]" if ":" in bound_to else bound_to,)
    inner = _own_pages_only(app)
    trusted = TrustedHostMiddleware(inner, allowed_hosts=[*LOOPBACK, *own_address, *hosts], www_redirect=False)
    return _with_security_headers(trusted)


def _with_security_headers(app: ASGIApp) -> ASGIApp:
    """Tells browsers not to frame the pages, not to guess types, and not to give answers to other origins."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                # Beside the policy that a page brings itself: browsers keep to both.
                headers.append("content-security-policy", FRAMES)
            await send(message)

        await app(scope, receive, send_with_headers)

    return answer


def _own_pages_only(app: ASGIApp) -> ASGIApp:
    """Refuses what a page of another origin has a browser send, websockets included, and a change by an address."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        fault = None if scope["type"] == "lifespan" else _fault(scope)
        if fault is None:
            await app(scope, receive, send)
            return
        status, why = fault
        origin = Headers(scope=scope).get("origin", "no origin that is known")
        _logger.warning("refused %s %r of %r: %s", scope.get("method", "GET"), scope["path"], origin, why)
        is_http = scope["type"] == "http"
        refusal = PlainTextResponse(f"Refused: {why}.", status) if is_http else WebSocketClose(FORBIDDEN_ORIGIN)
        await refusal(scope, receive, send)

    return answer


def _fault(scope: Scope) -> tuple[int, str] | None:
    """Status and reason of a refusal; None for a request that passes."""
    if not _is_from_here(scope):
        return 403, "this request comes from a page of another origin"
    queries = QueryParams(scope["query_string"]).getlist("query") if scope["type"] == "http" else []
    # An image or a link of any page can hold a mutation. By its word, not by parsing: what is too deep for a parser
    # here may not be too deep for Dagster's.
    if any(MUTATION.search(query) for query in queries):
        return 405, "send a GraphQL mutation in the body of a POST"
    return None


def _is_from_here(scope: Scope) -> bool:
    headers = Headers(scope=scope)
    # The scheme is left out: a proxy that ends TLS need not say so. Ports count: other programs have pages on loopback.
    if any(origin.lower().partition("://")[2] != headers["host"].lower() for origin in headers.getlist("origin")):
        return False
    if headers.get("sec-fetch-site", "none") in ("none", "same-origin"):
        return True
    # A link that somebody followed, on a page of anybody.
    is_link = (headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest")) == ("navigate", "document")
    return scope["type"] == "http" and scope["method"] in ("GET", "HEAD") and is_link
