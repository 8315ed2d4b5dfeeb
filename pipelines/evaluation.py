"""`foretell evaluate` and `foretell floor`: one family on one data set, judged against its floor."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

import pandas as pd

from pipelines.console import say
from pipelines.settings import Settings
from predictors.errors import InvalidInputError
from predictors.families import FAMILIES

__all__ = ["evaluate_dataset", "family_module", "floors_of_dataset"]


def family_module(family: str) -> ModuleType:
    """The module of ``assets`` that names the data sets of a family and reads its inputs.

    Raises
    ------
    InvalidInputError
        If there is no such family.
    """
    if family not in FAMILIES:
        raise InvalidInputError(f"unknown family {family!r}; there is {', '.join(FAMILIES)}")
    return import_module(f"assets.{family}")


def evaluate_dataset(settings: Settings, family: str, dataset: str) -> pd.DataFrame:
    """The Evaluation table of `family` on `dataset`.

    Raises
    ------
    InvalidInputError
        If the family or the data set is unknown.
    DatasetError
        If the files of the data set can neither be fetched nor found in the mirror.
    """
    module = _module_with(family, dataset)
    with settings.open_engine():
        table: pd.DataFrame = module.evaluate_dataset(dataset, settings.sources, progress=say)
    return table


def floors_of_dataset(settings: Settings, family: str, dataset: str) -> pd.DataFrame:
    """The noise floor of every segment of `dataset`, over all splits; raises as `evaluate_dataset` does."""
    from assets.floor_tables import floor_table

    module = _module_with(family, dataset)
    with settings.open_engine():
        examples = module.examples_from_dataset(dataset, settings.sources)
        return floor_table(module.PIPELINE, examples, dataset=dataset)


def _module_with(family: str, dataset: str) -> ModuleType:
    module = family_module(family)
    if dataset not in module.DATASETS:
        raise InvalidInputError(f"unknown data set {dataset!r}; {family} has {', '.join(module.DATASETS)}")
    return module
