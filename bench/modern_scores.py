"""Prints the error per benchmark on new benchmarks of the set ``modern``: `python bench/modern_scores.py [--folds N]`.

Mean over benchmarks with five models or more, points, with the 95 % interval over benchmarks, for the predictor and
the references: one median for all, the mean of the model's other scores, LightGBM on TF-IDF and metadata. Coverage and
width of the 90 % interval, the narrowest fifth, the floor that label noise sets, the benchmarks' ids with ``--ids``.
"""

from __future__ import annotations

import argparse

import lightgbm
import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import TfidfVectorizer

from foretell.assets.families import get_family
from foretell.assets.families.benchmark_scores.evaluation import FOLDS
from foretell.pipelines.settings import Settings
from foretell.predictors.benchmark_scores.description.features import benchmark_rows, model_matrix, whole_texts
from foretell.predictors.benchmark_scores.description.leakage import assign_folds

LEAST = 5
LEVELS = (0.05, 0.5, 0.95)


def lightgbm_reference(train: pd.DataFrame, test: pd.DataFrame) -> np.ndarray:
    """LightGBM on 32 axes of TF-IDF, the benchmark's year and classes, and the model's metadata."""
    both = pd.concat([train, test])
    benchmarks, codes = benchmark_rows(both)
    words = TfidfVectorizer(sublinear_tf=True, stop_words="english").fit_transform(whole_texts(benchmarks)).toarray()
    axes = np.linalg.svd(words - words.mean(axis=0), full_matrices=False)
    text = (axes[0] * axes[1])[:, :32]
    columns = np.column_stack(
        [text[codes], both["n_classes"].astype(float), both["published_year"].astype(float), model_matrix(both)]
    )
    settings = {"objective": "l1", "learning_rate": 0.05, "min_data_in_leaf": 40, "num_leaves": 31, "num_threads": 1,
                "verbosity": -1, "seed": 0}  # fmt: skip
    data = lightgbm.Dataset(columns[: len(train)], train["value"].to_numpy())
    return np.asarray(lightgbm.train(settings, data, 200).predict(columns[len(train) :]))


def interval(values: pd.Series) -> str:
    half = 1.96 * values.std() / np.sqrt(len(values))
    return f"{values.mean():6.2f} [{values.mean() - half:5.2f}, {values.mean() + half:5.2f}]"


def main() -> None:
    """Fit each fold, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folds", type=int, default=FOLDS, help="how many of the five folds")
    parser.add_argument("--ids", action="store_true", help="print the benchmarks that count")
    arguments = parser.parse_args()
    family = get_family("benchmark_scores")
    examples = family.examples("modern", Settings().sources)
    fold = assign_folds(examples["leak_group"], FOLDS)
    parts = []
    for number in range(arguments.folds):
        train, test = examples[fold != number], examples[fold == number].copy()
        fitted = family.predictor().fit(family.inputs(train), train["value"], groups=train["leak_group"])
        ends = fitted.predict_quantiles(family.inputs(test), LEVELS).to_numpy()
        forecasts = {
            "two-way": ends[:, 1],
            "global": np.full(len(test), train["value"].median()),
            "model mean": test["model"].map(train.groupby("model")["value"].mean()).fillna(train["value"].mean()),
            "LightGBM": lightgbm_reference(train, test),
        }
        for name, forecast in forecasts.items():
            test[name] = np.abs(forecast - test["value"])
        test["coverage"] = test["value"].between(ends[:, 0], ends[:, 2]).astype(float)
        test["width"] = ends[:, 2] - ends[:, 0]
        test["is_narrow"] = test["width"] <= test["width"].quantile(0.2)
        parts.append(test)
    rows = pd.concat(parts)
    counted = rows[rows.groupby("benchmark")["model"].transform("size") >= LEAST]
    recent = counted[counted["published_year"] >= 2025]
    for title, table in (("all benchmarks", counted), ("published in 2025 or later", recent)):
        per = table.groupby("benchmark")[["two-way", "global", "model mean", "LightGBM", "coverage", "width"]].mean()
        print(f"{title}: {len(per)} benchmarks, {table['leak_group'].nunique()} leak groups, {len(table)} scores")
        for name in per:
            print(f"  {name:<12} {interval(per[name])}")
        gain = per["LightGBM"] - per["two-way"]
        print(f"  LightGBM - two-way {interval(gain)}")
    narrow = counted[counted["is_narrow"]]
    print(f"narrowest fifth: {interval(narrow.groupby('benchmark')['two-way'].mean())}, {len(narrow)} scores")
    noise = np.sqrt(2 / np.pi) * counted["standard_error"]
    print(f"floor of label noise: {interval(noise.groupby(counted['benchmark']).mean())}")
    if arguments.ids:
        print(" ".join(sorted(counted["benchmark"].unique())))


if __name__ == "__main__":
    main()
