"""The report that people open: every family's error next to its noise floor, in one page."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import pandas as pd

from foretell.assets.judging.pipeline import main_segments
from foretell.assets.pages import Page, Section
from foretell.assets.registry.model_card import evaluation_cells
from foretell.assets.resources import Workspace
from foretell.assets.store.io import read_table
from foretell.assets.store.markdown import markdown

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure

DRAWN_NIGHTS = 120


def build_report(families: Sequence[str]) -> dg.AssetsDefinition:
    """The report over the families that are wired; one that has not run yet is left out."""

    @dg.asset(
        group_name="report",
        kinds={"markdown"},
        owners=["team:forecasts"],
        deps=["quarantine", *(f"{family}_drift" for family in families)],
        description="One row per predictor, split and metric of every family, with the version that consumers load.",
    )
    def forecast_report(workspace: Workspace) -> dg.MaterializeResult:
        parts = list(_sections(families, workspace.root / "lake"))
        summary = pd.concat([part.summary for part in parts], ignore_index=True)
        text = "\n\n".join(["# State of the forecasts", *(part.markdown for part in parts)])
        folder = workspace.root / "reports"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "forecast_report.md").write_text(text + "\n", "utf-8")
        file = folder / "forecast_report.html"
        file.write_text(report_page(parts), "utf-8")
        metadata: dict[str, dg.MetadataValue] = {
            "report": dg.MetadataValue.md(text),
            "page": dg.MetadataValue.path(str(file)),
            "families": dg.MetadataValue.int(len(parts)),
        }
        return dg.MaterializeResult(value=summary, metadata=metadata)

    return forecast_report


class FamilyState:
    """What one family has to say, from its tables in the lake."""

    def __init__(self, family: str, lake: Path) -> None:
        self.evaluation, registered, self.floors = (
            read_table(lake, f"{family}_{name}") for name in ("evaluation", "registered_model", "noise_floor")
        )
        row = registered.iloc[0]
        self.family = family
        self.summary = self.evaluation[self.evaluation["segment"] == "all"].copy()
        self.summary["champion_version"] = row["champion"]
        self.champion = "none yet" if pd.isna(row["champion"]) else f"version {int(row['champion'])}"
        self.decision = str(row["decision"])
        self.known = f"{int(self.floors['noise_floor'].notna().sum())} of {len(self.floors)}"
        try:
            self.nights = read_table(lake, f"{family}_drift")
        except FileNotFoundError:
            self.nights = pd.DataFrame()

    @property
    def markdown(self) -> str:
        return "\n\n".join(
            [
                f"## {self.family}\n\nChampion: {self.champion}. Last decision: {self.decision}",
                markdown(evaluation_cells(self.summary)),
                f"Segments with a known noise floor: {self.known}.",
            ]
        )

    @property
    def sections(self) -> Iterator[Section]:
        """The family on the page: its state and errors, then its figures, those that say something."""
        from foretell.predictors.plots import evaluations as plots

        own = self.summary[self.summary["predictor"] == self.summary["predictor"].iloc[0]]
        facts = [self.decision, f"Segments with a known noise floor: {self.known}. Errors: lower is better."]
        cells = evaluation_cells(own).drop(columns=["segment", "predictor"]).astype(str)
        yield Section(f"{self.family}: champion {self.champion}", facts, cells, n_keys=2)
        evaluation, floors = (table[main_segments(table)] for table in (self.evaluation, self.floors))
        if (evaluation["metric"] == "crps").any():
            yield self._folded("error by segment, next to its floor", plots.plot_error_by_segment(evaluation).figure)
        if floors.loc[floors["metric"] == "crps", "noise_floor"].notna().any():
            yield self._folded("noise floor by segment", plots.plot_floor_by_segment(floors).figure)
        if len(self.nights) > 1 and self.nights["excess"].notna().sum() > 1:
            yield self._folded("excess by night", plots.plot_drift(self.nights.tail(DRAWN_NIGHTS)).figure)

    def _folded(self, title: str, figure: "Figure | SubFigure") -> Section:
        return Section(f"{self.family}: {title}", figure=figure, is_folded=True)


def _sections(families: Sequence[str], lake: Path) -> Iterator[FamilyState]:
    for family in families:
        try:
            yield FamilyState(family, lake)
        except FileNotFoundError:
            continue  # it has a cadence of its own and has not run yet


def report_page(parts: Sequence[FamilyState]) -> str:
    """One file without anything beside it, so that it can be sent."""
    answer = [f"{sum(part.champion != 'none yet' for part in parts)} of {len(parts)} families have a champion."]
    asked = (
        f"As of {datetime.now(UTC):%Y-%m-%d %H:%M} UTC: which version answers, how wrong it is, and by how much noise."
    )
    method = ["Every error stands next to its noise floor, the error that no forecast can remove; 95 % intervals."]
    sections = [section for part in parts for section in part.sections]
    return Page("State of the forecasts", sections, asked, answer=answer, method=method).html()
