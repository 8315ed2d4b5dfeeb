"""LCDB 1.0: accuracy of 20 classifiers on 248 data sets against the number of training items, over 25 seeds.

The source package ``lcdb==0.1.0`` holds ``lcdb/database-accuracy.csv``: 1,953,371 rows, one per data set (OpenML id),
learner, training size, outer and inner seed. Its code is never run. What the project carries
(``data/starter/lcdb``, written by `foretell.collect.lcdb`) is derived: means and standard deviations over seeds at
every anchor, and the single runs at each curve's last anchor.

Licence MIT, copyright (c) 2021 Felix Mohr. Mohr, Viering, Loog & van Rijn (2022), LCDB 1.0, ECML PKDD.
https://github.com/fmohr/lcdb
"""

from pathlib import Path

import numpy as np
import pandas as pd

from foretell.collect.lcdb import CURVES_FILE, RUNS_FILE, SCALE
from foretell.predictors.errors import DatasetError


def load_mean_curves(folder: Path) -> pd.DataFrame:
    """The means as `foretell.collect.lcdb.summarise_runs` returns them, values rounded to 1e-5, of training to 1e-4."""
    table = _read(folder / CURVES_FILE)
    for name, scale in SCALE.items():
        table[name] = table[name].to_numpy(dtype=np.float64, na_value=np.nan) / scale
    counts = {"step": "float64", "n": "int64", "n_splits": "int64"}
    return table.astype({"dataset": "str", "learner": "str", **counts})


def load_final_runs(folder: Path) -> pd.DataFrame:
    """Single runs at the last anchor of every curve: dataset, learner, outer_seed, inner_seed, value (0-1)."""
    table = _read(folder / RUNS_FILE)
    table["value"] = table["value"].astype("float64") / 1e4
    return table.astype({"dataset": "str", "learner": "str", "outer_seed": "int64", "inner_seed": "int64"})


def _read(path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path}: cannot be read ({error}); restore it from the repository") from error
