"""What every report is: a table, more tables behind it, and findings in words; and its Dagster asset."""

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from foretell.assets.engine import Table
from foretell.assets.store.markdown import markdown

if TYPE_CHECKING:
    import dagster as dg
    from matplotlib.figure import Figure

    from foretell.assets.resources import Workspace

ROWS_IN_METADATA = 30
MOST_LINES = 40
"""Findings, and reasons, of a report: there may be one for each model or benchmark."""


@dataclass(frozen=True)
class Report:
    """A report about request traces.

    `table` is what the asset keeps, empty where the data cannot answer; `more` holds further tables by title;
    `findings` say what it comes to, `reasons` why something is missing, a sentence each.
    """

    table: pd.DataFrame
    more: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    findings: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class ReportSpec:
    """One kind of report: its name, what a row of its table is, how it is made and drawn.

    `make` takes the curated traces, the user's price file and, where it `reads_home`, the home folder; `plot` names the
    function of `foretell.predictors.plots.reports` that draws its table, `drawn` which rows of it (None: all).
    """

    name: str
    title: str
    grain: str
    make: Callable[..., Report]
    plot: str
    reads_home: bool = False
    drawn: Callable[[pd.DataFrame], pd.Series] | None = None
    asset: str = ""

    @property
    def asset_name(self) -> str:
        """Of its table: `asset`, by default ``<name>_report``."""
        return self.asset or f"{self.name}_report"

    def report(self, traces: pd.DataFrame | Table, price_file: Path | None, home: Path) -> Report:
        """The report, made of what it reads."""
        made = self.make(traces, price_file, home) if self.reads_home else self.make(traces, price_file)
        return replace(made, findings=_first(made.findings), reasons=_first(made.reasons))

    def draw(self, report: Report) -> "Figure | None":
        """The figure of a report; None where nothing is to be drawn: an empty figure says nothing."""
        from foretell.predictors.plots import reports

        if report.table.empty or not (self.drawn is None or self.drawn(report.table).any()):
            return None
        figure: Figure = getattr(reports, self.plot)(report.table).figure
        return figure


def _first(lines: tuple[str, ...]) -> tuple[str, ...]:
    """At most `MOST_LINES` sentences, the last of which says how many there are more."""
    more = len(lines) - MOST_LINES
    return lines if more <= 0 else (*lines[:MOST_LINES], f"And {more:,} more of this kind; see the table.")


def build_report_asset(spec: ReportSpec) -> "dg.AssetsDefinition":
    """The asset of a report: reads `request_traces`, keeps the table, shows findings and figure."""
    import dagster as dg  # a second that workers and the command line need not wait

    from foretell.assets.resources import Workspace

    @dg.asset(name=spec.asset_name, group_name="report", kinds={"parquet"}, description=spec.grain)
    def report(context: dg.AssetExecutionContext, request_traces: Table, workspace: Workspace) -> dg.MaterializeResult:
        made, figure = _made(spec, request_traces, workspace, context.log)
        metadata: dict[str, dg.MetadataValue] = {
            "findings": dg.MetadataValue.md("\n".join(f"- {line}" for line in (*made.findings, *made.reasons)) or "-"),
            "rows": dg.MetadataValue.int(len(made.table)),
            "table": dg.MetadataValue.md(markdown(made.table.head(ROWS_IN_METADATA))),
        }
        if figure is not None:
            path = workspace.root / "reports" / f"{spec.asset_name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            figure.savefig(path, dpi=110)
            encoded = base64.b64encode(path.read_bytes()).decode()
            metadata["plot"] = dg.MetadataValue.md(f"![{path.stem}](data:image/png;base64,{encoded})")
        # A table without columns is none: where there is no answer, its reasons are the table.
        answered = len(made.table.columns) > 0
        table = made.table if answered else pd.DataFrame({"reason": pd.Series(made.reasons, dtype="str")})
        return dg.MaterializeResult(value=table, metadata=metadata)

    return report


def _made(
    spec: ReportSpec, traces: Table, workspace: "Workspace", log: "dg.DagsterLogManager"
) -> "tuple[Report, Figure | None]":
    """The report and its figure; what went wrong is the reason of an empty report, and stands in full in the log.

    Any error is caught: people read a report and nothing is computed from it, so none is worth the models of a night,
    which are registered in the same run.
    """
    try:
        made = spec.report(traces, workspace.price_path, workspace.root)
        return made, spec.draw(made)
    except Exception as error:
        log.exception(f"the report {spec.name} could not be made")
        reason = (
            f"This report could not be made: {type(error).__name__}: {error}; the lines are in the log of this run."
        )
        return Report(pd.DataFrame(), reasons=(reason,)), None
