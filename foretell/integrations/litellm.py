"""LiteLLM: calls land in a spool that `foretell ingest` reads; one that would break a budget is refused or moved.

In the proxy's ``config.yaml``::

    litellm_settings:
      callbacks: foretell.integrations.litellm.proxy

Settings are environment variables, or lines of ``foretell.toml``: ``FORETELL_HOME``, ``FORETELL_DAILY_BUDGET_USD`` (no
budget by default), ``FORETELL_DOWNGRADE`` (``gpt-5=gpt-5-mini,...``: where a call goes that would not fit),
``FORETELL_SPOOL_PROMPTS=0`` (no text is written). Without a proxy: ``litellm.callbacks = [Foretell(...)]``.

A gateway that reserves ``max_tokens`` for every call blocks long before its budget is spent; this one reserves the 95 %
quantile of the forecast, and gives back what a call did not take when it ends.
"""

from __future__ import annotations

import asyncio
import atexit
import json
import logging
import os
import queue
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import litellm
import pandas as pd
from litellm.integrations.custom_logger import CustomLogger

from foretell.predictors.errors import InvalidInputError

if TYPE_CHECKING:
    from foretell.predictors.base import BasePredictor

LEVEL = 0.95
"""Quantile of a call's cost that is reserved while it runs."""
MAX_WAITING = 20_000
"""Calls that wait to be written; more are counted and left out, since a full disk must not slow a gateway."""
CLOSE_AFTER_S = 60.0
CHATS = ("completion", "acompletion", "text_completion", "atext_completion", "responses", "aresponses")
TEXTS = ("messages", "response")

_logger = logging.getLogger(__name__)


class Spool:
    """Calls on their way to the lake: files of JSON lines that `foretell ingest` reads once they are closed.

    Parameters
    ----------
    folder : Path
        ``<home>/spool``. ``*.jsonl`` are closed; ``*.part`` is being written, or was when a process died.
    keep_prompts : bool, optional
        Whether messages and answers are written.
    """

    def __init__(self, folder: Path, *, keep_prompts: bool = True) -> None:
        self.folder = folder
        self.keep_prompts = keep_prompts
        self.n_left_out = 0
        self._adopt()
        self._waiting: queue.Queue[Mapping[str, Any] | threading.Event] = queue.Queue(MAX_WAITING)
        self._thread = threading.Thread(target=self._write, name="foretell-spool", daemon=True)
        self._thread.start()
        atexit.register(self.flush)

    def put(self, payload: Mapping[str, Any]) -> None:
        """Take a call; returns at once and never raises."""
        try:
            self._waiting.put_nowait(payload)
        except queue.Full:
            self.n_left_out += 1
            if self.n_left_out == 1:
                _logger.warning("%s: the disk is slower than the calls; some are left out", self.folder)

    def flush(self, timeout_s: float = 10.0) -> None:
        """Close the open file, so that everything taken so far can be ingested."""
        done = threading.Event()
        try:
            self._waiting.put(done, timeout=timeout_s)
        except queue.Full:
            return
        done.wait(timeout_s)

    def spent_today(self) -> float:
        """USD that the calls in the spool cost that ended today (UTC), for a gateway that starts again."""
        today, total = _today(), 0.0
        for path in sorted(self.folder.glob(f"*{today}*")):
            for line in path.read_text("utf-8", "replace").splitlines():
                try:
                    total += float(json.loads(line).get("response_cost") or 0.0)
                except (ValueError, AttributeError, TypeError):
                    continue
        return total

    def _write(self) -> None:
        file, path, opened = None, None, 0.0
        while True:
            try:
                item = self._waiting.get(timeout=CLOSE_AFTER_S)
            except queue.Empty:
                item = None
            try:
                if isinstance(item, Mapping):
                    if file is None:
                        path, opened = self._free_path(), time.monotonic()
                        file = os.fdopen(
                            os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8"
                        )
                    file.write(json.dumps(self._told(item), default=str) + "\n")
                    file.flush()
                if file is not None and path is not None and (
                    not isinstance(item, Mapping) or time.monotonic() - opened > CLOSE_AFTER_S
                ):  # fmt: skip
                    file.close()
                    path.rename(path.with_suffix(".jsonl"))
                    file = None
            except Exception:  # whatever the disk says, the gateway goes on
                self.n_left_out += 1
                _logger.warning("%s: a call could not be written", self.folder, exc_info=True)
                file = None
            if isinstance(item, threading.Event):
                item.set()

    def _adopt(self) -> None:
        """Close what processes left open that are gone; of a last line that was cut, `ingest` says so."""
        from foretell.assets.store.durable import is_alive

        for path in self.folder.glob("*.part"):
            if not is_alive(int(path.stem.split("-")[-2])):
                path.rename(path.with_suffix(".jsonl"))

    def _free_path(self) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return self.folder / f"litellm-{_today()}-{os.getpid()}-{time.time_ns()}.part"

    def _told(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in payload.items() if self.keep_prompts or name not in TEXTS}


class Foretell(CustomLogger):
    """Logger and budget of a gateway.

    Parameters
    ----------
    spool : Spool
        Where calls go.
    daily_budget_usd : float, optional
        What a UTC day may cost. None forecasts nothing and refuses nothing.
    downgrade : mapping of str to str, optional
        Model -> the model that takes a call which would not fit; followed from one to the next.
    predictor : BasePredictor, optional
        A forecaster of thinking tokens. By default the champion of this installation, loaded with the first call.

    Attributes
    ----------
    spent_usd, reserved_usd : float
        Of this day: calls that ended, and the 95 % quantiles of those that run.
    """

    def __init__(
        self,
        spool: Spool,
        *,
        daily_budget_usd: float | None = None,
        downgrade: Mapping[str, str] | None = None,
        predictor: BasePredictor | None = None,
    ) -> None:
        super().__init__()
        if daily_budget_usd is not None and not daily_budget_usd > 0:
            raise InvalidInputError(f"the daily budget must be above 0 USD, got {daily_budget_usd}")
        self.spool = spool
        self.budget_usd = daily_budget_usd
        self.downgrade = dict(downgrade or {})
        self.spent_usd = 0.0 if daily_budget_usd is None else spool.spent_today()
        self._predictor = predictor
        self._day = _today()
        self._running: dict[str, float] = {}
        self._lock = threading.Lock()
        self._forecasting = threading.Lock()

    @property
    def reserved_usd(self) -> float:
        """What the calls that run may still take."""
        return sum(self._running.values())

    async def async_pre_call_hook(
        self, user_api_key_dict: Any, cache: Any, data: dict[str, Any], call_type: str
    ) -> dict[str, Any] | None:
        """Reserve what the call will hardly exceed; move it to a cheaper model, or refuse it, where that does not fit.

        Raises
        ------
        litellm.BudgetExceededError
            Naming what was spent, what runs, what this call would take, and the budget.
        """
        if self.budget_usd is None or call_type not in CHATS:
            return None
        asked = model = str(data.get("model"))
        tried: dict[str, float] = {}
        while model not in tried:
            # Some 50 ms, which other calls need not wait for.
            tried[model] = await asyncio.to_thread(self.forecast_usd, {**data, "model": model})
            if self._reserve(data, tried[model]):
                if model != asked:
                    data["model"] = model
                    data.setdefault("metadata", {}).setdefault("tags", []).append(f"foretell-instead-of:{asked}")
                return data
            model = self.downgrade.get(model, model)
        takes = ", ".join(f"{name} up to ${usd:.4f}" for name, usd in tried.items())
        raise litellm.BudgetExceededError(
            current_cost=self.spent_usd,
            max_budget=self.budget_usd,
            message=f"refused by forecast: ${self.spent_usd:.4f} spent and ${self.reserved_usd:.4f} reserved of "
            f"${self.budget_usd:.4f} today; this call would take {takes} (95 %)",
        )

    async def async_log_success_event(
        self, kwargs: dict[str, Any], response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        """Land the call and give back what it did not take."""
        self.log_success_event(kwargs, response_obj, start_time, end_time)

    def log_success_event(self, kwargs: dict[str, Any], response_obj: Any, start_time: Any, end_time: Any) -> None:
        """The same for calls that are not asynchronous."""
        payload = kwargs.get("standard_logging_object")
        if payload is None:
            return
        self.spool.put(payload)
        self._settle(kwargs, float(payload.get("response_cost") or 0.0))

    async def async_log_failure_event(
        self, kwargs: dict[str, Any], response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        """Give back what a call reserved that failed."""
        self._settle(kwargs, 0.0)

    def log_failure_event(self, kwargs: dict[str, Any], response_obj: Any, start_time: Any, end_time: Any) -> None:
        """The same for calls that are not asynchronous."""
        self._settle(kwargs, 0.0)

    def forecast_usd(self, request: Mapping[str, Any]) -> float:
        """The 95 % quantile of what a request will cost, USD; 0 where no price of the model is known.

        Never more than `max_tokens` allow.
        """
        from foretell.predictors.thinking_tokens.prices.cost import price_forecast

        X = self._inputs(request)
        with self._forecasting:  # one at a time, and one load, however many calls wait for it
            tokens = self._champion().predict_quantiles(X, (LEVEL,))
        limit = X["max_tokens"].iloc[0]
        if limit is not pd.NA:
            tokens = tokens.clip(upper=float(limit))
        usd = float(price_forecast(X, tokens).iloc[:, 0].astype("float64").sum(skipna=False))
        if usd != usd:
            _logger.warning("no price of %s is known: its calls are not held against the budget", request.get("model"))
        return 0.0 if usd != usd else usd

    def _inputs(self, request: Mapping[str, Any]) -> pd.DataFrame:
        from foretell.assets.readers.core.requests import request_columns

        columns = request_columns(dict(request))
        limit = columns["max_tokens"]
        row = {
            "model": str(request.get("model")),
            "prompt_text": columns.get("prompt_text"),
            "reasoning_effort": columns.get("reasoning_effort"),
            "max_tokens": limit if isinstance(limit, int) and limit > 0 else None,
        }
        return pd.DataFrame([row]).astype({"max_tokens": "Int64"})

    def _champion(self) -> BasePredictor:
        if self._predictor is None:
            import foretell

            self._predictor = foretell.load()
        return self._predictor

    def _reserve(self, data: dict[str, Any], usd: float) -> bool:
        with self._lock:
            if self._day != _today():
                self._day, self.spent_usd = _today(), 0.0
            if self.budget_usd is not None and self.spent_usd + self.reserved_usd + usd > self.budget_usd:
                return False
            self._running[_key(data)] = usd
        return True

    def _settle(self, kwargs: Mapping[str, Any], usd: float) -> None:
        with self._lock:
            self._running.pop(_key(kwargs), None)
            self.spent_usd += usd


def _key(call: Mapping[str, Any]) -> str:
    return str(call.get("litellm_call_id"))


def _today() -> str:
    return datetime.now(UTC).date().isoformat()


def from_settings() -> Foretell:
    """What the proxy's configuration names: a logger with the settings of this installation."""
    from foretell.pipelines.settings import read_settings

    settings = read_settings()
    spool = Spool(settings.home / "spool", keep_prompts=settings.spool_prompts)
    return Foretell(spool, daily_budget_usd=settings.daily_budget_usd, downgrade=settings.downgrade)


def __getattr__(name: str) -> Foretell:
    if name != "proxy":
        raise AttributeError(name)
    globals()["proxy"] = from_settings()
    return globals()["proxy"]  # type: ignore[no-any-return]
