"""Traces: landed files -> raw rows -> validated, priced `request_traces`, and what was quarantined."""

from collections.abc import Iterator

import dagster as dg
import pandas as pd

from foretell.assets.engine import Table
from foretell.assets.lake.tables.contracts import TABLES
from foretell.assets.lake.traces.checks import CHECKS, TRACES, check_traces
from foretell.assets.resources import Workspace
from foretell.assets.store.io_manager import DAILY

GROUP = "traces"


@dg.asset(group_name="sources", kinds={"parquet"}, description="One row per landed file, by content.")
def landed_files(workspace: Workspace) -> pd.DataFrame:
    from foretell.assets.lake.landing.deliveries import load_manifests

    return load_manifests(workspace.root / "landing")


@dg.asset(
    group_name=GROUP,
    kinds={"parquet"},
    partitions_def=DAILY,
    deps=[landed_files],
    description="One row per parsed record of a day, before validation, with its file and line.",
)
def raw_traces(context: dg.AssetExecutionContext, workspace: Workspace) -> pd.DataFrame:
    from foretell.assets.lake.landing.deliveries import load_rows

    return load_rows(workspace.root / "landing", [context.partition_key])


@dg.multi_asset(
    partitions_def=DAILY,
    group_name=GROUP,
    outs={
        "request_traces": dg.AssetOut(
            kinds={"parquet", "pandera"},
            description="One row per request, key (source, request_id): validated, replicates numbered, priced.",
        ),
        "quarantined_traces": dg.AssetOut(
            kinds={"parquet"},
            description="One row per record of a day that broke the contract: reason, remedy, file and line.",
        ),
    },
    ins={"raw_traces": dg.AssetIn("raw_traces")},
    check_specs=[dg.AssetCheckSpec(asset=TRACES, **spec) for spec in CHECKS],
)
def curated_traces(raw_traces: pd.DataFrame, workspace: Workspace) -> Iterator[dg.Output | dg.AssetCheckResult]:
    from foretell.assets.lake.traces.bulk_curation import traces_of_raw

    curated = traces_of_raw(raw_traces, workspace.price_path)
    yield dg.Output(curated.traces, "request_traces", metadata=curated.counts)
    yield dg.Output(curated.quarantine, "quarantined_traces", metadata=curated.counts)
    for check in check_traces(curated):
        yield dg.AssetCheckResult(
            asset_key=TRACES, check_name=check.check_name, passed=check.passed, severity=check.severity,
            metadata=check.metadata,
        )  # fmt: skip


@dg.asset(
    group_name="report",
    kinds={"parquet"},
    deps=[landed_files, *TABLES],
    description="One row per record that was read and not accepted, of all days and files, with reason and remedy.",
)
def quarantine(quarantined_traces: pd.DataFrame, request_traces: Table, workspace: Workspace) -> dg.MaterializeResult:
    from foretell.assets.lake.quarantine import gather_quarantine

    parts = gather_quarantine(workspace.root / "landing", workspace.root / "lake", quarantined_traces, request_traces)
    everything = pd.concat(parts.values(), ignore_index=True)
    by_reason = everything["reason"].value_counts().head(10).rename_axis("reason").reset_index(name="rows")
    return dg.MaterializeResult(
        value=everything,
        metadata={
            **{name: len(rows) for name, rows in parts.items()},
            "reasons": dg.MetadataValue.md("\n".join(f"- {r.rows} x {r.reason}" for r in by_reason.itertuples())),
        },
    )
