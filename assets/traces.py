"""Traces: landed files -> raw rows -> validated, priced `request_traces`, and what was quarantined."""

from collections.abc import Iterator

import dagster as dg
import pandas as pd

from assets.engine import Table
from assets.partitions import DAILY
from assets.resources import Workspace
from assets.trace_checks import CHECKS, check_traces

GROUP = "traces"
TRACES = dg.AssetKey("request_traces")


@dg.asset(group_name=GROUP, kinds={"parquet"}, description="One row per landed file, by content.")
def landed_files(workspace: Workspace) -> pd.DataFrame:
    from assets.landing import load_manifests

    return load_manifests(workspace.landing_path)


@dg.asset(
    group_name=GROUP,
    kinds={"parquet"},
    partitions_def=DAILY,
    deps=[landed_files],
    description="One row per parsed record of a day, before validation, with its file and line.",
)
def raw_traces(context: dg.AssetExecutionContext, workspace: Workspace) -> pd.DataFrame:
    from assets.landing import load_day

    return load_day(workspace.landing_path, context.partition_key)


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
    from assets.bulk_curation import traces_of_raw

    curated, counts = traces_of_raw(raw_traces, workspace.price_path)
    yield dg.Output(curated.traces, "request_traces", metadata=counts)
    yield dg.Output(curated.quarantine, "quarantined_traces", metadata=counts)
    yield from check_traces(curated, counts)


@dg.asset(
    group_name=GROUP,
    kinds={"parquet"},
    deps=[landed_files],
    description="One row per record that was read and not accepted, of all days and files, with reason and remedy.",
)
def quarantine(quarantined_traces: pd.DataFrame, request_traces: Table, workspace: Workspace) -> dg.MaterializeResult:
    from assets.across_days import repeated_keys, repeated_requests
    from assets.landing import load_rejects

    rejects = load_rejects(workspace.landing_path)
    repeated = repeated_requests(request_traces, repeated_keys(request_traces))
    everything = pd.concat([rejects, quarantined_traces, repeated], ignore_index=True)
    by_reason = everything["reason"].value_counts().head(10).rename_axis("reason").reset_index(name="rows")
    return dg.MaterializeResult(
        value=everything,
        metadata={
            "rejected_at_landing": len(rejects),
            "broke_the_contract": len(quarantined_traces),
            "came_before_on_another_day": len(repeated),
            "reasons": dg.MetadataValue.md("\n".join(f"- {r.rows} x {r.reason}" for r in by_reason.itertuples())),
        },
    )
