"""The project's own model ladder: its committed tables."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import pandera.errors

from foretell.collect.ladder_words import describe_levels
from foretell.predictors.errors import DatasetError
from foretell.predictors.schemas.benchmark_runs import AGGREGATE_ITEM, BenchmarkRuns
from foretell.predictors.schemas.contracts import completed
from foretell.predictors.schemas.descriptions import BenchmarkDescriptions, BenchmarkModels
from foretell.predictors.schemas.ladder_samples import LadderSamples

CONTEXT_TOKENS = 28.0

LADDER_FILES: Mapping[str, tuple[str, ...]] = {
    "samples": tuple(LadderSamples.to_schema().columns),
    "checkpoints": (
        "family", "model", "benchmark", "level", "n_items", "n_params", "n_train_tokens", "train_flops", "seed",
        "checkpoint", "score", "score_se", "sampled_score", "sampled_se", "greedy", "greedy_se", "loss", "loss_se",
        "chance",
    ),
    "training_curves": (
        "family", "model", "seed", "n_params", "step", "n_train_tokens", "train_flops", "train_loss",
        "validation_loss", "validation_score",
    ),
    "descriptions": tuple(BenchmarkDescriptions.to_schema().columns),
    "tasks": ("benchmark", "level", "skill", "answer_format", "n_items", "chance"),
    "runs": ("family", "model", "width", "seed", "n_params", "n_train_tokens", "train_flops", "steps", "cpu_s"),
}  # fmt: skip
"""The tables of a measured ladder, one parquet file each, and their columns. Scores and rates are shares (0-1).

- ``samples``: one row per model, item and checkpoint, valid under `LadderSamples`; checkpoint 1 is the trained model.
- ``checkpoints``: one row per model, benchmark, level and checkpoint, `level` 0 being all levels together: `score` is
  the mean exact pass probability, `sampled_score` that of the draws, `greedy` the share of likeliest answers that are
  right, `loss` the mean negative log-likelihood of an answer. The errors ``*_se`` are those of drawing other items;
  `sampled_se` is that of drawing other answers. `chance` is the pass rate of guessing (see ``tasks``).
- ``training_curves``: one row per model and point: losses in nats a character of the answers, of the training rows
  since the last point and of the held-out items.
- ``descriptions``: one row per benchmark, valid under `BenchmarkDescriptions`.
- ``tasks``: one row per benchmark and level; `chance` is the pass rate of an answerer who knows how often each answer
  occurs and does not read the question (estimated from 4,000 fresh rows).
- ``runs``: one row per model: its size, what it was trained on, and the processor seconds this took.
"""


def load_ladder(starter: Path) -> dict[str, pd.DataFrame]:
    """The tables `LADDER_FILES` of the ladder in ``<starter>/ladder/``, measured by this project.

    Raises
    ------
    DatasetError
        If a file is missing, is no parquet file or lacks a column, or if a row breaks the contract.
    """
    folder = starter / "ladder"
    tables = {name: _read(folder / f"{name}.parquet", columns) for name, columns in LADDER_FILES.items()}
    for name, schema in (("samples", LadderSamples), ("descriptions", BenchmarkDescriptions)):
        try:
            tables[name] = schema.validate(tables[name], lazy=True)
        except pandera.errors.SchemaErrors as error:
            first = error.failure_cases.iloc[0]
            raise DatasetError(
                f"{folder / f'{name}.parquet'}: row {first['index']}, column {first['column']}: "
                f"{first['failure_case']!r} fails {first['check']}; {_REMEDY}"
            ) from error
    return tables


_REMEDY = "restore it from version control, or measure anew with `python -m foretell.collect.ladder`"


def _read(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    if not path.is_file():
        raise DatasetError(f"{path}: no such table of the model ladder; {_REMEDY}")
    try:
        table = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path}: not a parquet file ({error}); {_REMEDY}") from error
    missing = sorted(set(columns) - set(table.columns))
    if missing:
        raise DatasetError(f"{path}: lacks the columns {missing}; {_REMEDY}")
    return table[list(columns)]


def ladder_scores(starter: Path) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """The ladder as scores of models on described benchmarks: what `benchmark_scores.examples.prepare_tables` takes.

    A benchmark is a task at a level, a model a size; its score is the mean exact pass probability over the items and
    the seeds, in points. `replicate_sd` is the standard deviation over the seeds.

    Returns
    -------
    descriptions, runs, models : DataFrame
        Valid under `BenchmarkDescriptions`, `BenchmarkRuns` and `BenchmarkModels`.

    Raises
    ------
    DatasetError
        As `load_ladder`.
    """
    tables = load_ladder(starter)
    cells = tables["checkpoints"][(tables["checkpoints"]["checkpoint"] == 1) & (tables["checkpoints"]["level"] > 0)]
    cells = cells.assign(
        benchmark=cells["benchmark"].astype("str") + "-" + cells["level"].astype("str"),
        model=cells["model"].astype("str").str.rsplit("-", n=1).str[0],
        score=100.0 * cells["score"].astype("float64"),
    )
    runs = cells.groupby(["model", "benchmark"], sort=False, as_index=False).agg(
        score=("score", "mean"), replicate_sd=("score", "std"), n_items=("n_items", "first"),
        n_replicates=("score", "size"),
    ).assign(
        item_id=AGGREGATE_ITEM, replicate=0, metric="exact_match", filter="none", n_shot=0, higher_is_better=True,
        harness="foretell-ladder",
    )  # fmt: skip
    runs["run_id"] = runs["model"] + "/" + runs["benchmark"]
    models = tables["runs"].assign(model=tables["runs"]["model"].astype("str").str.rsplit("-", n=1).str[0])
    models = models.drop_duplicates("model").reset_index(drop=True)
    models = models.assign(
        model_family=models["family"].astype("str"), embed_dim=models["width"], context_tokens=CONTEXT_TOKENS,
        uses_instructions=0.0, open_weights=1.0, released_at=pd.Timestamp("2026-11-22", tz="UTC"),
    )  # fmt: skip
    described = describe_levels(int(tables["tasks"]["n_items"].iloc[0]))
    return described, completed(runs, BenchmarkRuns), completed(models, BenchmarkModels)
