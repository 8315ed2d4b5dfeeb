"""How forecasts from ladders are judged: on largest models of families that nothing is learnt from."""

from collections.abc import Iterator

import pandas as pd

from foretell.assets.families.downstream_scaling.examples import examples_from_measurements
from foretell.assets.families.downstream_scaling.measurements import load_measurements
from foretell.assets.judging.family import Family
from foretell.assets.judging.parts import Forecaster
from foretell.assets.judging.splits import Round, Split
from foretell.assets.store.sources import Sources
from foretell.predictors.base import BasePredictor

METRICS = ("mae", "crps", "coverage_90", "width_90", "interval_score_90")
LEAST_FAMILIES = 5
"""Families of models from which on intervals are over families, not over tasks."""
OUTCOMES = ["cell_id", "query_id", "replicate", "value", "repeat_prob", "standard_error", "benchmark"]


def scaling_splits(family: Family, examples: pd.DataFrame, dataset: str, sources: Sources) -> Iterator[Split]:
    """Splits ``new_model`` and ``new_model_<target>``: largest models of families that nothing is learnt from.

    Segments are tasks, and whether the forecaster abstains. Intervals resample families of models, or tasks where these
    are few.
    """
    train = examples[examples["split"] == "train"]
    models = family.models()
    for target, rows in _targets(dataset, examples, load_measurements(dataset, sources)):
        name = f"{family.held_out}_{target}" if target else family.held_out
        cluster = "family" if rows["family"].nunique() >= LEAST_FAMILIES else "benchmark"
        outcomes = rows[OUTCOMES].assign(query_id=rows[cluster]).reset_index(drop=True)
        yield Split(
            name, [Round(train, family.inputs(rows.set_index("cell_id")), outcomes)], models,
            (family.reference, models[family.reference]), segments=family.segments, others_segments=family.segments,
            metrics=METRICS, describe=_abstentions,
        )  # fmt: skip


def _abstentions(
    model: Forecaster, inputs: pd.DataFrame, forecast: pd.DataFrame, outcomes: pd.DataFrame
) -> pd.DataFrame:
    """`outcomes` with whether the forecaster abstains."""
    assert isinstance(model, BasePredictor)
    abstains = model.extra_columns(inputs, forecast)["abstain"].astype("str")
    return outcomes.assign(abstain=abstains.loc[outcomes["cell_id"]].to_numpy())


def _targets(dataset: str, examples: pd.DataFrame, measured: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Name of each held-out largest model, empty where they are judged together, and its examples."""
    test = examples[examples["split"] == "test"]
    if dataset != "olmo-ladder":
        return [("", test)]
    # The paper's ladder stops at 1.3B and leaves out 0.5xC: only so are its published errors comparable.
    paper = ~measured["run"].str.startswith("3B") & ~measured["run"].str.contains("0.5xC|rerun")
    same = examples_from_measurements(measured[paper | measured["is_target"]])
    same = same[same["split"] == "test"]
    named = {"peteish13_eval_final": "13B", "peteish7_eval_anneal": "7B"}
    out = [(name, same[same["target_run"] == run]) for run, name in named.items()]
    return out + [(f"{name}_from_3B", test[test["target_run"] == run]) for run, name in named.items()]
