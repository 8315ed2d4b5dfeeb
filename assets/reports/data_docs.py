"""Data docs of every canonical table, written by Great Expectations for people; pandera stays the gate."""

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd

from foretell.assets.engine import Table
from foretell.assets.lake.tables.contracts import TABLES, LakeTable
from foretell.assets.reports.runs import ROWS_IN_RUN, draw_queries
from foretell.assets.resources import Workspace
from foretell.predictors.schemas.descriptions import DESCRIPTION_FIELDS

MAX_PLAUSIBLE_TOKENS = 10_000_000
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
    folder = workspace.reports_path / "data_docs"
    results, page, rows = write_data_docs(request_traces, folder, lake=workspace.lake_path)
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
    checked = _checked(context, "request_traces", drawn.rows[SHOWN], _expectations(), told)
    for table, where in [] if lake is None else [(table, lake) for table in TABLES.values()]:
        rows = table.read(where).drop(columns=list(PROSE), errors="ignore")
        if not rows.empty:
            shown = rows.head(max_rows)
            told_of_table = f"{len(shown):,} of {len(rows):,} rows"
            checked += _checked(context, table.name, shown, _of_contract(table, shown), told_of_table)
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
    outcome = checkpoint.run(
        batch_parameters={"dataframe": _plain(rows)},
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


def _plain(traces: pd.DataFrame) -> pd.DataFrame:
    """NumPy types, which the library's renderers know; nulls stay nulls."""
    return traces.astype(dict.fromkeys(traces.select_dtypes(["Int64", "boolean"]).columns, "float64"))


def _of_contract(table: LakeTable, rows: pd.DataFrame) -> list[Any]:
    """The contract of a table in the library's words, and what is accepted but worth knowing: scores without a day."""
    from great_expectations import expectations as gxe

    made: list[Any] = [gxe.ExpectCompoundColumnsToBeUnique(column_list=table.key, ignore_row_if="never")]
    for name in rows.columns:
        if not table.columns[name].nullable:
            made.append(gxe.ExpectColumnValuesToNotBeNull(column=name))
        bounds: dict[str, Any] = {}
        for check in table.columns[name].checks:
            bounds |= {key: value for key, value in check.statistics.items() if key in ("min_value", "max_value")}
        if bounds:
            made.append(gxe.ExpectColumnValuesToBeBetween(column=name, **bounds))
    return [*made, gxe.ExpectColumnValuesToNotBeNull(column="started_at", mostly=0.95)]


def _expectations() -> list:  # type: ignore[type-arg]
    from great_expectations import expectations as gxe

    def within(column: str, low: float, high: float | None) -> gxe.ExpectColumnValuesToBeBetween:
        return gxe.ExpectColumnValuesToBeBetween(column=column, min_value=low, max_value=high)

    return [
        gxe.ExpectCompoundColumnsToBeUnique(column_list=["source", "request_id"]),
        *(gxe.ExpectColumnValuesToNotBeNull(column=c) for c in ("query_id", "model", "output_tokens", "started_at")),
        # A null here is accepted, and worth knowing: no cost, or no way to tell thinking from answering.
        *(gxe.ExpectColumnValuesToNotBeNull(column=c, mostly=0.95) for c in ("cost_usd", "reasoning_tokens")),
        within("output_tokens", 0, MAX_PLAUSIBLE_TOKENS),
        within("input_tokens", 0, MAX_PLAUSIBLE_TOKENS),
        within("repeat_prob", 0, 1),
        within("cost_usd", 0, None),
        gxe.ExpectColumnPairValuesAToBeGreaterThanB(
            column_A="output_tokens",
            column_B="reasoning_tokens",
            or_equal=True,
            ignore_row_if="either_value_is_missing",
        ),
        gxe.ExpectColumnMeanToBeBetween(column="is_censored", max_value=0.05),
        gxe.ExpectColumnMedianToBeBetween(column="output_tokens", min_value=1, max_value=MAX_PLAUSIBLE_TOKENS),
    ]
