"""What every family does with its examples: fit and evaluate. Plain functions, no orchestrator.

The command line, the Dagster assets and the DVC stages call these same functions.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from assets.digests import code_digest, fit_digest, frame_digest
from assets.engine import LocalEngine, current_engine, split_frame
from assets.score_noise import add_noise_floors
from assets.vault import sealed
from predictors.base import EVALUATION_LEVELS, BasePredictor, load_predictor
from predictors.errors import DatasetError, InvalidInputError
from predictors.families import FAMILIES

if TYPE_CHECKING:
    from predictors.metrics.partial_evaluation import PartialEvaluation

__all__ = [
    "FamilyPipeline",
    "FittedFamily",
    "evaluate_family",
    "family_pipeline",
    "fit_family",
    "forecasts_by_cell",
    "load_fit",
    "load_newest_fit",
    "main_segments",
    "prune_fits",
    "save_fit",
]

LAKE = "lake"
CELLS_IN_PARTS = 20_000
"""Fewer cells are forecast faster than they and the models travel."""
CELLS_AT_ONCE = 10_000
"""Cells of a part that is judged on its own. Parts are cut by size alone: a text model forecasts in single precision,
and its forecasts differ in the seventh digit with what is forecast beside them."""
RUN = ("cell_id", "query_id", "value", "replicate", "response_id", "repeat_prob")
"""What an evaluation reads of a run, beside the columns of its segments."""


@dataclass(frozen=True)
class FamilyPipeline:
    """How one family is fitted and judged.

    `reference` names the baseline that gain and skill are measured against; `segments` are columns of
    the examples (or tuples of them) that the evaluation is broken down by; `dataset` is what its Dagster assets read.
    """

    family: str
    predictor: Callable[..., BasePredictor]
    baselines: Callable[[], Mapping[str, BasePredictor]]
    reference: str
    scale: Literal["identity", "log"]
    segments: tuple[str | tuple[str, ...], ...]
    unit: str
    dataset: str = LAKE

    def models(self) -> dict[str, BasePredictor]:
        """The predictor, under the family's name, and its baselines: nothing is fitted."""
        return {self.family: self.predictor(), **self.baselines()}

    def inputs(self, examples: pd.DataFrame) -> pd.DataFrame:
        """The columns of `examples` that are known before the outcome."""
        known = self.predictor().input_schema.to_schema().columns
        return examples[[name for name in examples.columns if name in known]]


def family_pipeline(
    family: str, *, scale: Literal["identity", "log"], segments: tuple[str | tuple[str, ...], ...], dataset: str = LAKE
) -> FamilyPipeline:
    """The pipeline of a family with the predictor, baselines, reference and unit of `predictors.families`."""
    known = FAMILIES[family]
    return FamilyPipeline(
        known.name, known.new_predictor, known.new_baselines, known.reference, scale, segments, known.unit, dataset
    )


@dataclass(frozen=True)
class FittedFamily:
    """A fitted predictor, its fitted baselines and the digest of what made them."""

    digest: str
    data_digest: str
    predictor: BasePredictor
    baselines: Mapping[str, BasePredictor]


def fit_family(pipeline: FamilyPipeline, examples: pd.DataFrame, *, store: Path | None = None) -> FittedFamily:
    """Fit the predictor and its baselines on the rows that are not `test`.

    With `store`, a fit of the same data, parameters and code is read back instead of made again.
    """
    data_digest = frame_digest(examples)
    digest = fit_digest(pipeline.family, data_digest, pipeline.predictor(), code_digest())
    folder = None if store is None else store / pipeline.family / digest
    if folder is not None and folder.exists():
        return load_fit(folder)
    learn = examples[examples["split"] != "test"]
    X, y = pipeline.inputs(learn), learn["value"]
    models = {"predictor": pipeline.predictor(), **pipeline.baselines()}
    for model in models.values():
        model.fit(X, y, groups=learn["query_id"], is_censored=learn["is_censored"])
    fitted = FittedFamily(digest, data_digest, models.pop("predictor"), models)
    if folder is not None:
        save_fit(fitted, folder)
    return fitted


def save_fit(fitted: FittedFamily, folder: Path) -> None:
    """Write a fit to `folder`, whole or not at all."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".fit-"))
    try:
        fitted.predictor.save(temporary / "predictor")
        for name, baseline in fitted.baselines.items():
            baseline.save(temporary / "baselines" / name)
        (temporary / "fit.json").write_text(
            json.dumps(
                {"digest": fitted.digest, "data_digest": fitted.data_digest, "baselines": list(fitted.baselines)}
            ),
            "utf-8",
        )
        temporary.chmod(0o755)
        if folder.exists():
            shutil.rmtree(folder)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def load_fit(folder: Path) -> FittedFamily:
    """Read what `save_fit` wrote."""
    fit = json.loads((folder / "fit.json").read_text("utf-8"))
    baselines = {name: load_predictor(folder / "baselines" / name) for name in fit["baselines"]}
    return FittedFamily(fit["digest"], fit["data_digest"], load_predictor(folder / "predictor"), baselines)


def load_newest_fit(folder: Path) -> FittedFamily:
    """Read the fit of a family's folder that was made last.

    Raises
    ------
    DatasetError
        If there is none.
    """
    fits = sorted(folder.glob("[!.]*/fit.json"), key=lambda path: path.stat().st_mtime)
    if not fits:
        raise DatasetError(f"{folder}: no fit yet; run the nightly job or `foretell demo`")
    return load_fit(fits[-1].parent)


def prune_fits(folder: Path, *, keep: int) -> None:
    """Delete all but the newest `keep` fits of a family's folder: they are a memo, and can be made again."""
    fits = sorted((path for path in folder.glob("[!.]*") if path.is_dir()), key=lambda path: path.stat().st_mtime)
    for path in fits[:-keep]:
        shutil.rmtree(path, ignore_errors=True)


def evaluate_family(
    pipeline: FamilyPipeline, fitted: FittedFamily, examples: pd.DataFrame, *, dataset: str
) -> pd.DataFrame:
    """The Evaluation table of the test split: the predictor by segment, every baseline as a whole.

    Groups of runs of which more than a fifth were cut off stand in a split of their own, ``test_capped``:
    there the outcome is min(tokens, cap), and so is the forecast (Powell 1986), which is fair to both but
    says little about the forecaster. Of the lake, what lies in the vault is left out (`assets.vault`).
    """
    is_test = examples["split"] == "test"
    if dataset == LAKE:
        is_test &= ~sealed(examples)
    test = examples[is_test].drop(columns="split")
    parts = {"test": test[~test["is_capped"]], "test_capped": test[test["is_capped"]]}
    tables = [
        _table(pipeline, name or type(fitted.predictor).__name__, evaluation, rows, dataset, split)
        for split, rows in parts.items()
        if not rows.empty
        for name, evaluation in _evaluations(pipeline, fitted, rows).items()
    ]
    if not tables:
        raise InvalidInputError(f"no row of {dataset!r} is in the test split: {len(examples)} examples are too few")
    return pd.concat(tables, ignore_index=True)


def _table(
    pipeline: FamilyPipeline, name: str, evaluation: PartialEvaluation, rows: pd.DataFrame, dataset: str, split: str
) -> pd.DataFrame:
    table = evaluation.table(
        predictor=name, family=pipeline.family, dataset=dataset, split=split, baseline_name=pipeline.reference
    )
    return add_noise_floors(table, rows) if "standard_error" in rows else table


def _evaluations(pipeline: FamilyPipeline, fitted: FittedFamily, rows: pd.DataFrame) -> dict[str, PartialEvaluation]:
    """What the Evaluation table of each model but the reference is made of; the predictor comes first and is ``""``.

    Forecasts, losses and sums are made part by part, wherever the engine is, and only sums come back.
    """
    n_cells = rows["cell_id"].nunique()
    engine = current_engine() if n_cells >= CELLS_IN_PARTS else LocalEngine()
    segments = _telling_segments(pipeline, rows)
    judge = partial(
        _judged,
        models={"": fitted.predictor, **fitted.baselines},
        reference=pipeline.reference,
        scale=pipeline.scale,
        segments=segments,
    )
    parts = _parts_of_whole_queries(rows, -(-n_cells // CELLS_AT_ONCE))
    columns = {*RUN, *(name for keys in segments for name in ([keys] if isinstance(keys, str) else keys))}
    return engine.fold(judge, [_part(pipeline, part, columns) for part in parts], _merged)


@dataclass(frozen=True, eq=False)
class _Part:
    """Runs of whole queries, and what is known of their cells before the outcome: a prompt travels once a cell."""

    runs: pd.DataFrame
    inputs: pd.DataFrame


def _part(pipeline: FamilyPipeline, rows: pd.DataFrame, columns: set[str]) -> _Part:
    return _Part(rows[[name for name in rows.columns if name in columns]], _inputs_by_cell(pipeline, rows))


def _parts_of_whole_queries(rows: pd.DataFrame, n_parts: int) -> list[pd.DataFrame]:
    """Cut rows into at most `n_parts` parts of about equally many queries, none of which lies in two."""
    query, names = pd.factorize(rows["query_id"])
    place = np.maximum(query, 0) * n_parts // max(len(names), 1)
    return [part for _, part in rows.groupby(place)]


def _judged(
    part: _Part,
    models: Mapping[str, BasePredictor],
    reference: str,
    scale: Literal["identity", "log"],
    segments: Sequence[str | tuple[str, ...]],
) -> dict[str, PartialEvaluation]:
    from predictors.metrics.partial_evaluation import partial_evaluation

    baseline = models[reference].predict_quantiles(part.inputs, EVALUATION_LEVELS)
    return {
        name: partial_evaluation(
            part.runs,
            model.predict_quantiles(part.inputs, EVALUATION_LEVELS),
            baseline=baseline,
            scale=scale,
            segments=segments if name == "" else (),
        )
        for name, model in models.items()
        if name != reference
    }


def _merged(one: dict[str, PartialEvaluation], other: dict[str, PartialEvaluation]) -> dict[str, PartialEvaluation]:
    return {name: evaluation.merge(other[name]) for name, evaluation in one.items()}


def _telling_segments(pipeline: FamilyPipeline, rows: pd.DataFrame) -> list[str | tuple[str, ...]]:
    """Segments by columns that have more than one value here; the others repeat what stands there already."""
    columns = {keys: [keys] if isinstance(keys, str) else list(keys) for keys in pipeline.segments}
    return [keys for keys, names in columns.items() if all(_varies(rows, name) for name in names)]


def _varies(rows: pd.DataFrame, column: str) -> bool:
    return column in rows and len(rows[column].unique()) > 1


def main_segments(evaluation: pd.DataFrame) -> pd.Series:
    """True for the whole and for segments by one column, which is what fits on a screen."""
    return ~evaluation["segment"].str.contains(",")


def forecasts_by_cell(
    pipeline: FamilyPipeline, models: Mapping[str, BasePredictor], rows: pd.DataFrame
) -> dict[str, pd.DataFrame]:
    """The forecast of each model for each cell of `rows`, one column per level, index ``cell_id``.

    Many cells are forecast in parts, wherever the engine is.
    """
    X = _inputs_by_cell(pipeline, rows)
    engine = current_engine() if len(X) >= CELLS_IN_PARTS else LocalEngine()
    parts = engine.map(partial(_forecasts, models=models), split_frame(X, engine.n_workers))
    return {name: pd.concat([part[name] for part in parts]) for name in models}


def _inputs_by_cell(pipeline: FamilyPipeline, rows: pd.DataFrame) -> pd.DataFrame:
    return pipeline.inputs(rows.drop_duplicates("cell_id").set_index("cell_id"))


def _forecasts(X: pd.DataFrame, models: Mapping[str, BasePredictor]) -> dict[str, pd.DataFrame]:
    return {name: model.predict_quantiles(X, EVALUATION_LEVELS) for name, model in models.items()}
