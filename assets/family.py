"""What every family does with its examples: fit, evaluate, decide. Plain functions, no orchestrator.

The command line, the Dagster assets and the DVC stages call these same functions.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd

from assets.policy import Policy
from assets.tracking import code_digest, fit_digest, frame_digest
from predictors.base import EVALUATION_LEVELS, BasePredictor, load_predictor
from predictors.errors import InvalidInputError
from predictors.schemas import as_evaluation

__all__ = [
    "Decision",
    "FamilyPipeline",
    "FittedFamily",
    "decide",
    "evaluate_family",
    "fit_family",
    "load_fit",
    "main_segments",
    "save_fit",
]

FLOORS = ("crps", "mae", "mse")


@dataclass(frozen=True)
class FamilyPipeline:
    """How one family is fitted and judged.

    `reference` names the baseline that gain and skill are measured against; `segments` are columns of
    the examples (or tuples of them) that the evaluation is broken down by.
    """

    family: str
    predictor: Callable[..., BasePredictor]
    baselines: Callable[[], Mapping[str, BasePredictor]]
    reference: str
    scale: Literal["identity", "log"]
    segments: tuple[str | tuple[str, ...], ...]
    unit: str

    def inputs(self, examples: pd.DataFrame) -> pd.DataFrame:
        """The columns of `examples` that are known before the outcome."""
        known = self.predictor().input_schema.to_schema().columns
        return examples[[name for name in examples.columns if name in known]]


@dataclass(frozen=True)
class FittedFamily:
    """A fitted predictor, its fitted baselines and the digest of what made them."""

    digest: str
    data_digest: str
    predictor: BasePredictor
    baselines: Mapping[str, BasePredictor]


@dataclass(frozen=True)
class Decision:
    """Whether a fit becomes champion, and why in words."""

    promote: bool
    reason: str


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


def evaluate_family(
    pipeline: FamilyPipeline, fitted: FittedFamily, examples: pd.DataFrame, *, dataset: str
) -> pd.DataFrame:
    """The Evaluation table of the test split: the predictor by segment, every baseline as a whole.

    Groups of runs of which more than a fifth were cut off stand in a split of their own, ``test_capped``:
    there the outcome is min(tokens, cap), and so is the forecast (Powell 1986), which is fair to both but
    says little about the forecaster.
    """
    test = examples[examples["split"] == "test"].drop(columns="split")
    parts = {"test": test[~test["is_capped"]], "test_capped": test[test["is_capped"]]}
    tables = []
    for split, rows in parts.items():
        if rows.empty:
            continue
        forecasts = _forecasts(pipeline, {"": fitted.predictor, **fitted.baselines}, rows)
        tables.append(_evaluate(pipeline, type(fitted.predictor).__name__, forecasts, "", rows, dataset, split))
        tables += [
            _evaluate(pipeline, name, forecasts, name, rows, dataset, split)
            for name in fitted.baselines
            if name != pipeline.reference
        ]
    if not tables:
        raise InvalidInputError(f"no row of {dataset!r} is in the test split: {len(examples)} examples are too few")
    return pd.concat(tables, ignore_index=True)


def _evaluate(
    pipeline: FamilyPipeline,
    name: str,
    forecasts: Mapping[str, pd.DataFrame],
    key: str,
    rows: pd.DataFrame,
    dataset: str,
    split: str,
) -> pd.DataFrame:
    from predictors.metrics import evaluate

    return evaluate(
        rows,
        forecasts[key],
        predictor=name,
        family=pipeline.family,
        dataset=dataset,
        split=split,
        baseline=forecasts[pipeline.reference],
        baseline_name=pipeline.reference,
        scale=pipeline.scale,
        segments=_telling_segments(pipeline, rows) if key == "" else (),
    )


def _telling_segments(pipeline: FamilyPipeline, rows: pd.DataFrame) -> list[str | tuple[str, ...]]:
    """Segments by columns that have more than one value here; the others repeat what stands there already."""
    several = {column for column in rows.columns if len(rows[column].unique()) > 1}
    return [keys for keys in pipeline.segments if several.issuperset([keys] if isinstance(keys, str) else keys)]


def main_segments(evaluation: pd.DataFrame) -> pd.Series:
    """True for the whole and for segments by one column, which is what fits on a screen."""
    return ~evaluation["segment"].str.contains(",")


def _forecasts(
    pipeline: FamilyPipeline, models: Mapping[str, BasePredictor], rows: pd.DataFrame
) -> dict[str, pd.DataFrame]:
    cells = rows.drop_duplicates("cell_id").set_index("cell_id")
    X = pipeline.inputs(cells)
    return {name: model.predict_quantiles(X, EVALUATION_LEVELS) for name, model in models.items()}


def floor_table(pipeline: FamilyPipeline, examples: pd.DataFrame, *, dataset: str) -> pd.DataFrame:
    """The noise floor of every segment and metric over all splits, as Evaluation rows without an error.

    Rests on all runs whose group is not mostly cut off; NaN with the reason where it cannot be known.
    """
    from predictors import metrics

    estimators = {name: getattr(metrics, f"{name}_floor") for name in FLOORS}
    rows: list[dict[str, object]] = []
    for segment, runs in _segments(pipeline, examples[~examples["is_capped"]].drop(columns="split")):
        for metric, estimate in estimators.items():
            floor = estimate(runs, scale=pipeline.scale)
            rows.append(
                {
                    "predictor": "none",
                    "family": pipeline.family,
                    "dataset": dataset,
                    "split": "all",
                    "segment": segment,
                    "metric": metric,
                    "noise_floor": floor.value,
                    "floor_ci_lower": floor.ci_lower,
                    "floor_ci_upper": floor.ci_upper,
                    "floor_source": floor.method,
                    "n_queries": floor.n_queries,
                    "n_replicates": floor.n_replicates,
                }
            )
    return as_evaluation(rows)


def _segments(pipeline: FamilyPipeline, runs: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Every segment, and the replicated cells of one where they are only a part of it."""
    several = runs.groupby("cell_id")["cell_id"].transform("size") >= 2
    for name, part in _whole_segments(pipeline, runs):
        yield name, part
        repeated = several.loc[part.index]
        if repeated.any() and not repeated.all():
            yield f"{name},replicated", part[repeated]


def _whole_segments(pipeline: FamilyPipeline, runs: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    yield "all", runs
    for keys in _telling_segments(pipeline, runs):
        columns = [keys] if isinstance(keys, str) else list(keys)
        for values, part in runs.groupby(columns, observed=True):
            yield ",".join(f"{c}={v}" for c, v in zip(columns, values, strict=True)), part


def decide(
    pipeline: FamilyPipeline,
    fitted: FittedFamily,
    champion: BasePredictor | None,
    examples: pd.DataFrame,
    evaluation: pd.DataFrame,
    policy: Policy,
) -> Decision:
    """Whether this fit should become champion.

    The first champion must beat its baseline. A later one must beat the champion on the test queries by
    a paired test at the policy's nightly level, so that luck is rarely promoted even with a test a night.
    """
    from predictors.metrics import compare

    head = evaluation[(evaluation["segment"] == "all") & (evaluation["metric"] == policy.metric)].iloc[0]
    if champion is None:
        better = bool(head["gain_ci_lower"] > 0)
        return Decision(
            better,
            f"first fit: {policy.metric} {head['value']:.4f} against {head['baseline_value']:.4f} "
            f"of {pipeline.reference}, gain {_interval(head['gain'], head['gain_ci_lower'], head['gain_ci_upper'])}"
            + ("" if better else ": the interval includes zero, so no champion is named"),
        )
    rows = examples[(examples["split"] == "test") & ~examples["is_capped"]]
    forecasts = _forecasts(pipeline, {"new": fitted.predictor, "champion": champion}, rows)
    found = compare(rows, forecasts["new"], forecasts["champion"], metric=policy.metric, scale=pipeline.scale)
    better = found.difference < 0 and found.p_value < policy.level
    return Decision(
        bool(better),
        f"{policy.metric} difference to the champion {_interval(found.difference, found.ci_lower, found.ci_upper)} "
        f"over {found.n_queries} queries, p = {found.p_value:.2g} against {policy.level:.2g} a night; "
        f"smallest difference this sample can show: {found.minimum_detectable_effect:.4f}",
    )


def _interval(value: float, lower: float, upper: float) -> str:
    return f"{value:+.4f} [{lower:+.4f}, {upper:+.4f}]"
