"""The Dagster assets of the downstream-scaling family alone: the model ladder."""

from dataclasses import replace

import dagster as dg
import pandas as pd

from foretell.assets.families.downstream_scaling.ladder import load_ladder
from foretell.assets.resources import Workspace


class LadderCollection(dg.Config):
    """Which ladder to train; without widths and seeds the one that is committed. `tiny` takes seconds."""

    widths: list[int] | None = None
    seeds: list[int] | None = None
    max_minutes: float = 120.0
    tiny: bool = False


@dg.asset(
    group_name="downstream_scaling",
    kinds={"parquet"},
    description="One row per model, item and checkpoint of the committed model ladder.",
)
def ladder_samples(workspace: Workspace) -> dg.MaterializeResult:
    samples = load_ladder(workspace.sources.starter)["samples"]
    return dg.MaterializeResult(value=samples, metadata=_counts(samples))


@dg.asset(
    group_name="collection",
    kinds={"pytorch", "parquet"},
    description="One row per model, item and checkpoint of a model ladder trained here; goes on where it stopped.",
)
def model_ladder(
    context: dg.AssetExecutionContext, config: LadderCollection, workspace: Workspace
) -> dg.MaterializeResult:
    from foretell.collect.ladder import TINY, collect, plan_runs
    from foretell.collect.ladder_tables import build_tables, write_tables
    from foretell.collect.ladder_train import LadderPlan

    plan = TINY if config.tiny else LadderPlan()
    plan = replace(plan, widths=tuple(config.widths or plan.widths), seeds=tuple(config.seeds or plan.seeds))
    folder = workspace.root / "ladder" / ("tiny" if config.tiny else "full")
    is_whole = collect(plan, folder / "runs", max_minutes=config.max_minutes, progress=context.log.info)
    tables = build_tables(plan_runs(plan), folder / "runs")
    write_tables(tables, folder / "tables")
    samples = tables["samples"]
    return dg.MaterializeResult(
        value=samples, metadata={**_counts(samples), "whole": is_whole, "tables": str(folder / "tables")}
    )


def _counts(samples: pd.DataFrame) -> dict[str, float]:
    final = samples[samples["checkpoint"] == 1]
    return {
        "models": int(samples["model"].nunique()),
        "benchmarks": int(samples["benchmark"].nunique()),
        "items": int(samples["item_id"].nunique()),
        "checkpoints": int(samples["checkpoint"].nunique()),
        "largest_n_params": float(samples["n_params"].max()),
        "mean_exact_pass_rate": float(final["exact_pass_rate"].mean()),
    }


ASSETS = [ladder_samples, model_ladder]
