"""Nights of a small world, judged in a registry without Dagster: what tests of promotion share."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
from mlflow.entities.model_registry import ModelVersion

from foretell.assets.families.thinking_tokens.family import FAMILY as THINKING_TOKENS
from foretell.assets.judging.pipeline import FittedFamily
from foretell.assets.nightly.promotion import Judged, judge
from foretell.assets.nightly.record import Record
from foretell.assets.registry.policy import Policy
from foretell.assets.registry.tracking import BASELINE, BASIS_TAG, Registry
from foretell.predictors.base import BasePredictor
from foretell.predictors.metrics import PromotionRule
from foretell.predictors.splits import assign_split

FAMILY = "thinking_tokens"
FIRST_DAY = pd.Timestamp("2026-01-01", tz="UTC")
PER_NIGHT = 60
RULE = PromotionRule(screen_nights=30, screen_min_queries=50, min_units=50, min_shadow_nights=2, max_shadow_nights=6)
POLICY = Policy(rule=RULE)


def world(nights: int, seed: int = 0) -> pd.DataFrame:
    """Two models, one of which writes three times as much; new queries every night, one run each."""
    rng = np.random.default_rng(seed)
    n = nights * PER_NIGHT
    examples = pd.DataFrame(
        {
            "query_id": [f"q{i}" for i in range(n)],
            "model": rng.choice(["short", "long"], n),
            "started_at": FIRST_DAY + pd.to_timedelta(np.repeat(np.arange(nights), PER_NIGHT), unit="D"),
            "benchmark": "b",
            "replicate": 0,
            "is_censored": False,
            "is_capped": False,
            "repeat_prob": 1.0,
        }
    )
    examples["value"] = np.exp(rng.normal(4.0, 0.5, n)) * np.where(examples["model"] == "long", 3.0, 1.0)
    examples["cell_id"] = examples["query_id"] + "|" + examples["model"]
    examples["split"] = assign_split(examples["query_id"])
    return examples


def evaluation(gain_ci_lower: float = 0.1) -> pd.DataFrame:
    head = {"segment": "all", "metric": "crps", "value": 0.3, "baseline_value": 0.5, "noise_floor": 0.2}
    return pd.DataFrame([{**head, "gain": 0.2, "gain_ci_lower": gain_ci_lower, "gain_ci_upper": 0.3}])


def register(registry: Registry, predictor: BasePredictor, number: int, digest: str = "") -> None:
    """A version without what MLflow packs around the predictor, which takes seconds."""
    client = registry.client()
    folder = registry.artifact_root / f"model-{number}"
    predictor.save(folder / "artifacts" / "predictor")
    experiment = client.get_experiment_by_name(FAMILY)
    identifier = (
        experiment.experiment_id if experiment else client.create_experiment(FAMILY, registry.artifact_root.as_uri())
    )
    run = client.create_run(identifier)
    if number == 1:
        client.create_registered_model(FAMILY)
    tags = {"fit_digest": digest or f"digest-{number}"}
    client.create_model_version(FAMILY, source=folder.as_uri(), run_id=run.info.run_id, tags=tags)


def register_baseline(registry: Registry, baseline: BasePredictor, number: int) -> ModelVersion:
    """The version of tonight's baseline, one more than that of the fit; once."""
    if number > len(registry.family(FAMILY).versions):
        register(registry, baseline, number)
        registry.tag_version(FAMILY, str(number), BASIS_TAG, BASELINE)
    return registry.version(FAMILY, str(number))


def night_of(
    registry: Registry, examples: pd.DataFrame, predictor: BasePredictor, number: int, nights: int, **changes
) -> Record:
    """Judge version `number` with the rows of the first `nights` nights."""
    if number > len(registry.family(FAMILY).versions):
        register(registry, predictor, number)
    rows = changes.get("rows", examples[examples["started_at"] < FIRST_DAY + pd.Timedelta(days=nights)])
    judged = Judged(
        THINKING_TOKENS,
        FittedFamily(f"digest-{number}", "data", predictor, changes.get("baselines", {})),
        registry.version(FAMILY, str(number)),
        rows,
        changes.get("evaluation", evaluation()),
        partial(register_baseline, registry, changes.get("baseline", predictor), number + 1),
        changes.get("policy", POLICY),
        changes.get("drifted_on"),
    )
    return judge(registry, judged)
