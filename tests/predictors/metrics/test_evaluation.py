"""The Evaluation table: closed forms, slow second definitions, bad input, properties."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from foretell.predictors.base import EVALUATION_LEVELS
from foretell.predictors.errors import InvalidInputError
from foretell.predictors.metrics import (
    CRPS_FLOOR,
    MAE_FLOOR,
    MSE_FLOOR,
    compare,
    duplicated_runs,
    evaluate,
    floor_sums,
    group_replicates,
    level_weights,
    mean_estimate,
    noise_floor,
    partial_evaluation,
)
from foretell.predictors.metrics.deciding.comparison import detectable_effect, t_p_value

NAMES = {"predictor": "p", "family": "f", "dataset": "d", "split": "test"}
LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)


def runs_table(
    seed: int = 0, n_cells: int = 40, per_query: int = 1, repeats: tuple[int, ...] = (2, 3, 8)
) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    counts = rng.choice(repeats, n_cells)
    cell = np.repeat(np.arange(n_cells), counts)
    centre = rng.normal(3, 1, n_cells)
    return pd.DataFrame(
        {
            "cell_id": [f"c{i}" for i in cell],
            "query_id": [f"q{i // per_query}" for i in cell],
            "value": np.exp(centre[cell] + rng.normal(0, 0.5, cell.size)),
            "model": np.where(cell % 3 == 0, "x", "y"),
            "benchmark": np.where(cell % 2 == 0, "aime", "gpqa"),
        }
    ).sample(frac=1, random_state=seed, ignore_index=True)


def constant_forecast(
    outcomes: pd.DataFrame, quantiles: tuple[float, ...], levels: tuple[float, ...] = LEVELS
) -> pd.DataFrame:
    ids = outcomes["cell_id"].unique()
    return pd.DataFrame([quantiles] * len(ids), index=pd.Index(ids, name="cell_id"), columns=list(levels))


def row_of(table: pd.DataFrame, metric: str, segment: str = "all") -> pd.Series:
    found = table[(table["metric"] == metric) & (table["segment"] == segment)]
    assert len(found) == 1
    return found.iloc[0]


def slow_crps(q: np.ndarray, levels: tuple[float, ...], y: float) -> float:
    w = level_weights(levels)
    return float(np.sum(w * np.abs(q - y)) - 0.5 * np.sum(w[:, None] * w[None] * np.abs(q[:, None] - q[None])))


def cells_of(outcomes: pd.DataFrame) -> Iterator[np.ndarray]:
    return (group["value"].to_numpy() for _, group in outcomes.groupby("cell_id", sort=False))


class TestAgainstSlowDefinitions:
    outcomes = runs_table(repeats=(8, 10))
    q = np.array([5.0, 12.0, 20.0, 34.0, 80.0])

    def test_every_loss_and_floor_by_its_definition(self) -> None:
        table = evaluate(self.outcomes, constant_forecast(self.outcomes, tuple(self.q)), **NAMES)
        w = level_weights(LEVELS)
        cells = list(cells_of(self.outcomes))
        expected = {
            "crps": np.mean([np.mean([slow_crps(self.q, LEVELS, y) for y in c]) for c in cells]),
            "mae": np.mean([np.mean(np.abs(c - 20.0)) for c in cells]),
            "mse": np.mean([np.mean((c - w @ self.q) ** 2) for c in cells]),
            "coverage_90": np.mean([np.mean((c >= 5) & (c <= 80)) for c in cells]),
            "width_90": 75.0,
            "interval_score_90": np.mean(
                [np.mean(75 + 20 * np.maximum(5 - c, 0) + 20 * np.maximum(c - 80, 0)) for c in cells]
            ),
        }
        for metric, value in expected.items():
            assert row_of(table, metric)["value"] == pytest.approx(value, rel=1e-12)
        gini = [np.abs(c[:, None] - c[None]).sum() / 2 / (c.size * (c.size - 1)) for c in cells]
        assert row_of(table, "crps")["noise_floor"] == pytest.approx(np.mean(gini), rel=1e-12)
        assert row_of(table, "mse")["noise_floor"] == pytest.approx(np.mean([c.var(ddof=1) for c in cells]), rel=1e-12)
        inside = [np.mean(np.abs(c - np.median(c))) for c in cells]
        outside = [np.mean([abs(c[i] - np.median(np.delete(c, i))) for i in range(c.size)]) for c in cells]
        r = np.array([c.size for c in cells])
        combined = (r * inside + (r - 1) * np.array(outside)) / (2 * r - 1)
        assert row_of(table, "mae")["noise_floor"] == pytest.approx(np.mean(combined), rel=1e-12)

    def test_intervals_of_floors_are_those_of_the_floors_alone(self) -> None:
        # That of squared error is corrected for skewness, the others are not.
        table = evaluate(self.outcomes, constant_forecast(self.outcomes, tuple(self.q)), **NAMES)
        runs = group_replicates(self.outcomes)
        for metric, estimator in (("mse", MSE_FLOOR), ("crps", CRPS_FLOOR), ("mae", MAE_FLOOR)):
            row, floor = row_of(table, metric), noise_floor(floor_sums(runs, estimator), estimator, metric)
            found = row["noise_floor"], row["floor_ci_lower"], row["floor_ci_upper"]
            assert found == pytest.approx((floor.value, floor.ci_lower, floor.ci_upper), rel=1e-12)

    def test_mse_excess_is_the_u_statistic(self) -> None:
        f = float(level_weights(LEVELS) @ self.q)
        slow = []
        for c in cells_of(self.outcomes):
            d = c - f
            slow.append((d.sum() ** 2 - (d**2).sum()) / (d.size * (d.size - 1)))
        row = row_of(evaluate(self.outcomes, constant_forecast(self.outcomes, tuple(self.q)), **NAMES), "mse")
        assert row["excess_error"] == pytest.approx(np.mean(slow), rel=1e-10)
        assert row["excess_error"] == pytest.approx(row["value"] - row["noise_floor"])

    def test_interval_is_the_t_interval_over_query_means_where_cells_are_queries(self) -> None:
        row = row_of(evaluate(self.outcomes, constant_forecast(self.outcomes, tuple(self.q)), **NAMES), "mae")
        means = np.array([np.mean(np.abs(c - 20.0)) for c in cells_of(self.outcomes)])
        low, high = stats.t.interval(0.95, means.size - 1, means.mean(), stats.sem(means))
        assert (row["ci_lower"], row["ci_upper"]) == (pytest.approx(low), pytest.approx(high))

    def test_every_interval_is_that_of_influence_values(self) -> None:
        # Two cells a query, a third of them repeated with two probabilities: excess, gain and skill keep covariances.
        outcomes = runs_table(n_cells=200, per_query=2, repeats=(1, 1, 4))
        number = outcomes["cell_id"].str[1:].astype(int)
        outcomes["repeat_prob"] = np.where(number % 2 == 0, 0.5, 0.25)
        forecast, baseline = (constant_forecast(outcomes, (at,) * 5) for at in (20.0, 40.0))
        row = row_of(evaluate(outcomes, forecast, baseline=baseline, metrics=["mse"], **NAMES), "mse")
        cells = outcomes.groupby("cell_id").agg(
            query=("query_id", "first"), p=("repeat_prob", "first"), n=("value", "size"), var=("value", "var")
        )
        query, n = pd.factorize(cells["query"])[0], cells["query"].nunique()
        weight = np.where(cells["n"] > 1, 1 / cells["p"], 0.0)
        loss, base = (((outcomes["value"] - at) ** 2).groupby(outcomes["cell_id"]).mean() for at in (20.0, 40.0))
        value, reference = (mean_estimate(x.to_numpy(), query, n) for x in (loss, base))
        floor = mean_estimate(cells["var"].to_numpy(), query, n, weight)
        expected = {
            "": value, "excess_": value - floor, "gain_": reference - value,
            "skill_": (reference - value) / (reference - floor),
        }  # fmt: skip
        for prefix, estimate in expected.items():
            ends = row[[f"{prefix}ci_lower", f"{prefix}ci_upper"]].tolist()
            assert ends == pytest.approx(estimate.interval(), rel=1e-9)
        ends = row[["floor_ci_lower", "floor_ci_upper"]].tolist()
        assert ends == pytest.approx(floor.interval(skew_corrected=True), rel=1e-9)
        assert (row["n_queries"], row["floor_source"]) == (100, "ipw")

    def test_cells_of_one_query_are_one_cluster(self) -> None:
        once = runs_table(n_cells=30)
        twice = pd.concat([once, once.assign(cell_id=once["cell_id"] + "'")], ignore_index=True)
        forecast = constant_forecast(twice, tuple(self.q))
        a = row_of(evaluate(once, forecast, **NAMES), "crps")
        b = row_of(evaluate(twice, forecast, **NAMES), "crps")
        for column in ("value", "ci_lower", "ci_upper", "noise_floor", "floor_ci_upper"):
            assert b[column] == pytest.approx(a[column])
        assert (a["n_queries"], b["n_queries"]) == (30, 30)

    def test_log_scale_is_the_identity_scale_of_logarithms(self) -> None:
        logs = self.outcomes.assign(value=np.log(self.outcomes["value"]))
        forecast = constant_forecast(self.outcomes, tuple(self.q))
        a = evaluate(self.outcomes, forecast, scale="log", **NAMES)
        b = evaluate(logs, np.log(forecast), **NAMES)
        pd.testing.assert_frame_equal(a, b)
        both = evaluate(self.outcomes, forecast, metrics=("crps", "crps_log"), **NAMES)
        assert row_of(both, "crps_log")["value"] == pytest.approx(row_of(a, "crps")["value"])
        assert row_of(both, "crps")["value"] > 3 * row_of(both, "crps_log")["value"]


class TestFloorSource:
    def table(self, outcomes: pd.DataFrame, **kwargs: object) -> pd.DataFrame:
        return evaluate(outcomes, constant_forecast(outcomes, (1, 8, 20, 50, 200)), **NAMES, **kwargs)  # type: ignore[arg-type]

    def some_repeated(self) -> pd.DataFrame:
        table = runs_table(n_cells=240, repeats=(2,))
        keep = (table["cell_id"].str[1:].astype(int) % 4 == 0) | ~table.duplicated("cell_id")
        return table[keep].reset_index(drop=True)

    def test_repeats_without_probability_give_no_floor_but_a_replicated_segment(self) -> None:
        table = self.table(self.some_repeated())
        row = row_of(table, "crps")
        assert np.isnan(row["noise_floor"])
        assert row["floor_source"] == "none: repeats were not drawn at random (60 of 240 cells have them)"
        part = row_of(table, "crps", "all,replicated")
        assert part["floor_source"] == "repeats"
        assert (part["n_queries"], part["n_replicates"]) == (60, 120)

    def test_one_run_per_query(self) -> None:
        table = self.table(runs_table(repeats=(1,)))
        assert set(table["segment"]) == {"all"}
        assert row_of(table, "crps")["floor_source"] == "none: one run per query"
        assert np.isnan(row_of(table, "mse")["excess_error"])

    def test_constant_probability_is_the_mean_over_repeated_cells(self) -> None:
        outcomes = self.some_repeated().assign(repeat_prob=0.25)
        table = self.table(outcomes)
        row, part = row_of(table, "mse"), row_of(table, "mse", "all,replicated")
        assert row["floor_source"] == "repeats"
        assert row["noise_floor"] == pytest.approx(part["noise_floor"])
        assert row["excess_error"] == pytest.approx(row["value"] - row["noise_floor"])

    def test_unequal_probabilities_weight_by_their_inverse(self) -> None:
        outcomes = self.some_repeated()
        outcomes["repeat_prob"] = np.where(outcomes["model"] == "x", 0.5, 0.125)
        row = row_of(self.table(outcomes), "mse")
        repeated = outcomes[outcomes.groupby("cell_id")["value"].transform("size") > 1]
        var = repeated.groupby("cell_id")["value"].var()
        weight = 1 / repeated.groupby("cell_id")["repeat_prob"].first()
        assert row["floor_source"] == "ipw"
        assert row["noise_floor"] == pytest.approx(np.average(var, weights=weight))

    def test_mae_needs_four_runs(self) -> None:
        row = row_of(self.table(runs_table(repeats=(3, 4))), "mae")
        assert np.isnan(row["noise_floor"])
        assert row["floor_source"].startswith("none: mae needs 4 runs per query (")


class TestSkillAndGain:
    def test_skill_is_one_for_a_forecast_at_the_floor_and_zero_for_the_baseline(self) -> None:
        outcomes = runs_table(n_cells=60, repeats=(4,))
        ideal = outcomes.groupby("cell_id")["value"].mean()
        perfect = pd.DataFrame(dict.fromkeys(LEVELS, ideal))
        baseline = constant_forecast(outcomes, (25.0,) * 5)
        table = evaluate(outcomes, perfect, baseline=baseline, baseline_name="one number", metrics=["mse"], **NAMES)
        row = row_of(table, "mse")
        # a forecast at the cell means has in-sample error (R - 1) / R of the floor
        assert row["value"] == pytest.approx(0.75 * row["noise_floor"])
        assert row["skill"] > 1
        assert row["baseline"] == "one number"
        assert row["gain"] == pytest.approx(row["baseline_value"] - row["value"])
        itself = row_of(evaluate(outcomes, baseline, baseline=baseline, metrics=["mse"], **NAMES), "mse")
        assert (itself["skill"], itself["gain"], itself["gain_mde"]) == (0, 0, 0)

    def test_no_skill_to_be_had_where_the_baseline_is_at_the_floor(self) -> None:
        rng = np.random.default_rng(1)
        outcomes = pd.DataFrame({"cell_id": np.repeat(np.arange(50), 4), "value": rng.normal(size=200)})
        outcomes["query_id"] = outcomes["cell_id"]
        truth = pd.DataFrame([stats.norm.ppf(EVALUATION_LEVELS)] * 50, columns=list(EVALUATION_LEVELS))
        row = row_of(evaluate(outcomes, truth, baseline=truth, metrics=["mse"], **NAMES), "mse")
        assert np.isnan(row["skill"])
        assert row["skill_note"].startswith("no skill to be had")

    def test_compare_agrees_with_gain_and_its_sign_says_who_is_better(self) -> None:
        outcomes = runs_table(n_cells=60)
        good, bad = (constant_forecast(outcomes, q) for q in ((8.0, 14.0, 20.0, 28.0, 48.0), (80.0,) * 5))
        row = row_of(evaluate(outcomes, good, baseline=bad, **NAMES), "crps")
        result = compare(outcomes, bad, good, metric="crps")
        assert result.value == pytest.approx(row["gain"])
        assert result.interval() == (pytest.approx(row["gain_ci_lower"]), pytest.approx(row["gain_ci_upper"]))
        assert detectable_effect(result) == pytest.approx(row["gain_mde"])
        assert result.interval()[0] > 0
        assert t_p_value(result) < 0.001
        assert compare(outcomes, good, bad, metric="crps").value == -result.value

    def test_coverage_has_neither_gain_nor_skill_and_its_interval_stays_open(self) -> None:
        outcomes = runs_table(n_cells=60)
        wide = constant_forecast(outcomes, (1e-3, 1, 2, 3, 1e6))
        row = row_of(evaluate(outcomes, wide, baseline=wide, **NAMES), "coverage_90")
        assert (row["value"], row["ci_upper"]) == (1, 1)
        assert 0.9 < row["ci_lower"] < 0.95  # Wilson at 60 of 60: .940, a little less with t
        assert np.isnan(row["gain"])
        with pytest.raises(InvalidInputError, match="must be a loss"):
            compare(outcomes, wide, wide, metric="coverage_90")


class TestBadInput:
    outcomes = runs_table()
    forecast = constant_forecast(outcomes, (5.0, 12.0, 20.0, 34.0, 80.0))

    def fails(
        self, match: str, outcomes: pd.DataFrame | None = None, forecast: object = None, **kwargs: object
    ) -> None:
        with pytest.raises(InvalidInputError, match=match):
            evaluate(
                self.outcomes if outcomes is None else outcomes,
                self.forecast if forecast is None else forecast,  # type: ignore[arg-type]
                **{**NAMES, **kwargs},  # type: ignore[arg-type]
            )

    @pytest.mark.parametrize("bad", [np.nan, np.inf])
    def test_forecasts_that_are_not_finite(self, bad: float) -> None:
        broken = self.forecast.copy()
        broken.iloc[3, 4] = bad
        self.fails("`forecast` must be finite", forecast=broken)
        self.fails("`baseline` must be finite", baseline=broken)

    @pytest.mark.parametrize("bad", [np.nan, -np.inf])
    def test_outcomes_that_are_not_finite(self, bad: float) -> None:
        self.fails(
            "must be finite, got 1",
            outcomes=self.outcomes.assign(value=self.outcomes["value"].mask(lambda v: v.index == 2, bad)),
        )

    def test_missing_columns_are_all_named_sorted(self) -> None:
        self.fails(r"\['query_id', 'value'\]", outcomes=self.outcomes[["cell_id"]])
        self.fails(r"segment columns \['a', 'z'\]", segments=[("z", "a")])
        self.fails("no rows", outcomes=self.outcomes.iloc[:0])

    def test_forecast_form(self) -> None:
        self.fails(
            "crossing",
            forecast=self.forecast.set_axis(self.forecast.columns, axis=1).iloc[:, ::-1].set_axis(list(LEVELS), axis=1),
        )
        self.fails("no row for 1 cells", forecast=self.forecast.drop("c0"))
        self.fails("repeats", forecast=pd.concat([self.forecast, self.forecast.iloc[:1]]))
        self.fails("increasing levels", forecast=self.forecast.rename(columns={0.5: "median"}))
        self.fails("needs level 0.05", forecast=self.forecast.drop(columns=0.05))

    def test_values_at_zero_on_the_log_scale(self) -> None:
        zero = self.outcomes.assign(value=self.outcomes["value"].mask(lambda v: v.index == 0, 0.0))
        self.fails("must be > 0 on the log scale, got 1 values", outcomes=zero, scale="log")

    def test_straddling_replicates(self) -> None:
        split = self.outcomes.assign(
            split=["train", "test"] * (len(self.outcomes) // 2) + ["test"] * (len(self.outcomes) % 2)
        )
        self.fails("have runs in more than one `split`", outcomes=split)
        self.fails("rows of the splits \\['calibration'\\]", outcomes=self.outcomes.assign(split="calibration"))

    def test_negative_or_varying_repeat_probability(self) -> None:
        self.fails(r"must be in \(0, 1\]", outcomes=self.outcomes.assign(repeat_prob=-0.5))
        self.fails(
            "same in all runs", outcomes=self.outcomes.assign(repeat_prob=np.linspace(0.1, 1, len(self.outcomes)))
        )

    def test_a_cell_in_two_queries_or_segments(self) -> None:
        self.fails("`query_id` must be the same", outcomes=self.outcomes.assign(query_id=self.outcomes.index))
        self.fails(
            "`day` must be the same", outcomes=self.outcomes.assign(day=self.outcomes.index % 3), segments=["day"]
        )

    def test_duplicated_runs(self) -> None:
        numbered = self.outcomes.assign(replicate=self.outcomes.groupby("cell_id").cumcount())
        evaluate(numbered, self.forecast, **NAMES)
        self.fails("holds 3 runs twice", outcomes=pd.concat([numbered, numbered.iloc[:3]]))
        cached = self.outcomes.assign(response_id=["same", "same"] + [None] * (len(self.outcomes) - 2))
        self.fails("holds 1 runs twice", outcomes=cached)

    def test_unknown_metric(self) -> None:
        self.fails("knows crps", metrics=["rmse"])
        self.fails("knows crps", metrics=["coverage_100"])
        self.fails("different names", metrics=["crps", "crps"])
        self.fails("wants outcomes 0 or 1", metrics=["brier"])

    def test_one_query_has_numbers_without_intervals(self) -> None:
        one = self.outcomes[self.outcomes["cell_id"] == "c1"]
        row = row_of(evaluate(one, self.forecast, baseline=self.forecast, **NAMES), "crps")
        assert np.isfinite(row[["value", "noise_floor", "excess_error"]].astype(float)).all()
        assert row[["ci_lower", "floor_ci_lower", "excess_ci_lower", "gain_ci_lower", "gain_mde", "skill"]].isna().all()

    def test_all_equal_values_have_floor_zero_and_no_skill(self) -> None:
        flat = self.outcomes.assign(value=20.0)
        row = row_of(evaluate(flat, self.forecast, baseline=self.forecast, **NAMES), "mse")
        assert (row["noise_floor"], row["floor_ci_lower"], row["floor_ci_upper"]) == (0, 0, 0)


class TestFloorsAlone:
    outcomes = runs_table(n_cells=60, repeats=(1, 4)).replace({"model": {"y": None}})
    forecast = constant_forecast(outcomes, (5.0, 12.0, 20.0, 34.0, 80.0))

    def test_without_a_forecast_the_table_has_the_same_segments_and_floors(self) -> None:
        outcomes = self.outcomes.assign(repeat_prob=0.5)
        options = {"metrics": ["crps", "mae", "mse"], "segments": ["model", ("benchmark", "model")]}
        alone = partial_evaluation(outcomes, **options).table(**NAMES)
        judged = evaluate(outcomes, self.forecast, **NAMES, **options)
        assert "model=null" in set(alone["segment"])
        same = ["segment", "metric", "noise_floor", "floor_ci_lower", "floor_ci_upper"]
        pd.testing.assert_frame_equal(alone[same], judged[same])
        assert (alone["floor_source"].str.split(": ").str[0] == judged["floor_source"].str.split(": ").str[0]).all()
        assert alone[["value", "excess_error", "gain", "skill"]].isna().all().all()
        runs = group_replicates(outcomes)
        for metric, estimator in (("mse", MSE_FLOOR), ("crps", CRPS_FLOOR), ("mae", MAE_FLOOR)):
            row, floor = row_of(alone, metric), noise_floor(floor_sums(runs, estimator), estimator, metric)
            assert (row["floor_source"], row["n_queries"], row["n_replicates"]) == (
                floor.method, floor.n_queries, floor.n_replicates,
            )  # fmt: skip

    def test_what_needs_a_forecast_is_refused(self) -> None:
        with pytest.raises(InvalidInputError, match=r"got the metrics \['coverage_90'\]"):
            partial_evaluation(self.outcomes, metrics=["crps", "coverage_90"])
        with pytest.raises(InvalidInputError, match="got a `baseline`"):
            partial_evaluation(self.outcomes, metrics=["crps"], baseline=self.forecast)

    def test_segments_by_a_column_of_one_value_are_left_out_of_what_tells(self) -> None:
        outcomes = self.outcomes.assign(effort="high")
        part = partial_evaluation(outcomes, metrics=["mse"], segments=["effort", ("effort", "model"), "model"])
        assert {name.split(",")[0] for name in part.telling().table(**NAMES)["segment"]} == {
            "all", "model=x", "model=null",
        }  # fmt: skip


class TestSegments:
    def test_segments_partition_the_cells_and_average_to_all(self) -> None:
        outcomes = runs_table(n_cells=36, repeats=(2, 3)).replace({"model": {"y": None}})
        forecast = constant_forecast(outcomes, (5.0, 12.0, 20.0, 34.0, 80.0))
        table = evaluate(outcomes, forecast, segments=["benchmark", ("benchmark", "model")], metrics=["crps"], **NAMES)
        assert list(table["segment"]) == [
            "all", "benchmark=aime", "benchmark=gpqa", "benchmark=aime,model=x", "benchmark=aime,model=null",
            "benchmark=gpqa,model=x", "benchmark=gpqa,model=null",
        ]  # fmt: skip
        fine = table.iloc[3:]
        assert np.average(fine["value"], weights=fine["n_queries"]) == pytest.approx(table["value"][0])
        alone = outcomes[(outcomes["benchmark"] == "gpqa") & (outcomes["model"] == "x")]
        again = evaluate(alone, forecast, metrics=["crps"], **NAMES)
        numbers = table.columns.drop(["segment", "floor_source"])
        pd.testing.assert_series_equal(
            table.loc[5, numbers], again.loc[0, numbers], check_names=False, check_dtype=False
        )


@st.composite
def tables(draw: st.DrawFn) -> tuple[pd.DataFrame, pd.DataFrame]:
    n = draw(st.integers(3, 12))
    outcomes = runs_table(seed=draw(st.integers(0, 10_000)), n_cells=n, per_query=draw(st.integers(1, 2)))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    q = np.sort(rng.normal(20, 15, (n, 5)), axis=1)
    return outcomes, pd.DataFrame(q, index=[f"c{i}" for i in range(n)], columns=list(LEVELS))


NUMBERS = ["value", "ci_lower", "ci_upper", "noise_floor", "floor_ci_lower", "floor_ci_upper", "excess_error", "gain"]


class TestProperties:
    @settings(max_examples=10, deadline=None)
    @given(tables(), st.floats(0.01, 100), st.floats(-50, 50))
    def test_scale_and_shift_equivariance(
        self, data: tuple[pd.DataFrame, pd.DataFrame], factor: float, shift: float
    ) -> None:
        outcomes, forecast = data
        moved = outcomes.assign(value=factor * outcomes["value"] + shift)
        metrics = ("crps", "mae", "mse", "interval_score_90")
        a = evaluate(outcomes, forecast, baseline=forecast + 3, metrics=metrics, **NAMES)
        b = evaluate(
            moved, factor * forecast + shift, baseline=factor * (forecast + 3) + shift, metrics=metrics, **NAMES
        )
        power = np.where(a["metric"] == "mse", factor**2, factor)
        for column in NUMBERS:
            np.testing.assert_allclose(b[column], power * a[column], rtol=1e-6, atol=1e-9 * factor**2 + 1e-9)

    @settings(max_examples=10, deadline=None)
    @given(tables(), st.integers(0, 1000))
    def test_permutation_invariance(self, data: tuple[pd.DataFrame, pd.DataFrame], seed: int) -> None:
        outcomes, forecast = data
        shuffled = outcomes.sample(frac=1, random_state=seed)
        a = evaluate(outcomes, forecast, segments=["benchmark"], **NAMES)
        b = evaluate(shuffled, forecast.sample(frac=1, random_state=seed), segments=["benchmark"], **NAMES)
        pd.testing.assert_frame_equal(a, b)

    @settings(max_examples=15, deadline=None)
    @given(tables(), st.integers(1, 5), st.integers(0, 1000))
    def test_duplicated_runs_are_detected(
        self, data: tuple[pd.DataFrame, pd.DataFrame], n_copies: int, seed: int
    ) -> None:
        outcomes, forecast = data
        numbered = outcomes.assign(replicate=outcomes.groupby("cell_id").cumcount())
        copies = numbered.sample(n_copies, random_state=seed)
        table = pd.concat([numbered, copies]).sample(frac=1, random_state=seed)
        assert duplicated_runs(table).sum() == n_copies
        assert not duplicated_runs(numbered).any()
        with pytest.raises(InvalidInputError, match=f"holds {n_copies} runs twice"):
            evaluate(table, forecast, **NAMES)

    @settings(max_examples=10, deadline=None)
    @given(tables())
    def test_coverage_in_unit_interval_and_crps_not_above_mae(self, data: tuple[pd.DataFrame, pd.DataFrame]) -> None:
        outcomes, forecast = data
        table = evaluate(outcomes, forecast, **NAMES)
        coverage = row_of(table, "coverage_90")
        assert 0 <= coverage["ci_lower"] <= coverage["value"] <= coverage["ci_upper"] <= 1
        point = pd.DataFrame({0.5: forecast[0.5]})
        at_point = evaluate(outcomes, point, metrics=["crps", "mae"], **NAMES)
        assert row_of(at_point, "crps")["value"] == pytest.approx(row_of(at_point, "mae")["value"])
