"""The model card of a registered version: what it was fitted on, how good it is, what it is not for."""

from __future__ import annotations

import pandas as pd

from assets.family import FamilyPipeline, FittedFamily

LIMITS = {
    "thinking_tokens": (
        "Forecasts are only as good as the traces behind them: a model, a configuration or a kind of prompt that "
        "was not seen in training is forecast from what it has in common with those that were, with wide intervals. "
        "The bundled starter data is one tiny local model and is no evidence about large ones."
    ),
    "benchmark_scores": (
        "Scores of benchmarks are forecast from their description and from models with known scores; a benchmark that "
        "leaked into training data, or of a kind that no known benchmark has, is outside of what was measured."
    ),
    "learning_curves": (
        "A curve is extrapolated from its beginning: what has no sign there (a change of the learning rate, new data) "
        "cannot be forecast."
    ),
    "downstream_scaling": (
        "Scores of large models are extrapolated from small ones of the same ladder; abilities without any sign in the "
        "ladder are outside of what was measured."
    ),
}
COVERAGES = ("coverage_50", "coverage_80", "coverage_90", "coverage_95")


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
        *_span(examples),
        f"- skill is measured against the baseline `{pipeline.reference}`",
        "- licence of the code: Apache-2.0; the data is yours, or as its README says",
        "",
        "## Error and noise floor",
        "",
        evaluation_markdown(evaluation[evaluation["segment"].eq("all") | evaluation["metric"].eq("crps")]),
        "",
        "## Calibration",
        "",
        *_calibration(fitted, evaluation),
        "",
        "## Limits",
        "",
        LIMITS.get(pipeline.family, ""),
    ]
    return "\n".join(lines) + "\n"


def _span(examples: pd.DataFrame) -> list[str]:
    """What the data are about: models and days, where they are known."""
    lines = []
    if "model" in examples:
        names = sorted(examples["model"].dropna().astype(str).unique())
        more = f" and {len(names) - 20} more" if len(names) > 20 else ""
        lines.append(f"- models: {', '.join(names[:20])}{more}")
    if "started_at" in examples and examples["started_at"].notna().any():
        first, last = examples["started_at"].min(), examples["started_at"].max()
        lines.append(f"- runs from {first:%Y-%m-%d} to {last:%Y-%m-%d}")
    return lines


def _calibration(fitted: FittedFamily, evaluation: pd.DataFrame) -> list[str]:
    """How often the intervals held the outcome of queries the fit never saw."""
    own = (evaluation["predictor"] == type(fitted.predictor).__name__) & (evaluation["segment"] == "all")
    rows = evaluation[own & (evaluation["split"] == "test") & evaluation["metric"].isin(COVERAGES)]
    lines = [
        f"- the {row['metric'].removeprefix('coverage_')} % interval held the outcome in "
        f"{with_interval(100 * row['value'], 100 * row['ci_lower'], 100 * row['ci_upper'], 1)} % of runs"
        for row in rows.to_dict("records")
    ]
    return lines or ["No interval was evaluated."]


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
