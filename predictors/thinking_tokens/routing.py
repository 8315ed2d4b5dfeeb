"""Which model for which query under a budget: forecasts of success and of cost, then an assignment or a cascade.

In the spirit of FORC (Sakota, Peyrard, West 2024: forecast both, then solve an assignment), Hybrid LLM (Ding et al.
2024) and FrugalGPT (Chen, Zaharia, Zou 2023: try a cheap model, go on where it is not to be trusted).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from predictors.errors import InvalidInputError
from predictors.thinking_tokens.features import TextEmbedding

__all__ = ["Assignment", "Cascade", "SuccessForecaster", "assign_models", "cascade"]

Floats = NDArray[np.float64]


class SuccessForecaster:
    """Probability that a model passes a query, from the text and the benchmark: logistic regression per model.

    The columns of the text are penalised much, those of the benchmark little.

    Parameters
    ----------
    n_components : int
        Dimensions of each TF-IDF part.
    penalty : float
        Inverse of scikit-learn's ``C``.
    random_state : int, optional
        Seed of the embedding.
    """

    def __init__(self, *, n_components: int = 40, penalty: float = 5.0, random_state: int | None = 0) -> None:
        self.n_components = n_components
        self.penalty = penalty
        self.random_state = random_state

    def fit(self, X: pd.DataFrame, passed: pd.Series) -> Self:
        """Learn from runs.

        Parameters
        ----------
        X : DataFrame of shape (n_runs, n_columns)
            `model`, `prompt_text`, and where known `benchmark`.
        passed : Series of shape (n_runs,)
            1 where the answer passed, 0 where not; index of `X`.

        Raises
        ------
        InvalidInputError
            If `passed` holds anything else, or there is no run.
        """
        from sklearn.linear_model import LogisticRegression

        if len(X) == 0 or not passed.isin([0, 1]).all():
            raise InvalidInputError(f"`passed` must be 0 or 1 in at least one run, got {sorted(set(passed))[:5]}")
        texts = sorted(set(X["prompt_text"].dropna()))
        self.embedding_ = TextEmbedding(n_components=self.n_components, random_state=self.random_state).fit(texts)
        self.benchmarks_ = sorted(set(_benchmarks(X)))
        features = self._features(X)
        y = passed.to_numpy(dtype=np.int64)
        self.rates_: dict[str, float] = {}
        self.weights_: dict[str, tuple[Floats, float]] = {}
        models = X["model"].to_numpy(dtype=object)
        for model in sorted(set(models)):
            rows = models == model
            n, k = int(rows.sum()), int(y[rows].sum())
            self.rates_[str(model)] = (k + 1.0) / (n + 2.0)
            if 0 < k < n:
                learnt = LogisticRegression(C=1.0 / self.penalty, max_iter=400).fit(features[rows], y[rows])
                self.weights_[str(model)] = (np.asarray(learnt.coef_[0]), float(learnt.intercept_[0]))
        self.overall_ = float((y.sum() + 1.0) / (len(y) + 2.0))
        return self

    def _features(self, X: pd.DataFrame) -> Floats:
        embedded = self.embedding_.transform(X["prompt_text"].tolist())
        names = _benchmarks(X)
        shares = np.column_stack([names == benchmark for benchmark in self.benchmarks_]).astype(np.float64)
        # Benchmarks are penalised little, texts much: their columns are scaled apart.
        return np.hstack([6.0 * shares, 3.0 * embedded])

    def predict(self, X: pd.DataFrame) -> pd.Series:
        """Probability of passing, index of `X`; a model that was never seen has the overall rate."""
        features = self._features(X)
        models = X["model"].to_numpy(dtype=object)
        chance = np.full(len(X), self.overall_)
        for model in set(models):
            rows = models == model
            if model in self.weights_:
                weights, intercept = self.weights_[model]
                chance[rows] = 1.0 / (1.0 + np.exp(-(features[rows] @ weights + intercept)))
            elif model in self.rates_:
                chance[rows] = self.rates_[model]
        return pd.Series(chance, index=X.index, name="success")


def _benchmarks(X: pd.DataFrame) -> NDArray[np.object_]:
    if "benchmark" not in X:
        return np.full(len(X), "", dtype=object)
    return np.asarray(X["benchmark"].fillna("").to_numpy(dtype=object))


@dataclass(frozen=True)
class Assignment:
    """One model per query.

    Attributes
    ----------
    choice : ndarray of int of shape (n_queries,)
        Column of the model.
    success : float
        Sum of the forecast chances of passing.
    cost_usd : float
        Sum of the forecast costs; never above the budget.
    bound : float
        No assignment within the budget has a larger `success`: the optimum of the linear relaxation.
    """

    choice: NDArray[np.intp]
    success: float
    cost_usd: float
    bound: float


def assign_models(success: Floats, cost_usd: Floats, budget_usd: float) -> Assignment:
    """Assign a model to every query so that the forecast successes are many and the forecast costs within a budget.

    The relaxation in which a query may be split between models is solved exactly (HiGHS). At its optimum at most one
    query is split, because only the budget ties queries together; that one goes to the cheaper of its models. So the
    assignment is within one success of the best there is (multiple-choice knapsack; Sinha & Zoltners 1979).

    Parameters
    ----------
    success, cost_usd : ndarrays of shape (n_queries, n_models)
        Chance of passing, in [0, 1], and cost in USD, >= 0.
    budget_usd : float
        For all queries together.

    Raises
    ------
    InvalidInputError
        If shapes disagree, a value is out of range, or the budget is below the cheapest assignment.

    Examples
    --------
    >>> chance, cost = np.array([[0.5, 0.9], [0.5, 0.6]]), np.array([[1.0, 3.0], [1.0, 3.0]])
    >>> assign_models(chance, cost, 4.0).choice.tolist()
    [1, 0]
    """
    from scipy.optimize import linprog
    from scipy.sparse import csr_matrix

    _check(success, cost_usd)
    n, m = success.shape
    least = float(cost_usd.min(axis=1).sum())
    if not budget_usd >= least:
        raise InvalidInputError(
            f"`budget_usd` must be at least {least:.6g}, the cost of the cheapest models, got {budget_usd}"
        )
    one_each = csr_matrix((np.ones(n * m), (np.repeat(np.arange(n), m), np.arange(n * m))), shape=(n, n * m))
    found = linprog(
        -success.ravel(), A_ub=cost_usd.reshape(1, -1), b_ub=[budget_usd], A_eq=one_each, b_eq=np.ones(n), bounds=(0, 1)
    )
    if found.status != 0:
        raise InvalidInputError(f"the assignment cannot be solved: {found.message}")
    share = found.x.reshape(n, m)
    choice = share.argmax(axis=1)
    for query in np.flatnonzero(share.max(axis=1) < 1 - 1e-6):
        among = np.flatnonzero(share[query] > 1e-9)
        choice[query] = among[cost_usd[query, among].argmin()]
    rows = np.arange(n)
    return Assignment(
        choice.astype(np.intp),
        float(success[rows, choice].sum()),
        float(cost_usd[rows, choice].sum()),
        float(-found.fun),
    )


@dataclass(frozen=True)
class Cascade:
    """Models tried one after the other.

    Attributes
    ----------
    order : tuple of int
        Columns of the models, cheapest first.
    threshold : float
        A model is tried, and its answer kept, if its forecast chance of passing is at least this; else the next
        one. The last is always kept.
    """

    order: tuple[int, ...]
    threshold: float

    def choose(self, success: Floats) -> NDArray[np.intp]:
        """Column of the model whose answer is kept, per query; `success` of shape (n_queries, n_models)."""
        chosen = np.full(len(success), self.order[-1], dtype=np.intp)
        open_ = np.ones(len(success), dtype=bool)
        for column in self.order[:-1]:
            sure = open_ & (success[:, column] >= self.threshold)
            chosen[sure] = column
            open_ &= ~sure
        return chosen


def cascade(success: Floats, cost_usd: Floats, budget_usd: float) -> Cascade:
    """The cascade over all models, cheapest first, with the largest expected success within the budget.

    Whether a model is tried is decided by forecasts, before it is asked: nothing is paid for answers that are thrown
    away. Thresholds are tried on the forecasts themselves, so that no outcome is needed.

    Parameters and errors as for `assign_models`.
    """
    _check(success, cost_usd)
    order = tuple(int(i) for i in np.argsort(cost_usd.mean(axis=0), kind="stable"))
    rows = np.arange(len(success))
    best: tuple[float, Cascade] | None = None
    for subset in _frontier_prefixes(order):
        for threshold in np.linspace(0.0, 1.0, 101):
            candidate = Cascade(subset, float(threshold))
            choice = candidate.choose(success)
            if cost_usd[rows, choice].sum() > budget_usd:
                continue
            gained = float(success[rows, choice].sum())
            if best is None or gained > best[0]:
                best = (gained, candidate)
    if best is None:
        raise InvalidInputError(f"`budget_usd` of {budget_usd} is below the cost of any cascade")
    return best[1]


def _frontier_prefixes(order: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Single models, and pairs and triples in the order of their cost."""
    singles = [(a,) for a in order]
    pairs = [(a, b) for i, a in enumerate(order) for b in order[i + 1 :]]
    triples = [(a, b, c) for i, (a, b) in enumerate(pairs) for c in order[order.index(b) + 1 :]]
    return [*singles, *pairs, *triples]


def _check(success: Floats, cost_usd: Floats) -> None:
    if success.shape != cost_usd.shape or success.ndim != 2 or 0 in success.shape:
        raise InvalidInputError(
            "`success` and `cost_usd` must have one shape (n_queries, n_models), "
            f"got {success.shape} and {cost_usd.shape}"
        )
    if not ((success >= 0) & (success <= 1)).all():
        raise InvalidInputError("`success` must be in [0, 1] and known for every query and model")
    if not ((cost_usd >= 0) & np.isfinite(cost_usd)).all():
        raise InvalidInputError("`cost_usd` must be >= 0 and known for every query and model")
