"""Curate many days at once, wherever the engine is, with the tables and the account that a run per day leaves."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd

from foretell.assets.engine import current_engine
from foretell.assets.lake.landing.deliveries import load_manifests, load_rows
from foretell.assets.lake.traces.checks import check_traces
from foretell.assets.lake.traces.curation import Curated, curate
from foretell.assets.store.io import write_table
from foretell.assets.store.io_manager import table_metadata

TABLES = ("raw_traces", "request_traces", "quarantined_traces")


@dataclass(frozen=True)
class CuratedDay:
    """What came of one day; its tables lie in the lake."""

    day: str
    counts: dict[str, int]
    tables: dict[str, dict[str, Any]]
    """By table, what Dagster's pages show of it."""
    checks: list[dg.AssetCheckEvaluation]

    @property
    def failed(self) -> list[str]:
        """Checks that stop a run."""
        bad = (check for check in self.checks if not check.passed and check.severity == dg.AssetCheckSeverity.ERROR)
        return [check.check_name for check in bad]


def traces_of_raw(raw: pd.DataFrame, price_file: Path | None) -> Curated:
    """Validated and priced traces of a day, and their account."""
    from foretell.predictors.thinking_tokens.prices.cost import price_requests

    return curate(raw, price=partial(price_requests, price_file=price_file))


def curate_landed_days(days: Sequence[str], landing: Path, lake: Path, price_file: Path | None) -> list[CuratedDay]:
    """Write the tables of landed days to the lake, each whole or not at all, in any order and on any worker."""
    work = partial(_curate_day, landing=landing, lake=lake, price_file=price_file)
    return current_engine().map(work, days)


def _curate_day(day: str, landing: Path, lake: Path, price_file: Path | None) -> CuratedDay:
    raw = load_rows(landing, [day])
    curated = traces_of_raw(raw, price_file)
    tables = {}
    for name, table in zip(TABLES, (raw, curated.traces, curated.quarantine), strict=True):
        path = lake / name / f"{day}.parquet"
        write_table(table, path)
        tables[name] = table_metadata(name, table, path)
    return CuratedDay(day, curated.counts, tables, list(check_traces(curated)))


def report_files(instance: dg.DagsterInstance, landing: Path, lake: Path) -> None:
    """Write the table of what has landed, and tell Dagster."""
    name, table, path = "landed_files", load_manifests(landing), lake / "landed_files.parquet"
    write_table(table, path)
    instance.report_runless_asset_event(dg.AssetMaterialization(name, metadata=table_metadata(name, table, path)))


def report_day(instance: dg.DagsterInstance, done: CuratedDay) -> None:
    """Tell Dagster what was made, so that its pages show days curated in bulk like any other."""
    for name, metadata in done.tables.items():
        told = {**done.counts, **metadata, "curated": "in bulk"}
        event = dg.AssetMaterialization(asset_key=name, partition=done.day, metadata=told)
        instance.report_runless_asset_event(event)
    for check in done.checks:
        instance.report_runless_asset_event(check)
