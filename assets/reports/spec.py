"""What every report is: a table, more tables behind it, and findings in words; and its Dagster asset."""

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import numpy as np
import pandas as pd

from foretell.assets.engine import Table
from foretell.assets.resources import Workspace
from foretell.assets.store.markdown import markdown
from foretell.assets.store.money import percent
from foretell.predictors.errors import InvalidInputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROWS_IN_METADATA = 30
MAX_CENSORED = 0.05


@dataclass(frozen=True)
class Report:
    """A report about request traces.

    Attributes
    ----------
    table : DataFrame
        The main table, which the asset keeps. Empty where the data cannot answer.
    more : mapping of str to DataFrame
        Further tables by title.
    findings : tuple of str
        What it comes to, a sentence each.
    reasons : tuple of str
        Why something is missing, a sentence each.
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

    def report(self, traces: pd.DataFrame | Table, price_file: Path | None, home: Path) -> Report:
        """The report, made of what it reads."""
        return self.make(traces, price_file, home) if self.reads_home else self.make(traces, price_file)

    def draw(self, report: Report) -> "Figure | None":
        """The figure of a report; None where nothing is to be drawn: an empty figure says nothing."""
        from foretell.predictors.plots import reports

        if report.table.empty or not (self.drawn is None or self.drawn(report.table).any()):
            return None
        figure: Figure = getattr(reports, self.plot)(report.table).figure
        return figure


def build_report_asset(spec: ReportSpec) -> dg.AssetsDefinition:
    """The asset of a report: reads `request_traces`, keeps the table, shows findings and figure."""

    @dg.asset(name=f"{spec.name}_report", group_name="report", kinds={"parquet"}, description=spec.grain)
    def report(context: dg.AssetExecutionContext, request_traces: Table, workspace: Workspace) -> dg.MaterializeResult:
        made, figure = _made(spec, request_traces, workspace, context.log)
        metadata: dict[str, dg.MetadataValue] = {
            "findings": dg.MetadataValue.md("\n".join(f"- {line}" for line in (*made.findings, *made.reasons)) or "-"),
            "rows": dg.MetadataValue.int(len(made.table)),
            "table": dg.MetadataValue.md(markdown(made.table.head(ROWS_IN_METADATA))),
        }
        if figure is not None:
            path = workspace.reports_path / f"{spec.name}_report.png"
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
    spec: ReportSpec, traces: Table, workspace: Workspace, log: dg.DagsterLogManager
) -> "tuple[Report, Figure | None]":
    """The report and its figure; what went wrong is the reason of an empty report, and stands in full in the log.

    Any error is caught: people read a report and nothing is computed from it, so none is worth the models of a night,
    which are registered in the same run.
    """
    try:
        made = spec.report(traces, workspace.price_path, Path(workspace.home))
        return made, spec.draw(made)
    except Exception as error:
        log.exception(f"the report {spec.name} could not be made")
        reason = (
            f"This report could not be made: {type(error).__name__}: {error}; the lines are in the log of this run."
        )
        return Report(pd.DataFrame(), reasons=(reason,)), None


def price_runs(traces: pd.DataFrame, price_file: Path | None) -> pd.DataFrame:
    """Runs with the rates of their model and what each part of them costs, null where that is not known.

    Returns
    -------
    DataFrame
        `traces` and the columns `usd_per_input_token`, `usd_per_output_token`, `listed_usd_per_mtok`
        (input + output), `input_usd`, `thinking_usd`, `answer_usd` (null where reasoning is not reported),
        `total_usd`: tokens times rate, without cache and batch discounts, so that models are compared by list; and
        `is_estimated` where the input tokens are.
    """
    from foretell.predictors.thinking_tokens.prices.cost import estimated_input_tokens, request_rates

    inputs = estimated_input_tokens(traces)
    rates = request_rates(traces.assign(input_tokens=inputs), price_file=price_file)
    runs = traces.assign(
        usd_per_input_token=rates["input"].to_numpy(),
        usd_per_output_token=rates["output"].to_numpy(),
        benchmark=traces["benchmark"].fillna("(none)"),
        is_estimated=traces["input_tokens"].isna().to_numpy() & ~np.isnan(inputs),
    )
    runs["listed_usd_per_mtok"] = 1e6 * (runs["usd_per_input_token"] + runs["usd_per_output_token"])
    tokens = {name: traces[name].astype("float64") for name in ("output_tokens", "reasoning_tokens")}
    runs["input_tokens"] = inputs
    runs["input_usd"] = runs["usd_per_input_token"] * inputs
    runs["thinking_usd"] = runs["usd_per_output_token"] * tokens["reasoning_tokens"]
    runs["answer_usd"] = runs["usd_per_output_token"] * (tokens["output_tokens"] - tokens["reasoning_tokens"])
    runs["total_usd"] = runs["input_usd"] + runs["usd_per_output_token"] * tokens["output_tokens"]
    return runs


def priced_reasons(models: pd.DataFrame) -> list[str]:
    """Which runs are left out of a report on prices or are not what they seem; `models` as in `run_sums.RunSums`."""
    reasons = []
    if models["estimated"].any():
        reasons.append(
            f"The input tokens of {int(models['estimated'].sum())} runs are estimated as a quarter of the characters."
        )
    for column, why in (
        ("no_price", "no price is known: add them to your price file"),
        ("no_input", "neither the tokens nor the text of the input are recorded"),
    ):
        lost = models.index[models[column] > 0].tolist()
        if lost:
            reasons.append(f"{int(models[column].sum())} runs of {_listed(lost)} are left out: {why}.")
    capped = (models["censored"] / models["kept"].where(models["kept"] > 0)).loc[lambda share: share > MAX_CENSORED]
    return reasons + [
        f"{model} was cut off in {percent(share)} of its runs: it is judged by cut answers, and looks cheaper than "
        "it is."
        for model, share in capped.items()
    ]


def score_reasons(n_lost: int, n: int) -> list[str]:
    """Why runs with a price say nothing of passes: `n_lost` of `n` have no score."""
    reasons = [f"{n_lost} of {n} runs have no score."] if n_lost else []
    if n_lost and n_lost == n:
        reasons.append(
            "No run has a score: ingest traces with `score` (Inspect logs have it) to see what a pass costs."
        )
    return reasons


def _listed(names: list[str]) -> str:
    shown = ", ".join(map(str, names[:4]))
    return shown if len(names) <= 4 else f"{shown} and {len(names) - 4} more models"


def query_table(runs: pd.DataFrame, column: str) -> pd.DataFrame:
    """Mean of `column` over the runs of each query on each model; index query, columns model."""
    if column not in runs:
        raise InvalidInputError(f"the runs lack the column {column!r}")
    return runs.pivot_table(index="query_id", columns="model", values=column, aggfunc="mean")
