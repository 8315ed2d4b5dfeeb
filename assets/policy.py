"""The promotion policy of every family: `mlflow/registry.yaml`, checked when it is read."""

from __future__ import annotations

from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from predictors.errors import InvalidInputError

__all__ = ["Policy", "load_policies"]

NIGHTS_PER_YEAR = 365


class Policy(BaseModel):
    """When a new version of a family becomes champion."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    metric: str = "crps"
    false_promotions_per_year: float = Field(default=0.05, gt=0, lt=1)

    @property
    def level(self) -> float:
        """Significance level of one night's test (Bonferroni over a year of nights)."""
        return self.false_promotions_per_year / NIGHTS_PER_YEAR


def load_policies(path: Path) -> dict[str, Policy]:
    """Read `registry.yaml`.

    Raises
    ------
    InvalidInputError
        If the file is missing or a key of it is unknown or out of range; names file and key.
    """
    try:
        content = yaml.safe_load(path.read_text("utf-8"))
        return TypeAdapter(dict[str, Policy]).validate_python(content)
    except OSError as error:
        raise InvalidInputError(f"{path}: cannot be read ({error.strerror})") from error
    except yaml.YAMLError as error:
        raise InvalidInputError(f"{path}: not YAML: {error}") from error
    except ValidationError as error:
        found = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise InvalidInputError(f"{path}: {found}") from error
