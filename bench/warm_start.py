"""Whether a night may start from the trees of the night before: CRPS and CPU of warm starts against fits from nothing.

    FORETELL_MIRROR=... python bench/warm_start.py                     # pricing-reversal, four nights
    python bench/warm_start.py --rows 3e4 --share 0.3                  # made-up runs, longer continuations

The first night knows 85 % of the queries, each of the next three 5 % more, drawn by a hash. A warm start keeps all
trees of the night before and adds `--share` of the rounds of a fit on all rows known by then; locations, texts and
calibration are learnt anew either way, and fits are not repeated after calibration (a warm start of such a refit would
have seen the queries that calibrate it). Judged on a fifth of the queries, in log tokens, paired over queries with 95 %
intervals; above 0 the warm start is worse. One JSON object a line.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
from fit_rows import make_examples
from rows_of_heads import Forecasts, forecasts
from thinking_tokens_study import load

from foretell.predictors.metrics import compare
from foretell.predictors.splits import assign_split
from foretell.predictors.thinking_tokens.heads.boosting import Boosting

NIGHTS = (0.85, 0.90, 0.95, 1.0)
EVERY = 10**9
Chain = tuple[Any, ...]
"""Boosters whose answers add up, the oldest first."""


@contextmanager
def starting_from(last: list[list[Chain]], rounds: float | None) -> Iterator[list[list[Chain]]]:
    """Let every fit within the block add `rounds` (a share) to the trees of `last`; None trains from nothing.

    Yields the trees, one list for each call that trains, in the order of the calls.
    """
    made: list[list[Chain]] = []
    train, predict = Boosting._train, Boosting.predict

    def _train(
        self: Boosting, columns: Any, z: Any, starts: Any, weight: Any, parameters: list[dict[str, Any]]
    ) -> list[Chain]:
        former: list[Chain] = [() for _ in parameters]
        settings = self
        if rounds is not None:
            former = last[len(made)]
            starts = starts + _predict(self, former, columns)
            settings = Boosting(**{**vars(self), "n_estimators": max(1, round(rounds * self.n_estimators))})
        new = train(settings, columns, z, starts, weight, parameters)
        made.append([(*old, booster) for old, booster in zip(former, new, strict=True)])
        return made[-1]

    def _predict(self: Boosting, boosters: Sequence[Chain], columns: Any) -> Any:
        links = zip(*boosters, strict=True)
        return np.sum([predict(self, link, columns) for link in links], axis=0)

    Boosting._train, Boosting.predict = _train, _predict  # type: ignore[method-assign,assignment]
    try:
        yield made
    finally:
        Boosting._train, Boosting.predict = train, predict  # type: ignore[method-assign]


def fit(
    learn: pd.DataFrame, test: pd.DataFrame, last: list[list[Chain]], rounds: float | None
) -> tuple[Forecasts, float, list[list[Chain]]]:
    """Forecasts of one fit, its CPU seconds, and its trees."""
    began = time.process_time()
    with starting_from(last, rounds) as made:
        found = forecasts(learn, test, EVERY)
    return found, time.process_time() - began, made


def main() -> None:
    """Command line; see the module's docstring."""
    parser = argparse.ArgumentParser(description="Warm starts of the heads of thinking tokens against fits anew.")
    parser.add_argument("--rows", type=float, default=0, help="made-up rows instead of pricing-reversal")
    parser.add_argument("--share", type=float, default=0.2, help="of the rounds, added each night")
    args = parser.parse_args()
    if args.rows:
        examples = make_examples(int(args.rows))
        cells = [f"cell {i}" for i in range(len(examples))]
        examples = examples.assign(cell_id=cells, replicate=0, is_capped=examples["is_censored"])
        dataset = "made-up"
    else:
        examples, dataset = load("pricing-reversal"), "pricing-reversal"
        examples = examples[examples["split"] != "test"]
    part = assign_split(examples["query_id"], fractions={"learn": 0.8, "test": 0.2}, salt="warm start")
    learn, test = examples[part == "learn"].assign(split="train"), examples[part == "test"]
    known = pd.util.hash_array(learn["query_id"].to_numpy(dtype=object)) / 2.0**64
    trees: list[list[Chain]] = []
    for night, share in enumerate(NIGHTS):
        rows = learn[known < share]
        anew, cpu_anew, of_anew = fit(rows, test, [], None)
        if night == 0:
            trees = of_anew
            continue
        warm, cpu_warm, trees = fit(rows, test, trees, args.share)
        for regime in ("cold", "warm"):
            found = compare(anew[regime][0], warm[regime][1], anew[regime][1], metric="crps", scale="log")
            lower, upper = found.interval()
            numbers = {"crps_difference": found.value, "lower": lower, "upper": upper}
            told = {"dataset": dataset, "night": night, "rows": len(rows), "regime": regime, "share": args.share}
            costs = {"cpu_s_warm_start": round(cpu_warm, 1), "cpu_s_anew": round(cpu_anew, 1)}
            print(json.dumps({**told, **{k: round(float(v), 5) for k, v in numbers.items()}, **costs}), flush=True)


if __name__ == "__main__":
    main()
