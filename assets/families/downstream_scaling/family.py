"""The downstream-scaling family: what will the big model score, given the small ones."""

from pathlib import Path

import pandas as pd

from foretell.assets.families.downstream_scaling.evaluation import scaling_splits
from foretell.assets.families.downstream_scaling.examples import examples_from_dataset
from foretell.assets.families.downstream_scaling.measurements import DATASETS
from foretell.assets.judging.family import Family, predictors_of
from foretell.assets.lake.input_tables import read_input_table, rows_by
from foretell.assets.readers.core.normalise import as_number
from foretell.assets.readers.core.stream import head_of
from foretell.assets.readers.scores.table_columns import COLUMN_READERS
from foretell.predictors.errors import InvalidInputError

_MEASURED = next(reader for reader in COLUMN_READERS if reader.name == "ladder_table")
_OF_LADDER = {
    "score": "ladder_scores", "train_flops": "ladder_flops", "n_params": "ladder_params",
    "n_train_tokens": "ladder_tokens", "standard_error": "ladder_errors",
}  # fmt: skip
_OF_TARGET = {"train_flops": "target_flops", "n_params": "target_params", "n_train_tokens": "target_tokens"}
_NUMBERS = [*_OF_LADDER, "chance_score", "upper_score", "n_items"]


def read_inputs(path: Path) -> pd.DataFrame:
    """Read forecasts to make, one row each with the columns of `LadderRequests`.

    A file has a row per forecast (JSON lines, parquet or csv), or, as `foretell ingest` reads ladders, a row per model
    and benchmark: rows whose score is empty are then what is asked about, by those of their ladder that have one.

    Raises
    ------
    InvalidInputError
        If the file cannot be read or a row has no measured scores; says which line and what to do.
    """
    from foretell.predictors.downstream_scaling.ladder import LadderRequests

    if path.is_file() and _MEASURED.sniff(head_of(path), path):
        return _of_measurements(path)
    columns = LadderRequests.to_schema().columns
    lists = [name for name in columns if name.startswith("ladder_") or name == "item_pass_rates"]
    rows = read_input_table(path, columns=columns, lists=lists, family="downstream_scaling")
    scores = rows["ladder_scores"] if "ladder_scores" in rows else pd.Series(None, index=rows.index, dtype=object)
    if (unmeasured := scores.isna()).any():
        raise InvalidInputError(
            f"{path}:{scores.index[unmeasured][0]}: no `ladder_scores`; give the measured scores in points, as a list, "
            "or a row per model with `n_params` and `n_train_tokens` or `train_flops`"
        )
    return rows


def _of_measurements(path: Path) -> pd.DataFrame:
    """A row per benchmark and model without a score; one without target where all have one."""
    table = rows_by(_MEASURED, path).reindex(columns=["family", "model", "benchmark", "source_line", *_NUMBERS])
    numbers = table[_NUMBERS].map(as_number).astype("float64")
    wrong = table[_NUMBERS].replace("", None).notna() & numbers.isna()
    table[_NUMBERS] = numbers
    for name in _NUMBERS:
        for line in table.loc[wrong[name], "source_line"].head(1):
            raise InvalidInputError(f"{path}:{line}: `{name}` is no number; correct it")
    rows = []
    for (_, benchmark), group in table.groupby(["family", "benchmark"], sort=False):
        ladder, asked = group[group["score"].notna()], group[group["score"].isna()]
        if ladder.empty:
            first = f"{path}:{group['source_line'].iloc[0]}"
            raise InvalidInputError(f"{first}: no model has a score on {benchmark}; give those of smaller ones")
        shared = {name: group[name].dropna().max() for name in ("chance_score", "upper_score", "n_items")}
        shared |= {of_ladder: ladder[name].tolist() for name, of_ladder in _OF_LADDER.items()}
        shared |= {"benchmark": benchmark, "ladder_runs": ladder["model"].astype(str).tolist()}
        targets = [{name: row[of] for of, name in _OF_TARGET.items()} for _, row in asked.iterrows()]
        rows += [shared | target for target in targets or [{}]]
    return pd.DataFrame(rows, index=pd.RangeIndex(1, len(rows) + 1, name="row"))


FAMILY = Family(
    **predictors_of("downstream_scaling"),
    scale="identity",
    segments=("benchmark", "abstain"),
    datasets=DATASETS,
    dataset="ladder",
    make_examples=examples_from_dataset,
    splits=scaling_splits,
    read_inputs=read_inputs,
    limits=(
        "Scores of large models are extrapolated from small ones of the same ladder; abilities without any sign in the "
        "ladder are outside of what was measured."
    ),
    cadence="weekly",
    in_demo=True,
    tables=("ladder_measurements",),
    bundled=("ladder_samples",),
    adds_own=True,
    fresh_by="cell_id",
)
