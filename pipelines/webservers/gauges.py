"""What `foretell serve` tells of itself, in the text format that Prometheus reads."""

from __future__ import annotations

import resource
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

BUCKETS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)


class Gauges:
    """Counts of a server since it started; `label` values are few and of our making, never a caller's."""

    def __init__(self) -> None:
        self.waiting = 0
        self._lock = threading.Lock()
        self._answers: Counter[tuple[str, int]] = Counter()
        self._slower: Counter[tuple[str, float]] = Counter()
        self._seconds: Counter[str] = Counter()
        self._rows: Counter[str] = Counter()

    def answered(self, path: str, status: int, seconds: float) -> None:
        """An answer was given."""
        with self._lock:
            self._answers[path, status] += 1
            self._seconds[path] += seconds  # type: ignore[assignment]
            for bound in BUCKETS:
                self._slower[path, bound] += seconds <= bound

    def forecast(self, family: str, n_rows: int) -> None:
        """So many rows were forecast."""
        with self._lock:
            self._rows[family] += n_rows

    def text(self, versions: Mapping[str, str], faults: Mapping[str, str], n_swaps: int) -> str:
        """Everything, as a scrape reads it."""
        with self._lock:
            return "\n".join(self._lines(versions, faults, n_swaps)) + "\n"

    def _lines(self, versions: Mapping[str, str], faults: Mapping[str, str], n_swaps: int) -> Iterator[str]:
        yield "# HELP foretell_requests_total Answers by path and status.\n# TYPE foretell_requests_total counter"
        for (path, status), n in sorted(self._answers.items()):
            yield f'foretell_requests_total{{path="{path}",status="{status}"}} {n}'
        yield "# HELP foretell_request_seconds Time from the head of a request to its answer."
        yield "# TYPE foretell_request_seconds histogram"
        for path, seconds in sorted(self._seconds.items()):
            n = sum(count for (other, _), count in self._answers.items() if other == path)
            for bound in BUCKETS:
                yield f'foretell_request_seconds_bucket{{path="{path}",le="{bound:g}"}} {self._slower[path, bound]}'
            yield f'foretell_request_seconds_bucket{{path="{path}",le="+Inf"}} {n}'
            yield f'foretell_request_seconds_sum{{path="{path}"}} {seconds:.6f}'
            yield f'foretell_request_seconds_count{{path="{path}"}} {n}'
        yield "# HELP foretell_rows_total Rows that were forecast.\n# TYPE foretell_rows_total counter"
        for family, n in sorted(self._rows.items()):
            yield f'foretell_rows_total{{family="{family}"}} {n}'
        yield "# HELP foretell_waiting Requests that are worked on or wait.\n# TYPE foretell_waiting gauge"
        yield f"foretell_waiting {self.waiting}"
        yield "# HELP foretell_champion The version that answers.\n# TYPE foretell_champion gauge"
        for family, version in sorted(versions.items()):
            yield f'foretell_champion{{family="{family}",version="{version}"}} 1'
        yield "# HELP foretell_champion_swaps_total Promotions that were picked up."
        yield "# TYPE foretell_champion_swaps_total counter"
        yield f"foretell_champion_swaps_total {n_swaps}"
        yield "# HELP foretell_champion_faults Families whose champion cannot be read."
        yield f"# TYPE foretell_champion_faults gauge\nforetell_champion_faults {len(faults)}"
        yield "# HELP process_cpu_seconds_total CPU of this process.\n# TYPE process_cpu_seconds_total counter"
        yield f"process_cpu_seconds_total {time.process_time():.6f}"
        yield "# HELP process_max_resident_memory_bytes Most memory so far."
        yield "# TYPE process_max_resident_memory_bytes gauge"
        yield f"process_max_resident_memory_bytes {1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}"


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
