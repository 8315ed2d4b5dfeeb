"""The Dagster asset of every canonical table beside the traces, with its checks."""

from collections.abc import Sequence

import dagster as dg

from foretell.assets.lake.tables.contracts import TABLES, LakeTable
from foretell.assets.lake.tables.curation import curate_table
from foretell.assets.resources import Workspace

GROUP = "lake"
CHECKS = {
    "contract": "Every row meets the contract of the table.",
    "counts_add_up": "read = accepted + quarantined + duplicates",
}


def build_table_asset(table: LakeTable) -> dg.AssetsDefinition:
    """Asset and blocking checks of one table; it makes only what has landed since the last time."""

    @dg.asset(
        name=table.name,
        group_name=GROUP,
        kinds={"parquet", "pandera"},
        deps=["landed_files"],
        check_specs=[
            dg.AssetCheckSpec(check, asset=table.name, blocking=True, description=text)
            for check, text in CHECKS.items()
        ],
        description=f"{table.description} Key ({', '.join(table.key)}).",
        metadata={
            "dagster/column_schema": dg.TableSchema(
                [dg.TableColumn(name, str(column.dtype)) for name, column in table.columns.items()]
            )
        },
    )
    def canonical_table(workspace: Workspace) -> dg.MaterializeResult:
        from pandera.errors import SchemaErrors

        from foretell.assets.engine import read_part

        lake = workspace.root / "lake"
        curated = curate_table(table, workspace.root / "landing", lake)
        n_bad = 0
        for part in curated.changed:
            try:
                table.contract.validate(read_part(str(table.folder(lake) / f"{part}.parquet")), lazy=True)
            except SchemaErrors as error:
                n_bad += int(error.failure_cases["index"].nunique())
        n_read, *others = (counts := curated.counts).values()
        found = {"contract": n_bad == 0, "counts_add_up": n_read == sum(others)}
        results = [
            dg.AssetCheckResult(check_name=name, passed=passed, metadata={**counts, "bad_rows": n_bad})
            for name, passed in found.items()
        ]
        metadata = {**counts, "dagster/row_count": counts["accepted"], "parts": len(curated.parts)}
        metadata["parts_made_now"] = len(curated.changed)
        return dg.MaterializeResult(metadata=metadata, check_results=results)

    return canonical_table


TABLE_ASSETS: Sequence[dg.AssetsDefinition] = [build_table_asset(table) for table in TABLES.values()]
