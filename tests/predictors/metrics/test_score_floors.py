"""Floors of scores, rank ceilings, modelled floors and the split of an error."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from predictors.errors import InsufficientReplicatesError, InvalidInputError
from predictors.metrics import evaluate, mse_floor
from predictors.metrics.ceilings import ceiling_from_agreement, rank_ceiling
from predictors.metrics.floor_models import (
    error_upper_bound,
    fit_gamma_model,
    modelled_floor,
    shrink_variances,
    split_error,
)
from predictors.metrics.score_floors import curve_endpoint_floor, log_loss_floor, score_floor


def long(values: np.ndarray) -> pd.DataFrame:
    n, r = values.shape
    return pd.DataFrame({"query_id": np.repeat(np.arange(n), r), "value": values.ravel()})


def test_log_loss_floor_is_the_jackknife_by_its_definition() -> None:
    rng = np.random.default_rng(0)
    y = (rng.random((30, 5)) < rng.random((30, 1))).astype(float)

    def entropy(row: np.ndarray) -> float:
        p = row.mean()
        return float(stats.entropy([p, 1 - p]))

    slow = [5 * entropy(row) - 4 * np.mean([entropy(np.delete(row, i)) for i in range(5)]) for row in y]
    assert log_loss_floor(long(y)).value == pytest.approx(np.mean(slow))
    few = log_loss_floor(long(y[:, :3]))
    assert np.isnan(few.value)
    assert few.method.startswith("none: log_loss needs 4 runs")
    with pytest.raises(InvalidInputError, match="0 or 1"):
        log_loss_floor(long(y + 0.5))


def test_evaluate_knows_brier_and_log_loss() -> None:
    rng = np.random.default_rng(1)
    p = np.clip(rng.beta(1, 1, 3000), 0.02, 0.98)
    outcomes = long((rng.random((3000, 4)) < p[:, None]).astype(float)).assign(cell_id=lambda t: t["query_id"])
    table = evaluate(
        outcomes,
        pd.DataFrame({0.5: p}),
        predictor="p",
        family="f",
        dataset="d",
        split="s",
        metrics=["brier", "log_loss"],
    ).set_index("metric")
    # The true probabilities are at the floor: the excess is 0 within 4 standard errors (log-loss: bias below 5 %).
    for metric, allowance in (("brier", 0.0), ("log_loss", 0.05)):
        row = table.loc[metric]
        error = (row["excess_ci_upper"] - row["excess_ci_lower"]) / 3.92
        assert abs(row["excess_error"]) < 4 * error + allowance * row["noise_floor"]
        assert row["floor_source"] == "repeats"


def test_score_floor_reports_items_and_runs_apart() -> None:
    scores = pd.DataFrame({"query_id": list("aabb"), "value": [0.5, 0.6, 0.2, 0.2], "n_items": 101})
    floor = score_floor(scores)
    binomial = np.mean([np.mean([0.25, 0.24]) / 100, 0.16 / 100])
    assert floor.sampling.value == pytest.approx(binomial)
    assert floor.replicate.value == pytest.approx(0.005 / 2)
    assert floor.total.value == pytest.approx(binomial + 0.0025)
    single = score_floor(scores.iloc[[0, 2]])
    assert single.sampling.value > 0
    assert np.isnan(single.total.value)
    assert single.total.method == "none: one run per query"
    with pytest.raises(InvalidInputError, match="n_items"):
        score_floor(scores.assign(n_items=1))


def test_curve_floor_separates_splits_from_seeds() -> None:
    rng = np.random.default_rng(2)
    n, splits, seeds = 400, 4, 3
    value = 2.0 * rng.normal(size=(n, splits, 1)) + rng.normal(size=(n, splits, seeds))
    curve, split, _ = np.indices(value.shape)
    table = pd.DataFrame({"curve_id": curve.ravel(), "outer_split": split.ravel(), "value": value.ravel()})
    floor = curve_endpoint_floor(table)
    # Standard errors: 1 sqrt(2 / (n 8)) = .025 for seeds, about 4.33 sqrt(2 / (n 3)) = .18 for splits.
    assert floor.replicate.value == pytest.approx(1.0, abs=0.1)
    assert floor.sampling.value == pytest.approx(4.0, abs=0.72)
    assert floor.total.value == pytest.approx(floor.sampling.value + floor.replicate.value)
    naive = mse_floor(table.rename(columns={"curve_id": "query_id"}))
    assert naive.value < floor.total.value  # seeds within a split are no independent replicates
    alone = curve_endpoint_floor(table[table["outer_split"] == 0])
    assert alone.total.method.startswith("none: 400 of 400 curves lack 2 splits")


@pytest.mark.parametrize(("method", "noise"), [("kendall", 0.6), ("spearman", 0.6), ("kendall", 1.5)])
def test_rank_ceiling_is_what_the_true_means_reach(method: str, noise: float) -> None:
    rng = np.random.default_rng(3)
    mu = rng.normal(size=1500)
    y = mu[:, None] + noise * rng.normal(size=(1500, 3))
    found = rank_ceiling(long(y), method, n_pairings=3)  # type: ignore[arg-type]
    correlate = stats.kendalltau if method == "kendall" else stats.spearmanr
    truth = np.mean([correlate(mu, y[:, k]).statistic for k in range(3)])
    assert found.value == pytest.approx(truth, abs=0.03)
    assert found.ci_lower < truth < found.ci_upper


def test_rank_ceiling_ends_and_reasons() -> None:
    assert ceiling_from_agreement(1.0, "spearman") == pytest.approx(1.0)
    assert np.isnan(ceiling_from_agreement(-0.1, "kendall"))
    exact = rank_ceiling(long(np.repeat(np.arange(30.0)[:, None], 2, axis=1)))
    assert exact.value == pytest.approx(1.0)
    assert rank_ceiling(long(np.arange(9.0)[:, None])).method == "none: one run per query"
    mixed = pd.concat([long(np.zeros((3, 2))), pd.DataFrame({"query_id": [9], "value": [1.0]})])
    assert rank_ceiling(mixed).method == "none: 3 of 4 cells have repeats, a rank needs all"


def test_gamma_model_recovers_its_coefficients_and_solves_the_score_equation() -> None:
    rng = np.random.default_rng(4)
    features = pd.DataFrame({"a": rng.normal(size=4000), "b": rng.normal(size=4000)})
    mean = np.exp(0.5 + 0.8 * features["a"] - 0.3 * features["b"]).to_numpy()
    y = mean * rng.gamma(1.0, 1.0, 4000)
    y[:50] = 0.0  # exact repeats happen
    model = fit_gamma_model(features, y, ridge=0.0)
    # Standard errors are 1 / sqrt(4000) = .016 per unit feature.
    np.testing.assert_allclose(model.coefficients[1:] / model.spread, [0.8, -0.3], atol=0.08)
    residual = y / model.predict(features) - 1
    np.testing.assert_allclose(model.design(features).T @ residual, 0, atol=1e-6)
    with pytest.raises(InvalidInputError, match="all 0"):
        fit_gamma_model(features, np.zeros(4000))


def selected_repeats(seed: int, n: int = 4000) -> tuple[pd.DataFrame, float]:
    """Repeats chosen on quiet queries only; the floor of all and the table of runs."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    sigma2 = np.exp(1.0 * x)
    repeated = rng.random(n) < 1 / (1 + np.exp(2 * x))
    counts = np.where(repeated, 3, 1)
    cell = np.repeat(np.arange(n), counts)
    value = np.sqrt(sigma2[cell]) * rng.normal(size=cell.size)
    table = pd.DataFrame({"cell_id": cell, "query_id": cell, "value": value, "x": x[cell]})
    return table, float(sigma2.mean())


def test_floor_model_corrects_selected_repeats_where_the_naive_floor_is_half() -> None:
    table, truth = selected_repeats(5)
    forecast = pd.DataFrame({0.5: np.zeros(4000)})
    names = {"predictor": "p", "family": "f", "dataset": "d", "split": "s"}
    rows = evaluate(table, forecast, metrics=["mse"], floor_features=["x"], **names).set_index("segment")
    assert rows.loc["all", "floor_source"] == "model"
    assert rows.loc["all", "noise_floor"] == pytest.approx(truth, rel=0.2)
    assert rows.loc["all", "floor_ci_lower"] < truth < rows.loc["all", "floor_ci_upper"]
    assert rows.loc["all,replicated", "noise_floor"] < 0.6 * truth
    without = evaluate(table, forecast, metrics=["mse"], **names)
    assert without["floor_source"].iloc[0].startswith("none: repeats were not drawn at random")


def test_modelled_floor_wants_thirty_cells_and_its_interval_covers() -> None:
    rng, hits = np.random.default_rng(6), 0
    for _ in range(200):
        n = 300
        x = rng.normal(size=n)
        counts = np.where(rng.random(n) < 0.4, 3, 1)
        s2 = np.exp(0.5 * x) * rng.chisquare(2, n) / 2
        floors = np.where(counts > 1, s2, np.nan)
        estimate, _, _ = modelled_floor(floors, counts, pd.DataFrame({"x": x}), np.arange(n))
        lower, upper = estimate.interval()
        hits += lower <= np.exp(0.125) <= upper
    assert 0.89 <= hits / 200 <= 0.99  # nominal .95, 4 sd of 200 is .06
    with pytest.raises(InsufficientReplicatesError, match="30 replicated cells"):
        modelled_floor(floors[:20], counts[:20], pd.DataFrame({"x": x[:20]}), np.arange(20))


def test_upper_bound_is_labelled_and_holds() -> None:
    rng = np.random.default_rng(7)
    x = rng.normal(size=2000)
    losses = (0.5 + np.exp(x / 2)) * rng.chisquare(1, 2000)
    floor, per_cell = error_upper_bound(losses, pd.DataFrame({"x": x}), np.arange(2000))
    assert floor.method.startswith("upper_bound")
    assert floor.ci_lower == 0
    assert floor.ci_upper > floor.value == pytest.approx(losses.mean())
    assert np.corrcoef(per_cell, np.exp(x / 2))[0, 1] > 0.9


def test_shrinkage_beats_raw_variances_and_single_runs_get_the_prior() -> None:
    rng = np.random.default_rng(8)
    log_sigma2 = rng.normal(0, 0.5, 2000)
    counts = rng.choice([1, 2, 3], 2000)
    s2 = np.where(
        counts > 1, np.exp(log_sigma2) * rng.chisquare(np.maximum(counts - 1, 1)) / np.maximum(counts - 1, 1), np.nan
    )
    shrunk = shrink_variances(s2, counts)
    use = counts > 1

    def rmse(v: np.ndarray) -> float:
        return float(np.sqrt(np.mean((np.log(v[use]) - log_sigma2[use]) ** 2)))

    assert rmse(shrunk) < 0.6 < 1.5 < rmse(s2)
    assert np.unique(shrunk[~use]).size == 1
    with pytest.raises(InsufficientReplicatesError):
        shrink_variances([1.0, np.nan], [2, 1])


def test_error_is_split_only_where_the_floor_is_identified() -> None:
    split = split_error([3.0, 1.0], [1.0, 2.0], "repeats")
    assert split["epistemic"].tolist() == [2.0, -1.0]  # not clipped
    assert split_error([3.0], [1.0], "upper_bound").isna().all().all()
    assert split_error([3.0], [1.0], "none: one run per query").isna().all().all()
