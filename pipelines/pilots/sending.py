"""Send the requests of a pilot to a chat endpoint: bounded, resumable, never above its limit of cost."""

import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from foretell.assets.engine.local import is_loopback
from foretell.assets.store.money import money
from foretell.pipelines.pilots.ledger import Ledger, append_durably, json_object, kept_lines
from foretell.predictors.errors import InvalidInputError

NEVER_SENT = 0
"""In place of a status: no connection was made."""
RETRIED = {NEVER_SENT, 409, 425, 429, 500, 502, 503, 529}
TIMED_OUT = {408, 504, 524}
"""Somebody on the way gave up waiting; the model may have answered."""
HOPELESS = {NEVER_SENT, 401, 402, 403, 404}
"""What one request is refused with, every other one will be."""
LONGEST_WAIT_S = 60.0
MAX_BODY = 32_000_000


@dataclass(frozen=True)
class Answer:
    """What came back for one request: its body (None where it is no JSON object), or the status that refused it."""

    status: int
    body: dict[str, Any] | None = None
    retry_after_s: float | None = None
    reason: str = ""


class InDoubtError(Exception):
    """The connection broke: nobody knows whether the request was billed."""


Endpoint = Callable[[Mapping[str, Any]], Answer]
"""Sends one chat request, once; raises `InDoubtError` where nothing whole came back."""


class HttpEndpoint:
    """An OpenAI-compatible endpoint, asked at ``<base_url>/chat/completions``.

    Raises `InvalidInputError` if the address is none, holds a password, or would carry a key in the clear to another
    machine.
    """

    def __init__(self, base_url: str, key: str | None, timeout_s: float) -> None:
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InvalidInputError(f"`--base-url` must be such as https://api.openai.com/v1, got {base_url[:80]!r}")
        if parts.password or parts.query:
            raise InvalidInputError("`--base-url` must hold no password and no query: keys come from the environment")
        if key and parts.scheme == "http" and not is_loopback(parts.hostname):
            raise InvalidInputError(f"a key is not sent in the clear: use https for {parts.hostname}")
        self._url, self._key, self._timeout_s = base_url.rstrip("/") + "/chat/completions", key, timeout_s

    def __call__(self, body: Mapping[str, Any]) -> Answer:
        import requests

        started = time.monotonic()
        content = bytearray()
        try:
            # Redirects would carry the key elsewhere.
            with requests.post(
                self._url, json=body, auth=self._authorise, timeout=self._timeout_s, stream=True, allow_redirects=False
            ) as response:
                for chunk in response.iter_content(65_536):
                    content += chunk
                    if time.monotonic() - started > self._timeout_s or len(content) > MAX_BODY:
                        raise InDoubtError(f"no whole answer within {self._timeout_s:g} s")
        except requests.RequestException as error:
            cause = type(getattr(error.args[0] if error.args else None, "reason", None)).__name__
            unsent = isinstance(error, requests.ConnectTimeout | requests.exceptions.SSLError)
            if unsent or cause in ("NewConnectionError", "NameResolutionError"):
                return Answer(NEVER_SENT, reason="cannot connect")
            raise InDoubtError(f"the connection broke ({type(error).__name__})") from None
        parsed = json_object(bytes(content))
        # What a provider says may quote the key: of an error only its code is told.
        fault = parsed.get("error") if parsed else None
        code = str(fault.get("code") or fault.get("type") or "")[:60] if isinstance(fault, dict) else ""
        if self._key and self._key in code:
            code = ""
        return Answer(response.status_code, parsed, _seconds(response.headers.get("Retry-After")), code)

    def _authorise(self, request: Any) -> Any:
        """Sets the key after everything else, so that no netrc file replaces it."""
        if self._key:
            request.headers["Authorization"] = f"Bearer {self._key}"
        return request


class LiteLLMEndpoint:
    """Whatever LiteLLM knows by the name of the model, where it is installed; keys as it finds them."""

    def __init__(self, timeout_s: float) -> None:
        try:
            import litellm
        except ModuleNotFoundError:
            raise InvalidInputError(
                "give `--base-url`, such as https://api.openai.com/v1; without it LiteLLM sends (pip install litellm)"
            ) from None
        self._module, self._timeout_s = litellm, timeout_s

    def __call__(self, body: Mapping[str, Any]) -> Answer:
        try:
            made = self._module.completion(**body, timeout=self._timeout_s, num_retries=0, max_retries=0)
        except Exception as error:  # noqa: BLE001 - its errors share no class but carry the status of the provider
            status = getattr(error, "status_code", None)
            if not isinstance(status, int) or status in (408, 200) or "Timeout" in type(error).__name__:
                raise InDoubtError(f"LiteLLM failed ({type(error).__name__})") from None
            return Answer(status, reason=type(error).__name__)
        return Answer(200, made.model_dump(mode="json"))


def _seconds(header: str | None) -> float | None:
    """`Retry-After` in seconds, whether it is a number or a date."""
    from urllib3.exceptions import InvalidHeader
    from urllib3.util import Retry

    if not header:
        return None
    try:
        return max(float(header), 0.0)
    except ValueError:
        with suppress(InvalidHeader):
            return Retry().parse_retry_after(header)
    return None


@dataclass(frozen=True)
class Call:
    """One request of a pilot on one model: what is sent, the most it can cost, and what is kept beside the answer."""

    key: str
    body: dict[str, Any]
    reserved_usd: float
    kept: dict[str, Any]


@dataclass(frozen=True)
class Sending:
    """How calls are sent.

    `price` gives the USD of a call from its `usage`; NaN where it says too little. `progress` is told how many calls of
    how many are answered, and that in words with the USD.
    """

    endpoint: Endpoint
    price: Callable[[Call, Mapping[str, Any]], float]
    out: Path
    concurrency: int = 4
    retries: int = 5
    say: Callable[[str], None] = print
    progress: Callable[[int, int, str], None] = lambda n, of, told: None


def send(calls: Sequence[Call], sending: Sending, ledger: Ledger) -> list[str]:
    """Send what was not answered yet, in the given order; a line for everything that went wrong.

    An answer is on the disk (`Sending.out`) before it is counted. Whoever interrupts keeps what came, and waits for
    what is under way: it is paid.
    """
    left = [call for call in calls if call.key not in ledger.answered and call.key not in ledger.in_doubt]
    problems = [f"{key}: in doubt since an earlier run; counted, not sent again" for key in sorted(ledger.in_doubt)]
    run = _Run(sending, ledger, iter(left), len(calls), problems)
    with ThreadPoolExecutor(max(sending.concurrency, 1)) as pool:
        workers = [pool.submit(run.work) for _ in range(max(sending.concurrency, 1))]
        try:
            wait(workers)
        except KeyboardInterrupt:
            run.stop("interrupted: nothing more is sent; what is under way is waited for, and what came is kept")
        finally:
            run.halted.set()
    for worker in workers:
        worker.result()
    return problems


def send_within(
    calls: Sequence[Call], sending: Sending, log: Path, max_cost: float, *, retry_in_doubt: bool = False,
    in_all: bool = True,
) -> tuple[Ledger, list[str]]:  # fmt: skip
    """`send`, by the accounts in `log` and what `Sending.out` holds; one process at a time.

    `max_cost` is the limit of all that was and is sent (`in_all`), or of what is sent now.

    Raises `InvalidInputError` if nothing bounds what a call costs, or another process sends.
    """
    from filelock import FileLock, Timeout

    unbounded = [call.key for call in calls if call.reserved_usd != call.reserved_usd]
    if unbounded:
        raise InvalidInputError(
            f"nothing bounds what {unbounded[0]} costs: give a cap (`--max-tokens`), plain text, and a price for its "
            "model (FORETELL_PRICE_FILE)"
        )
    try:
        with FileLock(sending.out.with_suffix(".lock"), timeout=0):
            answered = {str(line["custom_id"]): line["pilot"]["counted_usd"] for line in kept_lines(sending.out)}
            ledger = Ledger(log, max_cost, answered, retry_in_doubt=retry_in_doubt, in_all=in_all)
            return ledger, send(calls, sending, ledger)
    except Timeout:
        raise InvalidInputError(f"another process sends {sending.out}: wait for it, or end it") from None


class _Run:
    """What the threads of one sending share."""

    def __init__(self, sending: Sending, ledger: Ledger, calls: Any, n_calls: int, problems: list[str]) -> None:
        self.sending, self.ledger, self.calls, self.n_calls, self.problems = sending, ledger, calls, n_calls, problems
        self.halted, self.turn, self.writing = threading.Event(), threading.Lock(), threading.Lock()

    def stop(self, reason: str) -> None:
        if not self.halted.is_set():
            self.halted.set()
            self.tell(reason)

    def tell(self, problem: str) -> None:
        self.problems.append(problem)
        self.sending.say(problem)

    def work(self) -> None:
        """Take the next call, reserve its worst case, send it; until none is left or the limit is reached."""
        while not self.halted.is_set():
            with self.turn:  # in order: were cheap calls let past dear ones, the pilot would be a sample no more
                call = next(self.calls, None)
                if call is None or self.halted.is_set():
                    return
                if not self.ledger.reserve(call.key, call.reserved_usd):
                    self.stop(
                        f"{call.key}: its worst case of ${call.reserved_usd:.4g} does not fit under the limit any more "
                        f"(${self.ledger.committed:.4g} spent or reserved); raise --max-cost to go on"
                    )
                    return
            try:
                self._send(call)
            except BaseException:  # a full disk, say: nobody may wait for what this call reserved
                self.halted.set()
                self.ledger.leave_in_doubt(call.key)
                raise

    def _send(self, call: Call) -> None:
        for attempt in range(self.sending.retries + 1):
            started = time.time()
            try:
                answer = self.sending.endpoint(call.body)
                if answer.status in TIMED_OUT:
                    raise InDoubtError(f"HTTP {answer.status}")
            except InDoubtError as doubt:
                self.ledger.leave_in_doubt(call.key)
                self.tell(f"{call.key}: {doubt}; it may have been billed: counted at its worst case, not sent again")
                return
            if answer.status == 200:
                self._keep(call, answer, started)
                return
            if answer.status not in RETRIED or attempt == self.sending.retries or self.halted.is_set():
                self.ledger.release(call.key)
                fault = f"HTTP {answer.status} {answer.reason}".rstrip() if answer.status else answer.reason
                self.tell(f"{call.key}: {fault}, tried {attempt + 1} times")
                if answer.status in HOPELESS:
                    self.stop("stopped, since every other request would be refused too: check key, address and model")
                return
            pause = answer.retry_after_s if answer.retry_after_s is not None else 2.0**attempt * random.uniform(0.5, 1)
            self.halted.wait(min(pause, LONGEST_WAIT_S))

    def _keep(self, call: Call, answer: Answer, started: float) -> None:
        """Write the answer down, then count it; one that does not say what it cost counts at its worst case."""
        body = answer.body
        usd = float("nan") if body is None else self.sending.price(call, body)
        if body is None:
            fault = "the answer is no JSON object"
        elif not usd >= 0:
            fault = "the answer has no usage"
        elif not _same_model(str(call.body["model"]), str(body.get("model") or "")):
            fault = f"answered by {str(body.get('model'))[:60]!r}, not the model asked; left out of the bill"
        else:
            fault = None
        known = usd >= 0
        cost = usd if known else call.reserved_usd
        line = {
            "custom_id": call.key, "request": call.body,
            "response": {"status_code": 200, "body": body},
            "pilot": {**call.kept, "usd": usd if known else None, "counted_usd": cost, "fault": fault},
            "started_at": started, "latency_s": time.time() - started,
        }  # fmt: skip
        with self.writing:
            append_durably(self.sending.out, line)
        self.ledger.settle(call.key, cost)
        if fault is not None:
            self.tell(f"{call.key}: {fault}" + ("" if known else "; counted at its worst case"))
        if cost > call.reserved_usd * (1 + 1e-9):
            self.stop(f"{call.key}: billed ${cost:.4g}, more than its cap allows (${call.reserved_usd:.4g}): stopped")
        n, spent = len(self.ledger.answered), self.ledger.spent
        told = f"{n} of {self.n_calls} answered, {money(spent)} spent, {money(self.ledger.committed - spent)} reserved"
        self.sending.progress(n, self.n_calls, told)


def _same_model(asked: str, answered: str) -> bool:
    """Whether one name extends the other, as ``gpt-5`` and ``gpt-5-2025-08-07`` do; an answer may name none."""
    one, other = (name.rpartition("/")[2].lower() for name in (asked, answered))
    longer, shorter = (one, other) if len(one) > len(other) else (other, one)
    return not answered or (longer.startswith(shorter) and longer[len(shorter) :][:1] in ("", "-", "@", ":"))
