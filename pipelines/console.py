"""How the command line shows tables to people and to programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence

import pandas as pd
from rich.console import Console
from rich.table import Table

from assets.family import main_segments
from assets.model_card import with_interval

__all__ = ["out", "print_evaluation", "print_floors", "print_json", "print_table", "say"]

# A pipe or a log has no width of its own; eighty columns would fold the tables.
_WIDTH = None if sys.stdout.isatty() else 200
out = Console(highlight=False, width=_WIDTH)
_progress = Console(stderr=True, highlight=False, soft_wrap=True)


def say(message: str) -> None:
    """Progress and remarks go to standard error; standard output is for results."""
    _progress.print(message, markup=False)


def print_json(rows: pd.DataFrame | Iterable[dict[str, object]]) -> None:
    """One JSON object a line; NaN becomes null."""
    records = json.loads(rows.to_json(orient="records", date_format="iso")) if isinstance(rows, pd.DataFrame) else rows
    for record in records:
        sys.stdout.write(json.dumps(record, ensure_ascii=False, default=str) + "\n")


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], *, no_wrap: bool = False) -> None:
    """A table for people; with `no_wrap` only the first two columns, which hold names, break lines."""
    table = Table(title=title, title_justify="left", title_style="bold", header_style="bold")
    for index, column in enumerate(columns):
        table.add_column(
            column, justify="left" if index == 0 else "right", overflow="fold", no_wrap=no_wrap and index > 1
        )
    for row in rows:
        table.add_row(*[str(cell) for cell in row])
    out.print(table)


def print_evaluation(evaluation: pd.DataFrame, *, metrics: Sequence[str] = ("crps", "mae")) -> None:
    """Error, floor, excess, skill and coverage of the predictor, by split and segment.

    Finer segments and the rows of the baselines are left to ``--json``.
    """
    name = evaluation["predictor"].iloc[0]
    shown = evaluation[(evaluation["predictor"] == name) & main_segments(evaluation)]
    coverage = shown[shown["metric"] == "coverage_90"].set_index(["split", "segment"])["value"]
    errors = shown[shown["metric"].isin(metrics)]
    first = shown.iloc[0]
    print_table(
        f"{first['family']} on {first['dataset']}: {name} against {first['baseline']} (errors: lower is better)",
        ("segment", "split", "metric", "error", "noise floor", "excess", "baseline", "skill", "cover 90 %", "queries"),
        [
            (
                row["segment"],
                row["split"],
                row["metric"],
                with_interval(row["value"], row["ci_lower"], row["ci_upper"]),
                with_interval(row["noise_floor"], row["floor_ci_lower"], row["floor_ci_upper"]),
                with_interval(row["excess_error"], row["excess_ci_lower"], row["excess_ci_upper"]),
                with_interval(row["baseline_value"], float("nan"), float("nan")),
                with_interval(row["skill"], row["skill_ci_lower"], row["skill_ci_upper"], digits=2),
                f"{coverage.get((row['split'], row['segment']), float('nan')):.1%}",
                row["n_queries"],
            )
            for row in errors.to_dict("records")
        ],
        no_wrap=True,
    )
    for (metric, reason), found in errors[errors["noise_floor"].isna()].groupby(["metric", "floor_source"]):
        segments = [f"{row.segment} ({row.split})" for row in found.itertuples()]
        listed = ", ".join(segments[:3]) + (f" and {len(segments) - 3} more" if len(segments) > 3 else "")
        out.print(f"no {metric} floor for {listed}: {str(reason).removeprefix('none: ')}", markup=False)


def print_floors(floors: pd.DataFrame, *, title: str) -> None:
    """Every known floor with its interval and what it rests on, then the reasons why others are not known."""
    known = floors[floors["noise_floor"].notna()]
    print_table(
        title,
        ("segment", "metric", "noise floor", "how", "queries", "runs"),
        [
            (
                row["segment"],
                row["metric"],
                with_interval(row["noise_floor"], row["floor_ci_lower"], row["floor_ci_upper"]),
                row["floor_source"],
                row["n_queries"],
                row["n_replicates"],
            )
            for row in known.to_dict("records")
        ],
        no_wrap=True,
    )
    for reason, found in floors[floors["noise_floor"].isna()].groupby("floor_source"):
        out.print(f"{found['segment'].nunique()} segments: {str(reason).removeprefix('none: ')}", markup=False)
