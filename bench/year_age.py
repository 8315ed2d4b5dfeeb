"""Does a night cost more on an old installation? The same nights on a young one and on one of a year, in turn.

The slope within one year (bench/year_study.py) cannot tell the growth of a night from the growth of the machine's load,
where others use it. Here both installations run a night each, one after the other in this process, with the same amount
of data in their windows: what differs is what a year has left behind.

    python bench/year_study.py --nights 365 --home OLD
    python bench/year_age.py OLD

OLD is used up: its days go on.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats
from year_study import World, install, land

WINDOW, KEEP = 10, 10
FIRST_YOUNG = 14
"""Nights before the comparison: a full window, and in step with the old one's recipes, which repeat every three."""


def main() -> None:
    """Run the nights and print the paired difference."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("old", type=Path)
    parser.add_argument("--age", type=int, default=365, help="nights that it has run")
    parser.add_argument("--nights", type=int, default=6)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = compare(args.old, args.age, Path(folder) / "young", args.nights)
    difference = rows["old"] - rows["young"]
    half = stats.t.ppf(0.975, len(rows) - 1) * difference.std(ddof=1) / np.sqrt(len(rows))
    print(rows.round(2).to_string())
    young, old, slope = rows["young"].mean(), rows["old"].mean(), 100 * difference.mean() / args.age
    print(
        f"processor time of a night: {young:.2f} s after {FIRST_YOUNG} nights, {old:.2f} s after {args.age}; "
        f"paired difference {difference.mean():+.2f} ± {half:.2f} s, "
        f"{slope:+.3f} ± {100 * half / args.age:.3f} s per 100 nights"
    )


def compare(old: Path, age: int, young: Path, nights: int) -> pd.DataFrame:
    """Processor seconds of each night on both."""
    from foretell.pipelines.jobs import prune_runs

    # Of the young world every gain and drift lies behind, as of the old one.
    worlds = {"old": World(age), "young": World(1)}
    made = {name: install(home, worlds[name], WINDOW) for name, home in (("old", old), ("young", young))}
    settings, instance, run_night = made["young"]
    for night in range(FIRST_YOUNG):
        run_night(land(settings, worlds["young"], night))
    for _, instance, _ in made.values():
        prune_runs(instance, keep=KEEP)
    rows = []
    for i in range(nights):
        row = {}
        for name, first in (("old", age), ("young", FIRST_YOUNG)):
            settings, instance, run_night = made[name]
            started = time.process_time()
            run_night(land(settings, worlds[name], first + i))
            prune_runs(instance, keep=KEEP)
            row[name] = time.process_time() - started
        rows.append(row)
    return pd.DataFrame(rows)


if __name__ == "__main__":
    main()
