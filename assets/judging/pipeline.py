"""Fits of a family: made once, kept by their digest, asked for forecasts. Plain functions, no orchestrator.

The command line, the Dagster assets and the DVC stages call these same functions.
"""

import json
import logging
import shutil
import tempfile
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from foretell.assets.engine import Engine, current_engine
from foretell.assets.judging.family import Family
from foretell.assets.store.digests import code_digest, fit_digest, frame_digest
from foretell.predictors.base import EVALUATION_LEVELS, BasePredictor, load_predictor
from foretell.predictors.errors import DatasetError
from foretell.predictors.fitting.boosting import row_slices

K = TypeVar("K", bound=Hashable)
log = logging.getLogger(__name__)

CELLS_IN_PARTS = 20_000
"""Fewer cells are forecast faster than they and the models travel."""


@dataclass(frozen=True)
class FittedFamily:
    """A fitted predictor, its fitted baselines and the digest of what made them."""

    digest: str
    data_digest: str
    predictor: BasePredictor
    baselines: Mapping[str, BasePredictor]


def unfitted(family: Family) -> FittedFamily:
    """The predictor and the baselines of a family before they have learnt."""
    return FittedFamily("", "", family.predictor(), family.baselines())


def fit_family(family: Family, examples: pd.DataFrame, *, store: Path | None = None) -> FittedFamily:
    """Fit the predictor and its baselines on the rows that are not `test`.

    With `store`, a fit of the same data, parameters and code is read back instead of made again.
    """
    data_digest = frame_digest(examples)
    digest = fit_digest(family.name, data_digest, family.predictor(), code_digest())
    folder = None if store is None else store / family.name / digest
    stored = None if folder is None else stored_fit(folder)
    if stored is not None:
        return stored
    learn = examples[examples["split"] != "test"]
    fitted = replace(unfitted(family), digest=digest, data_digest=data_digest)
    for model in (fitted.predictor, *fitted.baselines.values()):
        family.fit(model, learn)
    if folder is not None:
        save_fit(fitted, folder)
    return fitted


def save_fit(fitted: FittedFamily, folder: Path) -> None:
    """Write a fit to `folder`, whole or not at all."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    about = {"digest": fitted.digest, "data_digest": fitted.data_digest, "baselines": list(fitted.baselines)}
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".fit-") as temporary:
        whole = Path(temporary) / "fit"
        fitted.predictor.save(whole / "predictor")
        for name, baseline in fitted.baselines.items():
            baseline.save(whole / "baselines" / name)
        (whole / "fit.json").write_text(json.dumps(about), "utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        whole.rename(folder)


def load_fit(folder: Path) -> FittedFamily:
    """Read what `save_fit` wrote.

    Raises
    ------
    DatasetError
        If it is damaged.
    """
    try:
        fit = json.loads((folder / "fit.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise DatasetError(f"{folder / 'fit.json'}: cannot be read ({error})") from error
    baselines = {name: load_predictor(folder / "baselines" / name) for name in fit["baselines"]}
    return FittedFamily(fit["digest"], fit["data_digest"], load_predictor(folder / "predictor"), baselines)


def stored_fit(folder: Path) -> FittedFamily | None:
    """The fit in a folder; None where there is none, or where it is damaged and must be made again."""
    if not folder.is_dir():
        return None
    try:
        return load_fit(folder)
    except DatasetError as error:
        log.warning("a stored fit cannot be read and is made again: %s", error)
        return None


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


def headline(rows: pd.DataFrame) -> dict[str, float]:
    """``<metric>`` with ``_floor``, ``_excess``, ``_skill`` beside it, of rows of one segment, without what is NaN."""
    columns = {"": "value", "_floor": "noise_floor", "_excess": "excess_error", "_skill": "skill"}
    return {
        row["metric"] + suffix: float(row[column])
        for row in rows.to_dict("records")
        for suffix, column in columns.items()
        if pd.notna(row[column])
    }


def main_segments(evaluation: pd.DataFrame) -> pd.Series:
    """True for the whole and for segments by one column, which is what fits on a screen."""
    return ~evaluation["segment"].str.contains(",")


def forecasts_by_cell(family: Family, models: Mapping[K, BasePredictor], rows: pd.DataFrame) -> dict[K, pd.DataFrame]:
    """The forecast of each model for each cell of `rows`, one column per level, index ``cell_id``.

    Many cells are forecast in parts, wherever the engine is.
    """
    X = family.inputs_by_cell(rows)
    engine = current_engine() if len(X) >= CELLS_IN_PARTS else Engine()
    blocks = [X.iloc[rows] for rows in row_slices(len(X), -(-len(X) // engine.n_workers) or 1)]
    parts = engine.map(partial(_forecasts, models=models), blocks)
    return {name: pd.concat([part[name] for part in parts]) for name in models}


def _forecasts(X: pd.DataFrame, models: Mapping[K, BasePredictor]) -> dict[K, pd.DataFrame]:
    return {name: model.predict_quantiles(X, EVALUATION_LEVELS) for name, model in models.items()}


def loss_differences(
    family: Family, rows: pd.DataFrame, base: BasePredictor, rivals: Mapping[K, BasePredictor], metric: str
) -> dict[K, NDArray[np.float64]]:
    """Loss of each rival minus that of `base`, shape (n_queries,): below 0 is better. Empty for no rows."""
    from foretell.predictors.metrics import query_losses

    if rows.empty:
        return {name: np.empty(0) for name in rivals}
    forecasts = forecasts_by_cell(family, {None: base, **rivals}, rows)
    whole = forecasts.pop(None)
    losses = (query_losses(rows, forecasts[name], whole, metric=metric, scale=family.scale) for name in rivals)
    return {name: pair[:, 0] - pair[:, 1] for name, pair in zip(rivals, losses, strict=True)}
