"""The Dagster assets that every family has, made from its `Family`."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd

from foretell.assets.engine import Table
from foretell.assets.judging.family import Family
from foretell.assets.judging.floors import floor_table
from foretell.assets.judging.pipeline import FittedFamily, fit_family, main_segments, prune_fits, stored_fit
from foretell.assets.judging.splits import evaluate_family
from foretell.assets.nightly.drift import HISTORY, drift_start, night_row, training_rows, with_night
from foretell.assets.nightly.promotion import Judged, begin_with_shipped, judge
from foretell.assets.nightly.record import family_lock
from foretell.assets.nightly.rows import choose_rows, chosen_rows
from foretell.assets.nightly.shown import (
    DRIFT_CHECKS,
    drawn,
    drift_checks,
    drift_metadata,
    headline_of,
    links,
    numbers_of,
)
from foretell.assets.registry.model_card import model_card
from foretell.assets.registry.resource import Tracking
from foretell.assets.registry.tracking import BASELINE, BASIS_TAG, Fit
from foretell.assets.registry.versions import Version
from foretell.assets.resources import Workspace
from foretell.assets.store.digests import dvc_md5, lists_as_text
from foretell.assets.store.io import read_table
from foretell.predictors.schemas.examples import as_examples

EXAMPLE_ROWS = 5
KEEP_FITS = 5
OWNERS = ["team:forecasts"]
RETRY = dg.RetryPolicy(max_retries=2, delay=5, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS)
"""For what talks to a store that may be away for a moment; a fault of the data does not pass with time."""
FRESH = {"nightly": timedelta(hours=36), "weekly": timedelta(days=8)}
"""How old the registered model of a family may become, by its cadence."""
ROWS_DIGEST = "rows_digest"
"""Metadata of the examples: what had landed in the tables that they are made of."""


def build_examples_asset(family: Family) -> dg.AssetsDefinition:
    """The examples of a family: of the curated requests, or of a public set and the rows of the lake."""
    asset = partial(
        dg.asset,
        name=f"{family.name}_examples",
        group_name=family.name,
        owners=OWNERS,
        kinds={"parquet"},
        description=f"One row per outcome of {family.dataset} and of the lake: inputs, outcome, query, time, split.",
    )

    if (from_requests := family.from_requests) is not None:

        @asset()
        def of_requests(request_traces: Table, workspace: Workspace) -> dg.MaterializeResult:
            rows = as_examples(from_requests(request_traces, workspace.sources, workspace.learn_rows))
            return dg.MaterializeResult(value=rows, metadata=_counts(rows))

        return of_requests

    tables = family.tables if family.adds_own else ()

    @asset(deps=[*tables, *family.bundled])
    def of_tables(workspace: Workspace) -> dg.MaterializeResult:
        from foretell.assets.lake.landing.table_rows import tables_digest

        rows = family.champion_examples(workspace.sources)
        digest = tables_digest(workspace.root / "landing", tables)
        return dg.MaterializeResult(value=rows, metadata={**_counts(rows), ROWS_DIGEST: digest})

    return of_tables


def _counts(rows: pd.DataFrame) -> dict[str, Any]:
    """What is shown of examples: how many, and from where."""
    sources = "\n".join(f"- {source}: {n}" for source, n in rows["source"].value_counts().items())
    return {
        **{f"{split}_rows": int(n) for split, n in rows["split"].value_counts().items()},
        "queries": int(rows["query_id"].nunique()),
        "cells": int(rows["cell_id"].nunique()),
        "censored": int(rows["is_censored"].sum()),
        "mean_value": float(rows["value"].mean()),
        "own_rows": int(rows["is_own"].sum()) if "is_own" in rows else 0,
        "sources": dg.MetadataValue.md(sources),
    }


def build_family_assets(family: Family) -> Sequence[dg.AssetsDefinition]:
    """Examples, noise floor, model, evaluation, registered version and drift of one family."""
    name = family.name
    asset = partial(dg.asset, group_name=name, owners=OWNERS)
    examples_in = {"examples": dg.AssetIn(f"{name}_examples")}
    fit_in = {**examples_in, "fit": dg.AssetIn(f"{name}_model")}

    @asset(
        name=f"{name}_noise_floor",
        ins=examples_in,
        kinds={"parquet"},
        description="One row per segment and metric: the error that repeated runs make unavoidable.",
    )
    def noise_floor(examples: pd.DataFrame, workspace: Workspace) -> dg.MaterializeResult:
        from foretell.predictors.plots.evaluations import plot_floor_by_segment

        floors = floor_table(family, examples, dataset=family.dataset)
        plot = drawn(plot_floor_by_segment, floors[main_segments(floors)], workspace, f"{name}_noise_floor")
        whole = floors[floors["segment"] == "all"].set_index("metric")["noise_floor"]
        numbers = {f"{metric}_floor": float(floor) for metric, floor in whole.items()}
        return dg.MaterializeResult(value=floors, metadata={**numbers_of(numbers), "plot": plot})

    @asset(
        name=f"{name}_model",
        ins=examples_in,
        kinds={"lightgbm"},
        description="One row: the fit of these data, parameters and code, and where it lies.",
    )
    def model(examples: pd.DataFrame, workspace: Workspace, tracking: Tracking) -> dg.MaterializeResult:
        started = time.perf_counter()
        policy = tracking.policy(name)
        rows = training_rows(examples, _history(family, workspace), policy)
        choice, reason = choose_rows(family, rows, policy)
        rows = chosen_rows(rows, choice)
        fitted = _fit(family, rows, workspace)
        row: dict[str, Any] = {
            "digest": fitted.digest,
            "data_digest": fitted.data_digest,
            "predictor": type(fitted.predictor).__name__,
            "n_samples": fitted.predictor.n_samples_,
            "learns_from": choice,
        }
        seconds = dg.MetadataValue.float(time.perf_counter() - started)
        return dg.MaterializeResult(
            value=pd.DataFrame([row]),
            metadata={**row, "rows": len(rows), "seconds": seconds, "learns_from": reason},
            data_version=dg.DataVersion(fitted.digest),
        )

    @asset(
        name=f"{name}_evaluation",
        ins=fit_in,
        kinds={"parquet"},
        description="One row per predictor, split, segment and metric: error, noise floor, excess, skill.",
    )
    def evaluation(
        examples: pd.DataFrame, fit: pd.DataFrame, workspace: Workspace, tracking: Tracking
    ) -> dg.MaterializeResult:
        from foretell.predictors.plots.evaluations import plot_error_by_segment

        fitted, examples = _fit_of_tonight(family, examples, fit, workspace, tracking)
        # What lies in the vault is never looked at by night.
        table = evaluate_family(family, fitted, examples, dataset=family.dataset, leave_out_vault=True)
        plot = drawn(plot_error_by_segment, table[main_segments(table)], workspace, f"{name}_evaluation")
        return dg.MaterializeResult(value=table, metadata={**headline_of(table, family.held_out), "plot": plot})

    @asset(
        name=f"{name}_registered_model",
        ins={**fit_in, "evaluation": dg.AssetIn(f"{name}_evaluation")},
        kinds={"mlflow"},
        retry_policy=RETRY,
        freshness_policy=dg.FreshnessPolicy.time_window(fail_window=FRESH[family.cadence]),
        description="One row: the registered version of the newest fit, and whether it is champion.",
    )
    def registered_model(
        context: dg.AssetExecutionContext,
        examples: pd.DataFrame,
        fit: pd.DataFrame,
        evaluation: pd.DataFrame,
        workspace: Workspace,
        tracking: Tracking,
    ) -> dg.MaterializeResult:
        drifted_on = drift_start(examples, _history(family, workspace))
        judged = (*_fit_of_tonight(family, examples, fit, workspace, tracking), evaluation)
        back = {"dagster.run_id": context.run_id, "dagster.asset": context.asset_key.to_user_string()}
        row = _register(family, *judged, workspace, tracking, drifted_on=drifted_on, dagster=back)
        values = {key: value for key, value in row.items() if value is not None}
        return dg.MaterializeResult(value=pd.DataFrame([row]), metadata={**values, **links(tracking, row)})

    @asset(
        name=f"{name}_drift",
        ins={**examples_in, "registered": dg.AssetIn(f"{name}_registered_model")},
        kinds={"parquet"},
        dagster_type=dg.Any,  # with checks, the annotation alone is taken for "returns nothing"
        check_specs=[
            dg.AssetCheckSpec(check, asset=f"{name}_drift", description=text) for check, text in DRIFT_CHECKS.items()
        ],
        description="One row per night: the champion's excess error, the noise floor and how far the inputs moved.",
    )
    def drift(
        examples: pd.DataFrame, registered: pd.DataFrame, workspace: Workspace, tracking: Tracking
    ) -> dg.MaterializeResult:
        policy, history = tracking.policy(name), _history(family, workspace)
        if pd.notna(registered["champion"].iloc[0]):
            registry, number = tracking.registry(), str(int(registered["champion"].iloc[0]))
            version = registry.version(name, number)
            # A baseline that is champion was fitted beside tonight's version: its digest begins with the other's.
            fresh = str(version.tags.get("fit_digest", "")).startswith(str(registered["fit_digest"].iloc[0]))
            nights = policy.drift_base_nights
            row = night_row(
                family, registry.load(version), number, examples, history, learnt_tonight=fresh, base_nights=nights
            )
            history = history if row is None else with_night(history, row, policy)
        return dg.MaterializeResult(
            value=history, metadata=drift_metadata(history), check_results=drift_checks(family, history, workspace)
        )

    return [build_examples_asset(family), noise_floor, model, evaluation, registered_model, drift]


def _register(
    family: Family,
    fitted: FittedFamily,
    examples: pd.DataFrame,
    evaluation: pd.DataFrame,
    workspace: Workspace,
    tracking: Tracking,
    *,
    drifted_on: pd.Timestamp | None,
    dagster: Mapping[str, str],
) -> dict[str, str | int | None]:
    """Register the newest fit, decide on it once, and say which versions are champion and shadow.

    A shadow that was frozen before `drifted_on` is dropped. `dagster` are tags that lead from the MLflow run
    back to the Dagster run.
    """
    registry, policy = tracking.registry(), tracking.policy(family.name)
    learn = examples[examples["split"] != "test"]
    facts = {"dataset": family.dataset, "dvc_md5": dvc_md5(examples), "reference_baseline": family.reference, **dagster}

    def logged(fitted: FittedFamily, evaluation: pd.DataFrame, tags: Mapping[str, str], plots: Iterable[Path]) -> Fit:
        card, example = model_card(family, fitted, examples, evaluation), _input_example(family, learn)
        made = (fitted.digest, fitted.data_digest, fitted.predictor)
        return Fit(family.name, *made, evaluation, learn, example, card, tags, tuple(plots))

    def register_baseline() -> Version:
        """The reference baseline as a version of its own, labelled so, for as long as no fit beats it."""
        digest = f"{fitted.digest}-{family.reference}"
        registered = registry.find(family.name, digest)
        if registered is not None:
            return registered
        alone = replace(fitted, digest=digest, predictor=fitted.baselines[family.reference])
        table = evaluate_family(family, alone, examples, dataset=family.dataset, leave_out_vault=True)
        return registry.register(logged(alone, table, {**facts, BASIS_TAG: BASELINE}, ()))

    with family_lock(workspace.root / "locks", family.name):
        begin_with_shipped(registry, family.name, workspace.sources.public)
        plots = (workspace.root / "reports").glob(f"{family.name}_[!d]*.png")
        version = registry.register(logged(fitted, evaluation, facts, plots))
        judged = Judged(family, fitted, version, examples, evaluation, register_baseline, policy, drifted_on)
        record = judge(registry, judged)
        registry.prune(family.name, keep=policy.keep_versions, always=record.former)
        prune_fits(workspace.root / "models" / family.name, keep=KEEP_FITS)
    return {
        "version": int(version.version),
        "champion": None if record.champion is None else int(record.champion),
        "shadow": None if record.shadow is None else int(record.shadow),
        "action": record.action,
        "decision": record.reason,
        "fit_digest": fitted.digest,
        "run_id": str(version.run_id),
        "uri": f"models:/{family.name}@champion",
        "experiment_id": registry.client().get_run(str(version.run_id)).info.experiment_id,
    }


def _fit(family: Family, examples: pd.DataFrame, workspace: Workspace, *, digest: str | None = None) -> FittedFamily:
    """Fit, or read the fit that is there; two runs at once do the work once.

    Where tonight's `digest` is known, the rows are hashed only if its fit is gone.
    """
    with family_lock(workspace.root / "locks", family.name):
        stored = None if digest is None else stored_fit(workspace.root / "models" / family.name / digest)
        return fit_family(family, examples, store=workspace.root / "models") if stored is None else stored


def _fit_of_tonight(
    family: Family, examples: pd.DataFrame, fit: pd.DataFrame, workspace: Workspace, tracking: Tracking
) -> tuple[FittedFamily, pd.DataFrame]:
    """The newest fit, and the rows that it chose."""
    (made,) = fit.to_dict("records")
    rows = training_rows(examples, _history(family, workspace), tracking.policy(family.name))
    rows = chosen_rows(rows, made["learns_from"])
    return _fit(family, rows, workspace, digest=made["digest"]), rows


def _history(family: Family, workspace: Workspace) -> pd.DataFrame:
    try:
        return read_table(workspace.root / "lake", f"{family.name}_drift")
    except FileNotFoundError:
        return pd.DataFrame({name: pd.Series(dtype=dtype) for name, dtype in HISTORY.items()})


def _input_example(family: Family, learn: pd.DataFrame) -> pd.DataFrame:
    inputs = family.inputs(learn)
    example = inputs[~lists_as_text(inputs).duplicated()].head(EXAMPLE_ROWS).reset_index(drop=True)
    if "prompt_text" in example:
        # Prompts can be private; an example of the columns needs none of them.
        example["prompt_text"] = "Why do leaves turn red in autumn?"
    return example.drop(columns="query_id", errors="ignore")
