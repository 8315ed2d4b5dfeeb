"""Measure a ladder of small language models on described tasks: train every size and seed, measure every checkpoint.

The models are toys (a thousand to a hundred thousand parameters, characters, made-up tasks): what holds for them is
no evidence about large ones. They are for testing forecasts of large models from small ones, because everything is
known about them: the exact probability of passing each item, the loss, the seeds, and the compute.

Regenerate (one process; stops and resumes; about an hour on an idle core)::

    python -m foretell.collect.ladder --cache ladder-run --out data/starter/ladder
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from foretell.collect.ladder_tables import build_tables, write_tables
from foretell.collect.ladder_train import LadderPlan, Run, train_run

__all__ = ["TINY", "collect", "main", "plan_runs"]

TINY = LadderPlan(
    widths=(4, 8),
    seeds=(0,),
    tokens_per_param=20.0,
    batch_scale=3.0,
    checkpoints=(0.25, 0.5, 0.75, 1.0),
    items_per_level=2,
    n_draws=10,
    curve_points=4,
)
"""A ladder that trains within seconds, for tests and demonstrations."""


def plan_runs(plan: LadderPlan) -> list[Run]:
    """Every size of the first seed, from small to large, then those of the next: a partial ladder is usable."""
    return [Run(plan, width, seed) for seed in plan.seeds for width in sorted(plan.widths)]


def collect(
    plan: LadderPlan,
    cache: Path,
    *,
    max_minutes: float | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> bool:
    """Train and measure what `cache` lacks of the ladder, one thread, at most `max_minutes`; whether it is whole.

    Raises
    ------
    InvalidInputError
        If `cache` holds a ladder of another plan.
    DatasetError
        If a state in `cache` cannot be read.
    """
    torch.set_num_threads(1)
    started = time.monotonic()
    stop_at = float("inf") if max_minutes is None else started + 60 * max_minutes
    runs = plan_runs(plan)
    eta = _Eta(runs, progress)
    for run in runs:
        if not train_run(run, cache / run.name, stop_at=stop_at, progress=partial(eta.tell, run)):
            progress(f"{run.name}: out of time; run again to go on")
            return False
        eta.finish(run)
    return True


class _Eta:
    """Says every ten seconds how far the ladder is; a run's cost grows a little slower than its compute."""

    def __init__(self, runs: list[Run], say: Callable[[str], None]) -> None:
        self._say, self._done, self._said, self._first = say, 0.0, 0.0, -1.0
        self._started = time.monotonic()
        self._whole = sum(self._cost(run) for run in runs)

    @staticmethod
    def _cost(run: Run) -> float:
        return math.pow(run.width, 3.2)

    def tell(self, run: Run, share: float) -> None:
        now, part = time.monotonic(), (self._done + share * self._cost(run)) / self._whole
        self._first = part if self._first < 0 else self._first
        if now - self._said < 10 and share < 1:
            return
        self._said = now
        left = (now - self._started) * (1 - part) / max(part - self._first, 1e-6)
        self._say(f"{run.name}: {share:.1%}; ladder {part:.1%}, about {left / 60:.0f} min left")

    def finish(self, run: Run) -> None:
        self._done += self._cost(run)


def main() -> None:
    """Command line; see the module's docstring."""
    parser = argparse.ArgumentParser(description="Train and measure the model ladder.")
    parser.add_argument("--cache", type=Path, required=True, help="folder of the runs; resumed where it exists")
    parser.add_argument("--out", type=Path, help="folder of the tables; written with the runs that are whole")
    parser.add_argument("--tables-only", action="store_true", help="train nothing, write the tables of what is whole")
    parser.add_argument("--max-minutes", type=float, help="stop after so long, with the state saved")
    parser.add_argument("--widths", type=int, nargs="+", default=LadderPlan.widths)
    parser.add_argument("--seeds", type=int, nargs="+", default=LadderPlan.seeds)
    args = parser.parse_args()
    plan = LadderPlan(widths=tuple(args.widths), seeds=tuple(args.seeds))

    def say(line: str) -> None:
        print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)

    if not args.tables_only:
        collect(plan, args.cache, max_minutes=args.max_minutes, progress=say)
    if args.out is not None:
        tables = build_tables(plan_runs(plan), args.cache)
        write_tables(tables, args.out)
        say(f"{args.out}: {len(tables['runs'])} of {len(plan_runs(plan))} runs, {len(tables['samples'])} samples")


if __name__ == "__main__":
    main()
