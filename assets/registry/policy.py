"""The promotion policy of every family: `mlflow/registry.yaml`, checked when it is read."""

from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from foretell.predictors.errors import InvalidInputError
from foretell.predictors.metrics import PromotionRule, ScopeRule


class Policy(BaseModel):
    """When a new version of a family becomes champion, and what is kept.

    Attributes
    ----------
    metric : str
        The loss that decides; lower is better.
    first_baseline : str, optional
        The baseline that the first version must beat; by default the family's reference, which can be a rival
        that is nearly as good. Until a version does, the reference is champion.
    rule : PromotionRule
        Thresholds of the decision on new evidence; the file names those that differ from the defaults.
    scope : ScopeRule
        The same of the decision on what a version covers.
    keep_versions : int
        Newest versions that are kept; the champion, former champions and the shadow are kept always.
    drift_limit : float
        Sum of standardised departures at which a drift monitor alarms (`metrics.deciding.drift`); with the
        default .1 false alarms a year, three nights late (docs/studies/drift.md).
    drift_base_nights : int
        Nights that set what is normal.
    reset_window : bool
        Whether an alarm that the forecast drifted lets training start anew from that night's rows.
    min_window_queries : int
        Queries that a window started anew must hold before training reads it alone.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    metric: str = "crps"
    first_baseline: str | None = None
    rule: PromotionRule = PromotionRule()
    scope: ScopeRule = ScopeRule()
    keep_versions: int = Field(default=30, ge=2)
    drift_limit: float = Field(default=8.0, gt=0)
    drift_base_nights: int = Field(default=20, ge=2)
    reset_window: bool = True
    min_window_queries: int = Field(default=200, ge=20)


def load_policies(path: Path) -> dict[str, Policy]:
    """Read `registry.yaml`.

    Raises InvalidInputError if the file is missing or a key of it is unknown or out of range; names file and key.
    """
    try:
        content = yaml.safe_load(path.read_text("utf-8"))
        return TypeAdapter(dict[str, Policy]).validate_python(content or {})
    except OSError as error:
        raise InvalidInputError(f"{path}: cannot be read ({error.strerror})") from error
    except yaml.YAMLError as error:
        raise InvalidInputError(f"{path}: not YAML: {error}") from error
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise InvalidInputError(f"{path}: {problems}") from error
