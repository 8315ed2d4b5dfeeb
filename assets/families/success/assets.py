"""The Dagster assets of the family of success alone."""

import dagster as dg

from foretell.assets.engine import Table
from foretell.assets.families.success.examples import lake_examples
from foretell.assets.resources import Workspace
from foretell.predictors.schemas.examples import as_examples


@dg.asset(
    group_name="success",
    kinds={"parquet"},
    description="One row per scored run: what was known before the call, whether the answer was right, and its split.",
)
def success_examples(request_traces: Table, workspace: Workspace) -> dg.MaterializeResult:
    rows, basis = lake_examples(request_traces, workspace.sources, workspace.learn_rows)
    examples = as_examples(rows)
    metadata: dict[str, str | int | float] = {
        "basis": basis,
        "queries": int(examples["query_id"].nunique()),
        "right": float(examples["value"].mean()),
    }
    return dg.MaterializeResult(value=examples, metadata=metadata)


ASSETS = [success_examples]
