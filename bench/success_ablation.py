"""What the text of a question says of who will know the answer: an ablation on SimpleQA, off the reported folds.

    FORETELL_MIRROR=... python bench/success_ablation.py

Learnt on the training queries of pricing-reversal, scored on its calibration queries; the test queries of
`bench/compare_study.py success` are not looked at. About twenty seconds of CPU.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import scipy.sparse as sp
from scipy.special import expit, logit
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold
from sklearn.preprocessing import StandardScaler

from foretell.assets.families.success.examples import examples_of_dataset
from foretell.pipelines.settings import Settings
from foretell.predictors.metrics import log_loss, mean_estimate
from foretell.predictors.success.predictor import SuccessPredictor

ASKED = (
    "who", "what year", "which", "how many", "date", "day", "month", "first name", "surname", "name", "where", "city",
    "in which", "episode", "season",
)  # fmt: skip
YEAR = r"\b(1[5-9]\d\d|20[0-2]\d)\b"
RIDGE = 15.0


def question_numbers(texts: pd.Series) -> np.ndarray:
    """Lengths, numbers, the year that is named, and what is asked for."""
    year = texts.str.extract(YEAR)[0].astype(float)
    counts = [texts.str.len(), texts.str.count(r"\b[A-Z][a-z]+"), texts.str.count(r"\d"), texts.str.count('"'),
              year.fillna(1950), year.notna()]  # fmt: skip
    words = [texts.str.contains(rf"\b{word}\b", case=False) for word in ASKED]
    return np.column_stack([*counts, *words]).astype(float)


def main() -> None:
    rows = examples_of_dataset("pricing-reversal", Settings().sources).drop_duplicates("cell_id")
    rows = rows[rows["benchmark"] == "simpleqa"]
    learn, held = (rows[rows["split"] == name].reset_index(drop=True) for name in ("train", "calibration"))
    models = sorted(learn["model"].unique())
    base = log_loss(held["value"], held["model"].map(learn.groupby("model")["value"].mean()))
    codes, queries = pd.factorize(held["query_id"])

    def show(name: str, chance: np.ndarray) -> None:
        own = log_loss(held["value"], np.clip(chance, 1e-4, 1 - 1e-4))
        ratio = mean_estimate(own, codes, len(queries)) / mean_estimate(base, codes, len(queries))
        low, high = ratio.interval()
        print(f"{name}: log loss {own.mean():.4f}, {100 * (ratio.value - 1):+.1f} % [{100 * (low - 1):+.1f}, "
              f"{100 * (high - 1):+.1f}] of the rate's", flush=True)  # fmt: skip

    columns = ["model", "benchmark", "prompt_text", "query_id"]
    shipped = SuccessPredictor().fit(learn[columns], learn["value"], groups=learn["query_id"])
    show("shipped predictor", shipped.predict_mean(held[columns]).to_numpy())

    texts, asked = (part.drop_duplicates("query_id").set_index("query_id")["prompt_text"] for part in (learn, held))
    at, to = texts.index.get_indexer(learn["query_id"]), asked.index.get_indexer(held["query_id"])
    word = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), min_df=2)
    char = TfidfVectorizer(sublinear_tf=True, analyzer="char_wb", ngram_range=(2, 5), min_df=3)
    scaler = StandardScaler()
    parts = {"words": (word.fit_transform(texts), word.transform(asked)),
             "characters": (char.fit_transform(texts), char.transform(asked))}  # fmt: skip
    numbers = scaler.fit_transform(question_numbers(texts)), scaler.transform(question_numbers(asked))
    parts["numbers of the question"] = tuple(map(sp.csr_matrix, numbers))
    parts["all three"] = tuple(sp.hstack([parts[n][i] * s for n, s in zip(list(parts)[:3], (1, 1, 0.3), strict=True)])
                               .tocsr() for i in (0, 1))  # fmt: skip

    def with_models(matrix: sp.csr_matrix, runs: pd.DataFrame, rows_of: np.ndarray) -> sp.csr_matrix:
        return sp.hstack([matrix[rows_of], sp.csr_matrix(10.0 * np.eye(5)[runs["model"].map(models.index)])]).tocsr()

    for name, (a, b) in parts.items():
        fit = LogisticRegression(C=0.2, max_iter=300).fit(with_models(a, learn, at), learn["value"])
        show(f"one logistic regression, {name}", fit.predict_proba(with_models(b, held, to))[:, 1])

    # How hard an item is for each model, by ridge from the text, out of fold; and its reasoning tokens likewise.
    runs = learn.assign(tokens=np.log1p(learn["run_reasoning_tokens"].astype(float)))
    targets = [
        runs.pivot_table(index="query_id", columns="model", values=name).reindex(texts.index)
        for name in ("value", "tokens")
    ]
    y = np.hstack([((t - t.mean()) / t.std()).fillna(0).to_numpy() for t in targets])
    a, b = parts["all three"]
    kernel, across = (a @ a.T).toarray(), (b @ a.T).toarray()

    def ridge(rows_in: np.ndarray, to_rows: np.ndarray) -> np.ndarray:
        return to_rows @ np.linalg.solve(kernel[np.ix_(rows_in, rows_in)] + RIDGE * np.eye(len(rows_in)), y[rows_in])

    inside = np.zeros_like(y)
    for kept, left in KFold(10, shuffle=True, random_state=0).split(y):
        inside[left] = ridge(kept, kernel[np.ix_(left, kept)])
    outside = ridge(np.arange(len(y)), across)
    chances = {}
    variants = {"success alone": (5, False), "success and forecast tokens": (10, False), "both and numbers": (10, True)}
    for name, (n_targets, extra) in variants.items():
        z, w = inside[:, :n_targets], outside[:, :n_targets]
        if extra:
            z, w = np.hstack([z, numbers[0]]), np.hstack([w, numbers[1]])
        scale = StandardScaler().fit(z)
        chances[name] = np.zeros(len(held))
        for model in models:  # slopes of their own
            mine, its = learn["model"] == model, (held["model"] == model).to_numpy()
            fit = LogisticRegression(C=0.05, max_iter=300).fit(scale.transform(z)[at[mine]], learn["value"][mine])
            chances[name][its] = fit.predict_proba(scale.transform(w)[to[its]])[:, 1]
        show(f"item response with a text prior, slopes by model, {name}", chances[name])
    show("mean of the three logits", expit(np.mean([logit(p) for p in chances.values()], axis=0)))


if __name__ == "__main__":
    main()
