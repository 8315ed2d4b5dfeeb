"""The budgets of speed in one table, as ratios of processor time against a named peer in the same run.

    python bench/budgets.py                     # some five minutes; --rows 1000000 for the budget of ingest as it reads
    python bench/budgets.py --small             # under a minute: what the slow tests compare with bench/budgets.json
    python bench/budgets.py --small --write     # ... and keep it as what later runs are compared with

Seconds of another machine say little, ratios against a peer on the same one do; so a regression is a ratio that grew by
more than `TOLERATED`. Budgets that take longer have commands of their own, which are listed below the table.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import ingest
import numpy as np
import serve_speed
import start

REFERENCE = Path(__file__).with_name("budgets.json")
TOLERATED = 1.3
REPEATS = 5
LONGER = {
    "fit of thinking tokens, 2,000,000 rows, < 12 minutes and 4 GB": "bench/fit_rows.py --rows 2e6",
    "learning-curve posterior, batched, against MCMC": "bench/learning_curves_network.py",
    "nightly run with one new day on a year of history": "bench/replay.py, bench/year_study.py",
    "reports, keys and examples on 10^8 rows; two workers of Dask": "bench/scale.py",
    "demo under 2 minutes and 3 GB; tests under 3 and 25 minutes": ".ci/run",
}


@dataclass(frozen=True)
class Line:
    """One budget: processor seconds of what is measured and of its peer, in turns; `budget` is what must hold."""

    name: str
    peer: str
    budget: str
    seconds: Sequence[float]
    peer_seconds: Sequence[float]

    @property
    def ratio(self) -> float:
        """Median of the ratios of the turns."""
        return float(np.median(np.divide(self.seconds, self.peer_seconds)))


def of_start(names: Sequence[str], repeats: int, *, has_registry: bool) -> list[Line]:
    """Commands with their start against the import of pandas."""
    took = start.measure(repeats, (start.PEER, *names), has_registry=has_registry)
    budgets = {name: "< .25 s" if name.startswith("--") else "< 1.5 s" for name in names}
    return [Line(name, start.PEER, budgets[name], took[name], took[start.PEER]) for name in names]


def of_ingest(n_rows: int, repeats: int, format: str = "openai_jsonl") -> Line:
    """JSONL to validated, priced parquet against DuckDB that merely reads the file; a process each."""
    took: dict[str, list[float]] = {"duckdb": [], "ingest": []}
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "traces.jsonl"
        ingest.write_lines(path, n_rows, format, 5_000)
        for turn in range(repeats):
            for name, run in (("duckdb", ingest.duckdb_read), ("ingest", ingest.land_and_curate)):
                folder = Path(place) / f"{name}{turn}"
                folder.mkdir()
                took[name].append(ingest.measure(run, path, folder)["cpu_s"])
    return Line(f"ingest, {n_rows:,} rows of {format}", "DuckDB reads", "< 5 x", took["ingest"], took["duckdb"])


def of_serving(n_rows: int, repeats: int, name: str, budget: str, worst: Callable[..., float] = np.median) -> Line:
    """Forecasts of the packaged champion in a warm process against bare LightGBM, a model for each of its heads."""
    from foretell.predictors.base import load_predictor
    from foretell.predictors.serving import forecast_frame
    from foretell.predictors.thinking_tokens.heads.distribution import HEAD_LEVELS

    predictor = load_predictor(Path(str(files("foretell") / "public" / "champions" / "thinking_tokens")))
    booster = serve_speed.bare_booster()
    asked, columns = serve_speed.requests(n_rows)
    _, ours = serve_speed.timed(lambda: forecast_frame(predictor, asked), repeats)
    _, bare = serve_speed.timed(lambda: [booster.predict(columns) for _ in HEAD_LEVELS], repeats)
    return Line(name, "bare LightGBM", budget, [worst(ours) / 1e3], [float(np.median(bare)) / 1e3])


def small() -> dict[str, float]:
    """Ratios that a test can afford."""
    lines = [
        *of_start(("--help", "quote, one row"), REPEATS, has_registry=False),
        of_ingest(20_000, REPEATS),
        of_serving(2_000, REPEATS, "batch of 2,000", ""),
    ]
    return {line.name: round(line.ratio, 2) for line in lines}


def regressions(ratios: dict[str, float]) -> list[str]:
    """Which ratios grew by more than `TOLERATED` since `REFERENCE` was written, a sentence each."""
    before = json.loads(REFERENCE.read_text("utf-8"))
    return [
        f"{name}: {ratio:.2f} times its peer, was {before[name]:.2f}"
        for name, ratio in ratios.items()
        if ratio > TOLERATED * before[name]
    ]


def main() -> None:
    """Command line; see the module's docstring."""
    parser = argparse.ArgumentParser(description="Budgets of speed as ratios against a peer.")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--write", action="store_true", help="with --small: keep the ratios for later runs")
    parser.add_argument("--rows", type=int, default=100_000, help="of the ingest")
    args = parser.parse_args()
    machine = f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    print(f"Machine: {machine}; Python {platform.python_version()}; one thread.\n")
    if args.small:
        ratios = small()
        print(json.dumps(ratios, indent=1))
        if args.write:
            REFERENCE.write_text(json.dumps(ratios, indent=1) + "\n", "utf-8")
        else:
            print("\n".join(regressions(ratios)) or "no regression")
        return
    lines = [
        *of_start([name for name in start.COMMANDS if name != start.PEER], REPEATS, has_registry=True),
        of_ingest(args.rows, 3),
        of_ingest(args.rows, 3, "otlp_json"),
        of_serving(1, 200, "one row, warm, p99", "< .020 s", lambda ms: float(np.percentile(ms, 99))),
        of_serving(10_000, 5, "batch of 10,000", "< 3 x"),
    ]
    print("| what | CPU s | peer | peer's CPU s | ratio | budget |\n|---|---|---|---|---|---|")
    for line in lines:
        ours, peer = np.median(line.seconds), np.median(line.peer_seconds)
        print(f"| {line.name} | {ours:.3f} | {line.peer} | {peer:.4f} | {line.ratio:.1f} | {line.budget} |")
    print("\nMeasured by commands of their own:\n")
    print("\n".join(f"- {what}: `{command}`" for what, command in LONGER.items()))


if __name__ == "__main__":
    main()
