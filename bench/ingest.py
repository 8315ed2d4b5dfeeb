"""Ingest against a bare read of the same file: JSONL to validated, priced parquet.

Prints, for each number of rows, seconds and peak memory of `ingest` + `curate` and of DuckDB (and polars,
where it is installed) merely reading the file, with their ratio; then how each grows with the rows, as the
slope of log CPU seconds on log rows (1 is linear). Each measurement runs in a process of its own, one
thread, one after the other. The files hold 250,000 requests a day, 5,000 distinct questions unless
`--questions` says otherwise::

    python bench/ingest.py --rows 100000 1000000 10000000 --format openai_jsonl
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import resource
import shutil
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import orjson

DAY = 1_795_305_600  # 2026-11-22T00:00:00Z
ROWS_PER_DAY = 250_000


def second_of(i: int) -> int:
    """Unix time of request `i`."""
    return DAY + i // ROWS_PER_DAY * 86_400 + i % 80_000


def openai_line(i: int, n_questions: int = 5_000) -> dict[str, Any]:
    """One chat completion with its request, about 600 bytes."""
    usage = {
        "prompt_tokens": 100 + i % 900,
        "completion_tokens": 50 + i % 4000,
        "total_tokens": 150 + i % 900 + i % 4000,
        "prompt_tokens_details": {"cached_tokens": i % 100},
        "completion_tokens_details": {"reasoning_tokens": i % 50},
    }
    question = f"Question {i % n_questions}: " + "what follows from this? " * 4
    return {
        "request": {"model": "gpt-5", "messages": [{"role": "user", "content": question}], "temperature": 1.0},
        "response": {
            "id": f"chatcmpl-{i}",
            "object": "chat.completion",
            "created": second_of(i),
            "model": "gpt-5-2025-08-07",
            "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "yes"}}],
            "usage": usage,
        },
        "latency_s": 1.5,
    }


def otlp_line(i: int, n_questions: int = 0) -> dict[str, Any]:
    """One export batch of one span without its messages, about 700 bytes."""
    attributes = {
        "gen_ai.operation.name": {"stringValue": "chat"},
        "gen_ai.provider.name": {"stringValue": "openai"},
        "gen_ai.request.model": {"stringValue": "gpt-5"},
        "gen_ai.usage.input_tokens": {"intValue": str(100 + i % 900)},
        "gen_ai.usage.output_tokens": {"intValue": str(50 + i % 4000)},
        "gen_ai.usage.reasoning.output_tokens": {"intValue": str(i % 50)},
    }
    span = {
        "traceId": f"{i:032x}",
        "spanId": f"{i:016x}",
        "name": "chat gpt-5",
        "kind": 3,
        "startTimeUnixNano": str(second_of(i) * 10**9),
        "endTimeUnixNano": str((second_of(i) + 2) * 10**9),
        "attributes": [{"key": k, "value": v} for k, v in attributes.items()],
        "status": {},
    }
    return {
        "resourceSpans": [{"resource": {"attributes": []}, "scopeSpans": [{"scope": {"name": "s"}, "spans": [span]}]}]
    }


MAKERS = {"openai_jsonl": openai_line, "otlp_json": otlp_line}


def land(path: Path, folder: Path) -> int:
    """Read, check and write the raw rows by day."""
    from foretell.assets.lake.landing.deliveries import ingest

    return ingest([path], folder / "landing").n_usable


def land_and_curate(path: Path, folder: Path) -> int:
    """The whole way to validated, priced parquet, one day at a time."""
    from foretell.assets.lake.landing.deliveries import ingest, landed_days, load_rows
    from foretell.assets.lake.traces.curation import curate
    from foretell.predictors.thinking_tokens.prices.cost import price_requests

    n_rows = 0
    ingest([path], folder / "landing")
    for day in landed_days(folder / "landing"):
        curated = curate(load_rows(folder / "landing", [day]), price=price_requests)
        curated.traces.to_parquet(folder / f"{day}.parquet")
        n_rows += len(curated.traces)
    return n_rows


def duckdb_read(path: Path, folder: Path) -> int:
    """DuckDB parses every field of the file into columns and writes them nowhere."""
    import duckdb

    with duckdb.connect() as connection:
        connection.execute("SET threads = 1")
        connection.execute(f"CREATE TABLE t AS SELECT * FROM read_json('{path}', format = 'newline_delimited')")
        (n_rows,) = connection.execute("SELECT count(*) FROM t").fetchone() or (0,)
    return int(n_rows)


def polars_read(path: Path, folder: Path) -> int:
    """Polars reads the same file into a frame."""
    import polars

    return polars.read_ndjson(path).height


def hash_file(path: Path, folder: Path) -> int:
    """SHA-256 of the content, which is the key of the landing zone."""
    with path.open("rb") as file:
        hashlib.file_digest(file, "sha256")
    return 0


def split_lines(path: Path, folder: Path) -> int:
    """The file as lines."""
    from foretell.assets.readers.core.stream import lines

    return sum(1 for _ in lines(path))


def parse_lines(path: Path, folder: Path) -> int:
    """The lines, parsed."""
    from foretell.assets.readers.core.stream import json_texts

    return sum(1 for _ in json_texts(path))


def keep_records(path: Path, folder: Path) -> int:
    """The parsed lines, what counts of each kept by its form."""
    from foretell.assets.readers.core.records import ReadOptions
    from foretell.assets.readers.reading import READERS, detect

    return sum(1 for _ in READERS[str(detect(path))].read(path, ReadOptions()))


def make_tables(path: Path, folder: Path) -> int:
    """The records as typed tables, not written."""
    from foretell.assets.readers.reading import read_tables

    return sum(table.num_rows for table, _ in read_tables(path)[1])


STAGES = {stage.__name__: stage for stage in (hash_file, split_lines, parse_lines, keep_records, make_tables)}


def of_a_day(path: Path, folder: Path) -> dict[str, float]:
    """Microseconds of CPU a row after landing, of the first day in this warm process, the best of four."""
    from foretell.assets.lake.landing.deliveries import ingest, landed_days, load_rows
    from foretell.assets.lake.traces.curation import curate
    from foretell.predictors.thinking_tokens.prices.cost import price_requests

    ingest([path], folder / "landing")
    day = min(landed_days(folder / "landing"))
    best: dict[str, float] = {}
    for _ in range(4):
        clock = [time.process_time()]
        raw = load_rows(folder / "landing", [day])
        clock.append(time.process_time())
        traces = curate(raw, price=price_requests).traces
        clock.append(time.process_time())
        price_requests(traces)
        clock.append(time.process_time())
        traces.to_parquet(folder / "day.parquet")
        clock.append(time.process_time())
        for name, seconds in zip(("read", "curate", "of which prices", "write"), np.diff(clock), strict=True):
            best[name] = min(best.get(name, np.inf), round(seconds / len(raw) * 1e6, 2))
    return best


def _measured(run: Callable[[Path, Path], int], path: Path, folder: Path, out: Any) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF)
    started = time.perf_counter()
    n_rows = run(path, folder)
    seconds = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    out.put({"rows": n_rows, "seconds": round(seconds, 2), "cpu_s": round(cpu, 2), "peak_mib": after.ru_maxrss // 1024})


def measure(run: Callable[[Path, Path], int], path: Path, folder: Path) -> dict[str, Any]:
    """Run one contestant in a process of its own."""
    context = multiprocessing.get_context("spawn")
    out = context.Queue()
    process = context.Process(target=_measured, args=(run, path, folder, out))
    process.start()
    result: dict[str, Any] = out.get()
    process.join()
    return result


def write_lines(path: Path, n_rows: int, format: str, n_questions: int) -> None:
    """Write the file that all contestants read."""
    maker = MAKERS[format]
    with path.open("wb") as file:
        file.writelines(orjson.dumps(maker(i, n_questions)) + b"\n" for i in range(n_rows))


def print_scaling(found: list[dict[str, Any]]) -> None:
    """Print the slope of log CPU seconds on log rows and the memory of the smallest and the largest file."""
    for name in dict.fromkeys(result["contestant"] for result in found):
        mine = [result for result in found if result["contestant"] == name]
        if len(mine) > 1:
            logs = np.log([[result["rows"], max(result["cpu_s"], 0.01)] for result in mine])
            slope = np.polyfit(logs[:, 0], logs[:, 1], 1)[0]
            peaks = [mine[0]["peak_mib"], mine[-1]["peak_mib"]]
            print(json.dumps({"contestant": name, "slope": round(float(slope), 3), "peak_mib": peaks}), flush=True)


def main() -> None:
    """Command line; see the module's docstring."""
    parser = argparse.ArgumentParser(description="Ingest against a bare read of the same file.")
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--format", choices=sorted(MAKERS), default="openai_jsonl")
    parser.add_argument("--questions", type=int, default=5_000, help="distinct questions of openai_jsonl")
    parser.add_argument("--stages", action="store_true", help="also by stage: landing up to each, a day after it")
    args = parser.parse_args()
    contestants: dict[str, Callable[[Path, Path], int]] = {
        "duckdb": duckdb_read,
        **({} if find_spec("polars") is None else {"polars": polars_read}),
        **(STAGES if args.stages else {}),
        "land": land,
        "land+curate": land_and_curate,
    }
    results = []
    for n_rows in sorted(args.rows):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "traces.jsonl"
            write_lines(path, n_rows, args.format, args.questions)
            bare = None
            for name, run in contestants.items():
                place = Path(folder) / name
                place.mkdir()
                found = measure(run, path, place)
                assert found["rows"] == n_rows or name == "hash_file", (name, found)
                bare = bare or found["cpu_s"]
                found |= {"ratio_to_duckdb": round(found["cpu_s"] / bare, 1), "file_mib": path.stat().st_size >> 20}
                results.append({"contestant": name, **found})
                print(json.dumps({"format": args.format, "contestant": name, **found}), flush=True)
                shutil.rmtree(place)
            if args.stages:
                found = {"format": args.format, "us a row of a day": of_a_day(path, Path(folder))}
                print(json.dumps(found), flush=True)
    print_scaling(results)


if __name__ == "__main__":
    main()
