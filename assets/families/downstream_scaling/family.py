"""The downstream-scaling family: what will the big model score, given the small ones."""

from pathlib import Path

import pandas as pd

from foretell.assets.families.downstream_scaling.evaluation import scaling_splits
from foretell.assets.families.downstream_scaling.examples import examples_from_dataset
from foretell.assets.families.downstream_scaling.measurements import DATASETS
from foretell.assets.judging.family import Family, predictors_of
from foretell.assets.lake.input_tables import read_input_table
from foretell.predictors.errors import InvalidInputError


def read_inputs(path: Path) -> pd.DataFrame:
    """Read forecasts to make: JSON lines, parquet or csv, one row per forecast with the columns of `LadderRequests`.

    Raises
    ------
    InvalidInputError
        If the file cannot be read or a row has no measured scores; says which line and what to do.
    """
    from foretell.predictors.downstream_scaling.ladder import LadderRequests

    columns = LadderRequests.to_schema().columns
    lists = [name for name in columns if name.startswith("ladder_") or name == "item_pass_rates"]
    rows = read_input_table(path, columns=columns, lists=lists, family="downstream_scaling")
    scores = rows["ladder_scores"] if "ladder_scores" in rows else pd.Series(None, index=rows.index, dtype=object)
    if (unmeasured := scores.isna()).any():
        raise InvalidInputError(
            f"{path}:{scores.index[unmeasured][0]}: no `ladder_scores`; give the measured scores in points, as a list"
        )
    return rows


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
