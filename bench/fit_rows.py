"""How long a fit of thinking tokens takes by the rows that it learns from, stage by stage, and what it holds.

    python bench/fit_rows.py                            # 10^4 and 10^5 rows: minutes
    python bench/fit_rows.py --rows 1e4 1e5 5e5 2e6     # the default of FORETELL_LEARN_ROWS last

Made-up examples: 8 models, 5 benchmarks (40 cells), texts of 10 to 40 words with
Zipf's frequencies, a third of the rows repeats of a query on any model, 2 % cut off. Every size is a process of its
own with one thread. Times are CPU seconds of the stage itself, without those within it; memory is VmHWM.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

MODELS, BENCHMARKS, EFFORTS = 8, 5, ("low", "high", None)
N_WORDS, VOCABULARY = 40, 30_000
STAGES = (
    "checks", "text learnt", "text read", "location", "out of fold", "heads", "known runs", "informed heads",
    "judged", "calibration", "rest",
)  # fmt: skip


def make_examples(n_rows: int, seed: int = 0) -> pd.DataFrame:
    """Rows as of `token_examples`: two thirds of them new queries, the others runs of a sixth as many queries."""
    rng = np.random.default_rng(seed)
    n_few = max(n_rows // 6, 1)
    query = np.where(np.arange(n_rows) % 3 == 0, rng.integers(0, n_few, n_rows), n_few + np.arange(n_rows))
    codes, distinct = pd.factorize(query)
    texts = _texts(len(distinct), rng)
    benchmark = rng.integers(0, BENCHMARKS, len(distinct))[codes]
    model = rng.integers(0, MODELS, n_rows)
    effect = rng.normal(size=len(distinct))[codes]
    log_tokens = 5 + 0.3 * model + 0.2 * benchmark + 0.6 * effect + 0.5 * rng.normal(size=n_rows)
    cap = np.quantile(log_tokens, 0.98)
    tokens = np.round(np.exp(np.minimum(log_tokens, cap)))
    return pd.DataFrame(
        {
            "query_id": pd.Series(distinct).map("q{:09d}".format).to_numpy()[codes],
            "provider": "openai",
            "model": np.array([f"model-{i}" for i in range(MODELS)])[model],
            "benchmark": np.array([f"benchmark-{i}" for i in range(BENCHMARKS)])[benchmark],
            "reasoning_effort": pd.Series(np.array(EFFORTS, dtype=object)[model % len(EFFORTS)], dtype="str"),
            "temperature": 1.0,
            "top_p": np.nan,
            "max_tokens": np.ceil(np.exp(cap)),
            "input_tokens": 1.3 * N_WORDS,
            "prompt_text": pd.Series(texts, dtype="str").to_numpy()[codes],
            "run_reasoning_tokens": np.floor(0.7 * tokens),
            "run_score": rng.integers(0, 2, n_rows).astype(np.float64),
            "value": tokens,
            "is_censored": log_tokens > cap,
        }
    )


def _texts(n: int, rng: np.random.Generator) -> list[str]:
    letters = np.array(list("etaoinshrdlucmfwypvbgkjqxz"))
    lengths = rng.integers(2, 11, VOCABULARY)
    words = np.array(["".join(rng.choice(letters, length)) for length in lengths], dtype=object)
    chance = 1 / np.arange(1, VOCABULARY + 1)
    bounds = np.cumsum(chance / chance.sum())
    texts = []
    for start in range(0, n, 100_000):
        drawn = np.searchsorted(bounds, rng.random((min(100_000, n - start), N_WORDS)))
        texts += [f"{' '.join(words[row[: 10 + i % 31]])} {i}?" for i, row in enumerate(drawn, start)]
    return texts


class Watch:
    """CPU seconds by stage: what runs within another stage is told apart, unless that keeps its inside."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(STAGES, 0.0)
        self._stack = ["rest"]
        self._since = time.process_time()

    def _turn(self) -> None:
        now = time.process_time()
        self.seconds[self._stack[-1]] += now - self._since
        self._since = now

    def of(self, owner: Any, name: str, stage: str) -> None:
        """Time the function `name` of `owner` as `stage`."""
        inner: Callable[..., Any] = getattr(owner, name)

        @wraps(inner)
        def timed(*args: Any, **kwargs: Any) -> Any:
            self._turn()
            keeps = self._stack[-1] in ("informed heads", "out of fold")
            self._stack.append(self._stack[-1] if keeps else stage)
            try:
                return inner(*args, **kwargs)
            finally:
                self._turn()
                self._stack.pop()

        setattr(owner, name, timed)


def watched() -> Watch:
    """Time the stages of every fit of this process."""
    from foretell.predictors.fitting.text.features import TextEmbedding
    from foretell.predictors.thinking_tokens import trained_cells as module
    from foretell.predictors.thinking_tokens.heads.boosting import Boosting
    from foretell.predictors.thinking_tokens.known_runs.informed import InformedHeads
    from foretell.predictors.thinking_tokens.known_runs.knowledge import QueryKnowledge
    from foretell.predictors.thinking_tokens.pooling.hierarchy import PooledLocation

    watch, fit = Watch(), module.TrainedCellsPredictor
    for owner, name, stage in (
        (fit, "_validate", "checks"), (TextEmbedding, "fit", "text learnt"),
        (TextEmbedding, "_embed_block", "text read"),
        (PooledLocation, "prepare", "location"), (module, "complete_censored", "location"),
        (fit, "_out_of_fold", "out of fold"), (Boosting, "quantiles", "heads"), (QueryKnowledge, "fit", "known runs"),
        (InformedHeads, "fit", "informed heads"), (fit, "_forecast_held_out", "judged"),
        (fit, "_calibrate", "calibration"),
    ):  # fmt: skip
        watch.of(owner, name, stage)
    return watch


def one(n_rows: int) -> dict[str, Any]:
    """Fit once in this process."""
    from foretell.predictors.thinking_tokens.predictor import ThinkingTokensPredictor

    examples = make_examples(n_rows)
    inputs = examples.drop(columns=["value", "is_censored"])
    before = _peak_mb()
    watch = watched()
    began, cpu = time.perf_counter(), time.process_time()
    ThinkingTokensPredictor(num_threads=1).fit(
        inputs, examples["value"], groups=examples["query_id"], is_censored=examples["is_censored"]
    )
    watch._turn()
    wall, spent = time.perf_counter() - began, time.process_time() - cpu
    return {"rows": n_rows, "cpu": spent, "wall": wall, "peak_mb": _peak_mb(), "before_mb": before} | watch.seconds


def _peak_mb() -> float:
    lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    return next(float(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def report(found: list[dict[str, Any]]) -> str:
    """A table in Markdown, and the slope of time against rows."""
    columns = ["rows", "wall", "cpu", "peak_mb", "before_mb", *STAGES]
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    lines += ["| " + " | ".join(f"{row[name]:,.0f}" for name in columns) + " |" for row in found]
    if len(found) > 1:
        logs = np.log([[row["rows"], row["cpu"], row["peak_mb"]] for row in found])
        slopes = np.polyfit(logs[:, 0], logs[:, 1:], 1)[0]
        lines += ["", f"Slope over rows, log-log: CPU {slopes[0]:.2f}, peak memory {slopes[1]:.2f}."]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=float, nargs="+", default=[1e4, 1e5])
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(one(int(options.rows[0]))))
        return
    print(f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC; load {Path('/proc/loadavg').read_text('utf-8').split()[0]}")
    found = []
    for rows in options.rows:
        command = [sys.executable, __file__, "--one", "--rows", str(rows)]
        answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        found.append(json.loads(answer.splitlines()[-1]))
        print(json.dumps(found[-1]), file=sys.stderr, flush=True)
    print(report(found))


if __name__ == "__main__":
    main()
