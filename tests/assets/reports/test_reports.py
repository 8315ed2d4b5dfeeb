"""Reports about request traces: closed forms, second definitions, published counts, and data that cannot answer."""

from __future__ import annotations

from itertools import permutations
from math import log
from pathlib import Path

import dagster as dg
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foretell.assets.engine import Table
from foretell.assets.reports import REPORTS
from foretell.assets.reports.cost_of_pass import (
    cost_of_pass_report,
    counterfactuals,
    frontier_report,
    model_classes,
)
from foretell.assets.reports.price_reversals import FACTORS, attribute_ratio, price_reversals_report
from foretell.assets.reports.runs import counted_inputs, price_runs, priced_runs, query_table, scored_runs
from foretell.assets.reports.spec import Report, ReportSpec, build_report_asset, markdown
from foretell.assets.reports.thinking_share import thinking_share_report
from foretell.assets.reports.token_noise import token_noise_report
from foretell.assets.resources import Workspace
from tests.assets.report_traces import make_traces, price_file
from tests.assets.trace_lines import MIRROR, needs_mirror

amounts = st.floats(0.1, 1e4)
costs = st.fixed_dictionaries(
    {"price": st.tuples(amounts, amounts), **{name: st.tuples(amounts) for name in ("thinking", "answer", "prompt")}}
)


@pytest.fixture
def prices(tmp_path: Path) -> Path:
    return price_file(tmp_path)


# -- attribution ---------------------------------------------------------------------------------------
def _log_cost(parts: dict[str, tuple[float, ...]]) -> float:
    per_input, per_output = parts["price"]
    return log(per_input * parts["prompt"][0] + per_output * (parts["thinking"][0] + parts["answer"][0]))


@given(one=costs, other=costs)
@settings(max_examples=60, deadline=None)
def test_attribution_adds_up_and_turns_round(one, other) -> None:
    shares = attribute_ratio(one, other)
    assert sum(shares.values()) == pytest.approx(_log_cost(one) - _log_cost(other), abs=1e-9)
    back = attribute_ratio(other, one)
    assert all(back[name] == pytest.approx(-shares[name], abs=1e-9) for name in FACTORS)


@given(one=costs, other=costs)
@settings(max_examples=30, deadline=None)
def test_attribution_is_the_mean_over_all_orders_of_exchange(one, other) -> None:
    sums = dict.fromkeys(FACTORS, 0.0)
    for order in permutations(FACTORS):
        now = dict(other)
        for name in order:
            before = _log_cost(now)
            now[name] = one[name]
            sums[name] += (_log_cost(now) - before) / 24
    assert attribute_ratio(one, other) == pytest.approx(sums, abs=1e-9)


def test_what_does_not_differ_explains_nothing() -> None:
    same = {"price": (1.0, 2.0), "thinking": (10.0,), "answer": (5.0,), "prompt": (3.0,)}
    shares = attribute_ratio({**same, "price": (2.0, 4.0)}, same)
    assert shares == pytest.approx({"price": log(2), "thinking": 0, "answer": 0, "prompt": 0})


# -- price reversals -----------------------------------------------------------------------------------
def test_a_model_that_thinks_more_than_its_price_saves_is_a_confirmed_reversal(prices: Path) -> None:
    report = price_reversals_report(make_traces(), prices)
    pair = report.table.set_index(["cheaper", "dearer"]).loc[("listed-low", "listed-high")]
    # A quarter of the queries takes twice the thinking: 100 + 2 (1.25 900 + 100) against 100 + 10 (1.25 20 + 80).
    assert pair["cost_ratio"] == pytest.approx(2550 / 1150, rel=0.05)
    assert pair["status"] == "reversed"
    assert pair["is_reversed"]
    assert not pair["is_reversed_without_thinking"]
    assert pair["thinking_log_ratio"] > 1
    assert pair["price_log_ratio"] < 0
    assert pair[[f"{name}_log_ratio" for name in FACTORS]].sum() == pytest.approx(pair["log_ratio"], abs=1e-9)
    summary = report.more["By benchmark"].iloc[0]
    assert (summary["reversed"], summary["confirmed"], summary["reversed_without_thinking"]) == (1, 1, 0)
    assert summary["tau_without_thinking"] == pytest.approx(1.0)
    assert "most of it is thinking" in " ".join(report.findings)


@needs_mirror
@pytest.mark.slow
def test_reversals_of_the_public_data_are_those_of_the_paper(tmp_path: Path) -> None:
    """Counts per task of arXiv 2603.23971 v1, tests/golden/price_reversal_v1.json; the eighth model is not here."""
    from foretell.assets.families.thinking_tokens.examples import traces_of_dataset
    from foretell.assets.store.sources import Sources

    traces = traces_of_dataset("pricing-reversal", Sources(tmp_path, tmp_path, MIRROR, tmp_path))
    report = price_reversals_report(traces)
    counts = report.more["By benchmark"].set_index("benchmark")
    assert counts.loc["aime", ["reversed", "reversed_without_thinking"]].tolist() == [5, 2]
    assert counts.loc["gpqa", ["reversed", "reversed_without_thinking"]].tolist() == [6, 2]
    assert counts.loc["livemathbench", ["reversed", "reversed_without_thinking"]].tolist() == [6, 2]
    assert any("MiniMax-M2.5 was cut off" in reason for reason in report.reasons)


# -- cost of pass and frontier -------------------------------------------------------------------------
def test_cost_of_pass_is_cost_over_pass_rate(prices: Path) -> None:
    traces = make_traces(8, spread=0.0)
    traces = traces[~traces["prompt_text"].str.contains("many")].reset_index(drop=True)
    traces["score"] = (traces["query_id"] < "q3").astype(float)
    rate = traces.loc[traces["model"] == "dear", "score"].mean()
    row = cost_of_pass_report(traces, prices).table.set_index("model").loc["listed-low"]
    assert row["usd_per_pass"] == pytest.approx((100 * 1 + 1000 * 2) / 1e6 / rate)


def test_a_part_of_the_points_is_no_pass_and_nothing_passed_is_infinite(prices: Path) -> None:
    traces = make_traces(10).assign(score=0.5)
    report = cost_of_pass_report(traces, prices)
    assert np.isinf(report.table["usd_per_pass"]).all()
    assert (report.table["ci_lower"] > 0).all()
    REPORTS["cost-of-pass"].draw(report)


def test_counterfactual_is_the_cheapest_pass_of_the_others(prices: Path) -> None:
    runs, _ = scored_runs(make_traces(80), prices)
    found = counterfactuals(runs, model_classes(runs), n_bootstrap=50)
    means = runs.groupby("model")[["cost_usd", "passed"]].mean()
    per_pass = means["cost_usd"] / means["passed"]
    row = found[(found["by"] == "provider") & (found["left_out"] == "lab")].iloc[0]
    assert row["usd_per_pass"] == pytest.approx(per_pass.min())
    assert row["usd_per_pass_without"] == pytest.approx(per_pass["dear"])
    assert row["ratio_lower"] <= row["ratio"] <= row["ratio_upper"]
    kept = found[(found["by"] == "provider") & (found["left_out"] == "dear-lab")].iloc[0]
    assert kept["ratio"] == pytest.approx(1.0)


def test_the_dominated_model_is_off_the_frontier(prices: Path) -> None:
    traces = make_traces(80)
    # As good as each other, so that the dearer bill of listed-low decides.
    cheap = traces["model"] != "dear"
    traces.loc[cheap, "score"] = (traces.loc[cheap, "query_id"].str[1:].astype(int) % 2).astype(float)
    report = frontier_report(traces, prices)
    table = report.table.set_index("model")
    assert table.loc["listed-high", "verdict"] == "on frontier"
    assert table.loc["listed-low", "verdict"] == "off frontier"


# -- thinking and noise --------------------------------------------------------------------------------
def test_thinking_share_is_a_ratio_of_sums() -> None:
    traces = make_traces(30)
    table = thinking_share_report(traces).table.set_index("model")
    of_model = traces[traces["model"] == "dear"]
    expected = of_model["reasoning_tokens"].sum() / of_model["output_tokens"].sum()
    assert table.loc["dear", "share_of_output"] == pytest.approx(expected)
    assert table["share_of_bill"].isna().all()


def test_reasoning_that_is_not_reported_is_a_reason_not_a_zero(prices: Path) -> None:
    traces = make_traces(30)
    traces.loc[traces["model"] == "dear", "reasoning_tokens"] = pd.NA
    report = thinking_share_report(traces, prices)
    assert "dear" not in set(report.table["model"])
    assert any("dear" in reason for reason in report.reasons)
    assert report.table["share_of_bill"].between(0, 1).all()


def test_noise_is_the_spread_of_repeats() -> None:
    traces = make_traces(150, n_runs=5, spread=0.2)
    table = token_noise_report(traces).table.set_index("model")
    # The output of `dear` is 300 thinking times exp(.2 N) and 100 of answer: .2 * 300 / 400 to first order.
    assert table.loc["dear", "standard_deviation"] == pytest.approx(0.2 * 0.75, rel=0.15)
    assert table.loc["dear", "ci_lower"] < 0.15 < table.loc["dear", "ci_upper"] * 1.1
    assert table.loc["dear", "factor_95"] == pytest.approx(np.exp(1.96 * table.loc["dear", "standard_deviation"]))


def odd_traces() -> pd.DataFrame:
    """Runs of 1 to 4 a query, some cut off, some without thinking or input; a query without any, an empty answer."""
    traces = make_traces(60, n_runs=4, spread=0.3, seed=3)
    row = np.arange(len(traces))
    traces = traces.assign(is_censored=row % 9 == 0, reasoning_effort=np.where(row // 12 % 2, "high", None))
    traces.loc[1, ["reasoning_tokens", "output_tokens"]] = 0
    traces["reasoning_tokens"] = traces["reasoning_tokens"].mask((row % 7 == 0) | (traces["query_id"] == "q5"))
    traces["input_tokens"] = traces["input_tokens"].mask(row % 5 == 0)
    return traces[row % 3 != row // 16 % 3].reset_index(drop=True)


@pytest.mark.parametrize(("traces", "n_groups"), [(odd_traces(), 6), (make_traces(40, n_runs=5), 3)])
def test_noise_by_its_definition(traces: pd.DataFrame, n_groups: int) -> None:
    from foretell.predictors.metrics import MAE_FLOOR, MSE_FLOOR, floor_sums, group_replicates, noise_floor

    runs = traces[~traces["is_censored"]].assign(cell_id=traces["query_id"] + "|" + traces["model"])
    runs = runs[runs.groupby("cell_id")["cell_id"].transform("size") >= 2]
    runs["value"] = runs["output_tokens"].astype(float).clip(lower=1)  # an empty answer has no logarithm
    table = token_noise_report(traces).table.set_index(["model", "reasoning_effort"])
    assert len(table) == n_groups
    for (model, effort), row in table.iterrows():
        own = runs[(runs["model"] == model) & (runs["reasoning_effort"].fillna("(none)") == effort)]
        told = own[["cell_id", "query_id", "value"]]
        cells = group_replicates(told, "log")
        square, absolute = (
            noise_floor(floor_sums(cells, estimator), estimator, loss)
            for estimator, loss in ((MSE_FLOOR, "mse"), (MAE_FLOOR, "mae"))
        )
        assert row["standard_deviation"] ** 2 == pytest.approx(square.value, rel=1e-9)
        assert row["ci_lower"] ** 2 == pytest.approx(max(square.ci_lower, 0.0), rel=1e-9)
        assert row["ci_upper"] ** 2 == pytest.approx(square.ci_upper, rel=1e-9)
        assert row["mae_floor"] == pytest.approx(absolute.value, rel=1e-9, nan_ok=True)
        assert row["mae_floor_source"] == absolute.method
        spans = [max(values) / min(values) for _, values in own.groupby("cell_id")["value"]]
        assert row["largest_over_least_median"] == np.median(spans)
        assert row["largest_over_least_max"] == max(spans)
        assert (row["n_queries"], row["n_replicates"]) == (own["query_id"].nunique(), len(own))


def test_thinking_share_by_its_definition(prices: Path) -> None:
    from foretell.predictors.metrics import ratio_estimate

    traces = odd_traces()
    table = thinking_share_report(traces, prices).table.set_index("model")
    assert len(table) == 3
    runs = price_runs(counted_inputs(traces), prices)
    runs["total_usd"] = runs["total_usd"].where(traces["input_tokens"].notna())  # not estimated here
    for model, row in table.iterrows():
        own = runs[runs["model"] == model]
        known = own[own["reasoning_tokens"].notna()]
        for part, part_of, names in (
            (known, ("reasoning_tokens", "output_tokens"), ("share_of_output", "output_lower", "output_upper")),
            (known.dropna(subset="total_usd"), ("thinking_usd", "total_usd"),
             ("share_of_bill", "bill_lower", "bill_upper")),
        ):  # fmt: skip
            codes, queries = pd.factorize(part["query_id"])
            share = ratio_estimate(*(part[name].to_numpy(float) for name in part_of), codes, len(queries))
            assert row[list(names)].tolist() == pytest.approx([share.value, *share.interval()], rel=1e-9)
        assert row["mean_thinking_tokens"] == pytest.approx(known["reasoning_tokens"].mean(), rel=1e-12)
        assert row["unknown_share"] == pytest.approx(own["reasoning_tokens"].isna().mean(), rel=1e-12)
        assert row["n_queries"] == known["query_id"].nunique()


def test_models_whose_requests_were_never_repeated_are_counted() -> None:
    traces = make_traces(10, n_runs=2)
    traces = traces[(traces["model"] != "dear") | (traces["replicate"] == 0)]
    report = token_noise_report(traces)
    assert set(report.table["model"]) == {"listed-low", "listed-high"}
    assert report.reasons == ("1 models have no request that was sent twice: their noise is not known.",)


def test_without_repeats_there_is_a_reason() -> None:
    report = token_noise_report(make_traces(10))
    assert report.table.empty
    assert "sent twice" in report.reasons[0]


# -- data that cannot answer ---------------------------------------------------------------------------
@pytest.mark.parametrize("name", sorted(REPORTS))
def test_no_prices_no_scores_no_repeats_is_no_failure(name: str) -> None:
    traces = make_traces(6).assign(score=np.nan, reasoning_tokens=pd.array([pd.NA] * 18, dtype="Int64"))
    report = REPORTS[name].make(traces, None)
    assert report.table.empty
    assert report.reasons


def test_unknown_prices_and_inputs_are_told(prices: Path) -> None:
    traces = make_traces(6)
    traces["input_tokens"] = pd.array([pd.NA] * len(traces), dtype="Int64")
    traces.loc[0, "model"] = "nobody-knows"
    _, reasons = priced_runs(traces, prices)
    runs = price_runs(counted_inputs(traces), prices)
    runs = runs[runs["total_usd"].notna()]
    assert len(runs) == len(traces) - 1
    assert any("estimated as a quarter" in reason for reason in reasons)
    assert any("nobody-knows" in reason for reason in reasons)
    assert runs["input_usd"].iloc[0] == pytest.approx(np.ceil(len(runs["prompt_text"].iloc[0]) / 4) / 1e6)
    assert query_table(runs, "total_usd").shape == (6, 3)


def test_tables_are_markdown_even_where_text_is_odd() -> None:
    text = markdown(pd.DataFrame({"a": ["x|y\nz", None], "b": [float("nan"), 0.123456]}))
    assert text.splitlines()[2:] == ["| x/y z | - |", "| - | 0.1235 |"]
    assert markdown(pd.DataFrame()) == "no rows"


def test_a_frontier_of_two_models_of_one_class_is_a_report(prices: Path) -> None:
    # "No objects to concatenate" was raised, and with it the demo and the night failed as a whole.
    traces = make_traces()
    report = frontier_report(traces[traces["model"].isin(["listed-low", "listed-high"])], prices)
    assert sorted(report.table["model"]) == ["listed-high", "listed-low"]


# -- assets --------------------------------------------------------------------------------------------
def test_assets_keep_the_table_and_show_the_figure(tmp_path: Path, prices: Path) -> None:
    @dg.asset
    def request_traces() -> Table:
        return Table((make_traces(60, n_runs=2),))

    apart = ("routing", "cascade", "quotes", "spend")  # dear, both; rests on kept quotes; on days and costs
    cheap = [build_report_asset(spec) for name, spec in REPORTS.items() if name not in apart]
    done = dg.materialize_to_memory(
        [request_traces, *cheap],
        resources={"workspace": Workspace(home=str(tmp_path), starter=str(tmp_path), price_file=str(prices))},
    )
    assert done.success
    for asset in cheap:
        name = asset.key.to_user_string()
        (event,) = done.asset_materializations_for_node(name)
        assert event.metadata["rows"].value > 0
        assert "data:image/png" in event.metadata["plot"].value
        assert (tmp_path / "reports" / f"{name}.png").is_file()


def test_a_report_that_cannot_be_made_says_why_and_fails_nothing(tmp_path: Path) -> None:
    def broken(traces: pd.DataFrame | Table, price_file: Path | None) -> Report:
        raise ValueError("No objects to concatenate")

    @dg.asset
    def request_traces() -> Table:
        return Table((make_traces(),))

    spec = ReportSpec("broken", "A report", "One row.", broken, "plot_frontiers")
    asset = build_report_asset(spec)
    done = dg.materialize_to_memory(
        [request_traces, asset], resources={"workspace": Workspace(home=str(tmp_path), starter=str(tmp_path))}
    )
    assert done.success
    (event,) = done.asset_materializations_for_node("broken_report")
    assert "could not be made: ValueError: No objects to concatenate" in event.metadata["findings"].value
    assert "could not be made" in done.output_for_node("broken_report")["reason"].iloc[0]
