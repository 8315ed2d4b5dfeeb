"""The report that people open: every family's error next to its noise floor, in one page."""

import dagster as dg
import pandas as pd

from assets.model_card import evaluation_markdown
from assets.resources import Workspace


@dg.asset(
    group_name="report",
    kinds={"markdown"},
    ins={
        "evaluation": dg.AssetIn("thinking_tokens_evaluation"),
        "registered": dg.AssetIn("thinking_tokens_registered_model"),
        "floors": dg.AssetIn("thinking_tokens_noise_floor"),
    },
    deps=["quarantine"],
    description="One row per predictor, split and metric of every family, with the version that consumers load.",
)
def forecast_report(
    evaluation: pd.DataFrame, registered: pd.DataFrame, floors: pd.DataFrame, workspace: Workspace
) -> dg.MaterializeResult:
    summary = evaluation[evaluation["segment"] == "all"].copy()
    summary["champion_version"] = registered["champion"].iloc[0]
    text = "\n\n".join(
        [
            "# State of the forecasts",
            f"Thinking tokens: {registered['uri'].iloc[0]} is version {registered['champion'].iloc[0]}. "
            f"Last decision: {registered['decision'].iloc[0]}",
            evaluation_markdown(summary),
            f"Segments with a known noise floor: {int(floors['noise_floor'].notna().sum())} of {len(floors)}.",
        ]
    )
    path = workspace.reports_path / "forecast_report.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n", "utf-8")
    return dg.MaterializeResult(
        value=summary, metadata={"report": dg.MetadataValue.md(text), "file": dg.MetadataValue.path(str(path))}
    )
