"""Errors and floors as people read them."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from foretell.assets.judging.pipeline import main_segments
from foretell.assets.pages import MAX_ROWS, Page, Section
from foretell.assets.registry.model_card import with_interval
from foretell.pipelines.cli.console import counted, percent

METRICS = ("crps", "mae")


def intervals(table: pd.DataFrame, value: str, lower: str, upper: str, digits: int = 3) -> list[str]:
    """Each row's `value` with its interval, by the names of the columns."""
    columns = (table[name].astype("float64") for name in (value, lower, upper))
    return [with_interval(number, low, high, digits) for number, low, high in zip(*columns, strict=True)]


def evaluation_page(evaluation: pd.DataFrame) -> Page:
    """Error, floor, skill, coverage and excess of the predictor, by split and segment, and where there is no floor.

    Finer segments and the rows of the baselines are left to ``--json``.
    """
    first, errors = evaluation.iloc[0], _errors(evaluation)
    coverage = _errors(evaluation, ["coverage_90"]).set_index(["split", "segment"])["value"]
    cells: dict[str, Any] = {
        "error": intervals(errors, "value", "ci_lower", "ci_upper"),
        "noise floor": intervals(errors, "noise_floor", "floor_ci_lower", "floor_ci_upper"),
        "skill": intervals(errors, "skill", "skill_ci_lower", "skill_ci_upper", digits=2),
        "cover 90 %": [percent(coverage.get(key, float("nan")), 1)
                       for key in zip(errors["split"], errors["segment"], strict=True)],
        "queries": errors["n_queries"],
        "excess": intervals(errors, "excess_error", "excess_ci_lower", "excess_ci_upper"),
        "baseline": errors["baseline_value"].map("{:.3f}".format).replace("nan", "-"),
    }  # fmt: skip
    shown = errors[["segment", "split", "metric"]].assign(**cells)
    title = f"{first['family']} on {first['dataset']}: {first['predictor']} against {first['baseline']}"
    sections = [Section(table=shown, n_keys=3, n_on_screen=MAX_ROWS)]
    return Page(f"{title} (errors: lower is better)", sections, remarks=_missing_floors(errors))


def floors_page(floors: pd.DataFrame, *, title: str) -> Page:
    """Every known floor with its interval and what it rests on, then the reasons why others are not known."""
    is_known = floors["noise_floor"].notna()
    rows = floors[is_known]
    shown = pd.DataFrame({
        "segment": rows["segment"], "metric": rows["metric"],
        "noise floor": intervals(rows, "noise_floor", "floor_ci_lower", "floor_ci_upper"),
        "queries": rows["n_queries"], "runs": rows["n_replicates"], "how": rows["floor_source"],
    })  # fmt: skip
    reasons = [
        f"{counted(rows['segment'].nunique(), 'segment')}: {str(reason).removeprefix('none: ')}"
        for reason, rows in floors[~is_known].groupby("floor_source")
    ]
    if rows.empty:
        return Page(title, answer=[f"{title}: none is known"], remarks=reasons)
    return Page(title, [Section(table=shown, n_keys=2, n_on_screen=MAX_ROWS)], remarks=reasons)


def _errors(evaluation: pd.DataFrame, metrics: Sequence[str] = METRICS) -> pd.DataFrame:
    """Rows of the predictor (the first of the table) on the main segments."""
    is_first = evaluation["predictor"] == evaluation["predictor"].iloc[0]
    errors: pd.DataFrame = evaluation[is_first & main_segments(evaluation) & evaluation["metric"].isin(metrics)]
    return errors


def _missing_floors(errors: pd.DataFrame) -> list[str]:
    lines = []
    for (metric, reason), rows in errors[errors["noise_floor"].isna()].groupby(["metric", "floor_source"]):
        segments = [f"{row.segment} ({row.split})" for row in rows.itertuples()]
        listed = ", ".join(segments[:3]) + (f" and {len(segments) - 3} more" if len(segments) > 3 else "")
        lines.append(f"no {metric} floor for {listed}: {str(reason).removeprefix('none: ')}")
    return lines
