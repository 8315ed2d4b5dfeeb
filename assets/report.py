"""The report that people open: every family's error next to its noise floor, in one page."""

import base64
import html
from collections.abc import Iterator, Sequence
from pathlib import Path

import dagster as dg
import pandas as pd

from assets.io import read_table
from assets.model_card import evaluation_markdown, with_interval
from assets.resources import Workspace

STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:75rem;margin:2rem auto;padding:0 1rem;color:#222}
table{border-collapse:collapse;margin:1rem 0}td,th{padding:.25rem .7rem;border-bottom:1px solid #ddd;text-align:right}
td:first-child,th:first-child{text-align:left}img{max-width:48%;margin:.3rem}p.why{background:#f4f6f8;padding:.7rem}"""
COLUMNS = ("split", "metric", "error", "noise floor", "excess", "skill", "queries")


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
        parts = list(_sections(families, Path(workspace.home) / "lake"))
        summary = pd.concat([part.summary for part in parts], ignore_index=True)
        text = "\n\n".join(["# State of the forecasts", *(part.markdown for part in parts)])
        folder = workspace.reports_path
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "forecast_report.md").write_text(text + "\n", "utf-8")
        page = folder / "forecast_report.html"
        page.write_text(_page(parts, folder), "utf-8")
        metadata: dict[str, dg.MetadataValue] = {
            "report": dg.MetadataValue.md(text),
            "page": dg.MetadataValue.path(str(page)),
            "families": dg.MetadataValue.int(len(parts)),
        }
        return dg.MaterializeResult(value=summary, metadata=metadata)

    return forecast_report


class _Section:
    """What one family has to say."""

    def __init__(self, family: str, lake: Path) -> None:
        evaluation, registered = (read_table(lake, f"{family}_{name}") for name in ("evaluation", "registered_model"))
        floors = read_table(lake, f"{family}_noise_floor")
        row = registered.iloc[0]
        self.family = family
        self.summary = evaluation[evaluation["segment"] == "all"].copy()
        self.summary["champion_version"] = row["champion"]
        self.champion = "none yet" if pd.isna(row["champion"]) else f"version {int(row['champion'])}"
        self.decision = str(row["decision"])
        self.known = f"{int(floors['noise_floor'].notna().sum())} of {len(floors)}"

    @property
    def markdown(self) -> str:
        return "\n\n".join(
            [
                f"## {self.family}\n\nChampion: {self.champion}. Last decision: {self.decision}",
                evaluation_markdown(self.summary),
                f"Segments with a known noise floor: {self.known}.",
            ]
        )

    @property
    def html(self) -> str:
        own = self.summary[self.summary["predictor"] == self.summary["predictor"].iloc[0]]
        rows = "".join(
            "<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in cells) + "</tr>" for cells in _cells(own)
        )
        head = "".join(f"<th>{name}</th>" for name in COLUMNS)
        return (
            f"<h2>{html.escape(self.family)}</h2><p>Champion: {self.champion}.</p>"
            f"<p class=why>{html.escape(self.decision)}</p><table><tr>{head}</tr>{rows}</table>"
            f"<p>Segments with a known noise floor: {self.known}. Errors: lower is better.</p>"
        )


def _sections(families: Sequence[str], lake: Path) -> Iterator[_Section]:
    for family in families:
        try:
            yield _Section(family, lake)
        except FileNotFoundError:
            continue  # it has a cadence of its own and has not run yet


def _cells(rows: pd.DataFrame) -> Iterator[tuple[object, ...]]:
    for row in rows.to_dict("records"):
        floor = with_interval(row["noise_floor"], row["floor_ci_lower"], row["floor_ci_upper"])
        yield (
            row["split"],
            row["metric"],
            with_interval(row["value"], row["ci_lower"], row["ci_upper"]),
            row["floor_source"] if floor == "-" else floor,
            with_interval(row["excess_error"], row["excess_ci_lower"], row["excess_ci_upper"]),
            with_interval(row["skill"], row["skill_ci_lower"], row["skill_ci_upper"]),
            row["n_queries"],
        )


def _page(parts: Sequence[_Section], folder: Path) -> str:
    """One file without anything beside it, so that it can be sent."""
    body = "".join(part.html + "".join(_images(folder, part.family)) for part in parts)
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><title>State of the forecasts</title>"
        f"<style>{STYLE}</style><h1>State of the forecasts</h1>{body}</html>\n"
    )


def _images(folder: Path, family: str) -> Iterator[str]:
    for path in sorted(folder.glob(f"{family}_*.png")):
        encoded = base64.b64encode(path.read_bytes()).decode()
        yield f'<img alt="{html.escape(path.stem)}" src="data:image/png;base64,{encoded}">'
