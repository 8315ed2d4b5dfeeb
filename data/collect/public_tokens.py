"""The figures of public request traces that the project carries: token counts, and nothing that anybody wrote.

    FORETELL_MIRROR=... python -m foretell.collect.public_tokens --traces FOLDER

The folder of --traces holds a parquet file per set (columns source, model, benchmark, item_id, effort, replicate,
output_tokens, tokens_measured ...); sets that the mirror serves join them. Items are named by a hash. What a provider
counted and what was estimated from the text stand apart in the column `tier`.
"""

from __future__ import annotations

import argparse
import hashlib
import os
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from foretell.assets.lake.datasets import load_traces
from foretell.predictors.thinking_tokens.prices.cost import price_requests

__all__ = ["FILE", "prepared", "public_tokens", "where"]

FILE = Path(__file__).resolve().parent.parent / "public" / "token_traces.parquet"
SETS = {
    "lineage_bench": "lineage-bench", "misguided_attention": "misguided-attention", "julia_hosted": "julia-leaderboard",
    "bashkit_agent": "bashkit", "routerarena": "routerarena", "tinybird_sql": "tinybird-sql", "boswell": "boswell",
    "reasoning_gym": "reasoning-gym", "lineage_bench_2025h1_est": "lineage-bench-2025h1",
}  # fmt: skip
"""File of a prepared table -> the name of its source."""
MIRRORED = ("pricing-reversal", "lrm-token-economy")
TIERS = {"provider_usage": "measured", "estimated": "estimated"}
"""How `tokens_measured` begins -> tier; rows that begin otherwise, such as hidden reasoning, are no token counts."""
MOST_ESTIMATED = 20
"""Estimated runs of a cell that are kept: more would only add to the file."""
CELL = ["source", "benchmark", "model", "reasoning_effort"]
WHOLE = ("replicate", "input_tokens", "output_tokens", "reasoning_tokens", "n_calls", "prompt_chars")


def public_tokens(folder: Path, mirror: str | None, cache: Path) -> pd.DataFrame:
    """Runs of every set at hand, one row each: `CELL`, `item`, `replicate`, `tier`, tokens, cost, score, day."""
    parts = [prepared(folder / f"{file}.parquet", name) for file, name in SETS.items()]
    for name in MIRRORED:
        traces = load_traces(
            name, starter=Path("starter"), cache=cache, mirror=mirror, price=partial(price_requests)
        ).traces
        parts.append(traces.assign(source=name, item=traces["query_id"], tier="measured", n_calls=1,
                                   prompt_chars=traces["prompt_text"].str.len()))  # fmt: skip
    columns = [*CELL, "item", "tier", "is_censored", *WHOLE, "cost_usd", "score", "started_at"]
    rows = pd.concat([part.reindex(columns=columns) for part in parts], ignore_index=True)
    rows = rows[rows["output_tokens"].notna() & (rows["output_tokens"] > 0)]
    rows["item"] = [_hashed(source, item) for source, item in zip(rows["source"], rows["item"], strict=True)]
    rows["reasoning_effort"] = rows["reasoning_effort"].astype(object).where(rows["reasoning_effort"].notna(), "")
    for name in WHOLE:
        rows[name] = pd.to_numeric(rows[name]).round().astype("Int32")
    rows["cost_usd"] = pd.to_numeric(rows["cost_usd"]).astype("float64").round(7)
    rows["score"] = pd.to_numeric(rows["score"]).astype("float32").round(3)
    rows["started_at"] = rows["started_at"].dt.floor("D")
    kept = rows["tier"].eq("measured") | (rows.groupby([*CELL, "tier"]).cumcount() < MOST_ESTIMATED)
    order = [*CELL, "tier", "item", "replicate"]
    rows = rows[kept].sort_values(order, kind="stable", ignore_index=True)
    for name in (*CELL, "item", "tier"):
        rows[name] = rows[name].astype(str)
    return rows.astype({"is_censored": bool})


def prepared(path: Path, name: str) -> pd.DataFrame:
    """A set of `SETS`, with `source`, `item`, `reasoning_effort`, `is_censored`, `tier` and the day it was made."""
    rows = pd.read_parquet(path)
    starts = rows["tokens_measured"].str.extract(f"^({'|'.join(TIERS)})")[0]
    cut = rows["finish_reason"].eq("length").fillna(False).astype(bool)
    day = pd.to_datetime(rows["started_at"].astype(str).str[:8], format="%Y%m%d", errors="coerce", utc=True)
    day = day.fillna(
        pd.to_datetime(rows["started_at"].astype(str).str[:10], format="%Y-%m-%d", errors="coerce", utc=True)
    )
    rows = rows.assign(source=name, item=rows["item_id"], reasoning_effort=rows["effort"], is_censored=cut)
    return rows.assign(tier=starts.map(TIERS), started_at=day.astype("datetime64[us, UTC]"))[starts.notna()]


def _hashed(source: str, item: object) -> str:
    return hashlib.sha256(f"{source}|{item}".encode()).hexdigest()[:10]


def where(doc: str | None, out: Path) -> tuple[Path, str | None, Path, Path]:
    """Command line of what is collected from public traces: folder of the traces, mirror, cache, and file to write."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    mirror = os.environ.get("FORETELL_MIRROR")
    beside = Path(mirror or "mirror").parent / "snapshots" / "token_traces"
    parser.add_argument("--traces", type=Path, default=beside, help="folder of parquet files of public request traces")
    parser.add_argument("--out", type=Path, default=out)
    options = parser.parse_args()
    return options.traces, mirror, Path(os.environ.get("FORETELL_HOME", ".foretell")) / "cache", options.out


def main() -> None:
    """Parse, read, write."""
    folder, mirror, cache, out = where(__doc__, FILE)
    rows = public_tokens(folder, mirror, cache)
    rows.to_parquet(out, index=False, compression="zstd", compression_level=19)
    summary = rows.groupby(["source", "tier"]).agg(
        runs=("item", "size"), models=("model", "nunique"), benchmarks=("benchmark", "nunique"),
        items=("item", "nunique"),
        tokens=("output_tokens", lambda tokens: int(np.median(tokens))),
    )  # fmt: skip
    print(summary.to_string())
    print(f"{out}: {len(rows):,} rows, {out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
