"""Data docs of every canonical table, written by Great Expectations for people; pandera stays the gate."""

import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
from pandera.pandas import DataFrameModel

from foretell.assets.engine import Table
from foretell.assets.lake.tables.contracts import TABLES
from foretell.assets.reports.runs import ROWS_IN_RUN, draw_queries
from foretell.assets.resources import Workspace
from foretell.predictors.schemas.descriptions import DESCRIPTION_FIELDS
from foretell.predictors.schemas.traces import RequestTraces

SHOWN = [
    "source", "request_id", "query_id", "model", "started_at", "input_tokens", "output_tokens", "reasoning_tokens",
    "cost_usd", "repeat_prob", "is_censored",
]  # fmt: skip
PROSE = (*DESCRIPTION_FIELDS, "config")
"""Columns of texts, which the pages would print whole."""


@dg.asset(
    group_name="report",
    kinds={"greatexpectations"},
    deps=list(TABLES),
    description="One row per canonical table and expectation: met or not; the pages lie beside the reports.",
)
def data_docs(request_traces: Table, workspace: Workspace) -> dg.MaterializeResult:
    folder = workspace.root / "reports" / "data_docs"
    results, page, rows = write_data_docs(request_traces, folder, lake=workspace.root / "lake")
    return dg.MaterializeResult(
        value=results,
        metadata={
            "expectations": len(results),
            "unmet": int((~results["success"]).sum()),
            "rows": rows,
            "pages": dg.MetadataValue.path(str(page)),
        },
    )


def write_data_docs(
    traces: pd.DataFrame | Table, folder: Path, *, lake: Path | None = None, max_rows: int = ROWS_IN_RUN
) -> tuple[pd.DataFrame, Path, str]:
    """Check `traces`, and the other canonical tables of `lake` that have rows, and write the pages.

    Prompts are left out: the pages show examples of values. The library wants all rows in memory, so of more than
    about `max_rows` requests those of some queries are checked, of other rows the first; keys that came again on
    another day are left out.

    Returns
    -------
    tuple
        One row per table and expectation; the index page; which requests they rest on, in words, as the pages say too.
    """
    import great_expectations as gx  # by far the slowest import we have

    # Rebuilt every time: contexts keep everything they ever saw, and this is a report, not a history.
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    context = gx.get_context(mode="file", project_root_dir=str(folder))
    context.variables.progress_bars = {"globally": False}
    drawn = draw_queries(traces, SHOWN, max_rows=max_rows)
    told = f"{len(drawn.rows):,} of {drawn.n_there:,} requests"
    expectations = _of_contract(RequestTraces, SHOWN, may_lack=("cost_usd", "reasoning_tokens"), max_censored=0.05)
    checked = _checked(context, "request_traces", drawn.rows[SHOWN], expectations, told)
    for table, where in [] if lake is None else [(table, lake) for table in TABLES.values()]:
        rows = table.read(where).drop(columns=list(PROSE), errors="ignore")
        if not rows.empty:
            shown = rows.head(max_rows)
            expectations = _of_contract(table.contract, shown.columns.tolist(), may_lack=("started_at",))
            checked += _checked(context, table.name, shown, expectations, f"{len(shown):,} of {len(rows):,} rows")
    (page,) = folder.rglob("local_site/index.html")
    return pd.DataFrame(checked), page, told


def _checked(context: Any, name: str, rows: pd.DataFrame, expectations: list[Any], told: str) -> list[dict[str, Any]]:
    """Write the pages of one table; what each of its expectations found."""
    import great_expectations as gx

    table = context.data_sources.add_pandas(name).add_dataframe_asset(name)
    suite = context.suites.add(gx.ExpectationSuite(name=name, expectations=expectations))
    batch = table.add_batch_definition_whole_dataframe("all")
    definition = context.validation_definitions.add(gx.ValidationDefinition(name=name, data=batch, suite=suite))
    pages = gx.checkpoint.UpdateDataDocsAction(name="pages")
    checkpoint = context.checkpoints.add(gx.Checkpoint(name=name, validation_definitions=[definition], actions=[pages]))
    # NumPy types, which the library's renderers know; nulls stay nulls.
    plain = rows.astype(dict.fromkeys(rows.select_dtypes(["Int64", "boolean"]).columns, "float64"))
    outcome = checkpoint.run(
        batch_parameters={"dataframe": plain},
        run_id=gx.RunIdentifier(run_name=told, run_time=datetime.now(UTC)),
    )
    (validation,) = outcome.run_results.values()
    return [
        {
            "table": name,
            "expectation": result.expectation_config.type,
            "columns": ", ".join(
                str(value)
                for key, value in result.expectation_config.kwargs.items()
                if key.startswith("column") and isinstance(value, str | list)
            ),
            "success": bool(result.success),
            "unexpected": int(result.result.get("unexpected_count") or 0),
        }
        for result in validation.results
    ]


def _of_contract(
    contract: type[DataFrameModel], columns: list[str], *, may_lack: Sequence[str], max_censored: float | None = None
) -> list[Any]:
    """A contract in the library's words, and what it accepts but is worth knowing.

    That is more than one null in twenty of `may_lack` (no cost; thinking that cannot be told from answering; scores
    without a day), and more than `max_censored` of the answers cut off.
    """
    from great_expectations import expectations as gxe

    schema = contract.to_schema()
    made: list[Any] = [gxe.ExpectCompoundColumnsToBeUnique(column_list=list(schema.unique), ignore_row_if="never")]
    for name in columns:
        if not schema.columns[name].nullable:
            made.append(gxe.ExpectColumnValuesToNotBeNull(column=name))
        bounds: dict[str, Any] = {}
        for check in schema.columns[name].checks:
            bounds |= {key: value for key, value in check.statistics.items() if key in ("min_value", "max_value")}
        if bounds:
            made.append(gxe.ExpectColumnValuesToBeBetween(column=name, **bounds))
    made += [gxe.ExpectColumnValuesToNotBeNull(column=name, mostly=0.95) for name in may_lack]
    if max_censored is not None:
        made.append(gxe.ExpectColumnMeanToBeBetween(column="is_censored", max_value=max_censored))
    return made
