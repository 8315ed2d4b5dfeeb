"""Data docs of the curated traces, written by Great Expectations for people; pandera stays the gate."""

import shutil
from pathlib import Path

import dagster as dg
import pandas as pd

from assets.resources import Workspace

MAX_PLAUSIBLE_TOKENS = 10_000_000


@dg.asset(
    group_name="report",
    kinds={"greatexpectations"},
    description="One row per expectation of `request_traces`: met or not; the pages lie beside the reports.",
)
def data_docs(request_traces: pd.DataFrame, workspace: Workspace) -> dg.MaterializeResult:
    results, page = write_data_docs(request_traces, workspace.reports_path / "data_docs")
    return dg.MaterializeResult(
        value=results,
        metadata={
            "expectations": len(results),
            "unmet": int((~results["success"]).sum()),
            "pages": dg.MetadataValue.path(str(page)),
        },
    )


def write_data_docs(traces: pd.DataFrame, folder: Path) -> tuple[pd.DataFrame, Path]:
    """Check `traces` against the expectations and write the pages; the results and the index page.

    Prompts are left out: the pages show examples of values.
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
    outcome = checkpoint.run(batch_parameters={"dataframe": _plain(traces)})
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
    return pd.DataFrame(rows), page


def _plain(traces: pd.DataFrame) -> pd.DataFrame:
    """NumPy types, which the library's renderers know; nulls stay nulls."""
    table = traces.drop(columns="prompt_text")
    integers = table.select_dtypes("Int64").columns
    return table.astype(dict.fromkeys(integers, "float64"))


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
