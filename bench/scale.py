"""How time and memory grow with the rows of `request_traces`, on this process and on a Dask cluster of two workers.

    OMP_NUM_THREADS=1 python bench/scale.py                # 10^5 .. 10^8 here, 10^5 .. 10^7 on Dask; writes the study
    OMP_NUM_THREADS=1 python bench/scale.py --rows 1e5 1e6 --dask-rows 1e5 1e6 --out /tmp/scale.md
    OMP_NUM_THREADS=1 python bench/scale.py --rows 1e7 --dask-rows 1e7 --workers 2 4 8    # prints how work is shared

A cluster of more workers than cores is simulated by slices of time: what each worker and the run used of a processor is
told apart, and a stage would take the run's own seconds and those of its busiest worker, were there a core for each
and nothing waited. That is a lower end: what moves between them costs no time here.
    OMP_NUM_THREADS=1 python bench/scale.py --stages keys reports --rows 1e6 1e7 1e8 --dask-rows 1e7     # prints only

Made-up gateway traffic without text (as ingested with --no-prompts); a third of the rows repeat a query.
Both engines read the same files; each measurement is a process of its own: wall and CPU seconds and peak memory,
workers included. The slope is that of CPU seconds, which other work on the machine disturbs least. Stages:

night     one new day curated among all the others
curate    raw rows of 10 days -> validated, priced days (at most --curate-rows in all: days do not know each other)
keys      keys that came on an earlier day, over all days; beside it DuckDB's GROUP BY on the same keys
examples  a sample of about 10^6 runs to learn from, whole queries; replicates over all days within
floors    noise floor of every segment of that sample
reports   price reversals, thinking share and token noise over all days

As in a night, keys are found once: examples and reports find them known.
Of fewer rows than a cluster speeds up (`ROWS_WORTH_SENDING` of `assets/engine/on_dask.py`) every stage but the first
two is work of the run itself on both engines.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from scipy import stats

LEARN_ROWS = 1_000_000
RAW_DAYS = 10
ALL_ROWS = ("keys", "examples", "floors", "reports")
STAGES = ("night", "curate", *ALL_ROWS)
PARTS = ["curate", "keys", "examples", "reports"]
"""What can be measured apart: `night` goes with `curate`, `floors` with `examples`."""
REPORTED = ("price-reversals", "thinking-share", "token-noise")
FIRST_DAY = "2025-11-01"
SQL = """
SELECT 'gateway' AS source, printf('r%012d', i) AS request_id, NULL::VARCHAR AS trace_id,
       sha256(CAST(q AS VARCHAR)) AS query_id, {middle}
       TIMESTAMPTZ '{day} 00:00:00+00' + to_microseconds(CAST((i * 7919) % 86400000000 AS BIGINT)) AS started_at,
       'openai' AS provider, {model} AS model, {end}
FROM (SELECT i, CASE WHEN i % 3 = 0 THEN (i * 2654435761) % ({n} // 6 + 1) ELSE {n} + i END AS q
      FROM range({start}, {stop}) t(i))
"""
MODEL = "CASE WHEN q % 3 = 0 THEN 'gpt-5' ELSE 'gpt-5-mini' END"
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
    from foretell.assets.readers.core.records import RAW_SCHEMA
    from foretell.predictors.schemas.traces import RequestTraces

    sql = {"string": "VARCHAR", "int64": "BIGINT", "double": "DOUBLE", "bool": "BOOLEAN"}
    raw = {field.name: sql.get(str(field.type), "TIMESTAMPTZ") for field in RAW_SCHEMA}
    if is_raw:
        return raw
    own = {"is_censored": "BOOLEAN", "cost_usd": "DOUBLE"}
    return {name: own.get(name, raw.get(name, "VARCHAR")) for name in RequestTraces.to_schema().columns}


def make_days(folder: Path, n_rows: int, n_days: int, *, is_raw: bool, more: dict[str, str] | None = None) -> None:
    """Write `n_rows` rows in `n_days` files, as landed (raw) or as curated; `more` columns as SQL."""
    known = {
        "replicate": "NULL" if is_raw else "0", "input_tokens": "100 + i % 900", "output_tokens": TOKENS,
        "reasoning_tokens": f"{TOKENS} // 2", "finish_reason": "'stop'", "max_tokens": "100000",
        "benchmark": "CASE WHEN q % 2 = 0 THEN 'chat' ELSE 'code' END", "source_file": "'made up'",
        "source_line": "1 + i", "config_hash": "'0123456789abcdef'", "is_censored": "FALSE",
        "cost_usd": ".001", "is_cached_answer": "FALSE", **(more or {}),
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    middle, end = _columns(_schema(is_raw), known, "started_at")
    connection = duckdb.connect()
    connection.execute("SET threads = 1; SET memory_limit = '2GB'; SET TimeZone = 'UTC'")
    for number, day in enumerate(pd.date_range(FIRST_DAY, periods=n_days).strftime("%Y-%m-%d")):
        start, stop = n_rows * number // n_days, n_rows * (number + 1) // n_days
        model = known.get("model", MODEL)
        query = SQL.format(middle=middle, end=end, model=model, day=day, n=n_rows, start=start, stop=stop)
        name = f"rows-{day}.parquet" if is_raw else f"{day}.parquet"
        connection.execute(f"COPY ({query}) TO '{folder / name}' (FORMAT parquet, COMPRESSION zstd)")
        if is_raw:  # in the order, and with the nulls, that landed rows have
            from foretell.assets.readers.core.records import RAW_SCHEMA

            pq.write_table(pq.read_table(folder / name).select(RAW_SCHEMA.names).cast(RAW_SCHEMA), folder / name)
    if is_raw:
        days = pd.date_range(FIRST_DAY, periods=n_days).strftime("%Y-%m-%d")
        counts = {"n_read": n_rows, "n_rejects": 0, "n_rows": n_rows}
        told = {"key": folder.name, "name": "made up", "reader_version": 1, "how": {}, **counts}
        (folder / "manifest.json").write_text(json.dumps({**told, "days": dict.fromkeys(days, 1)}), "utf-8")


def one(engine_name: str, folder: Path, n_rows: int, stages: list[str], n_workers: int) -> dict[str, Any]:
    """Measure stages on the tables of a folder; runs in a process of its own."""
    from foretell.assets.engine import Table, open_engine
    from foretell.assets.families.thinking_tokens.examples import token_examples
    from foretell.assets.families.thinking_tokens.family import FAMILY
    from foretell.assets.judging.floors import floor_table
    from foretell.assets.lake.traces.across_days import repeated_keys
    from foretell.assets.lake.traces.bulk_curation import curate_landed_days
    from foretell.assets.reports import REPORTS

    traces = Table.under(folder / "curated")
    days = [path.stem.removeprefix("rows-") for path in sorted((folder / "landing" / "0000").glob("*.parquet"))]
    found: dict[str, Any] = {"engine": engine_name, "rows": n_rows, "days": len(traces.parts), "workers": n_workers}
    cluster = partial(open_engine, engine_name, n_workers=n_workers, worker_memory=f"{16 // max(n_workers, 4)}GB")
    with tempfile.TemporaryDirectory(dir=folder) as lake, cluster() as engine:
        told = partial(_timed, found, engine)
        told("start", lambda: engine.map(abs, [1] * 2 * engine.n_workers))  # a cluster, whether or not it is needed
        curate = partial(curate_landed_days, landing=folder / "landing", lake=Path(lake), price_file=None)
        if "curate" in stages:
            curate(days)  # what is imported once
            told("night", lambda: curate(days[-1:]))
            told("curate", lambda: curate(days))
        if "keys" in stages:
            told("keys", lambda: repeated_keys(traces, engine))
        if "examples" in stages:
            examples = told("examples", lambda: token_examples(traces, learn_rows=LEARN_ROWS, engine=engine))
            found["learnt_rows"] = len(examples)
            told("floors", lambda: floor_table(FAMILY, examples, dataset="made up", engine=engine))
        if "reports" in stages:
            told("reports", lambda: [REPORTS[name].make(traces, None) for name in REPORTED])
        peaks = [_peak_mb()] + ([] if engine.name == "local" else list(engine.client.run(_peak_mb).values()))
        found["peak_mb"], found["worker_mb"] = peaks[0], max(peaks[1:], default=float("nan"))
    return found


def peer(folder: Path) -> dict[str, Any]:
    """The rule on keys as one statement of DuckDB, one thread and 2 GB."""
    connection = duckdb.connect()
    connection.execute(f"SET threads = 1; SET memory_limit = '2GB'; SET temp_directory = '{folder / 'spilt'}'")
    started, used = time.perf_counter(), time.process_time()
    query = f"""SELECT count(*) FROM (SELECT source, request_id FROM '{folder}/curated/*.parquet'
                GROUP BY ALL HAVING count(*) > 1)"""
    connection.execute(query).fetchall()
    told = {"keys_s": time.perf_counter() - started, "keys_cpu_s": time.process_time() - used}
    return {"engine": "duckdb", **told, "peak_mb": _peak_mb(), "worker_mb": float("nan")}


def _timed(found: dict[str, Any], engine: Any, name: str, work: Callable[[], Any]) -> Any:
    """Do `work` and note its wall seconds, the CPU seconds of all, of this process and of the busiest worker."""
    started, used = time.perf_counter(), _cpu(engine)
    done = work()
    took = {process: seconds - used.get(process, 0.0) for process, seconds in _cpu(engine).items()}
    found[f"{name}_s"], found[f"{name}_cpu_s"] = time.perf_counter() - started, sum(took.values())
    found[f"{name}_run_s"] = took.pop("run")
    found[f"{name}_busiest_s"] = max(took.values(), default=0.0)
    return done


def _cpu(engine: Any) -> dict[str, float]:
    """CPU seconds so far of this process (``run``) and of each worker."""
    workers = {} if engine.name == "local" else engine.client.run(time.process_time)
    return {"run": time.process_time(), **workers}


def _peak_mb() -> float:
    """Peak resident memory of this process alone: what getrusage says begins at the size of its parent."""
    (line,) = [line for line in Path("/proc/self/status").read_text("utf-8").splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


def slope(rows: pd.Series, seconds: pd.Series) -> tuple[float, float, float]:
    """Slope of log seconds on log rows with its 95 % t interval; NaN ends for fewer than three sizes."""
    if len(rows) < 2:
        return (float("nan"),) * 3
    fit = stats.linregress(np.log(rows.astype(float)), np.log(seconds))
    half = fit.stderr * stats.t.ppf(0.975, len(rows) - 2) if len(rows) > 2 else float("nan")
    return float(fit.slope), float(fit.slope - half), float(fit.slope + half)


def measure(args: argparse.Namespace) -> list[dict[str, Any]]:
    """One row per engine and size, each measured in a process of its own on files that the engines share."""
    measured: list[dict[str, Any]] = []
    for n in sorted({*map(int, args.rows), *map(int, args.dask_rows)}):
        with tempfile.TemporaryDirectory(dir=os.environ.get("FORETELL_BENCH_FOLDER")) as name:
            folder = Path(name)
            make_days(folder / "curated", n, args.days, is_raw=False)
            raw_rows = min(n, int(args.curate_rows))
            make_days(folder / "landing" / "0000", raw_rows, RAW_DAYS, is_raw=True)
            told = {"rows": n, "curate_rows": raw_rows, "night_rows": raw_rows / RAW_DAYS}
            engines = [("local", 1)] if n in map(int, args.rows) else []
            engines += [("dask", workers) for workers in args.workers if n in map(int, args.dask_rows)]
            for engine, workers in [*engines, ("duckdb", 1)]:
                command = [sys.executable, __file__, "--one", engine, name, str(n), "--workers", str(workers)]
                done = subprocess.run([*command, "--stages", *args.stages], capture_output=True, text=True, check=False)
                if done.returncode:
                    sys.exit(done.stderr[-3000:])
                measured.append({**json.loads(done.stdout.splitlines()[-1]), **told})
                print(json.dumps(measured[-1]), flush=True)
    return measured


def stages_table(measured: pd.DataFrame) -> str:
    """CPU seconds by stage, wall seconds in brackets."""
    shown = [stage for stage in ("start", *STAGES) if measured[f"{stage}_cpu_s"].notna().any()]
    head = ["engine", "rows", *shown, "peak memory, MB", "a worker, MB"]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for row in (
        measured[measured["engine"] != "duckdb"].sort_values("engine", ascending=False, kind="stable").itertuples()
    ):
        cells = [str(row.engine), f"{row.rows:,}"]
        for stage in shown:
            cpu, wall = getattr(row, f"{stage}_cpu_s"), getattr(row, f"{stage}_s")
            cells.append("-" if np.isnan(cpu) else f"{cpu:.1f} ({wall:.1f})")
        cells += [f"{row.peak_mb:,.0f}", "-" if np.isnan(row.worker_mb) else f"{row.worker_mb:,.0f}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def slopes_table(measured: pd.DataFrame) -> str:
    """How CPU seconds grow, and rows per second at the largest size."""
    lines = [
        "| engine | stage | sizes | slope | µs of CPU a row | a further row | rows per CPU second | rows a second |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for engine in ("local", "dask", "duckdb"):
        for stage in STAGES if engine != "duckdb" else ["keys"]:
            part = measured[(measured["engine"] == engine) & measured[f"{stage}_cpu_s"].notna()]
            rows = part[f"{stage}_rows" if stage in ("night", "curate") else "rows"].drop_duplicates()
            if len(rows) < 2:
                continue
            cpu, wall = part.loc[rows.index, f"{stage}_cpu_s"], part.loc[rows.index, f"{stage}_s"]
            value, lower, upper = slope(rows, cpu)
            n, used, took = float(rows.iloc[-1]), float(cpu.iloc[-1]), float(wall.iloc[-1])
            ends = "" if np.isnan(lower) else f" [{lower:.2f}, {upper:.2f}]"
            further = (used - cpu.iloc[-2]) / (n - rows.iloc[-2]) * 1e6
            lines.append(
                f"| {engine} | {stage} | {len(rows)} | {value:.2f}{ends} | {used / n * 1e6:.2f} | {further:.2f} | "
                f"{n / used:,.0f} | {n / took:,.0f} |"
            )
    return "\n".join(lines)


def ratios_table(measured: pd.DataFrame) -> str:
    """Dask and DuckDB against this process at the same size."""
    lines = [
        "| rows | Dask / this process, CPU | Dask / this process, wall | keys: this process / DuckDB, CPU | memory |",
        "|---|---|---|---|---|",
    ]
    for n, part in measured.groupby("rows"):
        by = {str(row["engine"]): row for row in part.to_dict("records")}
        if "local" not in by:
            continue
        here, dask, duck = by["local"], by.get("dask"), by["duckdb"]
        told = [f"{n:,}"]
        for kind in ("cpu_s", "s"):
            shared = [f"{stage}_{kind}" for stage in ALL_ROWS if dask and not np.isnan(dask[f"{stage}_{kind}"])]
            ratio = sum(dask[s] for s in shared) / sum(here[s] for s in shared) if dask and shared else None
            told.append("-" if ratio is None else f"{ratio:.2f}")
        told.append("-" if np.isnan(here["keys_cpu_s"]) else f"{here['keys_cpu_s'] / duck['keys_cpu_s']:.2f}")
        told.append(f"{here['peak_mb']:,.0f} / {duck['peak_mb']:,.0f} MB")
        lines.append("| " + " | ".join(told) + " |")
    return "\n".join(lines)


def workers_table(measured: pd.DataFrame) -> str:
    """What a stage would take with a core for each worker, and how many times faster than this process that is."""
    head = ["rows", "stage", "workers", "CPU of all", "of the run", "of the busiest worker", "a core each, s",
            "this process, s", "times"]  # fmt: skip
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for n, part in measured.groupby("rows"):
        here = part[part["engine"] == "local"]
        for stage in STAGES:
            for row in part[part["engine"] == "dask"].to_dict("records"):
                if here.empty or np.isnan(row[f"{stage}_cpu_s"]):
                    continue
                own, busiest, of_all = (row[f"{stage}_{kind}_s"] for kind in ("run", "busiest", "cpu"))
                alone = float(here[f"{stage}_cpu_s"].iloc[0])
                lines.append(
                    f"| {n:,} | {stage} | {int(row['workers'])} | {of_all:.1f} | {own:.1f} | {busiest:.1f} | "
                    f"{own + busiest:.1f} | {alone:.1f} | {alone / (own + busiest):.2f} |"
                )
    return "\n".join(lines)


TEXT = """# Study: how time and memory grow with the rows

Made by `OMP_NUM_THREADS=1 python bench/scale.py` on {n_cores} cores, {date}. Do not edit: run it again.
The machine's load was {load_before:.1f} before and {load_after:.1f} at the end (this bench alone makes 1 to 2).

Made-up gateway traffic without text in {days} days, a third of the rows repeats a query.
At most {curate_rows:,.0f} rows are curated (days do not know each other), and about {learn:,} runs are learnt from.
What each stage is, says the head of the command.

## CPU seconds by stage (seconds of the clock in brackets)

{stages}

Peak memory is that of the run's own process; beside it the largest of two workers.

## Growth

Slope of log CPU seconds on log rows with its 95 % t interval: 1 is linear, and fixed costs at small sizes make it less.
Rates are those of the largest size; a further row costs what lies between the two largest sizes.

{slopes}

## Against each other

The stages keys, examples, floors and reports together; `keys` alone against DuckDB's `GROUP BY` on the same files.

{ratios}

## With a core for each worker

The run's own seconds and those of its busiest worker, as if nothing waited and nothing had to travel.

{workers}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=float, nargs="+", default=[1e5, 1e6, 1e7, 1e8])
    parser.add_argument("--dask-rows", type=float, nargs="*", default=[1e5, 1e6, 1e7])
    parser.add_argument("--workers", type=int, nargs="+", default=[2], help="processes of the Dask clusters")
    parser.add_argument("--days", type=int, default=200)
    parser.add_argument("--curate-rows", type=float, default=1e6)
    parser.add_argument(
        "--stages", nargs="+", choices=PARTS, default=PARTS, help="of fewer what was run is printed, the study stays"
    )
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "docs/studies/scale.md")
    parser.add_argument("--one", nargs=3, metavar=("ENGINE", "FOLDER", "ROWS"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        engine, folder, n = args.one[0], Path(args.one[1]), int(args.one[2])
        print(json.dumps(peer(folder) if engine == "duckdb" else one(engine, folder, n, args.stages, args.workers[0])))
        return
    load = os.getloadavg()[0]
    measured = pd.DataFrame(measure(args))
    for stage in STAGES:
        for kind in ("s", "cpu_s"):
            measured[f"{stage}_{kind}"] = measured.get(f"{stage}_{kind}", float("nan"))
    text = TEXT.format(
        n_cores=os.cpu_count(),
        date=time.strftime("%Y-%m-%d"),
        load_before=load,
        load_after=os.getloadavg()[0],
        days=args.days,
        curate_rows=args.curate_rows,
        learn=LEARN_ROWS,
        stages=stages_table(measured),
        slopes=slopes_table(measured),
        ratios=ratios_table(measured),
        workers=workers_table(measured),
    )
    if len(args.stages) == len(PARTS):
        args.out.write_text(text, "utf-8")
    print(text)


if __name__ == "__main__":
    main()
