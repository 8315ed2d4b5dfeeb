"""Evals of two systems or more on the same items: is the gain noise, and what would tell?

Tables are long, one row per run of an item: `system`, `item`, `replicate`, `score` (higher is better), and where known
`cluster` (items that share a document, a family or a seed) and `task`. Items are the sample and clusters are resampled;
repeats of an item only sharpen its mean.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import special, stats

from ...arrays import Floats
from ...errors import InvalidInputError
from ..estimates.clusters import Estimate, mean_estimate, wilson_interval
from ..estimates.pass_at_k import pass_at_k, pass_hat_k
from .comparison import detectable_effect, sign_flip_p_value, t_p_value
from .power import DifferenceVariance, required_queries

SIZE, POWER = 0.05, 0.8
"""Error rate of a test; probability with which a plan finds what is there."""
N_BLOCKS = 10
SETTINGS = ("harness", "batch", "precision")
"""Columns that name how a run was made: what they move is no property of the system."""


def holm(p_values: ArrayLike) -> Floats:
    """P-values adjusted so that the chance of any false find among all of them stays below the level (Holm 1979).

    NaN stays NaN and counts as no test.

    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, dtype=np.float64)
    out = np.full(p.shape, np.nan)
    tested = np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    scaled = p[order] * np.arange(order.size, 0, -1)
    out[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return out


def summarise_systems(scores: pd.DataFrame, *, ks: Sequence[int] = (2, 3, 5, 10)) -> pd.DataFrame:
    """What each system scored, what varies in it, and what k draws of it are worth.

    One row per system: `system`, `mean` with its 95 % interval, `n_items`, `n_clusters`, `n_runs`; `item_sd` and
    `run_sd`, the standard deviation between items and between runs of one (NaN without repeats), ``<setting>_sd``
    where a column of `SETTINGS` varies; `luck`, by how much the means of two identical evals differ with 95 %
    probability; ``pass_at_<k>``, ``pass_hat_<k>`` for scores of 0 and 1, of `ks` as many as every item has runs; `iqm`
    over tasks with its interval.
    """
    rows = []
    for system, runs in scores.groupby("system", sort=False):
        items = _items(runs)
        codes, clusters = pd.factorize(items["cluster"])
        estimate = mean_estimate(items["mean"].to_numpy(), codes, len(clusters))
        is_binary = runs["score"].isin([0, 1]).all()
        lower, upper = wilson_interval(estimate) if is_binary else estimate.interval()
        within = float(items["variance"].mean())
        between = float(items["mean"].var(ddof=1) - within * (1 / items["n"]).mean())
        row = {
            "system": system, "mean": estimate.value, "ci_lower": lower, "ci_upper": upper, "n_items": len(items),
            "n_clusters": estimate.n_clusters, "n_runs": len(runs), "item_sd": _root(between), "run_sd": _root(within),
            **_setting_spread(runs), "luck": 1.96 * np.sqrt(2 * within / items["n"].mean() / len(items)),
        }  # fmt: skip
        if is_binary and items["n"].min() >= 2:
            right = (items["mean"] * items["n"]).round().to_numpy()
            for k in (k for k in ks if k <= items["n"].min()):
                row[f"pass_at_{k}"] = float(pass_at_k(right, items["n"], k).mean())
                row[f"pass_hat_{k}"] = float(pass_hat_k(right, items["n"], k).mean())
        rows.append(row | _over_tasks(runs))
    return pd.DataFrame(rows)


def compare_systems(scores: pd.DataFrame, *, margin: float | None = None) -> pd.DataFrame:
    """Every pair of systems on the items that both have.

    `margin` is the difference that does not matter, in the unit of the score: by default 2 % of the range of scores.

    One row per pair: `a`, `b`; `difference` (a - b, positive where a is better) with its 95 % t interval over clusters,
    which holds 0 where the sign-flip test does; `p_value`, the larger of the two tests' (few discordant items make the
    t test too sure), and `p_value_holm` over all pairs; `standard_error` and `standard_error_unclustered`;
    `minimum_detectable_effect` (80 % power); `margin` and `p_value_equivalence` of two one-sided tests, after Holm;
    `probability_of_improvement` (a run of a above one of b on the same item, ties half) with its interval; `n_items`
    compared, `n_only_a`, `n_only_b`; `between` and `within` (variance of the difference of one item and of one run, NaN
    without repeats), `items_needed` to find `margin` at these repeats; `verdict`: ``a better``, ``b better``, ``equal``
    within the margin, ``undecided``. Raises InvalidInputError for fewer than two systems, two without a common item, or
    a margin that is not positive.
    """
    systems = scores["system"].drop_duplicates().tolist()
    if len(systems) < 2:
        raise InvalidInputError(f"two systems are needed to compare, got {systems}")
    spread = float(scores["score"].max() - scores["score"].min())
    margin = 0.02 * (spread or 1.0) if margin is None else margin
    if not margin > 0:
        raise InvalidInputError(f"`margin` must be > 0, got {margin}")
    parts = dict(iter(scores.groupby("system", sort=False)))
    table = pd.DataFrame([_pair(a, b, parts[a], parts[b], margin) for a, b in combinations(systems, 2)])
    table["p_value_holm"] = holm(table["p_value"])
    table["p_value_equivalence"] = holm(table["p_value_equivalence"])
    differs = (table["p_value_holm"] < SIZE).to_numpy()
    verdict = np.where(table["p_value_equivalence"] < SIZE, "equal", "undecided")
    table["verdict"] = np.where(differs, np.where(table["difference"] > 0, "a better", "b better"), verdict)
    return table


def rank_intervals(comparisons: pd.DataFrame) -> pd.DataFrame:
    """Ranks that hold for all systems at once with 95 % probability; 1 is best.

    A system stands at best behind those found better than it, and at worst before those found worse, after Holm
    (Mogstad, Romano, Shaikh & Wilhelm 2024, Inference for ranks). `comparisons` are those of `compare_systems`; one row
    per system: `system`, `rank_lower`, `rank_upper`.
    """
    systems = list(dict.fromkeys([*comparisons["a"], *comparisons["b"]]))
    pairs = comparisons[["a", "b", "verdict"]].itertuples(index=False)
    found = [(a, b) if verdict == "a better" else (b, a) for a, b, verdict in pairs if verdict.endswith("better")]
    won, lost = ([pair[place] for pair in found] for place in (0, 1))
    rows = [(name, 1 + lost.count(name), len(systems) - won.count(name)) for name in systems]
    return pd.DataFrame(rows, columns=["system", "rank_lower", "rank_upper"])


def sentence(row: Mapping[Hashable, Any]) -> str:
    """The verdict of a row of `compare_systems` in one sentence."""
    a, b, value = str(row["a"]), str(row["b"]), float(row["difference"])
    n, needed, margin = row["n_items"], row["items_needed"], row["margin"]
    ends = f"{value:+.3g} [{row['ci_lower']:+.3g}, {row['ci_upper']:+.3g}]"
    if row["verdict"] in ("a better", "b better"):
        better, worse = (a, b) if value > 0 else (b, a)
        small = f", though by less than {margin:.3g}" if row["p_value_equivalence"] < SIZE else ""
        return f"{better} is better than {worse}{small}: {ends} on {n} items, p = {row['p_value_holm']:.2g}."
    if row["verdict"] == "equal":
        return f"{a} and {b} are equal within {margin:.3g}: {ends} on {n} items."
    if np.isnan(row["ci_lower"]):
        return f"Undecided: {n} item or cluster says nothing of the next one; compare {a} and {b} on more."
    return (
        f"Undecided: {a} - {b} is {ends} on {n} items, which are enough for a difference of "
        f"{row['minimum_detectable_effect']:.2g}; one of {margin:.3g} takes {needed:,.0f}."
    )


def difference_variance(a: pd.DataFrame, b: pd.DataFrame) -> DifferenceVariance:
    """The variance of a difference on one item that two systems have, in what items and what runs make of it.

    Without repeats of both, all counts as `between` and `within` is NaN.
    """
    both = _items(a).join(_items(b), how="inner", lsuffix="_a", rsuffix="_b")
    of_means = float((both["mean_a"] - both["mean_b"]).var(ddof=1)) if len(both) > 1 else float("nan")
    within = float(both["variance_a"].mean() + both["variance_b"].mean())
    noise = (both["variance_a"] / both["n_a"]).mean() + (both["variance_b"] / both["n_b"]).mean()
    between = of_means if np.isnan(within) else of_means - float(noise)
    return DifferenceVariance(between, within, len(both), int(both["n_a"].sum() + both["n_b"].sum()))


def _pair(a: str, b: str, runs_a: pd.DataFrame, runs_b: pd.DataFrame, margin: float) -> dict[str, object]:
    items_a, items_b = _items(runs_a), _items(runs_b)
    shared = items_a.index.intersection(items_b.index)
    if shared.empty:
        raise InvalidInputError(f"{a} and {b} share no item, so there is nothing to pair: compare runs of one eval")
    d = (items_a.loc[shared, "mean"] - items_b.loc[shared, "mean"]).to_numpy()
    codes, clusters = pd.factorize(items_a.loc[shared, "cluster"])
    estimate = mean_estimate(d, codes, len(clusters))
    flipped = sign_flip_p_value(np.bincount(codes, weights=d).astype(np.float64))
    naive = mean_estimate(d, np.arange(len(d)), len(d)).standard_error
    variance = difference_variance(runs_a, runs_b)
    of_items = DifferenceVariance(variance.between, float(np.nan_to_num(variance.within)))  # all, without repeats
    lower, upper = _interval(estimate, d, runs_a, runs_b)
    if flipped >= SIZE:
        lower, upper = min(lower, 0.0), max(upper, 0.0)
    met = runs_a[["item", "score"]].merge(runs_b[["item", "score"]], on="item", suffixes=("_a", "_b"))
    won = (met["score_a"] > met["score_b"]) + 0.5 * (met["score_a"] == met["score_b"])
    wins = mean_estimate(np.asarray(won.groupby(met["item"]).mean().loc[shared], np.float64), codes, len(clusters))
    repeats = float(items_a["n"].mean() + items_b["n"].mean()) / 2
    design = (estimate.standard_error / naive) ** 2 if naive > 0 else 1.0
    return {
        "a": a, "b": b, "difference": estimate.value, "ci_lower": lower, "ci_upper": upper, "verdict": "",
        "p_value": np.fmax(t_p_value(estimate), flipped), "p_value_holm": np.nan,
        "minimum_detectable_effect": detectable_effect(estimate, POWER, SIZE), "margin": margin,
        "p_value_equivalence": _equivalence(estimate, margin, upper - estimate.value),
        "probability_of_improvement": wins.value, "improvement_lower": max(0.0, wins.interval()[0]),
        "improvement_upper": min(1.0, wins.interval()[1]), "n_items": len(shared), "n_clusters": len(clusters),
        "n_only_a": len(items_a) - len(shared), "n_only_b": len(items_b) - len(shared),
        "standard_error": estimate.standard_error, "standard_error_unclustered": naive,
        "between": variance.between, "within": variance.within,
        "items_needed": design * required_queries(margin, of_items, max(1, round(repeats)))
        if np.isfinite(variance.between) else np.nan,
    }  # fmt: skip


def _interval(estimate: Estimate, d: Floats, runs_a: pd.DataFrame, runs_b: pd.DataFrame) -> tuple[float, float]:
    """The t interval; where no two differences differ, scores of 0 and 1 still leave room for rare items that would."""
    lower, upper = estimate.interval()
    is_binary = runs_a["score"].isin([0, 1]).all() and runs_b["score"].isin([0, 1]).all()
    if len(d) > 1 and estimate.standard_error < 1e-12 and is_binary:
        rare = 1 - 0.025 ** (1 / estimate.n_clusters)  # Clopper-Pearson: none of n items is unlike the others
        return max(-1.0, lower - rare), min(1.0, upper + rare)
    return lower, upper


def _equivalence(estimate: Estimate, margin: float, half: float) -> float:
    """P-value of two one-sided t tests that the difference lies within the margin (Schuirmann 1987)."""
    error = estimate.standard_error
    if error < 1e-12:
        return 0.0 if abs(estimate.value) + half < margin else 1.0
    return float(special.stdtr(estimate.n_clusters - 1, (abs(estimate.value) - margin) / error))


def _items(runs: pd.DataFrame) -> pd.DataFrame:
    """Mean, variance between runs (NaN for one), number of runs and cluster of every item; index item."""
    items = runs.groupby("item", sort=True).agg(mean=("score", "mean"), n=("score", "size"))
    of_setting = runs.groupby(["item", *(name for name in SETTINGS if name in runs)], dropna=False)["score"].var()
    items["variance"] = of_setting.groupby("item").mean()
    items["cluster"] = runs.groupby("item")["cluster"].first() if "cluster" in runs else items.index
    items["cluster"] = items["cluster"].where(items["cluster"].notna(), items.index)
    return items


def _setting_spread(runs: pd.DataFrame) -> dict[str, float]:
    """Standard deviation between the values of each setting that varies, sampling noise removed."""
    out = {}
    for name in SETTINGS:
        if name not in runs or runs[name].nunique() < 2:
            continue
        table = runs.pivot_table(index="item", columns=name, values="score", aggfunc="mean").dropna()
        if len(table) > 1:
            deviations = table.sub(table.mean(axis=1), axis=0)
            noise = float(deviations.var(ddof=1).sum()) / (table.shape[1] - 1) / len(table)
            out[f"{name}_sd"] = _root(float(table.mean().var(ddof=1)) - noise)
    return out


def _over_tasks(runs: pd.DataFrame) -> dict[str, float]:
    if "task" not in runs or runs["task"].nunique() < 2:
        return {}
    of_task = runs.pivot_table(index="replicate", columns="task", values="score").dropna()
    if of_task.empty:
        return {}
    return dict(zip(("iqm", "iqm_lower", "iqm_upper"), interquartile_mean(of_task.to_numpy()), strict=True))


def interquartile_mean(scores: ArrayLike) -> tuple[float, float, float]:
    """Mean of the middle half of all scores, of shape (n_runs, n_tasks), with the ends of its 95 % bootstrap interval.

    Runs are drawn anew within each task, tasks stay (they are the benchmark); NaN ends for a single run. Raises
    InvalidInputError if scores are not a finite matrix. Agarwal et al. (2021), Deep reinforcement learning at the edge
    of the statistical precipice.

    >>> interquartile_mean([[0.0, 1.0, 2.0, 99.0]])[0]
    1.5
    """
    s = np.asarray(scores, dtype=np.float64)
    if s.ndim != 2 or s.size == 0 or not np.isfinite(s).all():
        raise InvalidInputError(f"`scores` must be a finite matrix of shape (n_runs, n_tasks), got shape {s.shape}")
    value, nan = float(stats.trim_mean(s.ravel(), 0.25)), float("nan")
    if len(s) == 1:
        return value, nan, nan
    rng, tasks, draws = np.random.default_rng(0), np.arange(s.shape[1]), []
    for _ in range(N_BLOCKS):  # of 200 draws each, so that many tasks fit into memory
        drawn = s[rng.integers(0, len(s), size=(200, *s.shape)), tasks].reshape(200, -1)
        draws.append(stats.trim_mean(drawn, 0.25, axis=1))
    lower, upper = np.quantile(np.concatenate(draws), [0.025, 0.975])
    return value, float(lower), float(upper)


def _root(variance: float) -> float:
    return float(np.sqrt(np.maximum(variance, 0.0)))
