"""What a family is to the platform: one value that assets, jobs, cards, reports and commands are made from."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

import pandas as pd

from foretell.assets.store.sources import Sources
from foretell.predictors.base import BasePredictor
from foretell.predictors.errors import DatasetError, unknown_name
from foretell.predictors.families import FAMILIES

if TYPE_CHECKING:
    import dagster as dg

    from foretell.assets.engine import Table
    from foretell.assets.judging.splits import Split

P = TypeVar("P", bound=BasePredictor)
LAKE = "lake"
"""The data set of what this installation has ingested."""
PUBLIC_SOURCE = "public/"
"""Begin of the source of rows that `foretell fetch` has landed: no one's own."""

Segments: TypeAlias = tuple[str | tuple[str, ...], ...]
"""Columns of the examples, or several at once, whose values make the segments of an evaluation."""


def columns_of(segment: str | tuple[str, ...]) -> tuple[str, ...]:
    """The columns of one of `Segments`."""
    return (segment,) if isinstance(segment, str) else segment


@dataclass(frozen=True)
class Family:
    """One family of predictors, with its data and how it is judged.

    Attributes
    ----------
    name, reference, unit, held_out : str
        As in `foretell.predictors.families.Family`.
    predictor, baselines : callable
        Build the predictor (with parameters by name) and the baselines by name, unfitted.
    scale : {"identity", "log"}
        Scale on which errors are taken.
    segments : tuple of str or of tuple of str
        What an evaluation is broken down by.
    datasets : tuple of str
        Data sets that ``--dataset`` names.
    dataset : str
        The one that the Dagster assets read.
    make_examples : callable
        Data set and sources -> its examples, one row per run (`foretell.predictors.schemas.examples`).
    from_requests : callable, optional
        Curated requests, sources and the most runs to learn from -> examples, of a family that learns from requests.
    splits : callable
        This value, examples, data set and sources -> the splits that `foretell.assets.judging.splits` judges.
    read_inputs : callable
        File of a user -> the forecasts to make, one row each, valid under the predictor's input schema.
    limits : str
        What it is not for, in the words of its model card.
    cadence : {"nightly", "weekly"}
        When it is fitted anew.
    in_demo : bool
        Whether `foretell demo` fits it beside the nightly ones: its bundled data take seconds.
    tables : tuple of str
        Tables of the lake whose rows are examples of its data set `LAKE`; it is fitted anew when they change.
    bundled : tuple of str
        Assets of its own folder that hold the rows of `dataset`, where there are any: what its examples are made of.
    adds_own : bool
        Whether a champion learns from `dataset` and from the rows of the lake, marked by the column `is_own`.
    fresh_by : str
        The column whose new values are outcomes that no fit has seen: the query where runs of one query tell of each
        other, the cell where a new one of a known query is news.
    """

    name: str
    predictor: Callable[..., BasePredictor]
    baselines: Callable[[], Mapping[str, BasePredictor]]
    reference: str
    unit: str
    scale: Literal["identity", "log"]
    segments: Segments
    datasets: tuple[str, ...]
    dataset: str
    make_examples: Callable[[str, Sources], pd.DataFrame]
    splits: "Callable[[Family, pd.DataFrame, str, Sources], Iterable[Split]]"
    read_inputs: Callable[[Path], pd.DataFrame]
    limits: str
    cadence: Literal["nightly", "weekly"] = "nightly"
    held_out: str = "within"
    in_demo: bool = False
    tables: tuple[str, ...] = ("request_traces",)
    bundled: tuple[str, ...] = ()
    adds_own: bool = False
    fresh_by: str = "query_id"
    from_requests: "Callable[[Table, Sources, int | None], pd.DataFrame] | None" = None

    def models(self) -> dict[str, BasePredictor]:
        """The predictor, under the family's name, and its baselines: nothing is fitted."""
        return {self.name: self.predictor(), **self.baselines()}

    def assets(self) -> "Sequence[dg.AssetsDefinition]":
        """The Dagster assets of its own folder, where it has any: what data are collected with."""
        module = f"foretell.assets.families.{self.name}.assets"
        own: Sequence[dg.AssetsDefinition] = import_module(module).ASSETS if find_spec(module) else ()
        return own

    def inputs(self, examples: pd.DataFrame) -> pd.DataFrame:
        """The columns of `examples` that are known before the outcome."""
        columns = self.predictor().input_schema.to_schema().columns
        return examples[[name for name in examples.columns if name in columns]]

    def inputs_by_cell(self, examples: pd.DataFrame) -> pd.DataFrame:
        """`inputs` of the first run of every cell, index `cell_id`."""
        return self.inputs(examples.drop_duplicates("cell_id").set_index("cell_id"))

    def fit(self, model: P, examples: pd.DataFrame) -> P:
        """Fit a model of this family to examples, whose queries and cut-off runs it is told."""
        return model.fit(
            self.inputs(examples), examples["value"], groups=examples["query_id"], is_censored=examples["is_censored"]
        )

    def examples(self, dataset: str, sources: Sources) -> pd.DataFrame:
        """The examples of a named data set, valid under `foretell.predictors.schemas.examples.Examples`.

        Raises
        ------
        InvalidInputError
            If the data set is not among `datasets`, or its examples break their contract.
        DatasetError
            If its files can neither be fetched nor found in the mirror.
        """
        from foretell.predictors.schemas.examples import as_examples

        if dataset not in self.datasets:
            raise unknown_name("data set", dataset, self.datasets)
        examples = self.make_examples(dataset, sources)
        if examples.empty:
            raise DatasetError(f"{dataset} holds nothing for {self.name} yet; run `foretell ingest PATH` first")
        return as_examples(examples)

    def champion_examples(self, sources: Sources) -> pd.DataFrame:
        """What a champion is fitted to and judged on: examples of `dataset`, and those of the lake if there are any.

        A query that both hold is in the split of the former.
        """
        examples = self.examples(self.dataset, sources)
        own = self.make_examples(LAKE, sources) if self.adds_own else examples.iloc[:0]
        if own.empty:
            return examples
        from foretell.predictors.schemas.examples import as_examples

        split = own["query_id"].map(examples.drop_duplicates("query_id").set_index("query_id")["split"])
        own = own.assign(split=split.fillna(own["split"]), cell_id=f"{LAKE}|" + own["cell_id"].astype("str"))
        is_own = ~own["source"].str.startswith(PUBLIC_SOURCE)
        both = pd.concat([examples.assign(is_own=False), own.assign(is_own=is_own)], ignore_index=True)
        return as_examples(both)


def late(path: str) -> Callable[..., Any]:
    """The function ``<family>.<module>:<name>`` of `foretell.assets.families`, imported when it is called."""
    module, _, name = path.partition(":")
    return lambda *arguments: getattr(import_module(f"foretell.assets.families.{module}"), name)(*arguments)


def predictors_of(name: str) -> dict[str, Any]:
    """Name, predictor, baselines, reference, unit and held-out split of a family in `foretell.predictors.families`."""
    library = FAMILIES[name]
    same = {member: getattr(library, member) for member in ("name", "reference", "unit", "held_out")}
    return {**same, "predictor": library.new_predictor, "baselines": library.new_baselines}
