"""How alike benchmarks are in kind: format, metric, languages, domains, details and words, and these together."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .features import BenchmarkFeatures

Floats = NDArray[np.float64]


def kind_inputs(features: BenchmarkFeatures, benchmarks: pd.DataFrame) -> dict[str, Floats]:
    """What `kind_likeness` compares: unit vectors by name, and logarithms of the numbers of classes and languages."""
    classes = np.log(benchmarks["n_classes"].fillna(0.5).to_numpy(dtype=np.float64)) / 0.7
    languages = np.log1p(benchmarks["languages"].str.count(r"\|").to_numpy(dtype=np.float64))
    return {**features.blocks(benchmarks), "numbers": np.column_stack([classes, languages])}


def kind_likeness(left: dict[str, Floats], right: dict[str, Floats]) -> Floats:
    """Kernel between two sets of benchmarks, shape (n_left, n_right).

    A sum of cosines, of their products with that of the answer format, and of the product of all that is structure:
    equal weights within each of the three, the last counted twice, since nothing else tells translations apart.
    """
    alike = {name: left[name] @ right[name].T for name in left if name != "numbers"}
    a, b = left["numbers"], right["numbers"]
    classes, languages = (np.exp(-0.5 * (a[:, [i]] - b[:, i]) ** 2) for i in (0, 1))
    shared = alike["language"] + alike["domain"] + alike["detail"] + alike["word"]
    every = alike["metric"] * classes * (0.3 + alike["language"]) * (0.3 + alike["domain"])
    total = alike["format"] * (shared + classes + 2 * every) + shared + alike["format"] + alike["metric"] + languages
    return np.asarray(total / 7.0)
