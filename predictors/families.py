"""Every family of predictors: its predictor, its baselines and the name it is registered under.

Nothing heavy is imported before a predictor is built.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from predictors.base import BasePredictor

__all__ = ["ALL_PREDICTORS", "FAMILIES", "Family"]


@dataclass(frozen=True)
class Family:
    """One family: classes are named ``module:class`` and imported when they are asked for.

    Attributes
    ----------
    name : str
        Folder of the family and name of its registered model.
    predictor : str
        The predictor that is registered.
    baselines : mapping of str to str
        Name of a baseline in the Evaluation table -> its class.
    reference : str
        The baseline that gain and skill are measured against.
    unit : str
        Unit of the errors.
    """

    name: str
    predictor: str
    baselines: Mapping[str, str]
    reference: str
    unit: str

    def new_predictor(self, **params: Any) -> BasePredictor:
        """The family's predictor with its default parameters, or with `params` in their place."""
        return _build(self.predictor, **params)

    def new_baselines(self) -> dict[str, BasePredictor]:
        """The family's baselines with their default parameters, by name."""
        return {name: _build(path) for name, path in self.baselines.items()}


def _build(path: str, **params: Any) -> BasePredictor:
    from predictors.base import BasePredictor

    module, _, name = path.partition(":")
    predictor = getattr(import_module(module), name)(**params)
    assert isinstance(predictor, BasePredictor)
    return predictor


FAMILIES: Mapping[str, Family] = {
    "thinking_tokens": Family(
        name="thinking_tokens",
        predictor="predictors.thinking_tokens.predictor:ThinkingTokensPredictor",
        baselines={
            "model_benchmark": "predictors.thinking_tokens.baselines:ModelBenchmarkBaseline",
            "model": "predictors.thinking_tokens.baselines:ModelBaseline",
            "global": "predictors.thinking_tokens.baselines:GlobalBaseline",
        },
        reference="model_benchmark",
        unit="output tokens (reasoning included), natural log",
    ),
    "benchmark_scores": Family(
        name="benchmark_scores",
        predictor="predictors.benchmark_scores.predictor:BenchmarkScorePredictor",
        baselines={
            "structured": "predictors.benchmark_scores.baselines:StructuredBaseline",
            "type_size": "predictors.benchmark_scores.baselines:TypeSizeBaseline",
            "type": "predictors.benchmark_scores.baselines:TypeBaseline",
            "model": "predictors.benchmark_scores.baselines:ModelBaseline",
            "global": "predictors.benchmark_scores.baselines:GlobalBaseline",
        },
        reference="structured",
        unit="score, points (0-100)",
    ),
    "learning_curves": Family(
        name="learning_curves",
        predictor="predictors.learning_curves.predictor:LearningCurvePredictor",
        baselines={
            "network": "predictors.learning_curves.pfn.predictor:PfnPredictor",
            "map_ensemble": "predictors.learning_curves.baselines:MapEnsembleBaseline",
            "map_mmf4": "predictors.learning_curves.baselines:MapMmfBaseline",
            "best_fit": "predictors.learning_curves.baselines:BestFitBaseline",
            "last_value": "predictors.learning_curves.baselines:LastValueBaseline",
        },
        reference="map_ensemble",
        unit="unit of the metric (accuracy: share, 0-1)",
    ),
    "downstream_scaling": Family(
        name="downstream_scaling",
        predictor="predictors.downstream_scaling.predictor:DownstreamScalingPredictor",
        baselines={
            "exponential": "predictors.downstream_scaling.baselines:DirectExponentialBaseline",
            "logit_linear_last3": "predictors.downstream_scaling.baselines:LogitLinearBaseline",
            "last": "predictors.downstream_scaling.baselines:LastValueBaseline",
        },
        reference="exponential",
        unit="score, points (0-100)",
    ),
}
"""Families by name."""

ALL_PREDICTORS: tuple[str, ...] = tuple(
    path for family in FAMILIES.values() for path in (family.predictor, *family.baselines.values())
)
"""Every predictor as ``module:class``: the contract test runs over these."""
