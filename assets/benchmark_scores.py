"""The benchmark-score family: its examples, and how it is fitted and judged over leak groups."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd

from assets.family import FamilyPipeline
from assets.family_assets import build_family_assets
from assets.input_tables import read_input_table
from assets.resources import Workspace
from assets.score_noise import add_noise_floors
from assets.sources import Sources
from predictors.base import EVALUATION_LEVELS, BasePredictor
from predictors.errors import DatasetError, InvalidInputError
from predictors.families import FAMILIES
from predictors.splits import assign_split

__all__ = [
    "DATASETS",
    "PIPELINE",
    "ScoreTables",
    "benchmark_scores_assets",
    "evaluate_dataset",
    "evaluate_score_tables",
    "examples_from_dataset",
    "examples_from_scores",
    "load_precog_jsonl",
    "load_score_tables",
    "read_inputs",
    "with_known_scores",
]

DATASETS = ("llm-harness", "mteb")
FOLDS = 5
MODELS_PER_BENCHMARK = 40
N_KNOWN = 5
SAMPLE_SEED = 0
LEVELS = EVALUATION_LEVELS
METRICS = ("mae", "crps", "coverage_90", "width_90", "interval_score_90")


FAMILY = FAMILIES["benchmark_scores"]


def _predictor(**params: Any) -> BasePredictor:
    return FAMILY.new_predictor().set_params(**params)


PIPELINE = FamilyPipeline(
    family=FAMILY.name,
    predictor=_predictor,
    baselines=FAMILY.new_baselines,
    reference=FAMILY.reference,
    scale="identity",
    segments=("answer_format",),
    unit="score, points (0-100)",
)


@dataclass(frozen=True)
class ScoreTables:
    """Canonical tables of one data set: redacted descriptions, scorable runs, models, and what was removed."""

    descriptions: pd.DataFrame
    runs: pd.DataFrame
    models: pd.DataFrame
    redactions: pd.DataFrame
    quarantine: pd.DataFrame


def load_score_tables(dataset: str, sources: Sources) -> ScoreTables:
    """Read a prepared snapshot, redact its descriptions, check that nothing leaks, and quarantine what is no score.

    Raises
    ------
    InvalidInputError
        If the set is not known, or a name or score survives redaction.
    DatasetError
        If a file is missing.
    """
    from assets.readers.lm_eval_scores import load_llm_harness_snapshot
    from assets.readers.mteb import load_mteb_snapshot

    readers = {"mteb": (load_mteb_snapshot, "mteb"), "llm-harness": (load_llm_harness_snapshot, "llm_harness")}
    if dataset not in readers:
        raise InvalidInputError(f"`dataset` must be one of {sorted(readers)}, got {dataset!r}")
    read, folder = readers[dataset]
    return prepare_tables(*read(sources.snapshots / folder))


def prepare_tables(descriptions: pd.DataFrame, runs: pd.DataFrame, models: pd.DataFrame) -> ScoreTables:
    """Redact, check for leaks and separate what is no score in points."""
    from predictors.benchmark_scores.redaction import check_leaks, redact_descriptions

    redacted, report = redact_descriptions(descriptions)
    check_leaks(redacted, {str(name): scores.tolist() for name, scores in runs.groupby("benchmark")["score"]})
    outside = ~runs["score"].between(0, 100)
    unknown = ~runs["benchmark"].isin(redacted["benchmark"])
    reason = np.where(unknown, "the benchmark has no description", "the score is outside 0-100 points")
    bad = outside | unknown | ~runs["higher_is_better"]
    reason = np.where(runs["higher_is_better"], reason, "a metric of which lower is better has no score in points")
    return ScoreTables(redacted, runs[~bad], models, report, runs[bad].assign(reason=reason[bad.to_numpy()]))


def read_inputs(path: Path) -> pd.DataFrame:
    """Described benchmarks and models of a file, redacted as the training texts were; columns of `ScoreRequests`.

    Raises
    ------
    InvalidInputError
        If the file cannot be read, or says nothing about a benchmark or a model.
    """
    from predictors.benchmark_scores.redaction import redact_descriptions
    from predictors.schemas.descriptions import ScoreRequests

    columns = ScoreRequests.to_schema().columns
    rows = read_input_table(path, known=columns, lists=("known_models", "known_scores"))
    names = rows["benchmark"].fillna("").astype("str") if "benchmark" in rows else ""
    redacted, _ = redact_descriptions(rows.assign(benchmark=names))
    return redacted


def load_precog_jsonl(path: Path) -> pd.DataFrame:
    """Read descriptions from JSON lines in PRECOG's form, for users who hold that corpus.

    Each line has ``benchmark`` and any of the seven fields, and may have ``sources`` (paper identifiers) beside
    the other columns of `BenchmarkDescriptions`. Leak groups are made anew, from names, texts and sources.
    """
    from predictors.benchmark_scores.leakage import description_text, leak_groups
    from predictors.schemas.descriptions import BenchmarkDescriptions

    try:
        table = pd.read_json(path, lines=True, dtype=False)
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path}: not JSON lines ({error})") from error
    if "benchmark" not in table:
        raise DatasetError(f"{path}: the records lack `benchmark`")
    sources = table["sources"].map(_joined).tolist() if "sources" in table else [None] * len(table)
    columns = list(BenchmarkDescriptions.to_schema().columns)
    table = table.reindex(columns=[name for name in columns if name != "leak_group"])
    table["leak_group"] = leak_groups(table["benchmark"].tolist(), description_text(table).tolist(), sources)
    return BenchmarkDescriptions.validate(table[columns], lazy=True)


def _joined(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value or "")


def examples_from_scores(tables: ScoreTables, *, per_benchmark: int | None = MODELS_PER_BENCHMARK) -> pd.DataFrame:
    """One row per score to learn from or be judged on, at most `per_benchmark` models of each benchmark.

    `value` is the score in points, `query_id` the leak group (what intervals resample), `cell_id` the run.
    `standard_error` is the score's own noise, NaN where it cannot be known.
    """
    from predictors.benchmark_scores.noise import score_standard_error

    runs = tables.runs.sort_values(["benchmark", "model", "run_id"], kind="stable", ignore_index=True)
    if per_benchmark is not None:
        order = pd.Series(np.random.default_rng(SAMPLE_SEED).random(len(runs)), index=runs.index)
        runs = runs[order.groupby(runs["benchmark"]).rank() <= per_benchmark].reset_index(drop=True)
    error = score_standard_error(runs)
    known = tables.descriptions.drop(columns=["metric", "licence", "source_url"])
    out = runs.drop(columns=["n_items", "started_at"]).merge(known, on="benchmark", how="left", validate="m:1")
    out = out.merge(tables.models, on="model", how="left", validate="m:1")
    out = out.assign(
        cell_id=out["run_id"], query_id=out["leak_group"], replicate=0, split=assign_split(out["leak_group"]),
        value=out["score"].astype("float64"), is_censored=False, is_capped=False, repeat_prob=1.0,
        release_year=out["released_at"].dt.year + (out["released_at"].dt.month - 1) / 12, standard_error=error,
        has_noise=np.where(np.isnan(error), "unknown", "known"), n_items=out["n_items"].astype("float64"),
        n_classes=out["n_classes"].astype("float64"), n_shot=out["n_shot"].astype("float64"),
    )  # fmt: skip
    return out[[
        "cell_id", "query_id", "replicate", "split", "value", "is_censored", "is_capped", "repeat_prob",
        "standard_error", "has_noise", "published_at", "benchmark", "leak_group", "task", "data_collection",
        "evaluation", "difficulty", "subset", "prompting_strategy", "other_settings", "domain", "answer_format",
        "metric", "languages", "n_classes", "n_items", "n_shot", "model", "model_family", "n_params", "embed_dim",
        "context_tokens", "n_languages", "uses_instructions", "open_weights", "release_year",
    ]]  # fmt: skip


def with_known_scores(rows: pd.DataFrame, models: Sequence[str], *, n_known: int = N_KNOWN) -> pd.DataFrame:
    """Forecast tasks of which the `n_known` cheapest models (fewest parameters) of each benchmark have run.

    Only models in `models` (those trained on) can be known; benchmarks with too few of them, or with no other
    row, are left out, as are the rows that became known.
    """
    parts = []
    usable = rows[rows["model"].isin(list(models)) & rows["n_params"].notna()]
    for benchmark, group in usable.groupby("benchmark"):
        cheap = group.drop_duplicates("model") if len(group) else group
        cheap = cheap.sort_values(["n_params", "model"]).head(n_known)
        rest = rows[(rows["benchmark"] == benchmark) & ~rows["model"].isin(cheap["model"])]
        if len(cheap) < n_known or rest.empty:
            continue
        told = {"known_models": cheap["model"].tolist(), "known_scores": cheap["value"].tolist()}
        lists = {name: pd.Series([values] * len(rest), index=rest.index) for name, values in told.items()}
        parts.append(rest.assign(**lists))
    return pd.concat(parts) if parts else rows.iloc[:0].assign(known_models=None, known_scores=None)


def examples_from_dataset(dataset: str, sources: Sources) -> pd.DataFrame:
    """`examples_from_scores` of a named data set."""
    return examples_from_scores(load_score_tables(dataset, sources), per_benchmark=_per_benchmark(dataset))


def _per_benchmark(dataset: str) -> int | None:
    return MODELS_PER_BENCHMARK if dataset == "mteb" else None


def evaluate_dataset(
    dataset: str, sources: Sources, *, optimistic: bool = True, progress: Callable[[str], None] = lambda _: None
) -> pd.DataFrame:
    """The Evaluation table of `FOLDS` folds over leak groups, all folds together and one by one.

    Splits: ``leak_group`` (the one that counts), ``known_5`` (the same folds; five cheap models of each new benchmark
    are known), and ``benchmark_optimistic`` (whole benchmarks, leak groups straddle: flattering, for comparison).
    Segments: each answer format and fold; ``confidence=narrowest_20`` is the fifth with the narrowest intervals of
    each fold; ``has_noise=known`` are scores of which the noise is known, with its floor.

    Parameters
    ----------
    dataset : str
        One of `DATASETS`.
    sources : Sources
        Where the prepared tables lie.
    optimistic : bool, optional
        Whether to add the optimistic split, which takes as long again.
    progress : callable, optional
        Told what has been done.
    """
    tables = load_score_tables(dataset, sources)
    few = _per_benchmark(dataset)
    return evaluate_score_tables(tables, dataset, per_benchmark=few, optimistic=optimistic, progress=progress)


def evaluate_score_tables(
    tables: ScoreTables,
    dataset: str,
    *,
    per_benchmark: int | None = None,
    optimistic: bool = True,
    progress: Callable[[str], None] = lambda _: None,
) -> pd.DataFrame:
    """What `evaluate_benchmark_scores` does with tables that are at hand."""
    from predictors.benchmark_scores.leakage import assign_folds, check_split_leaks

    examples = examples_from_scores(tables, per_benchmark=per_benchmark)
    examples["fold"] = assign_folds(examples["leak_group"], FOLDS)
    benchmarks = examples.drop_duplicates("benchmark")[["benchmark", "leak_group", "fold"]]
    described = tables.descriptions.merge(benchmarks, on=["benchmark", "leak_group"])
    check_split_leaks(described.assign(task=None), described["fold"])
    models = {PIPELINE.family: _predictor, **{name: _remake(name) for name in FAMILY.baselines}}
    strict = _forecast_folds(examples, models, progress, with_known=True)
    evaluated = [*_tables(dataset, "leak_group", strict[:2], examples), *_known_tables(dataset, strict[2])]
    if optimistic:
        loose = examples.assign(fold=assign_folds(examples["benchmark"], FOLDS))
        few = {name: models[name] for name in (PIPELINE.family, PIPELINE.reference)}
        forecasts = _forecast_folds(loose, few, progress, groups="benchmark")
        evaluated += _tables(dataset, "benchmark_optimistic", forecasts[:2], loose)
    return pd.concat(evaluated, ignore_index=True)


def _remake(name: str) -> Callable[[], BasePredictor]:
    return lambda: FAMILY.new_baselines()[name]


Forecasts = dict[str, pd.DataFrame]


def _forecast_folds(
    examples: pd.DataFrame,
    models: Mapping[str, Callable[[], BasePredictor]],
    progress: Callable[[str], None],
    *,
    groups: str = "leak_group",
    with_known: bool = False,
) -> tuple[Forecasts, pd.Series, tuple[pd.DataFrame, Forecasts]]:
    """Out-of-fold forecasts by model, whether each row is among its fold's narrowest, and those with known scores."""
    found: dict[str, list[pd.DataFrame]] = {name: [] for name in models}
    known_rows: list[pd.DataFrame] = []
    known: dict[str, list[pd.DataFrame]] = {"known": [], "unknown": []}
    narrow = pd.Series("rest", index=examples.index)
    for fold in range(FOLDS):
        test = examples["fold"] == fold
        train, rows = examples[~test], examples[test]
        for name, build in models.items():
            model = build().fit(PIPELINE.inputs(train), train["value"], groups=train[groups])
            found[name].append(model.predict_quantiles(PIPELINE.inputs(rows), LEVELS).set_axis(rows["cell_id"]))
            progress(f"fold {fold}: {name}")
            if name != PIPELINE.family:
                continue
            width = (found[name][-1][0.95] - found[name][-1][0.05]).to_numpy()
            narrow[rows.index[width <= np.quantile(width, 0.2)]] = "narrowest_20"
            if with_known:
                told = with_known_scores(rows, train["model"].unique().tolist())
                known_rows.append(told)
                for key, part in (("known", told), ("unknown", told.drop(columns=["known_models", "known_scores"]))):
                    quantiles = model.predict_quantiles(PIPELINE.inputs(part), LEVELS)
                    known[key].append(quantiles.set_axis(told["cell_id"]))
    joined = {name: pd.concat(parts) for name, parts in found.items()}
    if not with_known:
        return joined, narrow, (examples.iloc[:0], {})
    return joined, narrow, (pd.concat(known_rows), {name: pd.concat(parts) for name, parts in known.items()})


def _tables(
    dataset: str, split: str, forecasts: tuple[Forecasts, pd.Series], examples: pd.DataFrame
) -> Iterator[pd.DataFrame]:
    quantiles, narrow = forecasts
    outcomes = examples.drop(columns="split").assign(confidence=narrow, fold=examples["fold"].astype("str"))
    for name, forecast in quantiles.items():
        is_own = name == PIPELINE.family
        segments = ("answer_format", "fold", "confidence", "has_noise") if is_own else ("fold",)
        reference = None if name == PIPELINE.reference else quantiles[PIPELINE.reference]
        table = _evaluate(outcomes, forecast, reference, PIPELINE.reference, name, dataset, split, segments)
        yield add_noise_floors(table, outcomes) if is_own else table


def _known_tables(dataset: str, known: tuple[pd.DataFrame, Forecasts]) -> Iterator[pd.DataFrame]:
    rows, forecasts = known
    if rows.empty:
        return
    outcomes = rows.drop(columns=["split", "known_models", "known_scores"]).assign(fold=rows["fold"].astype("str"))
    yield _evaluate(outcomes, forecasts["known"], forecasts["unknown"], "without_known_scores", PIPELINE.family,
                    dataset, "known_5", ("fold",))  # fmt: skip


def _evaluate(
    outcomes: pd.DataFrame, forecast: pd.DataFrame, reference: pd.DataFrame | None, reference_name: str, name: str,
    dataset: str, split: str, segments: Sequence[str],
) -> pd.DataFrame:  # fmt: skip
    from predictors.metrics import evaluate

    return evaluate(
        outcomes, forecast, predictor=name, family=PIPELINE.family, dataset=dataset, split=split, baseline=reference,
        baseline_name=None if reference is None else reference_name, metrics=METRICS, segments=tuple(segments),
    )  # fmt: skip


# -- Dagster ------------------------------------------------------------------------------------------
class ScoreSource(dg.Config):
    """Which data set the examples are made from."""

    dataset: str = "ladder"


@dg.asset(
    group_name="benchmark_scores",
    kinds={"parquet"},
    description="One row per score: the redacted description, the model, the score and its split.",
)
def benchmark_scores_examples(config: ScoreSource, workspace: Workspace) -> dg.MaterializeResult:
    tables = load_score_tables(config.dataset, workspace.sources)
    examples = examples_from_scores(tables, per_benchmark=MODELS_PER_BENCHMARK)
    return dg.MaterializeResult(
        value=examples,
        metadata={
            "benchmarks": int(examples["benchmark"].nunique()),
            "leak_groups": int(examples["query_id"].nunique()),
            "models": int(examples["model"].nunique()),
            "redactions": len(tables.redactions),
            "quarantined": len(tables.quarantine),
        },
    )


benchmark_scores_assets = [benchmark_scores_examples, *build_family_assets(PIPELINE)]
