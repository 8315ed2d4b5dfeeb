"""What `foretell serve` tells of itself, in the text format that Prometheus reads."""

import resource
import threading
import time
from collections import Counter
from collections.abc import Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

BUCKETS = ("0.005", "0.01", "0.02", "0.05", "0.1", "0.2", "0.5", "1", "2", "5", "10", "30", "+Inf")
"""Upper ends of times in seconds, as a scrape reads them."""


class Gauges:
    """Counts of a server since it started; `label` values are few and of our making, never a caller's."""

    def __init__(self) -> None:
        self.waiting = 0
        self._lock = threading.Lock()
        self._counts: dict[str, Counter[str]] = {"requests": Counter(), "request_seconds": Counter(), "rows": Counter()}

    def answered(self, path: str, status: int, seconds: float) -> None:
        """An answer was given."""
        with self._lock:
            self._counts["requests"][f'{{path="{path}",status="{status}"}}'] += 1
            times = self._counts["request_seconds"]
            for bound in BUCKETS:
                times[f'_bucket{{path="{path}",le="{bound}"}}'] += seconds <= float(bound)
            times[f'_sum{{path="{path}"}}'] += seconds  # type: ignore[assignment]
            times[f'_count{{path="{path}"}}'] += 1

    def forecast(self, family: str, n_rows: int) -> None:
        """So many rows were forecast."""
        with self._lock:
            self._counts["rows"][f'{{family="{family}"}}'] += n_rows

    def text(self, versions: Mapping[str, str], faults: Mapping[str, str], n_swaps: int) -> str:
        """Everything, as a scrape reads it."""
        with self._lock:
            counts = {name: dict(counter) for name, counter in self._counts.items()}
        answering = {f'{{family="{family}",version="{number}"}}': 1 for family, number in sorted(versions.items())}
        memory = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        metrics: list[tuple[str, str, str, Mapping[str, float]]] = [
            ("foretell_requests_total", "counter", "Answers by path and status.", counts["requests"]),
            ("foretell_request_seconds", "histogram", "Time from the head of a request to its answer.",
             counts["request_seconds"]),
            ("foretell_rows_total", "counter", "Rows that were forecast.", counts["rows"]),
            ("foretell_waiting", "gauge", "Requests that are worked on or wait.", {"": self.waiting}),
            ("foretell_champion", "gauge", "The version that answers.", answering),
            ("foretell_champion_swaps_total", "counter", "Promotions that were picked up.", {"": n_swaps}),
            ("foretell_champion_faults", "gauge", "Families whose champion cannot be read.", {"": len(faults)}),
            ("process_cpu_seconds_total", "counter", "CPU of this process.", {"": round(time.process_time(), 6)}),
            ("process_max_resident_memory_bytes", "gauge", "Most memory so far.", {"": memory}),
        ]  # fmt: skip
        return "".join(
            f"# HELP {name} {about}\n# TYPE {name} {kind}\n"
            + "".join(f"{name}{labels} {value}\n" for labels, value in samples.items())
            for name, kind, about, samples in metrics
        )


class Watched:
    """Counts what an application answers, by path; what is none of `paths` is one of them, `other`."""

    def __init__(self, app: ASGIApp, gauges: Gauges, paths: tuple[str, ...]) -> None:
        self._app, self._gauges, self._paths = app, gauges, paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 499

        async def seen(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, seen)
        finally:
            path = scope["path"] if scope["path"] in self._paths else "other"
            self._gauges.answered(path, status, time.perf_counter() - started)
