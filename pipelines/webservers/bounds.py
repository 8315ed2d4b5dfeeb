"""What a caller of `foretell serve` cannot exceed: the size of a request, the time it takes to send it, its kind."""

import asyncio
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

MAX_HEAD_BYTES = 16_384
OPEN_PATHS = ("/health",)
"""Answered without a token: a load balancer has none."""


def refusal(status: int, message: str, **headers: str) -> Response:
    """An answer that says what was wrong and what to do."""
    return Response(json.dumps({"error": message}), status, headers, media_type="application/json")


@dataclass(frozen=True)
class Limits:
    """Bounds of one request, and the status that says so."""

    body_bytes: int = 1_048_576
    """A larger body is refused with 413; it is read past, not kept."""
    send_s: float = 10.0
    """Seconds that head and body may each take to arrive; then 408."""
    answer_s: float = 30.0
    """Seconds after which a caller is told that the answer takes too long (504)."""
    waiting: int = 64
    """Requests that may wait for the one that is worked on; then 503."""


class Bounds:
    """Lets a request pass that bears the token, is JSON, small enough and arrives in time; as a whole, so that what
    lies behind reads it at once."""

    def __init__(self, app: ASGIApp, limits: Limits, token: str | None) -> None:
        self._app, self._limits, self._token = app, limits, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refused = self._refused(scope, headers)
        body = b""
        if refused is None and scope["method"] == "POST":
            try:
                body = await asyncio.wait_for(self._body(Request(scope, receive)), self._limits.send_s)
            except TimeoutError:
                refused = refusal(408, f"the body did not arrive within {self._limits.send_s:g} s", connection="close")
            except ClientDisconnect:
                return  # nobody reads an answer
            if len(body) > self._limits.body_bytes:
                refused = self._too_large()
            elif body:
                try:
                    orjson.loads(body)  # NaN, half a surrogate pair, or a thousand brackets deep is none
                except orjson.JSONDecodeError:
                    refused = refusal(400, "the body is no JSON; NaN and broken characters are not either")
        if refused is not None:
            await refused(scope, receive, send)
            return
        parts = iter((body,))

        async def whole() -> Message:
            part = next(parts, None)
            return await receive() if part is None else {"type": "http.request", "body": part, "more_body": False}

        await self._app(scope, whole, send)

    def _refused(self, scope: Scope, headers: Mapping[str, str]) -> Response | None:
        if self._token is not None and scope["path"] not in OPEN_PATHS:
            sent = headers.get("authorization", "").encode("utf-8", "surrogateescape")
            if not hmac.compare_digest(sent, f"Bearer {self._token}".encode()):
                return refusal(401, "send the token of this server: `Authorization: Bearer ...`",
                               **{"www-authenticate": "Bearer"})  # fmt: skip
        if scope["method"] != "POST":
            return None
        if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            return refusal(415, "send JSON, with the header `Content-Type: application/json`", connection="close")
        if int(headers.get("content-length", "0")) > 16 * self._limits.body_bytes:
            return self._too_large()
        return None

    def _too_large(self) -> Response:
        return refusal(413, f"a body may hold {self._limits.body_bytes:,} bytes: send fewer rows", connection="close")

    async def _body(self, request: Request) -> bytes:
        """The body, of one that is too large the first bytes: the caller reads the answer once all of it is sent."""
        body, n = b"", 0
        async for part in request.stream():
            n += len(part)
            body += part[: self._limits.body_bytes + 1 - len(body)]
            if n > 16 * self._limits.body_bytes:
                break
        return body


class PatientProtocol(H11Protocol):
    """uvicorn's protocol, which waits for the head of a request for good; this one for `send_s` seconds."""

    send_s = Limits.send_s
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._wait_for_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
        super().connection_lost(exc)

    def _wait_for_head(self) -> None:
        """Start the clock with the first byte of a head, stop it with the last."""
        is_waiting = self.cycle is None or self.cycle.response_complete
        if not is_waiting and self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        elif is_waiting and self._head_timer is None:
            self._head_timer = self.loop.call_later(self.send_s, self._give_up)

    def _give_up(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
            self.transport.close()
