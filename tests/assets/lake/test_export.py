"""What is exported comes back; the lake answers SQL."""

import orjson
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foretell.assets.lake.export import connect_lake, export_traces, lake_tables, to_otlp_json
from foretell.assets.lake.traces.curation import curate
from foretell.assets.readers.reading import detect, read_traces
from foretell.predictors.errors import DatasetError, InvalidInputError
from tests.assets.trace_lines import flat_price


def traces_of(n=3, **columns):
    base = {
        "source": "test",
        "request_id": [f"r{i}" for i in range(n)],
        "model": "m",
        "request_model": "m",
        "provider": "openai",
        "response_model": "m-2026",
        "prompt_text": [f'q"{i}"' for i in range(n)],
        "input_tokens": 10,
        "output_tokens": 20,
        "reasoning_tokens": [None, 0, 5][:n],
        "started_at": pd.Timestamp("2026-11-22T01:00:00.123456Z"),
        "latency_s": 1.5,
        "finish_reason": "stop",
        "temperature": 0.5,
        "seed": 7,
        "project": "search",
        "key_name": "ci",
        "answer_logprob": -0.25,
        "benchmark": "b",
        "item_id": "i",
        "score": 0.5,
        "source_file": "a",
        "source_line": range(1, n + 1),
    }
    return curate(pd.DataFrame(base | columns), price=flat_price).traces


LOST = {"source_file", "source_line", "config_hash", "cost_usd", "price_version", "is_censored", "trace_id"}


@pytest.mark.parametrize("name", ["a.parquet", "a.csv", "a.jsonl", "a.otlp"])
def test_export_is_read_again_without_loss(tmp_path, name):
    traces = traces_of()
    path = export_traces(traces, tmp_path / name, "otlp_json" if name.endswith("otlp") else None)
    assert detect(path) == ("otlp_json" if name.endswith("otlp") else "tabular")
    read = read_traces(path)
    assert read.rejects.empty
    again = curate(read.rows, price=flat_price).traces
    kept = [column for column in traces if column not in LOST]
    pd.testing.assert_frame_equal(again[kept], traces[kept])
    assert list(tmp_path.iterdir()) == [path]


optional = st.one_of(st.none(), st.integers(0, 9))
row = st.fixed_dictionaries(
    {
        "prompt_text": st.one_of(st.none(), st.text(st.characters(codec="utf-8"), max_size=30)),
        "input_tokens": optional,
        "reasoning_tokens": optional,
        "temperature": st.one_of(st.none(), st.floats(0, 2)),
        "seed": optional,
        "finish_reason": st.sampled_from([None, "stop", "length", "tool_calls"]),
        "service_tier": st.sampled_from([None, "flex"]),
        "time_to_first_token_s": st.one_of(st.none(), st.floats(0, 100)),
        "max_tokens": st.one_of(st.none(), st.integers(100, 999)),
        "reasoning_effort": st.sampled_from([None, "low"]),
        "latency_s": st.one_of(st.none(), st.integers(0, 9999).map(float)),
        "top_p": st.one_of(st.none(), st.floats(0, 1)),
        "repeat_prob": st.sampled_from([None, 0.5]),
    }
)


@settings(max_examples=4, deadline=None)
@given(rows=st.lists(row, min_size=1, max_size=5))
def test_round_trip_through_otlp_is_lossless(tmp_path_factory, rows):
    columns = {key: [r[key] for r in rows] for key in rows[0]}
    traces = (
        traces_of(len(rows), **columns) if len(rows) <= 3 else traces_of(3, **{k: v[:3] for k, v in columns.items()})
    )
    path = tmp_path_factory.mktemp("otlp") / "a.jsonl"
    path.write_bytes(b"".join(to_otlp_json(traces)))
    again = curate(read_traces(path).rows, price=flat_price).traces
    # An empty prompt is no prompt; white space at the ends of a prompt is no part of it.
    kept = [column for column in traces if column not in LOST | {"prompt_text"}]
    pd.testing.assert_frame_equal(again[kept], traces[kept])


def test_otlp_integers_are_text(tmp_path):
    (line,) = to_otlp_json(traces_of(1))
    (span,) = orjson.loads(line)["resourceSpans"][0]["scopeSpans"][0]["spans"]
    values = {a["key"]: a["value"] for a in span["attributes"]}
    assert values["gen_ai.usage.output_tokens"] == {"intValue": "20"}
    assert "gen_ai.usage.reasoning.output_tokens" not in values


def test_unknown_format_is_told(tmp_path):
    with pytest.raises(InvalidInputError, match="parquet"):
        export_traces(traces_of(1), tmp_path / "a.xlsx")


def test_lake_is_queried_with_sql(tmp_path):
    lake = tmp_path / "it's a lake"
    (lake / "request_traces").mkdir(parents=True)
    for i, day in enumerate(("2026-11-21", "2026-11-22")):
        traces_of(3, source=str(i)).to_parquet(lake / "request_traces" / f"{day}.parquet")
    traces_of(1).to_parquet(lake / "quarantine.parquet")
    assert sorted(lake_tables(lake)) == ["quarantine", "request_traces"]
    with connect_lake(lake) as connection:
        assert connection.sql("SELECT count(*), sum(output_tokens) FROM request_traces").fetchall() == [(6, 120)]
    with pytest.raises(DatasetError, match="no lake"):
        connect_lake(tmp_path / "absent")
