"""`foretell demo`: the main job on the bundled data, from files to a registered model, offline."""

from __future__ import annotations

import time

import pandas as pd

from pipelines.console import out, print_evaluation, print_json, say
from pipelines.runs import RunFailedError, curate_days, locked, open_instance, refresh, retrain
from pipelines.settings import Settings

SHOWN_TOO = ("benchmark_scores", "downstream_scaling")
"""Families whose bundled data take seconds; learning curves take minutes (`foretell retrain learning_curves`)."""


def run_demo(settings: Settings, *, as_json: bool) -> None:
    """Land the starter traces, bring every asset up to date and print the report's rows."""
    from assets.io import read_table
    from assets.landing import ingest

    started = time.perf_counter()
    with locked(settings), settings.open_engine():
        say(f"foretell demo: state in {settings.home}")
        landed = ingest([settings.starter_traces], settings.landing, source="starter")
        if not landed.n_usable:
            raise RunFailedError(f"the bundled data in {settings.starter} cannot be read: is the clone complete?")
        with open_instance(settings) as instance:
            n_days = curate_days(settings, instance, _progress)
            refreshed = [family for family in SHOWN_TOO if refresh(settings, instance, family, _progress)]
            retrained = retrain(settings, instance, _progress, force=bool(refreshed))
    report = read_table(settings.home / "lake", "forecast_report")
    if as_json:
        print_json(report)
        return
    if not (n_days or retrained):
        say("everything is up to date")
    _print_report(settings, report, time.perf_counter() - started)


def _progress(step: str, seconds: float) -> None:
    say(f"  {step:<34} {seconds:6.1f} s")


def _print_report(settings: Settings, report: pd.DataFrame, seconds: float) -> None:
    for family, rows in report.groupby("family", sort=False):
        version = rows["champion_version"].iloc[0]
        print_evaluation(rows)
        named = "no champion yet" if pd.isna(version) else f"models:/{family}@champion is version {int(version)}"
        out.print(f"{named}; skill is the share of the baseline's removable error that was removed\n", markup=False)
    out.print(
        f"done in {seconds:.0f} s. Next:\n"
        "  make ui                                            the Dagster and MLflow pages\n"
        "  .venv/bin/foretell ingest YOUR_TRACES              your own requests (docs/formats.md)\n"
        "  .venv/bin/foretell predict thinking_tokens FILE    tokens and dollars before the run\n"
        "  .venv/bin/foretell models                          versions, errors, decisions",
        markup=False,
    )
