"""How time and memory grow with the rows of `request_traces`, on this process and on a Dask cluster of two workers.

    python bench/scale.py                                    # 10^5 .. 10^7 local, 10^5 .. 10^6 on Dask: minutes
    python bench/scale.py --rows 1e5 1e6 1e7 1e8 --dask-rows 1e5 1e6 1e7

Made-up gateway traffic without text (as ingested with --no-prompts); a third of the rows repeat a query.
Each measurement is a process of its own: wall and CPU seconds and peak memory, workers included.
The slope is that of CPU seconds, which other work on the machine disturbs least. Stages:

curate    raw rows of 10 days -> validated, priced days (at most --curate-rows in all: days do not know each other)
across    keys and replicates over all days
examples  a sample of at most 10^6 runs to learn from, whole queries
floors    noise floor of every segment of that sample
night     one new day curated among all the others
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
from scipy import stats

LEARN_ROWS = 1_000_000
RAW_DAYS = 10
FIRST_DAY = "2025-11-01"
SQL = """
SELECT 'gateway' AS source, printf('r%012d', i) AS request_id, NULL::VARCHAR AS trace_id,
       sha256(CAST(q AS VARCHAR)) AS query_id, {middle}
       TIMESTAMPTZ '{day} 00:00:00+00' + to_microseconds(CAST((i * 7919) % 86400000000 AS BIGINT)) AS started_at,
       'openai' AS provider, CASE WHEN q % 3 = 0 THEN 'gpt-5' ELSE 'gpt-5-mini' END AS model, {end}
FROM (SELECT i, CASE WHEN i % 3 = 0 THEN (i * 2654435761) % ({n} / 6 + 1) ELSE {n} + i END AS q
      FROM range({start}, {stop}) t(i))
"""
TOKENS = "CAST(20 + exp(5 + 1.2 * ((hash(q) % 1000) / 500.0 - 1) + .5 * ((hash(i) % 1000) / 500.0 - 1)) AS BIGINT)"


def _columns(schema: dict[str, str], known: dict[str, str], before: str) -> tuple[str, str]:
    """The columns of a table as SQL, before and after the ones that every row makes."""
    names = list(schema)
    given = ["source", "request_id", "trace_id", "query_id", "started_at", "provider", "model"]
    terms = {name: f"{known.get(name, 'NULL')}::{sql} AS {name}" for name, sql in schema.items() if name not in given}
    split = names.index("started_at")
    middle = "".join(f"{terms[name]}, " for name in names[:split] if name in terms)
    return middle, ", ".join(terms[name] for name in names[split:] if name in terms)


def _schema(is_raw: bool) -> dict[str, str]:
    from assets.readers.base import RAW_SCHEMA
    from predictors.schemas.traces import RequestTraces

    sql = {"string": "VARCHAR", "int64": "BIGINT", "double": "DOUBLE", "bool": "BOOLEAN"}
    raw = {field.name: sql.get(str(field.type), "TIMESTAMPTZ") for field in RAW_SCHEMA}
    if is_raw:
        return raw
    own = {"is_censored": "BOOLEAN", "cost_usd": "DOUBLE"}
    return {name: own.get(name, raw.get(name, "VARCHAR")) for name in RequestTraces.to_schema().columns}


def make_days(folder: Path, n_rows: int, n_days: int, *, is_raw: bool) -> None:
    """Write `n_rows` rows in `n_days` files, as landed (raw) or as curated."""
    known = {
        "replicate": "NULL" if is_raw else "0", "input_tokens": "100 + i % 900", "output_tokens": TOKENS,
        "reasoning_tokens": f"{TOKENS} // 2", "finish_reason": "'stop'", "max_tokens": "100000",
        "benchmark": "CASE WHEN q % 2 = 0 THEN 'chat' ELSE 'code' END", "source_file": "'made up'",
        "source_line": "1 + i", "config_hash": "'0123456789abcdef'", "is_censored": "FALSE",
        "cost_usd": ".001", "is_cached_answer": "FALSE",
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    middle, end = _columns(_schema(is_raw), known, "started_at")
    connection = duckdb.connect()
    connection.execute("SET threads = 1; SET memory_limit = '2GB'; SET TimeZone = 'UTC'")
    for number, day in enumerate(pd.date_range(FIRST_DAY, periods=n_days).strftime("%Y-%m-%d")):
        start, stop = n_rows * number // n_days, n_rows * (number + 1) // n_days
        query = SQL.format(middle=middle, end=end, day=day, n=n_rows, start=start, stop=stop)
        name = f"rows-{day}.parquet" if is_raw else f"{day}.parquet"
        connection.execute(f"COPY ({query}) TO '{folder / name}' (FORMAT parquet, COMPRESSION zstd)")
    if is_raw:
        days = pd.date_range(FIRST_DAY, periods=n_days).strftime("%Y-%m-%d")
        told = {"key": folder.name, "reader_version": 1, "how": {}, "n_rejects": 0, "n_rows": n_rows}
        (folder / "manifest.json").write_text(json.dumps({**told, "days": dict.fromkeys(days, 1)}), "utf-8")


def one(engine_name: str, n_rows: int, n_days: int, n_curated: int) -> dict[str, Any]:
    """Measure all stages at one size; runs in a process of its own."""
    from assets.across_days import rules_across_days
    from assets.bulk_curation import curate_landed_days
    from assets.engine import Table, open_engine
    from assets.floor_tables import floor_table
    from assets.thinking_tokens import PIPELINE
    from assets.token_examples import token_examples

    found: dict[str, Any] = {"engine": engine_name, "rows": n_rows, "days": n_days}
    with tempfile.TemporaryDirectory(dir=os.environ.get("FORETELL_BENCH_FOLDER")) as name:
        home = Path(name)
        make_days(home / "curated", n_rows, n_days, is_raw=False)
        raw_rows = min(n_rows, n_curated)
        make_days(home / "landing" / "0000", raw_rows, RAW_DAYS, is_raw=True)
        days = [p.stem.removeprefix("rows-") for p in sorted((home / "landing" / "0000").glob("*.parquet"))]
        open_this: Callable[[], AbstractContextManager[Any]] = partial(open_engine, engine_name, worker_memory="3GB")
        with open_this() as engine:
            told = partial(_timed, found, engine)
            told("start", lambda: engine.map(abs, [1]))
            curate = partial(curate_landed_days, landing=home / "landing", lake=home / "lake", price_file=None)
            curate(days[:1])  # what is imported once
            told("night", lambda: curate(days[-1:]))
            told("curate", lambda: curate(days))
            found["curate_rows"] = raw_rows
            traces = Table.under(home / "curated")
            told("across", lambda: rules_across_days(traces, engine))
            examples = told("examples", lambda: token_examples(traces, learn_rows=LEARN_ROWS, engine=engine))
            found["learnt_rows"] = len(examples)
            told("floors", lambda: floor_table(PIPELINE, examples, dataset="made up", engine=engine))
            peaks = [_peak_mb()] + ([] if engine.name == "local" else list(engine.client.run(_peak_mb).values()))
            found["peak_mb"], found["largest_worker_mb"] = sum(peaks), max(peaks[1:], default=peaks[0])
    return found


def _timed(found: dict[str, Any], engine: Any, name: str, work: Callable[[], Any]) -> Any:
    """Do `work` and note its wall seconds and the CPU seconds of this process and the workers."""
    started, used = time.perf_counter(), _cpu(engine)
    done = work()
    found[f"{name}_s"], found[f"{name}_cpu_s"] = time.perf_counter() - started, _cpu(engine) - used
    return done


def _cpu(engine: Any) -> float:
    workers = [] if engine.name == "local" else engine.client.run(time.process_time).values()
    return time.process_time() + sum(workers)


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def slope(rows: pd.Series, seconds: pd.Series) -> tuple[float, float, float]:
    """Slope of log seconds on log rows with its 95 % t interval; NaN ends for fewer than three sizes."""
    if len(rows) < 2:
        return (float("nan"),) * 3
    fit = stats.linregress(np.log(rows.astype(float)), np.log(seconds))
    half = fit.stderr * stats.t.ppf(0.975, len(rows) - 2) if len(rows) > 2 else float("nan")
    return float(fit.slope), float(fit.slope - half), float(fit.slope + half)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=float, nargs="+", default=[1e5, 1e6, 1e7])
    parser.add_argument("--dask-rows", type=float, nargs="*", default=[1e5, 1e6])
    parser.add_argument("--days", type=int, default=200)
    parser.add_argument("--curate-rows", type=float, default=1e6)
    parser.add_argument("--one", nargs=2, metavar=("ENGINE", "ROWS"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(one(args.one[0], int(float(args.one[1])), args.days, int(args.curate_rows))))
        return
    asked = [("local", n) for n in args.rows] + [("dask", n) for n in args.dask_rows]
    measured = []
    for engine, n in asked:
        options = ["--days", str(args.days), "--curate-rows", str(args.curate_rows)]
        command = [sys.executable, __file__, "--one", engine, str(n), *options]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(done.stderr[-3000:])
        measured.append(json.loads(done.stdout.splitlines()[-1]))
        print(json.dumps({k: round(v, 2) if isinstance(v, float) else v for k, v in measured[-1].items()}), flush=True)
    table = pd.DataFrame(measured)
    for kind in ("s", "cpu_s"):
        table[f"whole_{kind}"] = sum(table[f"{stage}_{kind}"] for stage in ("across", "examples", "floors"))
    for engine, part in table.groupby("engine", sort=False):
        for stage, rows in (("curate", "curate_rows"), ("across", "rows"), ("whole", "rows")):
            sizes = part.drop_duplicates(rows)
            value, lower, upper = slope(sizes[rows], sizes[f"{stage}_cpu_s"])
            per_second = sizes[rows].iloc[-1] / sizes[f"{stage}_cpu_s"].iloc[-1]
            rate = f"{per_second:,.0f} rows per CPU second at the largest"
            print(f"{engine:>5} {stage:<7} slope of CPU seconds {value:.2f} [{lower:.2f}, {upper:.2f}], {rate}")


if __name__ == "__main__":
    main()
