"""Every family of predictors: its predictor, its baselines and the name it is registered under.

Nothing heavy is imported before a predictor is built.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .base import BasePredictor


@dataclass(frozen=True)
class Family:
    """One family: classes are named ``.module:class`` relative to this package, and imported when they are asked for.

    `name` is that of the folder and of the registered model, `baselines` are classes by their name in the Evaluation
    table, `reference` is the one that gain and skill are measured against, `unit` that of the errors. `held_out` names
    the split of the rows that a fit holds out: ``within`` where these are new queries of known cells, ``new_benchmark``
    or ``new_model`` where whole benchmarks or models are held out. `other_columns` are those of other forms in which
    its inputs come, such as the lines of a chat or batch file.
    """

    name: str
    predictor: str
    baselines: Mapping[str, str]
    reference: str
    unit: str
    held_out: str = "within"
    other_columns: tuple[str, ...] = ()

    @property
    def input_columns(self) -> list[str]:
        """Columns of its inputs, in the order of their schema."""
        return list(_class(self.predictor).input_schema.to_schema().columns)

    def new_predictor(self, **params: Any) -> "BasePredictor":
        """The family's predictor with its default parameters, or with `params` in their place."""
        return _class(self.predictor)(**params)

    def new_baselines(self) -> "dict[str, BasePredictor]":
        """The family's baselines with their default parameters, by name."""
        return {name: _class(path)() for name, path in self.baselines.items()}


def _class(path: str) -> "type[BasePredictor]":
    from .base import BasePredictor

    module, _, name = path.partition(":")
    predictor: type[BasePredictor] = getattr(import_module(module, __package__), name)
    assert issubclass(predictor, BasePredictor)
    return predictor


FAMILIES: Mapping[str, Family] = {
    "thinking_tokens": Family(
        name="thinking_tokens",
        predictor=".thinking_tokens.predictor:ThinkingTokensPredictor",
        baselines={
            "model_benchmark": ".thinking_tokens.baselines:ModelBenchmarkBaseline",
            "model": ".thinking_tokens.baselines:ModelBaseline",
            "global": ".thinking_tokens.baselines:GlobalBaseline",
        },
        reference="model_benchmark",
        unit="output tokens (reasoning included), natural log",
        other_columns=("custom_id", "messages", "body", "input", "contents", "prompt", "request", "params"),
    ),
    "benchmark_scores": Family(
        name="benchmark_scores",
        predictor=".benchmark_scores.predictor:BenchmarkScorePredictor",
        baselines={
            "structured": ".benchmark_scores.baselines:StructuredBaseline",
            "type_size": ".benchmark_scores.baselines:TypeSizeBaseline",
            "type": ".benchmark_scores.baselines:TypeBaseline",
            "model": ".benchmark_scores.baselines:ModelBaseline",
            "global": ".benchmark_scores.baselines:GlobalBaseline",
        },
        reference="structured",
        unit="score, points (0-100)",
        held_out="new_benchmark",
    ),
    "learning_curves": Family(
        name="learning_curves",
        predictor=".learning_curves.predictor:LearningCurvePredictor",
        baselines={
            "network": ".learning_curves.pfn.predictor:PfnPredictor",
            "last_value": ".learning_curves.baselines:LastValueBaseline",
        },
        reference="last_value",
        unit="unit of the metric (accuracy: share, 0-1)",
        held_out="new_benchmark",
    ),
    "downstream_scaling": Family(
        name="downstream_scaling",
        predictor=".downstream_scaling.predictor:DownstreamScalingPredictor",
        baselines={
            "exponential": ".downstream_scaling.baselines:DirectExponentialBaseline",
            "last": ".downstream_scaling.baselines:LastValueBaseline",
            "cod": ".downstream_scaling.baselines:CodBaseline",
        },
        reference="exponential",
        unit="score, points (0-100)",
        held_out="new_model",
    ),
    "success": Family(
        name="success",
        predictor=".success.predictor:SuccessPredictor",
        baselines={
            "model_benchmark": ".success.baselines:ModelBenchmarkRate",
            "global": ".success.baselines:GlobalRate",
        },
        reference="model_benchmark",
        unit="right answers (0 or 1; crps is the Brier score)",
        other_columns=("custom_id", "messages", "body", "input", "contents", "prompt", "request", "params"),
    ),
}
"""Families by name."""

ALL_PREDICTORS: tuple[str, ...] = tuple(
    path for family in FAMILIES.values() for path in (family.predictor, *family.baselines.values())
)
"""Every predictor as ``module:class``: the contract test runs over these."""
