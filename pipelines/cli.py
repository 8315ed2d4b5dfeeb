"""The command line `foretell`: parse, call one function, print.

Results go to standard output, progress to standard error. Exit codes: 0 done, 1 a check failed,
2 the input or the installation is not usable (with one line that says what to do).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from pipelines import bill_commands
from pipelines.settings import Settings, quiet_environment
from predictors.families import FAMILIES

app = typer.Typer(
    name="foretell",
    help="Forecast what a language model will cost and how well it will score, next to the noise floor.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
Family = Annotated[str, typer.Argument(help=f"One of {', '.join(FAMILIES)}.")]
Dataset = Annotated[
    str, typer.Option(help="starter or ladder (bundled), lake (your own traces), or a public set by name.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object per row and nothing else.")]


@app.command()
def demo(json: Json = False) -> None:
    """Run the main job on the bundled data and show what it learnt."""
    from pipelines.demo import run_demo

    run_demo(Settings(), as_json=json)


@app.command(rich_help_panel="Data")
def ingest(
    paths: Annotated[
        list[str], typer.Argument(help="Files, folders, patterns; - is standard input; mlflow:URI a live store.")
    ],
    format: Annotated[str | None, typer.Option(help="Skip the detection of the format.")] = None,
    date: Annotated[str | None, typer.Option(help="Day (YYYY-MM-DD) for records that carry no time.")] = None,
    source: Annotated[str | None, typer.Option(help="First half of the key of every row.")] = None,
    columns: Annotated[Path | None, typer.Option(help="YAML: our column names -> those of a table.")] = None,
    prompts: Annotated[bool, typer.Option(help="Keep the text of prompts, not only its hash.")] = True,
    curate: Annotated[bool, typer.Option(help="Validate and price the days at once.")] = True,
    json: Json = False,
) -> None:
    """Land traces: parse once, keep what is good, quarantine the rest with file, line and remedy."""
    from pipelines.ingest import Options, run_ingest

    options = Options(format=format, date=date, source=source, columns=columns, prompts=prompts)
    raise typer.Exit(run_ingest(Settings(), paths, options, curate=curate, as_json=json))


@app.command(rich_help_panel="Data")
def fetch(
    names: Annotated[list[str] | None, typer.Argument(help="Names of public data sets.")] = None,
    list_: Annotated[bool, typer.Option("--list", help="Say what there is.")] = False,
    all_: Annotated[bool, typer.Option("--all", help="Every set of the catalogue.")] = False,
    json: Json = False,
) -> None:
    """Fetch public data by name, checked against its checksum; FORETELL_MIRROR serves it offline."""
    from pipelines.data import fetch_public_data, list_public_data

    if list_:
        list_public_data(as_json=json)
    else:
        fetch_public_data(Settings(), names or [], every=all_, as_json=json)


@app.command(rich_help_panel="Data")
def export(
    path: Annotated[Path, typer.Argument(help="File to write: .parquet, .csv or .jsonl.")],
    format: Annotated[str | None, typer.Option(help="parquet, csv, jsonl or otlp_json.")] = None,
) -> None:
    """Write the curated traces to a file."""
    from pipelines.data import export_lake

    export_lake(Settings(), path, format=format)


@app.command(rich_help_panel="Data")
def sql(
    query: Annotated[str, typer.Argument(help="For example: select model, count(*) from request_traces group by 1")],
    json: Json = False,
) -> None:
    """Query the tables of the lake with DuckDB's SQL."""
    from pipelines.data import query_lake

    query_lake(Settings(), query, as_json=json)


@app.command(rich_help_panel="Judge")
def evaluate(
    family: Family,
    dataset: Dataset,
    json: Json = False,
) -> None:
    """Fit on the training queries of a data set and report the error on the others, next to its floor."""
    from pipelines.console import print_evaluation, print_json
    from pipelines.evaluation import evaluate_dataset

    table = evaluate_dataset(Settings(), family, dataset)
    if json:
        print_json(table)
    else:
        print_evaluation(table)


@app.command(rich_help_panel="Judge")
def floor(
    family: Family,
    dataset: Dataset,
    json: Json = False,
) -> None:
    """Estimate the noise floor of every segment of a data set, from all of its repeated runs."""
    from pipelines.console import print_floors, print_json
    from pipelines.evaluation import family_module, floors_of_dataset

    table = floors_of_dataset(Settings(), family, dataset)
    if json:
        print_json(table)
    else:
        print_floors(table, title=f"{family} on {dataset}: noise floor; {family_module(family).PIPELINE.unit}")


CURVES = "Learning curves only"


@app.command(rich_help_panel="Forecast")
def predict(
    family: Family,
    file: Annotated[Path | None, typer.Argument(help="csv, parquet or jsonl, a row per forecast; see docs/.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write the forecasts to this csv, parquet or jsonl file.")] = None,
    mlflow_run: Annotated[
        str | None, typer.Option(help="Extrapolate a metric of this MLflow run.", rich_help_panel=CURVES)
    ] = None,
    metric: Annotated[str | None, typer.Option(help="Name of that metric.", rich_help_panel=CURVES)] = None,
    target_step: Annotated[float | None, typer.Option(help="Where the run ends.", rich_help_panel=CURVES)] = None,
    target_value: Annotated[
        float | None, typer.Option(help="What the run must beat; by default its last value.", rich_help_panel=CURVES)
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw the first curve (PNG).", rich_help_panel=CURVES)] = None,
    json: Json = False,
) -> None:
    """Forecast with the champion of a family: mean, median and intervals per row, dollars where priced."""
    if family == "learning_curves" and out is None:
        from pipelines.curves import run_predict_curves

        run_predict_curves(
            Settings(),
            file=file,
            mlflow_run=mlflow_run,
            metric=metric,
            target_step=target_step,
            target_value=target_value,
            out_plot=plot,
            as_json=json,
        )
        return
    from pipelines.predict import run_predict

    run_predict(Settings(), family, file, out=out, as_json=json)


app.command(rich_help_panel="Forecast")(bill_commands.quote)
app.command(rich_help_panel="Judge")(bill_commands.report)
app.command(rich_help_panel="Forecast")(bill_commands.route)


@app.command(rich_help_panel="Forecast")
def next_runs(
    file: Annotated[Path, typer.Argument(help="Candidate runs, as for `predict benchmark_scores`; `cost`, `wanted`.")],
    budget: Annotated[float, typer.Option(help="Most to spend, in the unit of the column `cost` (default 1 a run).")],
    json: Json = False,
) -> None:
    """Which benchmark runs to buy first: those that tell most about the wanted scores per unit of cost."""
    from pipelines.next_runs import run_next_runs

    run_next_runs(Settings(), file, budget=budget, as_json=json)


@app.command(rich_help_panel="Forecast")
def compute(
    file: Annotated[Path, typer.Argument(help="Measured ladders, as for `predict downstream_scaling`; no targets.")],
    wanted: Annotated[float, typer.Option(help="Points that are worth having.")] = 3.0,
    certainty: Annotated[float, typer.Option(help="Probability with which compute is to buy them.")] = 0.8,
    item_cost: Annotated[float, typer.Option(help="What a new item costs beside its draws, in draws.")] = 0.0,
    html: Annotated[Path | None, typer.Option(help="Write a page with a figure per task.")] = None,
    json: Json = False,
) -> None:
    """What more compute buys on each task, and how many items and draws it takes to see it."""
    from pipelines.compute_plan import run_compute

    run_compute(Settings(), file, wanted=wanted, certainty=certainty, item_cost=item_cost, page=html, as_json=json)


@app.command(rich_help_panel="Operate")
def retrain(
    families: Annotated[list[str] | None, typer.Argument(help="Families; by default all of them.")] = None,
) -> None:
    """Refit, judge and register families now, as their schedules do."""
    from pipelines.retrain import run_retrain

    run_retrain(Settings(), families or list(FAMILIES))


@app.command(rich_help_panel="Operate")
def models(json: Json = False) -> None:
    """List registered versions, their error next to the floor, and why each is champion or not."""
    from pipelines.models import run_models

    run_models(Settings(), as_json=json)


@app.command(rich_help_panel="Operate")
def promote(
    family: Annotated[str, typer.Argument(help="A family with registered versions.")],
    version: Annotated[str, typer.Argument(help="The version that is to be champion.")],
    why: Annotated[str, typer.Option(help="For the audit line.")],
    force: Annotated[bool, typer.Option("--force", help="Overrule the promotion rule.")] = False,
) -> None:
    """Make a version champion by hand; the registry keeps who, when and why."""
    from pipelines.promotion import promote

    promote(Settings(), family, version, force=force, why=why)


@app.command(rich_help_panel="Operate")
def rollback(
    family: Annotated[str, typer.Argument(help="A family with a former champion.")],
    why: Annotated[str, typer.Option(help="For the audit line.")],
) -> None:
    """Bring the former champion back; the registry keeps who, when and why."""
    from pipelines.promotion import roll_back

    roll_back(Settings(), family, why=why)


@app.command(rich_help_panel="Judge")
def vault(
    family: Annotated[str, typer.Argument(help="A family with a champion.")],
    why: Annotated[str, typer.Option(help="For the log of openings.")],
    json: Json = False,
) -> None:
    """Judge the champion on the sealed queries, for a report; four times a year at most."""
    from pipelines.promotion import open_vault

    open_vault(Settings(), family, why=why, as_json=json)


@app.command(rich_help_panel="Operate")
def backup(folder: Annotated[Path, typer.Argument(help="An empty or new folder.")], json: Json = False) -> None:
    """Copy registry, lake and landed files, with checksums, while everything runs on."""
    from pipelines.backup import run_backup

    run_backup(Settings(), folder, as_json=json)


@app.command(rich_help_panel="Operate")
def restore(folder: Annotated[Path, typer.Argument(help="What `foretell backup` wrote.")], json: Json = False) -> None:
    """Verify a backup and put it in place; what was there is kept beside it."""
    from pipelines.backup import run_restore

    run_restore(Settings(), folder, as_json=json)


@app.command(rich_help_panel="Operate")
def doctor(json: Json = False) -> None:
    """Look for the usual faults of an installation."""
    from pipelines.doctor import run_doctor

    raise typer.Exit(run_doctor(Settings(), as_json=json))


@app.command(rich_help_panel="Operate")
def ui(
    dagster_port: Annotated[int, typer.Option(help="Port of the Dagster UI.")] = 3000,
    mlflow_port: Annotated[int, typer.Option(help="Port of the MLflow server.")] = 5000,
    host: Annotated[str, typer.Option(help="Address to bind; loopback unless you know better.")] = "127.0.0.1",
) -> None:
    """Start the Dagster UI (with schedules and sensors) and the MLflow server; Ctrl-C ends both."""
    from pipelines.ui import run_ui

    run_ui(Settings(), host=host, dagster_port=dagster_port, mlflow_port=mlflow_port)


def main() -> None:
    """Entry point: an expected error is one line on standard error and exit code 2, never a traceback."""
    from pydantic import ValidationError

    from predictors.errors import ForecastError

    try:
        quiet_environment(Settings())
        app()
    except ForecastError as error:
        sys.stderr.write(f"foretell: {error}\n")
        sys.exit(2)
    except ValidationError as error:
        for fault in error.errors():
            name = str(fault["loc"][0])
            told = name if name.isupper() else f"FORETELL_{name.upper()}"
            sys.stderr.write(f"foretell: {told}={fault['input']!s} is not usable: {fault['msg']} (see README.md)\n")
        sys.exit(2)


if __name__ == "__main__":
    main()
