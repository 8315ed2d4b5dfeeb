"""Curate many days at once, wherever the engine is, with the tables and the account that a run per day leaves."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd

from assets.curation import Curated, curate
from assets.engine import current_engine
from assets.io import write_table
from assets.landing import load_day
from assets.trace_checks import CHECKS, check_traces

__all__ = ["CHECKS", "CuratedDay", "DayCheck", "curate_landed_days", "report_day", "traces_of_raw"]

TABLES = ("raw_traces", "request_traces", "quarantined_traces")


@dataclass(frozen=True)
class DayCheck:
    """A check of a day as it travels from a worker, where Dagster's own results cannot; `markdown` is metadata too."""

    name: str
    passed: bool
    is_blocking: bool
    metadata: dict[str, Any]
    markdown: dict[str, str]

    @classmethod
    def of(cls, check: dg.AssetCheckResult) -> "DayCheck":
        told = {name: value.value for name, value in check.metadata.items()}
        markdown = {name for name, value in check.metadata.items() if isinstance(value, dg.MarkdownMetadataValue)}
        return cls(
            str(check.check_name),
            check.passed,
            check.severity == dg.AssetCheckSeverity.ERROR,
            {name: value for name, value in told.items() if name not in markdown},
            {name: str(told[name]) for name in markdown},
        )

    def evaluation(self) -> dg.AssetCheckEvaluation:
        """The event that Dagster keeps."""
        return dg.AssetCheckEvaluation(
            asset_key=dg.AssetKey("request_traces"),
            check_name=self.name,
            passed=self.passed,
            metadata={**self.metadata, **{name: dg.MetadataValue.md(text) for name, text in self.markdown.items()}},
            severity=dg.AssetCheckSeverity.ERROR if self.is_blocking else dg.AssetCheckSeverity.WARN,
        )


@dataclass(frozen=True)
class CuratedDay:
    """What came of one day; its tables lie in the lake."""

    day: str
    counts: dict[str, int]
    n_raw: int
    checks: list[DayCheck]

    @property
    def failed(self) -> list[str]:
        """Checks that stop a run."""
        return [check.name for check in self.checks if check.is_blocking and not check.passed]


def traces_of_raw(raw: pd.DataFrame, price_file: Path | None) -> tuple[Curated, dict[str, int]]:
    """Validated and priced traces of a day, and their account."""
    from predictors.thinking_tokens.cost import price_requests

    curated = curate(raw, price=partial(price_requests, price_file=price_file))
    counts = {
        "read": curated.n_read,
        "accepted": len(curated.traces),
        "quarantined": len(curated.quarantine),
        "duplicates": curated.n_duplicates,
    }
    return curated, counts


def curate_landed_days(days: Sequence[str], landing: Path, lake: Path, price_file: Path | None) -> list[CuratedDay]:
    """Write the tables of landed days to the lake, each whole or not at all, in any order and on any worker."""
    work = partial(_curate_day, landing=landing, lake=lake, price_file=price_file)
    return current_engine().map(work, days)


def _curate_day(day: str, landing: Path, lake: Path, price_file: Path | None) -> CuratedDay:
    raw = load_day(landing, day)
    curated, counts = traces_of_raw(raw, price_file)
    for name, table in zip(TABLES, (raw, curated.traces, curated.quarantine), strict=True):
        write_table(table, lake / name / f"{day}.parquet")
    return CuratedDay(day, counts, len(raw), [DayCheck.of(check) for check in check_traces(curated, counts)])


def report_day(instance: dg.DagsterInstance, done: CuratedDay) -> None:
    """Tell Dagster what was made, so that its pages show days curated in bulk like any other."""
    rows = {"raw_traces": done.n_raw, "request_traces": done.counts["accepted"]}
    rows["quarantined_traces"] = done.counts["quarantined"]
    for name in TABLES:
        metadata: dict[str, Any] = {**done.counts, "dagster/row_count": rows[name], "curated": "in bulk"}
        event = dg.AssetMaterialization(asset_key=name, partition=done.day, metadata=metadata)
        instance.report_runless_asset_event(event)
    for check in done.checks:
        instance.report_runless_asset_event(check.evaluation())
