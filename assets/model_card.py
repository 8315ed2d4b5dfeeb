"""The model card of a registered version: what it was fitted on, how good it is, what it is not for."""

from __future__ import annotations

import pandas as pd

from assets.family import FamilyPipeline, FittedFamily

LIMITS = {
    "thinking_tokens": (
        "Forecasts are only as good as the traces behind them: a model, a configuration or a kind of prompt that "
        "was not seen in training is forecast from what it has in common with those that were, with wide intervals. "
        "The bundled starter data is one tiny local model and is no evidence about large ones."
    )
}


def model_card(pipeline: FamilyPipeline, fitted: FittedFamily, examples: pd.DataFrame, evaluation: pd.DataFrame) -> str:
    """Markdown: data, error by segment next to its floor, calibration, limits, licence."""
    learn = examples[examples["split"] != "test"]
    lines = [
        f"# {pipeline.family}: {type(fitted.predictor).__name__}",
        "",
        f"Forecasts {pipeline.unit}.",
        "",
        f"- fit `{fitted.digest}` on {len(learn)} runs of {learn['query_id'].nunique()} queries "
        f"(data `{fitted.data_digest[:12]}`); judged on "
        f"{examples.loc[examples['split'] == 'test', 'query_id'].nunique()} queries it never saw",
        f"- models: {', '.join(sorted(examples['model'].unique())[:20])}",
        f"- skill is measured against the baseline `{pipeline.reference}`",
        "- licence of the code: Apache-2.0; the data is yours, or as its README says",
        "",
        "## Error and noise floor",
        "",
        evaluation_markdown(evaluation[evaluation["segment"].eq("all") | evaluation["metric"].eq("crps")]),
        "",
        "## Limits",
        "",
        LIMITS.get(pipeline.family, ""),
    ]
    return "\n".join(lines) + "\n"


def evaluation_markdown(evaluation: pd.DataFrame) -> str:
    """The Evaluation table as Markdown, each number with its interval; lower errors are better."""
    head = "| split | segment | predictor | metric | error | noise floor | excess | skill | queries |"
    lines = [head, "|---|---|---|---|---|---|---|---|---|"]
    for row in evaluation.to_dict("records"):
        has_floor = pd.notna(row["noise_floor"])
        cells = [
            row["split"],
            row["segment"],
            row["predictor"],
            row["metric"],
            with_interval(row["value"], row["ci_lower"], row["ci_upper"]),
            with_interval(row["noise_floor"], row["floor_ci_lower"], row["floor_ci_upper"])
            if has_floor
            else row["floor_source"],
            with_interval(row["excess_error"], row["excess_ci_lower"], row["excess_ci_upper"]),
            with_interval(row["skill"], row["skill_ci_lower"], row["skill_ci_upper"]),
            row["n_queries"],
        ]
        lines.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    return "\n".join(lines)


def with_interval(value: float, lower: float, upper: float, digits: int = 3) -> str:
    """``0.412 [0.380, 0.444]``; a dash where there is no number."""
    if pd.isna(value):
        return "-"
    if pd.isna(lower) or pd.isna(upper):
        return f"{value:.{digits}f}"
    return f"{value:.{digits}f} [{lower:.{digits}f}, {upper:.{digits}f}]"
