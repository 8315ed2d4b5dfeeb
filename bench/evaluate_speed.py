"""Time and memory of `foretell.predictors.metrics.evaluate`, from 10^4 to 10^7 rows, each size in a process of its own.

Beside it the same table from parts of whole queries (`partial_evaluation`), one after the other.

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python bench/evaluate_speed.py             # all sizes, writes the study
    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python bench/evaluate_speed.py --rows 1000000

10 runs per query, 105 forecast levels, a baseline, all six default metrics, one segment column of 8 values.
Memory is the peak resident size of the process, the tables themselves included; beside it the size before the call.
"""

from __future__ import annotations

import argparse
import json
import pickle
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import reduce
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from foretell.predictors.base import EVALUATION_LEVELS
from foretell.predictors.metrics import PartialEvaluation, evaluate, partial_evaluation

RUNS = 10
CELLS_OF_A_PART = 10_000
MOST_IN_PARTS = 1_000_000
SIZES = (10_000, 100_000, 1_000_000, 10_000_000)


def tables(n_rows: int) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Outcomes in random order, a good forecast and a baseline."""
    rng = np.random.default_rng(0)
    n = n_rows // RUNS
    query = rng.permutation(np.repeat(np.arange(n), RUNS))
    centre, spread = rng.normal(7, 1, n), np.exp(rng.normal(-1, 0.3, n))
    ids = pd.Series(np.char.mod("q%07d", np.arange(n)), dtype="str")
    names = pd.Series([f"benchmark {k}" for k in range(8)], dtype="str")
    outcomes = pd.DataFrame(
        {
            "cell_id": ids.take(query).to_numpy(),
            "query_id": ids.take(query).to_numpy(),
            "value": np.exp(centre[query] + spread[query] * rng.normal(size=n_rows)),
            "benchmark": names.take(query % 8).to_numpy(),
        }
    )
    z = stats.norm.ppf(EVALUATION_LEVELS)
    levels = list(EVALUATION_LEVELS)
    forecast = np.exp(centre[:, None] + spread[:, None] * z)
    baseline = np.broadcast_to(np.exp(7 + 1.1 * z), (n, z.size)).copy()
    index = pd.Index(ids, name="cell_id")
    return (
        outcomes,
        pd.DataFrame(forecast, index=index, columns=levels),
        pd.DataFrame(baseline, index=index, columns=levels),
    )


def peak_mb() -> float:
    """Peak resident memory of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(n_rows: int) -> dict[str, float]:
    """Evaluate once, after a warm-up on a small table; wall and processor seconds."""
    names = {"predictor": "p", "family": "f", "dataset": "d", "split": "test"}
    small = tables(1_000)
    evaluate(small[0], small[1], baseline=small[2], scale="log", **names)
    outcomes, forecast, baseline = tables(n_rows)
    before, wall, cpu = peak_mb(), time.perf_counter(), time.process_time()
    table = evaluate(outcomes, forecast, baseline=baseline, scale="log", segments=["benchmark"], **names)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    assert len(table) == 9 * 6
    of_whole = {"rows": n_rows, "wall_s": wall, "cpu_s": cpu, "peak_mb": peak_mb(), "before_mb": before}
    if n_rows > MOST_IN_PARTS:  # its parts lie in memory twice
        return of_whole
    return of_whole | measure_parts(outcomes, forecast, baseline, table, names)


def measure_parts(
    outcomes: pd.DataFrame, forecast: pd.DataFrame, baseline: pd.DataFrame, whole: pd.DataFrame, names: dict[str, str]
) -> dict[str, float]:
    """Processor seconds of all parts, of the rest (merging, finishing), and bytes that come back from a part."""
    query, ids = pd.factorize(outcomes["query_id"])
    parts = [part for _, part in outcomes.groupby(query // CELLS_OF_A_PART)]
    options = {"scale": "log", "segments": ["benchmark"]}
    start = time.process_time()
    sums = []
    for part in parts:
        cells = part["cell_id"].unique()
        sums.append(partial_evaluation(part, forecast.loc[cells], baseline=baseline.loc[cells], **options))
    made = time.process_time()
    table = reduce(PartialEvaluation.merge, sums).table(**names)
    done = time.process_time()
    pd.testing.assert_frame_equal(table, whole, rtol=1e-9, atol=1e-12)
    return {
        "parts": len(parts),
        "parts_cpu_s": made - start,
        "merge_cpu_s": done - made,
        "sums_kb": len(pickle.dumps(sums[0])) / 1e3,
        "forecasts_kb": 2 * 8 * forecast.shape[1] * min(CELLS_OF_A_PART, len(ids)) / 1e3,
    }


TEXT = """# Study: speed of `evaluate`

Made by `python bench/evaluate_speed.py` on one core (`OMP_NUM_THREADS=1`), {date}. Do not edit: run it again.

10 runs per query, a forecast and a baseline of 105 levels each, six metrics, log scale, nine segments.
Processor time is what an idle core would take; wall time was taken beside other work on the machine.
Memory is the peak of the whole process, with the tables that are evaluated.

| rows | wall, s | processor, s | µs per row | peak memory, MB | of which before the call, MB |
|---|---|---|---|---|---|
{rows}

The bar is 3 s and 1 GB for a million rows.
Time grows a little faster than rows (sorting and memory traffic).
The peak is reached while the tables are made, before the call: evaluating needs less beside them than making them did.
"""
IN_PARTS = """
## In parts

`partial_evaluation` of parts of {cells:,} cells, one after the other in the same process, then merged.
Made by `--in-parts`, {date}; the program checks that the table is that of `evaluate` to 1e-9.
From a part come back the sums (54 rows of the table).
The two forecasts stay where they are made.

| rows | parts | processor, s | µs per row | merge and finish, s | sums, kB a part | forecasts, kB |
|---|---|---|---|---|---|---|---|
{rows}
"""


def measure_all(sizes: Sequence[int]) -> list[dict[str, float]]:
    """Measure each size in its own process, so that peaks do not mix."""
    found = []
    for size in sizes:
        command = [sys.executable, __file__, "--rows", str(size)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        found.append(json.loads(done.stdout))
        print(found[-1], flush=True)
    return found


def whole_row(m: dict[str, float]) -> str:
    """A row of the first table."""
    return (
        f"| {m['rows']:,} | {m['wall_s']:.2f} | {m['cpu_s']:.2f} | {m['cpu_s'] / m['rows'] * 1e6:.2f} | "
        f"{m['peak_mb']:.0f} | {m['before_mb']:.0f} |"
    )


def parts_row(m: dict[str, float]) -> str:
    """A row of the second table."""
    return (
        f"| {m['rows']:,} | {m['parts']} | {m['parts_cpu_s']:.2f} | {m['parts_cpu_s'] / m['rows'] * 1e6:.2f} | "
        f"{m['merge_cpu_s']:.2f} | {m['sums_kb']:.0f} | {m['forecasts_kb']:,.0f} |"
    )


def main() -> None:
    """Measure and write the study, or only its second half."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int)
    parser.add_argument(
        "--in-parts", action="store_true", help="only the section on parts is measured and written anew"
    )
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "docs/studies/evaluate-speed.md")
    args = parser.parse_args()
    if args.rows:
        print(json.dumps(measure(args.rows)))
        return
    found = measure_all([size for size in SIZES if size <= MOST_IN_PARTS or not args.in_parts])
    today = time.strftime("%Y-%m-%d")
    whole = TEXT.format(rows="\n".join(map(whole_row, found)), date=today)
    if args.in_parts:
        whole = args.out.read_text("utf-8").split("\n## In parts\n")[0]
    rows = "\n".join(parts_row(m) for m in found if "parts" in m)
    args.out.write_text(whole + IN_PARTS.format(rows=rows, cells=CELLS_OF_A_PART, date=today), "utf-8")


if __name__ == "__main__":
    main()
