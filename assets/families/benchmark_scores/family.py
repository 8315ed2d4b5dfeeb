"""The benchmark-score family: what will a model score on a benchmark that is only described in words."""

from importlib.resources import files
from pathlib import Path

import pandas as pd

from foretell.assets.families.benchmark_scores.asking import with_metadata
from foretell.assets.families.benchmark_scores.evaluation import score_splits
from foretell.assets.families.benchmark_scores.examples import DATASETS, examples_from_dataset
from foretell.assets.judging.family import Family, predictors_of
from foretell.assets.lake.input_tables import read_input_table


def read_inputs(path: Path) -> pd.DataFrame:
    """Described benchmarks and models of a file, redacted as the training texts were; columns of `ScoreRequests`.

    Raises
    ------
    InvalidInputError
        If the file cannot be read, or says nothing about a benchmark or a model.
    """
    from foretell.predictors.benchmark_scores.description.redaction import redact_descriptions
    from foretell.predictors.schemas.descriptions import ScoreRequests

    columns = ScoreRequests.to_schema().columns
    lists = ("known_models", "known_scores", "own_benchmarks", "own_scores")
    rows = read_input_table(path, columns=columns, lists=lists, family="benchmark_scores")
    names = rows["benchmark"].fillna("").astype("str") if "benchmark" in rows else ""
    redacted, _ = redact_descriptions(rows.assign(benchmark=names))
    return with_metadata(redacted, Path(str(files("foretell") / "public")))


FAMILY = Family(
    **predictors_of("benchmark_scores"),
    scale="identity",
    segments=("answer_format",),
    datasets=DATASETS,
    dataset="modern",
    make_examples=examples_from_dataset,
    splits=score_splits,
    read_inputs=read_inputs,
    limits=(
        "Scores of benchmarks are forecast from their description and from models with known scores; a benchmark that "
        "leaked into training data, or of a kind that no known benchmark has, is outside of what was measured."
    ),
    cadence="weekly",
    in_demo=True,
    tables=("benchmark_runs", "benchmark_descriptions", "models"),
    adds_own=True,
    fresh_by="cell_id",
)
