"""Which model for which query under a budget, given forecasts of success and of cost.

In the spirit of FORC (Sakota, Peyrard, West 2024): forecast both, then solve an assignment.
"""

from dataclasses import dataclass

import numpy as np

from ...arrays import Codes, Floats
from ...errors import InvalidInputError


@dataclass(frozen=True)
class Assignment:
    """One model per query: its column, and the sums of the forecast chances of passing and costs.

    No assignment within the budget has a larger `success` than `bound`, the optimum of the linear relaxation.
    """

    choice: Codes
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
    solution = linprog(
        -success.ravel(), A_ub=cost_usd.reshape(1, -1), b_ub=[budget_usd], A_eq=one_each, b_eq=np.ones(n), bounds=(0, 1)
    )
    if solution.status != 0:
        raise InvalidInputError(f"the assignment cannot be solved: {solution.message}")
    share = solution.x.reshape(n, m)
    choice = share.argmax(axis=1)
    for query in np.flatnonzero(share.max(axis=1) < 1 - 1e-6):
        among = np.flatnonzero(share[query] > 1e-9)
        choice[query] = among[cost_usd[query, among].argmin()]
    chosen = np.arange(n), choice
    return Assignment(
        choice.astype(np.intp), float(success[chosen].sum()), float(cost_usd[chosen].sum()), float(-solution.fun)
    )


@dataclass(frozen=True)
class LoggedValue:
    """What a policy would have come to, from a log in which one model answered each query.

    `value` is the mean outcome per query. `effective_queries`, ``(sum w)^2 / sum w^2`` of those that were answered as
    the policy would have it, and `least_propensity` of what it chooses say whether the log speaks for it.
    """

    value: float
    standard_error: float
    effective_queries: float
    least_propensity: float


def value_from_log(choice: Codes, logged: Codes, outcome: Floats, forecast: Floats, propensity: Floats) -> LoggedValue:
    """Doubly robust value of a policy (Dudik, Langford & Li 2011): right where the forecast or the propensity is.

    `choice` and `logged` (n_queries,) are the models that the policy chooses and that answered, `outcome` (n_queries,)
    is of the answer. `forecast` and `propensity` (n_queries, n_models) are forecasts of the outcome, made without these
    queries, and the probability with which each model was asked.

    Examples
    --------
    >>> one, two = np.zeros(2, dtype=int), np.array([0, 1])
    >>> value_from_log(one, two, np.array([1.0, 0.0]), np.full((2, 2), 0.5), np.full((2, 2), 0.5)).value
    1.0
    """
    rows = np.arange(len(choice))
    chosen = propensity[rows, choice]
    weight = (choice == logged) / np.maximum(chosen, 1e-6)
    terms = forecast[rows, choice] + weight * (outcome - forecast[rows, logged])
    error = float(terms.std(ddof=1) / np.sqrt(len(terms))) if len(terms) > 1 else float("nan")
    squares = float(np.square(weight).sum())
    effective = float(weight.sum()) ** 2 / squares if squares else 0.0
    return LoggedValue(float(terms.mean()), error, effective, float(chosen.min()))


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
