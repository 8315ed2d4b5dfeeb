"""`foretell serve` as a web application: forecasts and quotes over HTTP by the champions of this installation."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import orjson
import pandas as pd
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, PlainTextResponse, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from foretell import __version__
from foretell.assets.pages import render
from foretell.pipelines.webservers.bounds import Limits, refusal
from foretell.pipelines.webservers.champions import Followed
from foretell.pipelines.webservers.gauges import Gauges
from foretell.predictors.errors import DatasetError, ForecastError, InvalidInputError, unknown_name
from foretell.predictors.serving import forecast_frame
from foretell.predictors.thinking_tokens.bill.quote import QuoteTerms, quote
from foretell.predictors.thinking_tokens.log_quantiles import LogQuantilePredictor

T = TypeVar("T")
FAMILIES = ("thinking_tokens", "success")
"""Families that are asked about requests; the first answers quotes."""
MAX_ROWS = 500
MAX_QUOTED = 2_000
"""Requests of a quote times the ways they are quoted in."""
MAX_TOGETHER = 64
"""Rows that are forecast at once, where more requests wait."""
MAX_FAULTS = 5
CODES = {
    400: "the body is no JSON",
    401: "the token is missing or another one",
    404: "there is no such path",
    405: "another method is wanted: POST for forecasts and quotes",
    408: "head or body took too long to arrive",
    413: "the body is too large",
    415: "the body is not said to be JSON",
    422: "the body is JSON, but something in it cannot be forecast",
    503: "too much waits, or there is no champion: try again later",
    504: "the answer took too long: send fewer rows",
}


class RequestRow(BaseModel):
    """A request before it is sent; what is not known is left out."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    model: str = Field(min_length=1, max_length=200, description="the model it goes to, in any usual spelling")
    prompt_text: str | None = Field(None, description="its text")
    query_id: str | None = Field(None, max_length=200, description="names the query among its repeats")
    benchmark: str | None = Field(None, max_length=200, description="the benchmark or workload it is of")
    source: str | None = Field(None, max_length=200, description="the installation it is of")
    provider: str | None = Field(None, max_length=200, description="who serves the model")
    reasoning_effort: str | None = Field(None, max_length=50, description="the effort it asks for")
    input_tokens: float | None = Field(None, ge=0, le=1e9, description="estimated from the text where left out")
    temperature: float | None = Field(None, ge=0, le=10)
    top_p: float | None = Field(None, ge=0, le=1)
    max_tokens: float | None = Field(None, gt=0, le=1e9, description="no forecast exceeds it")


DTYPES = {n: "str" if "str" in str(f.annotation) else "float64" for n, f in RequestRow.model_fields.items()}


class QuotedRow(RequestRow):
    """A request of a batch; the models are those of the quote."""

    model: str | None = None  # type: ignore[assignment]


class ForecastBody(BaseModel):
    """Requests that may go to different models, a forecast each."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [
        {"rows": [{"model": "gpt-5-mini", "prompt_text": "Prove that there are infinitely many primes."}]}
    ]})  # fmt: skip

    family: Literal["thinking_tokens", "success"] = Field(
        "thinking_tokens", description="output tokens and dollars, or the probability of a right answer"
    )
    rows: list[RequestRow] = Field(min_length=1, max_length=MAX_ROWS, description=f"at most {MAX_ROWS} requests")


class QuoteBody(BaseModel):
    """A batch, and the models that it might go to."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, json_schema_extra={"examples": [
        {"requests": [{"prompt_text": "Prove that 7 is prime."}, {"prompt_text": "What is 2 + 2?"}],
         "models": ["gpt-5", "gpt-5-mini"], "budget_usd": 0.05}
    ]})  # fmt: skip

    requests: list[QuotedRow] = Field(min_length=1, max_length=MAX_QUOTED, description="the requests of the batch")
    models: list[Annotated[str, Field(min_length=1, max_length=200)]] = Field(
        min_length=1, max_length=16, description="models to quote"
    )
    reasoning_efforts: list[Annotated[str, Field(min_length=1, max_length=50)]] = Field(
        [], max_length=6, description="what if: these efforts instead of the requests' own"
    )
    max_tokens: list[Annotated[float, Field(gt=0, le=1e9)]] = Field(
        [], max_length=6, description="what if: these limits instead of the requests' own"
    )
    budget_usd: float | None = Field(None, ge=0, description="asks how probable it is that the total exceeds it")
    confidence: float = Field(0.9, gt=0, lt=1, description="from which probability on a model is called the cheapest")
    service_tier: str | None = Field(None, max_length=50, description="tier to price at, such as batch or flex")
    cached_share: float = Field(0.0, ge=0, le=1, description="share of the input that a prompt cache serves")


class _BusyError(Exception):
    """More requests wait than may."""


@dataclass(eq=False)
class _Asked:
    body: ForecastBody
    answer: Response | None = None


class Worker:
    """One thread that forecasts: predictors are asked by one caller at a time, and memory stays that of one answer.

    Requests that wait at once are forecast at once: ten rows cost hardly more than one.
    """

    def __init__(self, limits: Limits, gauges: Gauges, champions: Followed) -> None:
        self._limits, self._gauges, self._champions = limits, gauges, champions
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="foretell-forecasts")
        self._waiting: deque[_Asked] = deque()

    async def do(self, work: Callable[[], T], asked: _Asked | None = None) -> T:
        """The result of `work`; `TimeoutError` where it takes too long, `_BusyError` where too much waits.

        `asked` is what may be answered together with what waits before it.
        """
        if self._gauges.waiting >= self._limits.waiting:
            raise _BusyError
        if asked is not None:
            self._waiting.append(asked)
        self._gauges.waiting += 1
        future = asyncio.get_running_loop().run_in_executor(self._pool, work)
        future.add_done_callback(self._ended)
        # What runs cannot be stopped; it keeps its place until it has ended, so that nothing piles up behind it.
        return await asyncio.wait_for(asyncio.shield(future), self._limits.answer_s)

    async def forecast(self, body: ForecastBody) -> Response:
        """The answer to a body, as `do` gives it."""
        asked = _Asked(body)
        return await self.do(lambda: self._answer(asked), asked)

    def _ended(self, future: asyncio.Future[Any]) -> None:
        self._gauges.waiting -= 1
        if not future.cancelled():
            future.exception()  # its caller may be gone; asked for, it is not reported as lost

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _answer(self, asked: _Asked) -> Response:
        if asked.answer is None:
            batch, n = [], 0
            while self._waiting and (n == 0 or n + len(self._waiting[0].body.rows) <= MAX_TOGETHER):
                batch.append(self._waiting.popleft())
                n += len(batch[-1].body.rows)
            with suppress(ForecastError):  # one of them cannot be forecast: each is asked for itself, in its turn
                for family in {one.body.family for one in batch}:
                    self._forecast(family, [one for one in batch if one.body.family == family])
        if asked.answer is None:
            self._forecast(asked.body.family, [asked])
        assert asked.answer is not None
        return asked.answer

    def _forecast(self, family: str, batch: Sequence[_Asked]) -> None:
        held = self._champions.current(family)
        table = forecast_frame(held.predictor, frame_of([row for one in batch for row in one.body.rows]))
        self._gauges.forecast(family, len(table))
        values, start = zip(*(table[name].tolist() for name in table), strict=True), 0
        records = [dict(zip(table, row, strict=True)) for row in values]
        for one in batch:
            own = records[start : start + len(one.body.rows)]
            one.answer = _json({"family": family, "version": held.version, "forecasts": own})
            start += len(own)


def forecast_app(
    champions: Followed, gauges: Gauges, limits: Limits, *, price_file: Path | None = None, address: str = "",
    has_token: bool = False,
) -> FastAPI:  # fmt: skip
    """The application, without the bounds that stand before it.

    `champions` are started; `price_file` holds the user's own prices; the page says `address` and `has_token`, where it
    is served and whether callers need a token.
    """
    worker = Worker(limits, gauges, champions)

    @asynccontextmanager
    async def lifespan(app: FastAPI):  # type: ignore[no-untyped-def]
        yield
        worker.close()

    app = FastAPI(
        title="Foretell", version=__version__, docs_url=None, redoc_url=None, lifespan=lifespan,
        description="What requests to language models will take, before they are sent.",
    )  # fmt: skip

    @app.post("/forecast", summary="Forecast requests, one by one, with the champion.")
    async def forecast(body: ForecastBody) -> Response:
        return await worker.forecast(body)

    @app.post("/quote", summary="The bill of a batch on each of several models, before it is sent.")
    async def quote(body: QuoteBody) -> Response:
        return await worker.do(lambda: _quote(champions, gauges, body, price_file))

    @app.get("/health", summary="Whether forecasts are answered; needs no token.")
    async def health() -> Response:
        state = "ok" if FAMILIES[0] not in champions.broken else "stale"
        return _json({"status": state, "version": __version__, "champions": champions.versions})

    @app.get("/metrics", summary="Counts and times for Prometheus.")
    async def metrics() -> Response:
        return PlainTextResponse(gauges.text(champions.versions, champions.broken, champions.n_swaps))

    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        return HTMLResponse(api_page(app, address, has_token=has_token))

    _answer_errors(app)
    return app


def _answer_errors(app: FastAPI) -> None:
    """Every error is one line of JSON with the code that fits; none quotes a body back at length."""

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        faults = error.errors()
        more = f"; {len(faults) - MAX_FAULTS} more" if len(faults) > MAX_FAULTS else ""
        return refusal(422, "; ".join(_fault(fault) for fault in faults[:MAX_FAULTS]) + more)

    answers: dict[type[Exception], tuple[int, str, dict[str, str]]] = {
        InvalidInputError: (422, "", {}),
        DatasetError: (503, "", {"retry-after": "60"}),
        _BusyError: (503, "too many requests wait: try again in a second", {"retry-after": "1"}),
        TimeoutError: (504, "the answer takes too long: send fewer rows", {}),
        Exception: (500, "this is a fault of the server; its log says more", {}),
    }
    for kind, (status, message, headers) in answers.items():
        app.exception_handler(kind)(partial(_answer_error, status, message, headers))

    @app.exception_handler(HTTPException)
    async def other(request: Request, error: HTTPException) -> Response:
        return refusal(error.status_code, CODES.get(error.status_code, error.detail), **(error.headers or {}))


async def _answer_error(
    status: int, message: str, headers: dict[str, str], request: Request, error: Exception
) -> Response:
    return refusal(status, message or str(error), **headers)


def _fault(fault: dict[str, Any]) -> str:
    *place, last = [str(part)[:80] for part in fault["loc"][1:]] or ["body"]
    within = f"{'.'.join(place)}: " if place else ""
    if fault["type"] != "extra_forbidden":
        return f"{within}{last}: {fault['msg']}"
    models: dict[str, type[RequestRow]] = {"rows": RequestRow, "requests": QuotedRow}
    model = models.get(place[0]) if place else None
    names = model.model_fields if model else [*ForecastBody.model_fields, *QuoteBody.model_fields]
    return f"{within}{unknown_name('field', last, dict.fromkeys(names))}"


def _quote(champions: Followed, gauges: Gauges, body: QuoteBody, price_file: Path | None) -> Response:
    held = champions.current(FAMILIES[0])
    if not isinstance(held.predictor, LogQuantilePredictor):
        raise DatasetError(
            f"version {held.version} is a {type(held.predictor).__name__}, which cannot quote a batch: run "
            "`foretell retrain thinking_tokens`"
        )
    ways = len(body.models) * max(len(body.reasoning_efforts), 1) * max(len(body.max_tokens), 1)
    if ways * len(body.requests) > MAX_QUOTED:
        raise InvalidInputError(
            f"{len(body.requests)} requests in {ways} ways; at most {MAX_QUOTED:,} in all: use `foretell quote`"
        )
    terms = QuoteTerms(**body.model_dump(exclude={"requests"}))
    quoted = quote(held.predictor, frame_of(body.requests).drop(columns="model", errors="ignore"), terms,
                   price_file=price_file)  # fmt: skip
    gauges.forecast(FAMILIES[0], len(quoted.requests))
    return _json(
        {"version": held.version, "caveats": quoted.caveats, "cheapest": quoted.cheapest, "terms": asdict(terms),
         "totals": quoted.totals.to_dict("records"), "left_out": quoted.left_out.to_dict("records")}
    )  # fmt: skip


def frame_of(rows: Sequence[RequestRow]) -> pd.DataFrame:
    """The rows as the table that predictors take, without columns that no row has."""
    columns: dict[str, pd.Series] = {}
    for name, dtype in DTYPES.items():
        values = [getattr(row, name) for row in rows]
        if any(value is not None for value in values):
            columns[name] = pd.Series(values, dtype=dtype)
    return pd.DataFrame(columns, index=pd.RangeIndex(len(rows)))


def _json(content: object) -> Response:
    # NaN, which JSON has no word for, is null.
    return Response(
        orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY, default=_plain), media_type="application/json"
    )


def _plain(value: object) -> object:
    return None if value != value else str(value)


def api_page(app: FastAPI, address: str, *, has_token: bool) -> str:
    """What can be asked, with an example of each: made of the same description as ``openapi.json``."""
    described = app.openapi()
    doors = []
    for path, methods in described["paths"].items():
        for method, door in methods.items():
            body = door.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
            schema = described["components"]["schemas"].get(body.get("$ref", "").rpartition("/")[2], {})
            fields = {name: field.get("description", "") for name, field in schema.get("properties", {}).items()}
            example = orjson.dumps(schema["examples"][0]).decode() if schema else ""
            doors.append({"method": method.upper(), "path": path, "about": door["summary"], "example": example,
                          "fields": fields})  # fmt: skip
    token = " -H 'Authorization: Bearer ...'" if has_token else ""
    return render("api.html", title="Forecasts over HTTP", about=f"Foretell {__version__}.", doors=doors, codes=CODES,
                  address=address, token=token)  # fmt: skip
