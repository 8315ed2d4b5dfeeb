"""The Dagster assets of the thinking-token family alone."""

import dagster as dg

from foretell.assets.engine import Table
from foretell.assets.families.thinking_tokens.examples import token_examples
from foretell.assets.resources import Workspace
from foretell.predictors.schemas.examples import as_examples


@dg.asset(
    group_name="thinking_tokens",
    kinds={"parquet"},
    description="One row per run: what was known before the call, the tokens it took, and its split.",
)
def thinking_tokens_examples(request_traces: Table, workspace: Workspace) -> dg.MaterializeResult:
    examples = as_examples(token_examples(request_traces, learn_rows=workspace.learn_rows))
    return dg.MaterializeResult(
        value=examples,
        metadata={
            "queries": int(examples["query_id"].nunique()),
            "cells": int(examples["cell_id"].nunique()),
            "censored": int(examples["is_censored"].sum()),
            **{f"{split}_rows": int(n) for split, n in examples["split"].value_counts().items()},
        },
    )


ASSETS = [thinking_tokens_examples]
