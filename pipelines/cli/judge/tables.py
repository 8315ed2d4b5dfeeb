"""Tables of errors and floors, on the screen and on a page."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from foretell.assets.judging.pipeline import main_segments
from foretell.assets.pages import Head, Section, page
from foretell.assets.registry.model_card import with_interval
from foretell.pipelines.cli.console import counted, out, percent, print_table

METRICS = ("crps", "mae")


def print_evaluation(evaluation: pd.DataFrame) -> None:
    """Error, floor, skill, coverage and excess of the predictor, by split and segment.

    Finer segments and the rows of the baselines are left to ``--json``.
    """
    shown = _shown_evaluation(evaluation)
    print_table(_evaluation_title(evaluation), list(shown.columns), shown.to_numpy().tolist(), n_keys=3)
    for line in _missing_floors(evaluation):
        out.print(line)


def evaluation_page(evaluation: pd.DataFrame) -> str:
    """The same as HTML."""
    shown, title = _shown_evaluation(evaluation), _evaluation_title(evaluation)
    return page(Head(title), [Section("By segment", table=shown, n_keys=3)], _missing_floors(evaluation))


def print_floors(floors: pd.DataFrame, *, title: str) -> None:
    """Every known floor with its interval and what it rests on, then the reasons why others are not known."""
    shown = _shown_floors(floors)
    print_table(title, list(shown.columns), shown.to_numpy().tolist(), n_keys=2)
    for reason, rows in floors[floors["noise_floor"].isna()].groupby("floor_source"):
        out.print(f"{counted(rows['segment'].nunique(), 'segment')}: {str(reason).removeprefix('none: ')}")


def floors_page(floors: pd.DataFrame, *, title: str) -> str:
    """The same as HTML."""
    return page(Head(title), [Section("By segment", table=_shown_floors(floors), n_keys=2)])


def _errors(evaluation: pd.DataFrame, metrics: Sequence[str] = METRICS) -> pd.DataFrame:
    """Rows of the predictor (the first of the table) on the main segments."""
    shown = evaluation[(evaluation["predictor"] == evaluation["predictor"].iloc[0]) & main_segments(evaluation)]
    rows: pd.DataFrame = shown[shown["metric"].isin(metrics)]
    return rows


def _evaluation_title(evaluation: pd.DataFrame) -> str:
    first = evaluation.iloc[0]
    against = f"{first['predictor']} against {first['baseline']}"
    return f"{first['family']} on {first['dataset']}: {against} (errors: lower is better)"


def _shown_evaluation(evaluation: pd.DataFrame) -> pd.DataFrame:
    coverage = _errors(evaluation, ["coverage_90"]).set_index(["split", "segment"])["value"]
    return pd.DataFrame([
        {
            "segment": row["segment"],
            "split": row["split"],
            "metric": row["metric"],
            "error": with_interval(row["value"], row["ci_lower"], row["ci_upper"]),
            "noise floor": with_interval(row["noise_floor"], row["floor_ci_lower"], row["floor_ci_upper"]),
            "skill": with_interval(row["skill"], row["skill_ci_lower"], row["skill_ci_upper"], digits=2),
            "cover 90 %": percent(coverage.get((row["split"], row["segment"]), float("nan")), 1),
            "queries": row["n_queries"],
            "excess": with_interval(row["excess_error"], row["excess_ci_lower"], row["excess_ci_upper"]),
            "baseline": with_interval(row["baseline_value"], float("nan"), float("nan")),
        }
        for row in _errors(evaluation).to_dict("records")
    ])  # fmt: skip


def _missing_floors(evaluation: pd.DataFrame) -> list[str]:
    errors = _errors(evaluation)
    lines = []
    for (metric, reason), rows in errors[errors["noise_floor"].isna()].groupby(["metric", "floor_source"]):
        segments = [f"{row.segment} ({row.split})" for row in rows.itertuples()]
        listed = ", ".join(segments[:3]) + (f" and {len(segments) - 3} more" if len(segments) > 3 else "")
        lines.append(f"no {metric} floor for {listed}: {str(reason).removeprefix('none: ')}")
    return lines


def _shown_floors(floors: pd.DataFrame) -> pd.DataFrame:
    columns = ("segment", "metric", "noise floor", "queries", "runs", "how")
    rows = [
        (
            row["segment"],
            row["metric"],
            with_interval(row["noise_floor"], row["floor_ci_lower"], row["floor_ci_upper"]),
            row["n_queries"],
            row["n_replicates"],
            row["floor_source"],
        )
        for row in floors[floors["noise_floor"].notna()].to_dict("records")
    ]
    return pd.DataFrame(rows, columns=list(columns))
