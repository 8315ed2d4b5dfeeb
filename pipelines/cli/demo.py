"""`foretell demo`: the main job on the bundled data, from files to a registered model, offline."""

import time

import pandas as pd

from foretell.assets.families import all_families
from foretell.assets.families.benchmark_scores.asking import unseen_rows
from foretell.assets.lake.landing.deliveries import ingest
from foretell.assets.registry.shipped import load_shipped
from foretell.assets.store.io import read_table
from foretell.pipelines.cli.console import out, print_json, print_table, say
from foretell.pipelines.cli.judge.tables import evaluation_page
from foretell.pipelines.cli.options import Json
from foretell.pipelines.cli.output import print_page
from foretell.pipelines.cli.progress import UnderWay
from foretell.pipelines.runs import RunFailedError, curate_days, locked, open_instance, refresh, retrain
from foretell.pipelines.settings import Settings

N_PUBLIC_MODELS = 8


def demo(json: Json = False) -> None:
    """Run the main job on the bundled data and show what it learnt."""
    import dagster  # noqa: F401  what is not installed is said before a home is made

    settings, started = Settings(), time.perf_counter()
    shown = [family.name for family in all_families() if family.in_demo]
    with locked(settings), settings.open_engine(), UnderWay("demo") as way:
        say(f"foretell demo: state in {settings.home}")
        landed = ingest([settings.starter_traces], settings.landing, source="starter")
        if not landed.n_usable:
            raise RunFailedError(f"the bundled data in {settings.starter} cannot be read: is the clone complete?")
        with open_instance(settings) as instance:
            n_days = curate_days(settings, instance, way.step)
            refreshed = [family for family in shown if refresh(settings, instance, family, way.step)]
            retrained = retrain(settings, instance, way.step, force=bool(refreshed))
    report = read_table(settings.home / "lake", "forecast_report")
    if json:
        print_json(report)
        return
    if not (n_days or retrained):
        say("everything is up to date")
    _print_report(settings, report, time.perf_counter() - started)


def _print_public(settings: Settings) -> None:
    """What the public figures teach of models that were not run here: every split, and the models of most queries."""
    shipped = load_shipped(settings.sources.public, "thinking_tokens")
    if shipped is not None:
        table = shipped.evaluation
        within = table["split"] == "within"
        of_model = table[within & table["segment"].str.match("model=[^,]+$") & (table["metric"] == "crps")]
        most = of_model.nlargest(N_PUBLIC_MODELS, "n_queries")["segment"]
        print_page(evaluation_page(table[(table["segment"] == "all") | (within & table["segment"].isin(most))]))


def _print_unseen(settings: Settings) -> None:
    """Scores on benchmarks that the shipped predictor never saw, beside what was reported."""
    shipped = load_shipped(settings.sources.public, "benchmark_scores")
    if shipped is None:
        return
    print_page(evaluation_page(shipped.evaluation[shipped.evaluation["segment"] == "all"]))
    rows = unseen_rows(settings.sources.public)
    ends = shipped.predictor.predict_quantiles(rows, (0.05, 0.5, 0.95)).round(0)
    table = [
        [row.benchmark, row.model, f"{middle:.0f} [{lower:.0f}, {upper:.0f}]", f"{row.score:.0f}"]
        for row, (lower, middle, upper) in zip(rows.itertuples(), ends.to_numpy(), strict=True)
    ]
    names = ["benchmark", "model", "forecast [90 %]", "reported"]
    print_table("benchmark_scores: benchmarks that it never saw, points", names, table, n_keys=2)


def _print_report(settings: Settings, report: pd.DataFrame, seconds: float) -> None:
    for family, rows in report.groupby("family", sort=False):
        version = rows["champion_version"].iloc[0]
        print_page(evaluation_page(rows))
        named = "no champion yet" if pd.isna(version) else f"models:/{family}@champion is version {int(version)}"
        out.print(f"{named}; skill is the share of the baseline's removable error that was removed\n")
    _print_public(settings)
    _print_unseen(settings)
    out.print(
        f"done in {seconds:.0f} s. Next:\n"
        "  make ui                                            the Dagster and MLflow pages\n"
        "  .venv/bin/foretell ingest YOUR_TRACES              your own requests (docs/formats.md)\n"
        "  .venv/bin/foretell predict thinking_tokens FILE    tokens and dollars before the run\n"
        "  .venv/bin/foretell models                          versions, errors, decisions"
    )
