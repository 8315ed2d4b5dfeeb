"""The traps of the Price Reversal data, on a small file of our own and on the real files."""

import json
from pathlib import Path

import pandas as pd
import pytest

from foretell.assets.lake.datasets import load_traces
from foretell.assets.lake.traces.curation import concat, curate
from foretell.assets.readers.reading import detect, read_traces
from foretell.predictors.errors import DatasetError, InvalidInputError
from tests.assets.trace_lines import MIRROR, flat_price, needs_mirror, no_price


def record(index, prompt, tokens=(10, 100, 80), **changes):
    n_in, n_out, n_thinking = tokens
    return {
        "index": index,
        "origin_query": prompt,
        "prompt": prompt,
        "prompt_tokens": n_in,
        "completion_tokens": n_out,
        "thinking_tokens": n_thinking,
        "cost": 0.5,
        "score": 1.0,
        "prediction": "",
        "ground_truth": "1",
    } | changes


def document(path, *records, **changes):
    header = {"model_name": "gpt-5.2-high", "dataset_name": "aime", "split": "hybrid"}
    path.write_text(json.dumps(header | changes | {"records": list(records)}))
    return path


def test_records_become_canonical_rows(tmp_path):
    path = document(tmp_path / "a.json", record(1, "p"))
    assert detect(path) == "pricing_reversal"
    (row,) = read_traces(path).rows.to_dict("records")
    assert (row["provider"], row["model"], row["reasoning_effort"]) == ("openai", "gpt-5.2", "high")
    assert (row["input_tokens"], row["output_tokens"], row["reasoning_tokens"]) == (10, 100, 80)
    assert (row["benchmark"], row["score"], row["cost_reported_usd"]) == ("aime", 1.0, 0.5)
    assert pd.isna(row["repeat_prob"])  # the authors chose which cells to repeat, no chance did
    assert pd.isna(row["started_at"])
    assert pd.isna(row["finish_reason"])


def test_failed_calls_kept_as_zeros_are_quarantined(tmp_path):
    read = read_traces(document(tmp_path / "a.json", record(1, "p", (0, 0, 0), cost=0), record(2, "q")))
    assert read.rows["item_id"].tolist() == ["2"]
    assert read.rejects["reason"].tolist() == ["a failed call kept as zeros"]
    assert read.rejects["source_line"].tolist() == [1]


def test_cost_of_zero_beside_tokens_is_dropped_and_the_row_kept(tmp_path):
    rows = read_traces(document(tmp_path / "a.json", record(44, "p", cost=0))).rows
    assert rows["cost_reported_usd"].isna().all()
    assert rows["output_tokens"].tolist() == [100]


def test_one_index_twice_in_a_run_keeps_the_first_and_quarantines_the_second(tmp_path):
    path = document(tmp_path / "a.json", record(6, "p"), record(6, "p", (10, 300, 250)), run_index=4)
    curated = curate(read_traces(path).rows, price=no_price)
    assert curated.traces["output_tokens"].tolist() == [100]
    assert curated.quarantine["source_line"].tolist() == [2]


def test_repeats_follow_the_original_run(tmp_path):
    paths = [
        document(tmp_path / f"{n}.json", record(n, "p", (10, 100 + n, 1)), **({"run_index": n - 1} if n else {}))
        for n in (2, 0, 1)
    ]
    traces = curate(concat([read_traces(p).rows for p in paths]), price=no_price).traces
    assert traces.sort_values("replicate")["output_tokens"].tolist() == [100, 101, 102]


def test_one_prompt_under_two_indexes_is_one_query(tmp_path):
    rows = read_traces(document(tmp_path / "a.json", record(1, "p"), record(9, "p\n"))).rows
    assert len(set(rows["query_id"])) == 1
    assert rows["request_id"].nunique() == 2


@pytest.mark.parametrize(
    "text",
    [
        '{"model_name": "x", "dataset_name": "y", "split": "z", "records": [',
        '{"model_name": 1, "dataset_name": 2, "split": 3}',
    ],
)
def test_a_file_that_is_not_whole_is_one_reject(tmp_path, text):
    path = tmp_path / "a.json"
    path.write_text(text)
    read = read_traces(path)
    assert (read.n_read, len(read.rows)) == (1, 0)
    assert "foretell fetch" in read.rejects["remedy"][0]


def test_unknown_dataset_and_missing_starter_are_told(tmp_path):
    with pytest.raises(InvalidInputError, match="starter"):
        load_traces("nothing", starter=tmp_path, cache=tmp_path, mirror=None, price=no_price)
    with pytest.raises(DatasetError, match="starter traces are missing"):
        load_traces("starter", starter=tmp_path / "absent.gz", cache=tmp_path, mirror=None, price=no_price)


@pytest.fixture(scope="module")
def curated(tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    return load_traces("pricing-reversal", starter=Path("unused"), cache=cache, mirror=MIRROR, price=flat_price)


# Expected figures were counted with a plain loop over the JSON files, not with the reader.
@needs_mirror
@pytest.mark.mirror
def test_real_files_every_row_is_accounted_for(curated):
    assert (curated.n_read, len(curated.traces), len(curated.quarantine), curated.n_duplicates) == (
        25_584,
        25_470,
        114,
        0,
    )
    reasons = curated.quarantine["reason"].str.slice(0, 20).value_counts().to_dict()
    assert reasons == {"a failed call kept a": 112, "the key came before ": 2}
    assert curated.quarantine["source_file"].str.contains("gpt-5.2-high").all()


@needs_mirror
@pytest.mark.mirror
def test_real_files_minimax_and_kimi_are_censored_at_their_limits(curated):
    traces = curated.traces
    censored = traces[traces["is_censored"]].groupby("model")["output_tokens"].agg(["size", "min", "max"])
    assert censored.to_dict("index") == {
        "MiniMax-M2.5": {"size": 2545, "min": 2048, "max": 2048},
        "kimi-k2.5": {"size": 35, "min": 32_768, "max": 32_768},
    }
    share = traces[traces["model"] == "MiniMax-M2.5"].groupby("benchmark")["is_censored"].mean().round(3).to_dict()
    assert share == {"aime": 0.933, "arc-agi": 0.998, "gpqa": 0.758, "livemathbench": 0.653, "simpleqa": 0.430}
    assert traces.loc[traces["max_tokens"].notna(), "model"].isin(["MiniMax-M2.5", "kimi-k2.5"]).all()


@needs_mirror
@pytest.mark.mirror
def test_real_files_aime_has_six_runs_of_sixty_queries_by_three_models(curated):
    repeated = ["gpt-5.2", "gpt-5-mini", "gemini-3-flash-preview"]
    is_aime = curated.traces["benchmark"] == "aime"
    aime = curated.traces[is_aime & curated.traces["model"].isin(repeated)]
    runs = aime.groupby(["model", "query_id"])["replicate"].agg(["size", "max"])
    assert len(aime) == 1080
    assert len(runs) == 180
    assert (runs["size"] == 6).all()
    assert (runs["max"] == 5).all()
    assert curated.traces[~is_aime].groupby(["model", "query_id", "benchmark"]).size().max() <= 2


@needs_mirror
@pytest.mark.mirror
def test_real_files_costs_follow_from_tokens_where_they_were_recorded(curated):
    traces = curated.traces
    assert traces["cost_reported_usd"].isna().sum() == 14  # 16 rows, of which 2 are the quarantined twins
    gpt = traces[(traces["model"] == "gpt-5.2") & traces["cost_reported_usd"].notna()]
    expected = (gpt["input_tokens"] * 1.75 + gpt["output_tokens"] * 14) / 1e6
    assert (gpt["cost_reported_usd"] - expected.astype(float)).abs().max() < 1e-12
