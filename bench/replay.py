"""The harness files of Pythia as nights: they land, are curated and learnt from in the order of training.

    python bench/replay.py "$FORETELL_MIRROR" --out docs/studies/replay.md

Every file comes on one night, earlier checkpoints first; it tells no day, so the night gives it one. On every night the
tables are brought up to date; on some, `retrain_downstream_scaling` runs with everything that has come. At the end
every version that was champion forecasts the targets of the ladders, from which nothing is learnt.
"""

from __future__ import annotations

import argparse
import os
import re
import tempfile
import time
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

FAMILY = "downstream_scaling"
FIRST = date(2026, 8, 1)
TOKENS_PER_STEP = {"tokens_per_step": "=2097152"}
"""Pythia's batches have 1,024 sequences of 2,048 tokens."""


def nights_of(files: list[Path], n_nights: int) -> list[list[Path]]:
    """The files in the order of their checkpoints, in as many nights."""

    def step(path: Path) -> int:
        found = re.search(r"step(\d+)", path.name)
        return int(found[1]) if found else 0

    ordered = sorted(files, key=lambda path: (step(path), path.name))
    return [list(part) for part in np.array_split(np.asarray(ordered, dtype=object), n_nights)]


def replay(files: list[Path], n_nights: int, retrain_at: list[int], home: Path) -> Iterator[dict[str, Any]]:
    """One row per night: files, rows, seconds, and what the registry decided."""
    from foretell.assets.lake.landing.deliveries import ingest
    from foretell.assets.lake.tables.curation import read_parts
    from foretell.assets.store.io import read_table
    from foretell.pipelines.runs import curate_tables, execute, open_instance
    from foretell.pipelines.settings import Settings, quiet_environment

    settings = Settings(home=home)
    quiet_environment(settings)
    quiet = {"progress": lambda step, seconds, share: None}
    with open_instance(settings) as instance:
        for number, tonight in enumerate(nights_of(files, n_nights), start=1):
            day = (FIRST + timedelta(days=number)).isoformat()
            began = time.process_time()
            reports = ingest(tonight, settings.landing, date=day, columns=TOKENS_PER_STEP).files
            landed = time.process_time()
            curate_tables(settings, instance, **quiet)
            curated = time.process_time()
            parts = read_parts(settings.home / "lake" / "benchmark_runs")
            row: dict[str, Any] = {
                "night": day, "files": len(tonight), "landed": sum(r.status == "landed" for r in reports),
                "rows": sum(r.n_rows for r in reports), "parts": len(parts), "ingest_s": landed - began,
                "curate_s": curated - landed, "action": "",
            }  # fmt: skip
            if number in retrain_at:
                execute(f"retrain_{FAMILY}", settings, instance, **quiet)
                decided = read_table(settings.home / "lake", f"{FAMILY}_registered_model").iloc[0]
                row |= {"retrain_s": time.process_time() - curated, "action": decided["action"],
                        "version": decided["version"], "champion": decided["champion"],
                        "decision": decided["decision"]}  # fmt: skip
            yield row


def was_right(home: Path) -> pd.DataFrame:
    """Every version that was champion, in their order, on the targets of Pythia's ladders, which no fit learns from.

    CRPS in points by query, with 1.96 standard errors; `better_by`: that of the champion before less this
    one's.
    """
    from foretell.assets.families import get_family
    from foretell.assets.judging.pipeline import forecasts_by_cell
    from foretell.assets.nightly.record import read_record
    from foretell.pipelines.settings import Settings
    from foretell.predictors.metrics import query_losses

    settings, family = Settings(home=home), get_family(FAMILY)
    registry = settings.open_registry()
    record = read_record(registry, FAMILY)
    examples = family.champion_examples(settings.sources)
    rows = examples[examples["is_own"] & (examples["split"] == "test")]
    names = [*record.former, record.champion]
    models = {name: registry.load(registry.version(FAMILY, name)) for name in names}
    forecasts = forecasts_by_cell(family, models, rows)
    told = []
    for before, name in zip([names[0], *names], names, strict=False):
        loss, other = query_losses(rows, forecasts[name], forecasts[before], metric="crps", scale=family.scale).T
        error = [1.96 * values.std(ddof=1) / np.sqrt(len(values)) for values in (loss, other - loss)]
        told.append({"version": name, "targets": len(rows), "queries": len(loss), "crps": loss.mean(), "±": error[0],
                     "better_by": (other - loss).mean(), "± ": error[1]})  # fmt: skip
    return pd.DataFrame(told)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mirror", type=Path)
    parser.add_argument("--nights", type=int, default=60)
    parser.add_argument("--retrain-at", type=int, nargs="*", default=list(range(5, 61, 5)))
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    files = sorted((args.mirror / "raw.githubusercontent.com/EleutherAI/pythia").rglob("evals/pythia-v1/**/*.json"))
    with tempfile.TemporaryDirectory() as folder:
        os.environ["FORETELL_HOME"] = folder
        rows = []
        for row in replay(files, args.nights, args.retrain_at, Path(folder)):
            rows.append(row)
            print({k: round(v, 2) if isinstance(v, float) else v for k, v in row.items()}, flush=True)
        table = pd.DataFrame(rows)
        right = was_right(Path(folder)) if args.retrain_at else pd.DataFrame()
    text = "\n".join([
        f"{int(table['files'].sum())} files on {len(table)} nights, {int(table['landed'].sum())} landed, "
        f"{int(table['rows'].sum()):,} rows.",
        f"CPU seconds of a night's ingest: first ten {table['ingest_s'].head(10).mean():.2f}, last ten "
        f"{table['ingest_s'].tail(10).mean():.2f}; of its curation: {table['curate_s'].head(10).mean():.2f}, "
        f"{table['curate_s'].tail(10).mean():.2f}.",
        *(f"- {r.night}: version {r.version:.0f}, champion {r.champion:.0f}, {r.action}, {r.retrain_s:.0f} s of CPU. "
          f"{r.decision}"
          for r in table[table["action"] != ""].itertuples()),
        right.round(3).to_string(index=False),
    ])  # fmt: skip
    print(text)
    if args.out is not None:
        args.out.write_text(
            f"# Nights of Pythia\n\nPrinted by `python bench/replay.py`.\n\n```\n{text}\n```\n", "utf-8"
        )


if __name__ == "__main__":
    main()
