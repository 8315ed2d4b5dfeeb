"""The model card of a registered version: what it was fitted on, how good it is, what it is not for."""

import pandas as pd

from foretell.assets.judging.family import Family
from foretell.assets.judging.pipeline import FittedFamily
from foretell.assets.store.markdown import markdown
from foretell.predictors.schemas.examples import has_days

MOST_ROWS = 500
"""Of the errors: a card is read, and the store keeps it beside every version."""
COVERAGES = ("coverage_50", "coverage_80", "coverage_90", "coverage_95")


def model_card(family: Family, fitted: FittedFamily, examples: pd.DataFrame, evaluation: pd.DataFrame) -> str:
    """Markdown: data, error by segment next to its floor, calibration, limits, licence."""
    learn = examples[examples["split"] != "test"]
    lines = [
        f"# {family.name}: {type(fitted.predictor).__name__}",
        "",
        f"Forecasts {family.unit}.",
        "",
        f"- fit `{fitted.digest}` on {len(learn)} runs of {learn['query_id'].nunique()} queries "
        f"(data `{fitted.data_digest[:12]}`); judged on "
        f"{examples.loc[examples['split'] == 'test', 'query_id'].nunique()} queries it never saw",
        *_basis(family, fitted),
        *_span(examples),
        f"- skill is measured against the baseline `{family.reference}`",
        "- licence of the code: Apache-2.0; the data is yours, or as its README says",
        "",
        "## Error and noise floor",
        "",
        *_errors(evaluation[evaluation["segment"].eq("all") | evaluation["metric"].eq("crps")]),
        "",
        "## Calibration",
        "",
        *_calibration(family, fitted, evaluation),
        "",
        "## Limits",
        "",
        family.limits,
    ]
    return "\n".join(lines) + "\n"


def _errors(rows: pd.DataFrame) -> list[str]:
    more = len(rows) - MOST_ROWS
    table = markdown(evaluation_cells(rows.head(MOST_ROWS)))
    return [table] if more <= 0 else [table, "", f"{more:,} more rows stand in the evaluation of the version's run."]


def _basis(family: Family, fitted: FittedFamily) -> list[str]:
    """A line where the version is no predictor of the family but its baseline."""
    if fitted.predictor is not fitted.baselines.get(family.reference):
        return []
    return [
        f"- basis: baseline. This is `{family.reference}`, the reference of the family, in service until a version of "
        "its predictor is better by more than luck"
    ]


def _span(examples: pd.DataFrame) -> list[str]:
    """What the data are about: models and days, where they are known."""
    lines = []
    if "model" in examples:
        names = sorted(examples["model"].dropna().astype(str).unique())
        more = f" and {len(names) - 20} more" if len(names) > 20 else ""
        lines.append(f"- models: {', '.join(names[:20])}{more}")
    if has_days(examples):
        first, last = examples["started_at"].min(), examples["started_at"].max()
        lines.append(f"- runs from {first:%Y-%m-%d} to {last:%Y-%m-%d}")
    return lines


def _calibration(family: Family, fitted: FittedFamily, evaluation: pd.DataFrame) -> list[str]:
    """How often the intervals held the outcome of queries the fit never saw."""
    of_predictor = (evaluation["predictor"] == type(fitted.predictor).__name__) & (evaluation["segment"] == "all")
    rows = evaluation[of_predictor & (evaluation["split"] == family.held_out) & evaluation["metric"].isin(COVERAGES)]
    lines = [
        f"- the {row['metric'].removeprefix('coverage_')} % interval held the outcome in "
        f"{with_interval(100 * row['value'], 100 * row['ci_lower'], 100 * row['ci_upper'], 1)} % of runs"
        for row in rows.to_dict("records")
    ]
    return lines or ["No interval was evaluated."]


def evaluation_cells(evaluation: pd.DataFrame) -> pd.DataFrame:
    """The Evaluation table as text, each number with its interval; lower errors are better."""
    return pd.DataFrame([
        {
            **{name: row[name] for name in ("split", "segment", "predictor", "metric")},
            "error": with_interval(row["value"], row["ci_lower"], row["ci_upper"]),
            "noise floor": with_interval(row["noise_floor"], row["floor_ci_lower"], row["floor_ci_upper"])
            if pd.notna(row["noise_floor"])
            else row["floor_source"],
            "excess": with_interval(row["excess_error"], row["excess_ci_lower"], row["excess_ci_upper"]),
            "skill": with_interval(row["skill"], row["skill_ci_lower"], row["skill_ci_upper"]),
            "queries": row["n_queries"],
        }
        for row in evaluation.to_dict("records")
    ])  # fmt: skip


def with_interval(value: float, lower: float, upper: float, digits: int = 3) -> str:
    """``0.412 [0.380, 0.444]``; a dash where there is no number."""
    if pd.isna(value):
        return "-"
    if pd.isna(lower) or pd.isna(upper):
        return f"{value:.{digits}f}"
    return f"{value:.{digits}f} [{lower:.{digits}f}, {upper:.{digits}f}]"
