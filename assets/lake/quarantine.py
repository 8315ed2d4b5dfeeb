"""The quarantine of the lake: every record that was read and not accepted, of all days and files."""

from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd

from foretell.assets.engine import Table
from foretell.assets.lake.landing.deliveries import load_rejects
from foretell.assets.lake.tables.curation import QUARANTINED
from foretell.assets.lake.traces.across_days import repeated_keys, repeated_requests
from foretell.assets.store.io import read_table, write_table
from foretell.predictors.schemas.quarantine import Quarantine


def gather_quarantine(landing: Path, lake: Path, of_days: pd.DataFrame, traces: Table) -> dict[str, pd.DataFrame]:
    """Rows of `Quarantine` by where they were refused.

    `of_days` are `quarantined_traces` of all days, `traces` the requests of all days.
    """
    return {
        "rejected_at_landing": load_rejects(landing),
        "broke_the_contract": of_days,
        "broke_the_contract_of_a_table": _of_tables(lake),
        "came_before_on_another_day": repeated_requests(traces, repeated_keys(traces)),
    }


def refresh_quarantine(landing: Path, lake: Path) -> int:
    """Write the table from what has landed and was curated so far, and return how many rows it has.

    What `foretell ingest` refuses can thus be read at once, and not only after the next night.
    """
    try:
        of_days, traces = read_table(lake, "quarantined_traces"), Table.under(lake / "request_traces")
    except FileNotFoundError:  # no day was curated yet
        rows = pd.concat([load_rejects(landing), _of_tables(lake)], ignore_index=True)
    else:
        rows = pd.concat(gather_quarantine(landing, lake, of_days, traces).values(), ignore_index=True)
    write_table(rows, lake / "quarantine.parquet")
    return len(rows)


def report_quarantine(instance: dg.DagsterInstance, n_rows: int) -> None:
    """Tell Dagster that the quarantine was written outside of a run."""
    metadata: dict[str, Any] = {"dagster/row_count": n_rows, "written": "after ingest"}
    instance.report_runless_asset_event(dg.AssetMaterialization(asset_key="quarantine", metadata=metadata))


def _of_tables(lake: Path) -> pd.DataFrame:
    """Rows that broke the contract of a canonical table beside the traces."""
    try:
        return Table.under(lake / QUARANTINED).collect()
    except FileNotFoundError:
        return pd.DataFrame(columns=list(Quarantine.to_schema().columns))
