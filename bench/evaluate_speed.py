"""Time and memory of `predictors.metrics.evaluate`, from 10^4 to 10^7 rows, each size in a process of its own.

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python bench/evaluate_speed.py             # all sizes, writes the study
    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python bench/evaluate_speed.py --rows 1000000

10 runs per query, 105 forecast levels, a baseline, all six default metrics, one segment column of 8 values.
Memory is the peak resident size of the process, the tables themselves included; beside it the size before the call.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from predictors.base import EVALUATION_LEVELS
from predictors.metrics import evaluate

RUNS = 10
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
    return {"rows": n_rows, "wall_s": wall, "cpu_s": cpu, "peak_mb": peak_mb(), "before_mb": before}


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


def main() -> None:
    """Measure each size in its own process, so that peaks do not mix."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int)
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "docs/studies/evaluate-speed.md")
    args = parser.parse_args()
    if args.rows:
        print(json.dumps(measure(args.rows)))
        return
    lines = []
    for size in SIZES:
        done = subprocess.run(
            [sys.executable, __file__, "--rows", str(size)], check=True, capture_output=True, text=True
        )
        m = json.loads(done.stdout)
        lines.append(
            f"| {size:,} | {m['wall_s']:.2f} | {m['cpu_s']:.2f} | {m['cpu_s'] / size * 1e6:.2f} | "
            f"{m['peak_mb']:.0f} | {m['before_mb']:.0f} |"
        )
        print(lines[-1], flush=True)
    args.out.write_text(TEXT.format(rows="\n".join(lines), date=time.strftime("%Y-%m-%d")), "utf-8")


if __name__ == "__main__":
    main()
