"""Data docs of the curated traces, written by Great Expectations for people; pandera stays the gate."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pandas as pd

from assets.engine import Table
from assets.reports.trace_parts import ROWS_IN_RUN, draw_queries
from assets.resources import Workspace

MAX_PLAUSIBLE_TOKENS = 10_000_000
SHOWN = [
    "source", "request_id", "query_id", "model", "started_at", "input_tokens", "output_tokens", "reasoning_tokens",
    "cost_usd", "repeat_prob", "is_censored",
]  # fmt: skip


@dg.asset(
    group_name="report",
    kinds={"greatexpectations"},
    description="One row per expectation of `request_traces`: met or not; the pages lie beside the reports.",
)
def data_docs(request_traces: Table, workspace: Workspace) -> dg.MaterializeResult:
    results, page, rows = write_data_docs(request_traces, workspace.reports_path / "data_docs")
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
    traces: pd.DataFrame | Table, folder: Path, *, max_rows: int = ROWS_IN_RUN
) -> tuple[pd.DataFrame, Path, str]:
    """Check `traces` against the expectations and write the pages.

    Prompts are left out: the pages show examples of values. The library wants all rows in memory, so of more than
    about `max_rows` those of some queries are checked; keys that came again on another day are left out.

    Returns
    -------
    tuple
        One row per expectation; the index page; which rows they rest on, in words, as the pages say it too.
    """
    import great_expectations as gx  # by far the slowest import we have

    # Rebuilt every time: contexts keep everything they ever saw, and this is a report, not a history.
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    context = gx.get_context(mode="file", project_root_dir=str(folder))
    context.variables.progress_bars = {"globally": False}
    table = context.data_sources.add_pandas("foretell").add_dataframe_asset("request_traces")
    suite = context.suites.add(gx.ExpectationSuite(name="request_traces", expectations=_expectations()))
    definition = context.validation_definitions.add(
        gx.ValidationDefinition(
            name="request_traces", data=table.add_batch_definition_whole_dataframe("all"), suite=suite
        )
    )
    checkpoint = context.checkpoints.add(
        gx.Checkpoint(
            name="request_traces",
            validation_definitions=[definition],
            actions=[gx.checkpoint.UpdateDataDocsAction(name="pages")],
        )
    )
    drawn = draw_queries(traces, SHOWN, max_rows=max_rows)
    told = f"{len(drawn.rows):,} of {drawn.n_there:,} requests"
    outcome = checkpoint.run(
        batch_parameters={"dataframe": _plain(drawn.rows[SHOWN])},
        run_id=gx.RunIdentifier(run_name=told, run_time=datetime.now(UTC)),
    )
    (validation,) = outcome.run_results.values()
    rows = [
        {
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
    (page,) = folder.rglob("local_site/index.html")
    return pd.DataFrame(rows), page, told


def _plain(traces: pd.DataFrame) -> pd.DataFrame:
    """NumPy types, which the library's renderers know; nulls stay nulls."""
    return traces.astype(dict.fromkeys(traces.select_dtypes("Int64").columns, "float64"))


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
