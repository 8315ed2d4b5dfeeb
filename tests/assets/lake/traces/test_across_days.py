"""Rules over all days: a key names one request, and runs of a query are numbered over all days."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foretell.assets.engine import Engine, Table
from foretell.assets.families.thinking_tokens.examples import examples_from_traces, token_examples
from foretell.assets.lake.landing.deliveries import ingest, landed_days, load_rows
from foretell.assets.lake.traces import across_days
from foretell.assets.lake.traces.across_days import repeated_requests, rules_across_days, whole_traces
from foretell.assets.lake.traces.curation import curate
from tests.synthetic import chat_call, write_jsonl

DAY = 86_400


def unpriced(frame: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"cost_usd": float("nan"), "price_version": None}, index=frame.index)


def days_of(calls: list[dict], folder: Path) -> Table:
    """Land calls and curate each day on its own, as the nights do."""
    ingest([write_jsonl(folder / "calls.jsonl", calls)], folder / "landing", source="gateway")
    parts = [
        curate(load_rows(folder / "landing", [day]), price=unpriced).traces for day in landed_days(folder / "landing")
    ]
    return Table(tuple(parts))


def call(request_id: str, day: int, *, prompt: str = "Why?", **more) -> dict:
    return chat_call(request_id, prompt=prompt, created=1_790_000_000 + day * DAY, **more)


def test_a_key_of_an_earlier_day_is_quarantined_and_counted_once(tmp_path: Path) -> None:
    table = days_of([call("a", 0), call("b", 0), call("a", 1, output_tokens=99), call("c", 1)], tmp_path)
    rules = rules_across_days(table)
    (told,) = repeated_requests(table, rules.repeated).to_dict("records")
    assert (told["request_id"], told["source"], told["source_line"]) == ("a", "gateway", 3)
    assert "2026-09-21" in told["reason"]
    whole = whole_traces(table)
    assert sorted(whole["request_id"]) == ["a", "b", "c"]
    assert 99 not in set(whole["output_tokens"])
    assert table.n_rows == len(whole) + len(rules.repeated)


def test_the_earliest_stays_in_whatever_order_days_are_read(tmp_path: Path) -> None:
    table = days_of([call("a", 0), call("a", 1, output_tokens=99), call("a", 2, output_tokens=77)], tmp_path)
    for parts in (table.parts, table.parts[::-1]):
        assert whole_traces(Table(parts))["output_tokens"].tolist() == [40]
        assert len(rules_across_days(Table(parts)).repeated) == 2


def test_the_same_id_of_another_source_is_another_request(tmp_path: Path) -> None:
    table = days_of([call("a", 0), call("a", 1)], tmp_path)
    other = Table((table.parts[0], table.parts[1].assign(source="other gateway")))
    assert rules_across_days(table).repeated["row"].tolist() == [0]
    assert rules_across_days(other).repeated.empty


def test_replicates_are_numbered_over_all_days_by_time(tmp_path: Path) -> None:
    calls = [call(f"r{day}", day) for day in (2, 0, 1)] + [call("x", 1, prompt="What?")]
    table = days_of(calls, tmp_path)
    assert all((part["replicate"] == 0).all() for part in table.parts)
    numbers = whole_traces(table).set_index("request_id")["replicate"]
    assert numbers.to_dict() == {"r0": 0, "r1": 1, "r2": 2, "x": 0}
    assert token_examples(table).groupby("cell_id")["replicate"].apply(sorted).tolist() in (
        [[0], [0, 1, 2]],
        [[0, 1, 2], [0]],
    )


def test_a_repeated_request_is_no_replicate(tmp_path: Path) -> None:
    # Counted as a run, a copy of a request would look like a smaller noise floor.
    table = days_of([call("a", 0), call("a", 1), call("b", 2)], tmp_path)
    examples = token_examples(table)
    assert len(examples) == 2
    assert examples["replicate"].tolist() == [0, 1]


@settings(max_examples=5, deadline=None)
@given(cuts=st.lists(st.integers(0, 60), max_size=5), bytes_at_once=st.sampled_from([320, 160_000]), data=st.data())
def test_examples_do_not_depend_on_how_traces_are_cut(traces: pd.DataFrame, cuts, bytes_at_once: int, data) -> None:
    order = data.draw(st.permutations(range(len(cuts) + 1)))
    ends = [0, *sorted(cuts), len(traces)]
    parts = [traces.iloc[a:b].reset_index(drop=True) for a, b in pairwise(ends)]
    table = Table(tuple(parts[i] for i in order))
    found = token_examples(table, engine=Engine(bytes_at_once=bytes_at_once))
    pd.testing.assert_frame_equal(found, examples_from_traces(traces))


@pytest.mark.parametrize("n_hashes", [1, 3])
def test_hashes_that_collide_change_nothing(traces: pd.DataFrame, monkeypatch: pytest.MonkeyPatch, n_hashes) -> None:
    table = Table((traces.head(40), traces.tail(30)))
    expected = rules_across_days(table)
    assert len(expected.repeated) == 10
    real = across_days.query_bundles
    monkeypatch.setattr(across_days, "query_bundles", lambda keys: real(keys) % n_hashes)
    found = rules_across_days(table)
    pd.testing.assert_frame_equal(found.repeated, expected.repeated)
    pd.testing.assert_frame_equal(found.replicates, expected.replicates)


def test_equal_keys_have_one_hash_however_they_are_kept() -> None:
    keys = pd.DataFrame({"a": ["x", "x", None, "xy", "x"], "b": ["1", "2", "1", "1", "1"]}, dtype="str")
    hashes = across_days.query_bundles(keys)
    assert len(set(hashes)) == 4
    assert hashes[0] == hashes[4]
    for kept in (keys.astype(object), keys.astype("category"), keys.iloc[:2]):
        assert across_days.query_bundles(kept).tolist() == hashes[: len(kept)].tolist()
    assert across_days.query_bundles(keys["a"])[0] == across_days.query_bundles(keys[["a"]])[1]


@pytest.fixture(scope="module")
def traces(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    calls = [
        call(f"r{i}", i % 4, prompt=f"Question {i % 9}", model=("gpt-5", "gpt-5-mini")[i % 2], output_tokens=40 + i)
        for i in range(60)
    ]
    for i, one in enumerate(calls):
        one["response"]["choices"][0]["finish_reason"] = "length" if i % 5 == 0 else "stop"
    return whole_traces(days_of(calls, tmp_path_factory.mktemp("traces")))


def test_a_sample_keeps_whole_queries_and_what_rests_on_all_runs(traces: pd.DataFrame) -> None:
    whole = token_examples(Table((traces,)))
    sample = token_examples(Table((traces,)), learn_rows=15)
    assert 0 < len(sample) < len(whole) / 2
    expected = whole[whole["query_id"].isin(sample["query_id"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(sample, expected)
