"""What a forecast over HTTP costs: `foretell serve` asked by one client after another, and at 60 requests a second.

    python bench/serve_http.py                       # the champion under FORETELL_HOME, else the one that is shipped
    python bench/serve_http.py --requests 300 --out docs/studies/serve-http.md

CPU is that of all threads of the server between a request and its answer, from /proc (Linux), so a busy machine moves
it little. Every request has a text of its own; models and benchmarks repeat, as they do before a gateway.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time
from http.client import HTTPConnection
from pathlib import Path

import numpy as np

MODELS = ("gpt-5-mini", "gpt-4o", "claude-sonnet-4-5", "SmolLM2-135M-Instruct")
RATE, SECONDS = 60, 20


def cpu_ns(pid: int) -> int:
    """Nanoseconds that the threads of a process have run."""
    return sum(int(path.read_text().split()[0]) for path in Path(f"/proc/{pid}/task").glob("*/schedstat"))


def body(number: int) -> bytes:
    """A request that was not sent before."""
    row = {"model": MODELS[number % len(MODELS)], "prompt_text": f"Task {number}: prove that {number} + 1 > {number}."}
    return json.dumps({"rows": [row]}).encode()


def ask(connection: HTTPConnection, number: int) -> int:
    """Status of one answer."""
    connection.request("POST", "/forecast", body(number), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    answer.read()
    return answer.status


def one_client(port: int, pid: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """CPU and wall milliseconds of each of `n` requests, after one of each model to warm up."""
    connection, cpu, wall = HTTPConnection("127.0.0.1", port), [], []
    for number in range(n + len(MODELS)):
        spent, started = cpu_ns(pid), time.perf_counter()
        assert ask(connection, number) == 200
        wall.append(1e3 * (time.perf_counter() - started))
        cpu.append((cpu_ns(pid) - spent) / 1e6)
    return np.array(cpu[len(MODELS) :]), np.array(wall[len(MODELS) :])


def at_rate(port: int, rate: int, seconds: int, clients: int = 8) -> tuple[np.ndarray, list[int], float]:
    """Wall milliseconds from when each request was due to its answer, the statuses, and the rate that was reached."""
    begun, total, lock, next_one = time.perf_counter() + 0.2, rate * seconds, threading.Lock(), iter(range(10**9))
    waits: list[float] = []
    statuses: list[int] = []

    def client() -> None:
        connection = HTTPConnection("127.0.0.1", port)
        while True:
            with lock:
                number = next(next_one)
            if number >= total:
                return
            due = begun + number / rate
            time.sleep(max(due - time.perf_counter(), 0.0))
            status = ask(connection, 10_000 + number)
            with lock:
                statuses.append(status)
                waits.append(1e3 * (time.perf_counter() - due))

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return np.array(waits), statuses, total / (time.perf_counter() - begun)


def _row(what: str, ms: np.ndarray) -> str:
    return f"| {what} | {np.median(ms):.1f} | {np.percentile(ms, 99):.1f} |"


def main() -> None:
    """Measure and print a page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=400)
    parser.add_argument("--rate", type=int, default=RATE)
    parser.add_argument("--out", type=Path, default=None)
    args = parser.parse_args()
    command = [sys.executable, "-m", "foretell.pipelines.cli.app", "serve", "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"})
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline().rpartition(":")[2])
        cpu, wall = one_client(port, process.pid, args.requests)
        waits, statuses, reached = at_rate(port, args.rate, SECONDS)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)
    errors = sum(status != 200 for status in statuses)
    lines = [
        "# What a forecast over HTTP costs",
        "",
        "Made by `python bench/serve_http.py`.",
        f"Load of the machine {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; texts that were not asked before, "
        f"{len(MODELS)} models.",
        "",
        "| what | median | p99 |",
        "|---|---|---|",
        _row(f"one client, {len(cpu)} requests: CPU of the server, ms", cpu),
        _row("the same, wall, ms", wall),
        _row(f"{args.rate} a second for {SECONDS} s (reached {reached:.0f}), {errors} errors: ms to answer", waits),
    ]
    print("\n".join(lines))
    if args.out:
        args.out.write_text("\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    main()
