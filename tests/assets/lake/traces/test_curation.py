"""Raw rows become `request_traces`: keyed, numbered, censoring marked, priced, every count accounted for."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foretell.assets.lake.traces.curation import curate
from foretell.predictors.errors import InvalidInputError
from foretell.predictors.schemas import RequestTraces
from tests.assets.trace_lines import flat_price, no_price


def raw(n=1, **columns):
    base = {
        "source": "test",
        "request_id": [f"r{i}" for i in range(n)],
        "model": "m",
        "prompt_text": "q",
        "input_tokens": 10,
        "output_tokens": 20,
        "source_file": "a.jsonl",
        "source_line": range(1, n + 1),
    }
    return pd.DataFrame(base | columns)


def warned(curated, check):
    return curated.warnings.loc[curated.warnings["check"] == check]


def test_result_keeps_the_contract():
    curated = curate(raw(3), price=flat_price)
    RequestTraces.validate(curated.traces, lazy=True)
    assert curated.traces["cost_usd"].tolist() == [2e-5] * 3
    assert curated.traces["price_version"].tolist() == ["test"] * 3


def test_empty_input_gives_empty_tables():
    curated = curate(raw(0), price=no_price)
    assert (curated.n_read, len(curated.traces), len(curated.quarantine)) == (0, 0, 0)
    RequestTraces.validate(curated.traces, lazy=True)


def test_replicates_are_numbered_within_query_model_and_configuration():
    frame = raw(
        6,
        prompt_text=["a", "a", "a", "a", "b", "a"],
        model=["m", "m", "m", "n", "m", "m"],
        temperature=[0.1, 0.1, 0.1, 0.1, 0.1, 0.9],
    )
    traces = curate(frame, price=no_price).traces.set_index("request_id")
    assert traces["replicate"].to_dict() == {"r0": 0, "r1": 1, "r2": 2, "r3": 0, "r4": 0, "r5": 0}
    assert traces["query_id"].nunique() == 2
    assert traces["config_hash"].nunique() == 2


def test_seed_is_no_part_of_the_configuration():
    assert curate(raw(2, seed=[1, 2]), price=no_price).traces["replicate"].tolist() == [0, 1]


def test_replicates_follow_the_order_of_the_source_then_time():
    frame = raw(3, replicate=[2, 0, 1], started_at=pd.to_datetime(["2026-01-01", "2026-01-02", "2026-01-03"], utc=True))
    traces = curate(frame, price=no_price).traces.set_index("request_id")
    assert traces["replicate"].to_dict() == {"r0": 2, "r1": 0, "r2": 1}


def test_every_fault_of_a_row_is_told():
    frame = raw(2, model=[None, "m"], output_tokens=[-5, 20])
    curated = curate(frame, price=no_price)
    assert curated.quarantine["reason"].tolist() == ["the model is unknown; output_tokens are negative"]
    assert curated.traces["request_id"].tolist() == ["r1"]


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"output_tokens": [None, 20]}, "output_tokens are unknown"),
        ({"input_tokens": [-1, 10]}, "input_tokens are negative"),
        ({"cache_read_tokens": [8, 0], "cache_write_tokens": [8, 0]}, "cache reads and writes exceed input_tokens"),
        ({"input_tokens": [0, 10], "output_tokens": [0, 20]}, "without any token"),
        ({"request_id": [None, "r1"]}, "no id"),
        ({"is_cached_answer": [True, False]}, "response cache"),
    ],
)
def test_bad_row_is_quarantined_and_the_good_one_goes_on(columns, words):
    curated = curate(raw(2, **columns), price=no_price)
    assert curated.traces["request_id"].tolist() == ["r1"]
    assert words in curated.quarantine["reason"][0]
    assert curated.quarantine["source_file"].tolist() == ["a.jsonl"]
    assert curated.quarantine["source_line"].tolist() == [1]
    assert len(curated.quarantine["remedy"][0]) > 0


def test_a_senseless_setting_is_unknown_and_costs_no_row():
    frame = raw(1, max_tokens=[0], temperature=[-1.0], top_p=[7.0], latency_s=[-3.0], repeat_prob=[0.0])
    (row,) = curate(frame, price=no_price).traces.to_dict("records")
    assert all(pd.isna(row[name]) for name in ("max_tokens", "temperature", "top_p", "latency_s", "repeat_prob"))


# -- censoring ------------------------------------------------------------------------------------------


def test_finish_reason_length_is_censored():
    traces = curate(raw(2, finish_reason=["length", "stop"]), price=no_price).traces
    assert traces["is_censored"].tolist() == [True, False]


def test_a_mass_at_one_maximum_is_censored_and_names_the_limit():
    rng = np.random.default_rng(0)
    tokens = np.minimum(rng.lognormal(7, 1, 400).round(), 2048).astype(int)
    traces = curate(raw(400, output_tokens=tokens), price=no_price).traces
    assert traces["is_censored"].tolist() == (traces["output_tokens"] == 2048).tolist()
    assert 50 < traces["is_censored"].sum() < 200
    assert (traces["max_tokens"] == 2048).all()


def test_a_provider_that_says_stop_is_believed():
    tokens = [*range(100, 150), *[512] * 20]
    traces = curate(raw(70, output_tokens=tokens, finish_reason="stop"), price=no_price).traces
    assert not traces["is_censored"].any()
    assert traces["max_tokens"].isna().all()


@pytest.mark.parametrize(
    "tokens",
    [
        [1] * 50 + [2] * 50,  # labels
        [300] * 100,  # a constant: made up, not limited
        [*range(100, 200)],  # no value repeats
        [100 + abs(i % 40 - 20) for i in range(200)],
    ],  # a peak within, few at the maximum
)
def test_no_mass_at_the_maximum_means_no_limit(tokens):
    assert not curate(raw(len(tokens), output_tokens=tokens), price=no_price).traces["is_censored"].any()


def test_limits_are_found_per_model():
    tokens = [*range(100, 150), *[512] * 20]
    frame = pd.concat(
        [raw(70, output_tokens=tokens), raw(70, output_tokens=range(500, 570), model="n", source="other")]
    )
    traces = curate(frame, price=no_price).traces
    assert set(traces.loc[traces["is_censored"], "model"]) == {"m"}
    assert traces.loc[traces["model"] == "n", "max_tokens"].isna().all()


# -- warnings -----------------------------------------------------------------------------------------------


def test_routerarena_191_constant_input_tokens_look_made_up():
    frame = raw(40, input_tokens=40, output_tokens=range(100, 140), prompt_text=[f"q{i}" for i in range(40)])
    found = warned(curate(frame, price=no_price), "constant_metering")
    assert found["message"].tolist() == ["input_tokens are the same in every row: metering looks made up"]
    varied = frame.assign(input_tokens=range(40))
    assert warned(curate(varied, price=no_price), "constant_metering").empty


def test_warnings_are_of_each_model_by_itself():
    n = 40
    model = ["same", "varied"] * n
    frame = raw(
        2 * n,
        model=model,
        prompt_text=[f"q{i // 2}" for i in range(2 * n)],
        input_tokens=[0 if i < 2 else 7 if name == "same" else 100 + i for i, name in enumerate(model)],
        output_tokens=[4000 if name == "same" else 5000 + 37 * i for i, name in enumerate(model)],
        reasoning_tokens=[None if name == "same" else min(1200 + 37 * i, 3000) for i, name in enumerate(model)],
        cost_reported_usd=[1.0 if name == "same" and i > 2 else None for i, name in enumerate(model)],
    )
    warnings = curate(frame, price=no_price).warnings
    told = {name: part[["model", "n_rows"]].values.tolist() for name, part in warnings.groupby("check", sort=False)}
    assert told == {
        "unpriced": [["same", n], ["varied", n]],
        "reasoning_unknown": [["same", n]],
        "cost_not_reported": [["same", 2]],
        "constant_metering": [["same", n - 1], ["same", n]],
        "thinking_budget_reached": [["varied", 16]],
    }
    assert warned(curate(frame, price=no_price), "thinking_budget_reached")["share"].tolist() == [16 / n]


def test_cost_that_differs_from_the_reported_one_is_warned_about():
    frame = raw(4, output_tokens=1_000_000, cost_reported_usd=[1.0, 1.02, 2.67, None])
    found = warned(curate(frame, price=flat_price), "cost_differs")
    assert found["n_rows"].tolist() == [1]


def test_clocks_that_are_off_are_warned_about():
    now = pd.Timestamp.now("UTC")
    times = [now, now + pd.Timedelta(hours=3), pd.Timestamp("1970-01-01", tz="UTC"), now - pd.Timedelta(days=9)]
    found = warned(curate(raw(4, started_at=pd.Series(times).dt.as_unit("us")), price=no_price), "clock_skew")
    assert found["n_rows"].tolist() == [2]


def test_total_that_is_not_input_plus_output_is_warned_about():
    found = warned(curate(raw(2, total_tokens=[30, 139]), price=no_price), "total_differs")
    assert found["n_rows"].tolist() == [1]


def test_unknown_reasoning_is_warned_about_with_its_share():
    found = warned(curate(raw(4, reasoning_tokens=[0, 5, None, None]), price=no_price), "reasoning_unknown")
    assert found["share"].tolist() == [0.5]


# -- properties ---------------------------------------------------------------------------------------------

tokens = st.one_of(st.none(), st.integers(-3, 60))
rows = st.lists(
    st.fixed_dictionaries(
        {
            "request_id": st.one_of(st.none(), st.sampled_from("abcdef")),
            "model": st.sampled_from(["m", "n", None, "unknown"]),
            "prompt_text": st.sampled_from(["p", "q", None]),
            "input_tokens": tokens,
            "output_tokens": tokens,
            "reasoning_tokens": tokens,
            "cache_read_tokens": tokens,
            "finish_reason": st.sampled_from([None, "stop", "length"]),
            "max_tokens": tokens,
            "temperature": st.sampled_from([None, 0.5, -1.0]),
        }
    ),
    max_size=25,
)


@settings(max_examples=5, deadline=None)
@given(rows=rows, seed=st.integers(0, 10))
def test_counts_add_up_and_order_does_not_matter(rows, seed):
    columns = [
        "request_id",
        "model",
        "prompt_text",
        "input_tokens",
        "output_tokens",
        "reasoning_tokens",
        "cache_read_tokens",
        "finish_reason",
        "max_tokens",
        "temperature",
    ]
    frame = pd.DataFrame(rows, columns=columns).assign(source="s", source_file="f", source_line=range(1, len(rows) + 1))
    curated = curate(frame, price=no_price)
    assert curated.n_read == len(rows)
    RequestTraces.validate(curated.traces, lazy=True)
    assert not curated.traces.duplicated(["query_id", "model", "config_hash", "replicate"]).any()
    shuffled = curate(frame.sample(frac=1, random_state=seed), price=no_price)
    pd.testing.assert_frame_equal(curated.traces, shuffled.traces)
    pd.testing.assert_frame_equal(curated.quarantine, shuffled.quarantine)


def test_wrong_price_function_and_wrong_types_are_told():
    with pytest.raises(InvalidInputError, match="price"):
        curate(raw(2), price=lambda frame: pd.DataFrame({"cost_usd": [1.0]}))
    with pytest.raises(InvalidInputError, match="output_tokens"):
        curate(raw(1, output_tokens=["many"]), price=no_price)
