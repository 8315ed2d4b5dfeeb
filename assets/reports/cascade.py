"""Cascades: ask one model, look at its answer, and ask a better one where that is worth its price; judged off-sample.

In the spirit of FrugalGPT (Chen, Zaharia & Zou 2023): three parts of the queries, one to learn what texts say, one to
learn what answers say, one to judge.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit, logit

from foretell.assets.engine import Table
from foretell.assets.reports.routing import Evidence, Floats, Policy, Router, fit_router, judged, read_evidence
from foretell.assets.reports.runs import ROWS_IN_RUN, query_table
from foretell.assets.reports.spec import Report, ReportSpec
from foretell.assets.store.money import percent
from foretell.predictors.splits import assign_split
from foretell.predictors.success.predictor import penalised_logistic
from foretell.predictors.thinking_tokens.bill.routing import assign_models, value_from_log

BUDGETS = (0.25, 0.5, 0.75, 1.0)
"""Budgets, as shares of what the best model costs for every query."""
SIGNALS = ("output_tokens", "reasoning_tokens", "is_censored", "answer_logprob")
"""What of an answer is looked at: its length, how long it was thought about, whether it was cut off, how likely its
tokens were. Unknown tokens count as none; an unknown log probability says nothing, so that it is NaN."""
PENALTY = 3.0
MIN_LOGGED = 50
"""Answers that a model needs in a log in which one model answered each query."""


@dataclass(frozen=True)
class Asked:
    """Queries that every model answered: forecasts before asking, what came back, and what it cost and scored."""

    success: Floats
    expected: Floats
    signals: dict[str, Floats]
    costs: Floats
    scores: Floats

    @classmethod
    def of(cls, evidence: Evidence, split: str, router: Router) -> "Asked":
        """Those of a split; arrays of shape (n_queries, n_models)."""
        asked, costs, scores = evidence.answers(split)
        runs = evidence.runs.assign(**{name: evidence.runs[name].astype("float64") for name in SIGNALS})
        signals = {
            name: query_table(runs, name).reindex(index=costs.index, columns=costs.columns).to_numpy(np.float64)
            for name in SIGNALS
        }
        signals |= {name: np.nan_to_num(signals[name]) for name in SIGNALS if name != "answer_logprob"}
        success, expected = router.forecast(asked)
        return cls(success, expected, signals, costs.to_numpy(), scores.to_numpy())

    def features(self, first: int, second: int) -> Floats:
        """What is known once the first has answered: both forecasts, the length beside its forecast, the signals."""
        chances = logit(np.clip(self.success[:, [first, second]], 1e-3, 1 - 1e-3))
        surprise = np.log(np.maximum(self.costs[:, first], 1e-12) / np.maximum(self.expected[:, first], 1e-12))
        lengths = [np.log1p(self.signals[name][:, first]) for name in ("output_tokens", "reasoning_tokens")]
        rest = [self.signals[name][:, first] for name in ("is_censored", "answer_logprob")]
        return np.column_stack([np.ones(len(surprise)), chances, surprise, *lengths, *rest, surprise * chances[:, 0]])


@dataclass(frozen=True)
class Cascade:
    """Ask `first`; ask `second` too where the gain that is expected of it is above `rate` for each of its dollars."""

    first: int
    second: int
    weights: tuple[Floats, Floats]
    centre: Floats
    scale: Floats
    rate: float = 0.0

    @classmethod
    def learn(cls, asked: Asked, first: int, second: int) -> "Cascade":
        """Chances that either is right, given the answer of the first, by logistic regression."""
        X = asked.features(first, second)
        known = pd.DataFrame(X[:, 1:])  # whose means leave out what is not known
        centre = np.r_[0.0, known.mean()]
        scale = np.r_[1.0, known.std(ddof=0).where(lambda spread: spread > 1e-9, np.inf)]
        Z, nothing = _standardised(X, centre, scale), np.zeros(len(X))
        penalty = np.r_[0.01, np.full(X.shape[1] - 1, PENALTY)]
        one, other = (
            penalised_logistic(Z, (asked.scores[:, model] >= 1).astype(np.float64), nothing, penalty)
            for model in (first, second)
        )
        return cls(first, second, (one, other), centre, scale)

    def worth(self, asked: Asked) -> Floats:
        """Expected gain of asking the second too, for each dollar of it; shape (n_queries,)."""
        Z = _standardised(asked.features(self.first, self.second), self.centre, self.scale)
        gain = expit(Z @ self.weights[1]) - expit(Z @ self.weights[0])
        return np.asarray(gain / np.maximum(asked.expected[:, self.second], 1e-12))

    def within(self, budget: float, asked: Asked) -> "Cascade | None":
        """With the least rate at which these queries cost no more than `budget` each; None where the first does."""
        paid, worth = asked.costs[:, self.first].mean(), self.worth(asked)
        if paid > budget:
            return None
        order = np.argsort(-worth)
        spent = paid + np.cumsum(asked.costs[order, self.second]) / len(order)
        n = min(int(np.searchsorted(spent, budget, side="right")), int((worth > 0).sum()))
        rate = float("inf") if n == 0 else float(worth[order[n - 1]])
        return replace(self, rate=rate)

    def outcome(self, asked: Asked) -> tuple[Floats, Floats, NDArray[np.bool_]]:
        """What each query costs and scores, and whether the second was asked."""
        defers = self.worth(asked) >= self.rate
        paid = asked.costs[:, self.first] + defers * asked.costs[:, self.second]
        return paid, np.where(defers, asked.scores[:, self.second], asked.scores[:, self.first]), defers


def _standardised(X: Floats, centre: Floats, scale: Floats) -> Floats:
    """In standard deviations from the mean, which is where what is not known is put."""
    return np.nan_to_num((X - centre) / scale)


def best_cascade(learnt: Sequence[Cascade], asked: Asked, budget: float) -> Cascade | None:
    """The pair of models, within the budget, that scores most on the queries that it was learnt from."""
    fitting = [chosen for cascade in learnt if (chosen := cascade.within(budget, asked)) is not None]
    return max(fitting, key=lambda cascade: float(cascade.outcome(asked)[1].mean()), default=None)


def cascade_report(
    traces: pd.DataFrame | Table, price_file: Path | None = None, *, max_rows: int = ROWS_IN_RUN
) -> Report:
    """One row per policy and budget: cascades beside deciding before asking, one model for all, and the oracle."""
    evidence, runs, reasons = read_evidence(traces, price_file, max_rows)
    if evidence is None:
        return from_log(runs, price_file, reasons)
    router = fit_router(evidence.runs[evidence.runs["split"] == "train"], evidence.models, price_file)
    known, test = (Asked.of(evidence, split, router) for split in ("calibration", "test"))
    models, learnt_means = evidence.models, evidence.learnt_means("train", "calibration")
    best = int(learnt_means["score"].argmax())
    orders = list(permutations(range(len(models)), 2))
    pairs = [Cascade.learn(known, *order) for order in orders]
    share_told = float(np.isfinite(test.signals["answer_logprob"]).mean())
    silent = replace(known, signals={**known.signals, "answer_logprob": np.full_like(known.costs, np.nan)})
    unaware = [Cascade.learn(silent, *order) for order in orders] if share_told else []
    if not share_told:
        reasons.append("No answer tells its log probabilities: ask for `logprobs`, and a cascade looks at them too.")
    rows = np.arange(len(test.costs))
    policies: list[Policy] = [
        (f"always {name}" + (" (best)" if k == best else ""), np.nan, test.costs[:, k], test.scores[:, k])
        for k, name in enumerate(models)
    ]
    # An oracle knows who will be right: the cheapest of these, or the cheapest of all where nobody is.
    right = np.where(test.scores >= test.scores.max(axis=1, keepdims=True), test.costs, np.inf).argmin(axis=1)
    policies.append(("oracle", np.nan, test.costs[rows, right], test.scores[rows, right]))
    findings = []
    for share in BUDGETS:
        budget = share * float(known.costs[:, best].mean())
        chosen = best_cascade(pairs, known, budget)
        least = float(test.expected.min(axis=1).mean())
        if chosen is None or budget < least:
            reasons.append(f"{percent(share)} of the best model's cost buys no model for every query.")
            continue
        before = assign_models(test.success, test.expected, budget * len(rows) * (1 + 1e-9)).choice
        paid, score, defers = chosen.outcome(test)
        name = f"cascade {models[chosen.first]}, then {models[chosen.second]}"
        policies.append((name, budget, paid, score))
        policies.append(("router", budget, test.costs[rows, before], test.scores[rows, before]))
        findings.append(
            f"{name} at {percent(share)} of the cost of {models[best]} asks twice in {percent(defers.mean())}, pays "
            f"{percent(paid.mean() / test.costs[:, best].mean())} and scores {score.mean():.3f}: "
            f"{_gain(score - test.scores[rows, before])} against deciding before asking, which pays "
            f"{percent(test.costs[rows, before].mean() / test.costs[:, best].mean())}."
        )
        if (other := best_cascade(unaware, known, budget)) is not None:
            paid_without, score_without, _ = other.outcome(test)
            policies.append(("cascade without log probabilities", budget, paid_without, score_without))
            findings.append(
                f"Log probabilities, told by {percent(share_told)} of the answers, were worth "
                f"{_gain(score - score_without)} of the score there, for "
                f"{100 * (paid - paid_without).mean() / test.costs[:, best].mean():+.0f} % of the money."
            )
    table = judged(policies, test.costs[:, best], test.scores[:, best])
    return Report(table, {}, tuple(findings), tuple(reasons))


def from_log(runs: pd.DataFrame, price_file: Path | None, reasons: list[str]) -> Report:
    """Where one model answered each query: what one model for all, or the router, would have come to.

    Which model was asked counts as drawn within each benchmark with the shares that are seen there. What a second model
    would have said to a query nobody knows, so that cascades are not judged.
    """
    texts = runs[runs["prompt_text"].notna()].drop_duplicates("query_id") if len(runs) else runs
    counts = texts["model"].value_counts() if len(texts) else pd.Series(dtype="int64")
    models = sorted(counts.index[counts >= MIN_LOGGED])
    if len(models) < 2:
        return Report(pd.DataFrame(), reasons=tuple(reasons))
    texts = texts[texts["model"].isin(models)]
    is_test = (assign_split(texts["query_id"]) == "test").to_numpy()
    learn, test = texts[~is_test], texts[is_test]
    router = fit_router(learn, models, price_file)
    success, expected = router.forecast(test[["benchmark", "prompt_text", "input_tokens"]])
    shares = (learn.groupby("benchmark")["model"].value_counts().unstack(fill_value=0) + 1.0).reindex(columns=models)  # noqa: PD010
    shares = shares.reindex(test["benchmark"].unique(), fill_value=1.0)
    propensity = shares.div(shares.sum(axis=1), axis=0).loc[test["benchmark"]].to_numpy()
    logged = pd.Index(models).get_indexer(test["model"])
    budget = float(expected[np.arange(len(test)), logged].sum()) * (1 + 1e-9)
    choices = {"as logged": logged, "router": assign_models(success, expected, budget).choice}
    choices |= {f"always {name}": np.full(len(test), k) for k, name in enumerate(models)}
    rows, thin = [], []
    for name, choice in choices.items():
        kept = propensity if name != "as logged" else np.ones_like(propensity)
        score = value_from_log(choice, logged, test["score"].to_numpy(np.float64), success, kept)
        paid = value_from_log(choice, logged, test["total_usd"].to_numpy(np.float64), expected, kept)
        rows.append(
            {
                "policy": name, "usd_per_query": paid.value,
                "quality": score.value, "quality_lower": score.value - 1.96 * score.standard_error,
                "quality_upper": score.value + 1.96 * score.standard_error, "n_queries": len(test),
                "effective_queries": score.effective_queries, "least_propensity": score.least_propensity,
            }
        )  # fmt: skip
        if score.effective_queries < MIN_LOGGED / 2:
            thin.append(f"{name}: the log speaks for {score.effective_queries:.0f} queries only, do not trust it.")
    why = "One model answered each query: values are doubly robust, as if models had been drawn within each benchmark."
    return Report(pd.DataFrame(rows), {}, (), (*reasons, why, *thin))


def _gain(differences: Floats) -> str:
    """Mean over queries with its 95 % interval, in words."""
    gain, half = differences.mean(), 1.96 * differences.std(ddof=1) / np.sqrt(len(differences))
    return f"{gain:+.3f} [{gain - half:+.3f}, {gain + half:+.3f}]"


SPEC = ReportSpec(
    "cascade",
    "Cascades: ask, look at the answer, then ask a better model",
    "One row per policy and budget: what the test queries cost and scored, and the share of the best model's.",
    cascade_report,
    "plot_routing",
)
