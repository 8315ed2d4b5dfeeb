"""Bad input never costs a good row, and every reject says where and what to do."""

import gzip
import json
import random

import pandas as pd
import pytest

from foretell.assets.lake.landing.deliveries import ingest, load_rejects, load_rows
from foretell.assets.lake.traces.curation import curate
from foretell.assets.readers.core import stream
from foretell.assets.readers.core.stream import loads
from foretell.assets.readers.reading import detect, read_traces
from foretell.predictors.errors import DatasetError, InvalidInputError
from tests.assets.trace_lines import chat, no_price, write_jsonl


def read_and_curate(path):
    read = read_traces(path)
    return read, curate(read.rows, price=no_price, rejects=read.rejects)


def test_every_record_is_a_row_or_a_reject(tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", chat(0), "{broken", chat(1), "", "[]", '"text"', chat(2))
    read, curated = read_and_curate(path)
    assert (read.n_read, len(read.rows), len(read.rejects)) == (6, 3, 3)
    assert read.rejects["source_line"].tolist() == [2, 5, 6]
    assert (read.rejects["source_file"] == "a.jsonl").all()
    assert (read.rejects["remedy"].str.len() > 0).all()
    assert curated.n_read == 6 == len(curated.traces) + len(curated.quarantine) + curated.n_duplicates


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be"])
def test_utf_16_reads_as_utf_8_does(encoding, tmp_path):
    """Excel's Unicode text, and what PowerShell redirects into a file."""
    path = write_jsonl(tmp_path / "a.jsonl", chat(0), "{broken", chat(1, prompt="Wie heißt 北京 😀?"))
    text, wide = path.read_text("utf-8"), tmp_path / "wide.jsonl"
    mark = b"" if encoding == "utf-16" else b"\xfe\xff"
    wide.write_bytes(mark + text.replace("\n", "\r\n").encode(encoding))
    (tmp_path / "cut.jsonl").write_bytes(wide.read_bytes()[:-5])
    expected, found, cut = (read_traces(tmp_path / f"{name}.jsonl") for name in ("a", "wide", "cut"))
    columns = expected.rows.columns.drop("source_file")
    pd.testing.assert_frame_equal(found.rows[columns], expected.rows[columns])
    assert found.rejects["source_line"].tolist() == expected.rejects["source_line"].tolist() == [2]
    assert (len(cut.rows), cut.rejects["source_line"].tolist()) == (1, [2, 3])


def test_truncated_last_line_is_one_reject_with_its_line(tmp_path):
    whole = write_jsonl(tmp_path / "a.jsonl", chat(0), chat(1)).read_bytes()
    path = tmp_path / "cut.jsonl"
    path.write_bytes(whole[:-40])
    read = read_traces(path)
    assert read.rows["request_id"].tolist() == ["chatcmpl-0"]
    assert read.rejects["source_line"].tolist() == [2]
    assert "not JSON" in read.rejects["reason"][0]


def test_line_of_another_format_is_rejected_and_named(tmp_path):
    sample = {"doc_id": 0, "resps": [["lol"]], "filter": "none"}
    read = read_traces(write_jsonl(tmp_path / "a.jsonl", chat(0), sample, chat(1)))
    assert len(read.rows) == 2
    assert read.rejects["source_line"].tolist() == [2]
    assert "doc_id" in read.rejects["reason"][0]


@pytest.mark.parametrize("literal", ["NaN", "-5", '"many"', "2.5", "Infinity", "1e400", "true", "[1]"])
def test_impossible_token_count_costs_only_its_row(tmp_path, literal):
    line = json.dumps(chat(1)).replace('"completion_tokens": 21', f'"completion_tokens": {literal}')
    _, curated = read_and_curate(write_jsonl(tmp_path / "a.jsonl", chat(0), line, chat(2)))
    assert curated.traces["request_id"].tolist() == ["chatcmpl-0", "chatcmpl-2"]
    assert curated.quarantine["source_line"].tolist() == [2]
    assert "completion_tokens" in curated.quarantine["reason"][0]


def test_nan_in_a_field_that_does_not_count_costs_no_row(tmp_path):
    line = json.dumps(chat(0) | {"score": float("nan"), "latency_s": float("nan")})
    _, curated = read_and_curate(write_jsonl(tmp_path / "a.jsonl", line))
    assert len(curated.traces) == 1
    assert curated.traces["score"].isna().all()


def test_reasoning_above_output_is_quarantined_with_a_remedy(tmp_path):
    bad = chat(1, usage={"completion_tokens_details": {"reasoning_tokens": 99}})
    _, curated = read_and_curate(write_jsonl(tmp_path / "a.jsonl", chat(0), bad))
    assert curated.traces["request_id"].tolist() == ["chatcmpl-0"]
    assert curated.quarantine["source_line"].tolist() == [2]
    assert curated.quarantine["reason"][0].startswith("reasoning_tokens exceed output_tokens")
    assert "added up" in curated.quarantine["remedy"][0]


@pytest.mark.parametrize("name", [None, "", "unknown", " N/A "])
def test_unknown_model_is_quarantined(tmp_path, name):
    bad = chat(1, request={"model": name}, response={"model": name})
    _, curated = read_and_curate(write_jsonl(tmp_path / "a.jsonl", chat(0), bad))
    assert curated.traces["request_id"].tolist() == ["chatcmpl-0"]
    assert curated.quarantine["reason"].tolist() == ["the model is unknown"]


def test_model_without_a_price_is_kept_with_null_cost_and_a_warning(tmp_path):
    _, curated = read_and_curate(write_jsonl(tmp_path / "a.jsonl", chat(0, request={"model": "my-own-model"})))
    assert curated.traces["cost_usd"].isna().all()
    assert curated.warnings.loc[curated.warnings["check"] == "unpriced", "model"].tolist() == ["my-own-model"]


def test_duplicate_ids_equal_content_counts_and_other_content_is_quarantined(tmp_path):
    other = chat(0, usage={"completion_tokens": 500, "total_tokens": 510})
    _, curated = read_and_curate(write_jsonl(tmp_path / "a.jsonl", chat(0), chat(0), chat(1), other))
    assert (len(curated.traces), curated.n_duplicates, len(curated.quarantine)) == (2, 1, 1)
    assert curated.traces["output_tokens"].tolist() == [20, 21]
    assert curated.quarantine["source_line"].tolist() == [4]
    assert "key came before" in curated.quarantine["reason"][0]


@pytest.mark.parametrize("content", [b"", b"\n\n", gzip.compress(b"", mtime=0)])
def test_empty_file_is_one_clear_reject(tmp_path, content):
    path = tmp_path / "a.jsonl"
    path.write_bytes(content)
    read = read_traces(path)
    assert (read.n_read, len(read.rows)) == (1, 0)
    assert read.rejects["reason"].tolist() == ["the file is empty"]
    report = ingest([path], tmp_path / "landing")
    assert report.n_usable == 0
    assert report.files[0].status == "unusable"
    assert report.files[0].problems[0].startswith(f"{path}:1: the file is empty; ")


def test_file_without_a_valid_row_reports_file_line_and_remedy(tmp_path):
    no_usage = {"model": "gpt-5", "choices": [], "usage": None}
    path = write_jsonl(tmp_path / "a.jsonl", no_usage, no_usage)
    report = ingest([path], tmp_path / "landing")
    assert (report.n_usable, report.n_read, report.n_rejects) == (0, 2, 2)
    assert report.files[0].problems[0].startswith(f"{path}:1: the response carries no usage; log the usage block")


def test_gzip_cut_short_yields_the_lines_before_the_cut(tmp_path):
    rng = random.Random(1)  # incompressible text, so that half of the bytes hold about half of the lines
    lines = [
        chat(i) | {"noise": "".join(rng.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=400))} for i in range(400)
    ]
    whole = write_jsonl(tmp_path / "a.jsonl.gz", *lines).read_bytes()
    path = tmp_path / "cut.jsonl.gz"
    path.write_bytes(whole[: len(whole) // 2])
    read = read_traces(path)
    n_good = len(read.rows)
    assert 150 < n_good < 250
    assert read.rows["request_id"].tolist() == [f"chatcmpl-{i}" for i in range(n_good)]
    assert read.n_read == n_good + 1
    assert read.rejects["source_line"].tolist() == [n_good + 1]
    assert "ends before its end mark" in read.rejects["reason"][0]


def test_damaged_gzip_yields_the_lines_before_the_damage(tmp_path):
    rng = random.Random(2)
    lines = [chat(i) | {"noise": rng.randbytes(300).hex()} for i in range(300)]
    raw = bytearray(write_jsonl(tmp_path / "a.jsonl.gz", *lines).read_bytes())
    middle = len(raw) // 2
    raw[middle : middle + 60] = b"\xff" * 60
    (tmp_path / "a.jsonl.gz").write_bytes(raw)
    read = read_traces(tmp_path / "a.jsonl.gz")
    assert len(read.rows) > 50
    assert read.rows["request_id"].tolist() == [f"chatcmpl-{i}" for i in range(len(read.rows))]
    assert read.n_read == len(read.rows) + len(read.rejects)
    assert len(read.rejects) >= 1


def test_gzip_of_several_members_and_padding_reads_whole(tmp_path):
    parts = [gzip.compress(json.dumps(chat(i)).encode() + b"\n") for i in range(3)]
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(parts[0] + b"\0" * 512 + parts[1] + parts[2] + b"\0" * 100)
    read = read_traces(path)
    assert read.rows["request_id"].tolist() == ["chatcmpl-0", "chatcmpl-1", "chatcmpl-2"]
    assert read.rejects.empty


def test_unrecognised_format_is_reported_not_raised(tmp_path):
    path = tmp_path / "notes.md"
    path.write_text("# Notes\n")
    assert detect(path) is None
    report = ingest([path], tmp_path / "landing")
    assert report.n_usable == 0
    (problem,) = report.files[0].problems
    assert "the format is not recognised; it is text" in problem
    assert "# Notes" not in problem  # what a file says stays in it
    assert "--format" in report.files[0].problems[0]


def test_line_longer_than_the_limit_is_skipped_without_losing_the_next(tmp_path, monkeypatch):
    from foretell.assets.readers.core import stream

    limit = 1 << 20
    path = write_jsonl(tmp_path / "a.jsonl", chat(0), chat(1) | {"noise": "x" * (3 * limit)}, chat(2))
    items = list(stream.lines(path, max_line_bytes=limit))
    assert [item[0] for item in items if isinstance(item, tuple)] == [1, 3]
    (reject,) = [item for item in items if not isinstance(item, tuple)]
    assert reject.source_line == 2


def test_deeply_nested_json_is_a_reject(tmp_path):
    deep = "[" * 100_000 + "]" * 100_000
    read = read_traces(write_jsonl(tmp_path / "a.jsonl", chat(0), deep, deep.replace("]", "NaN]", 1), chat(1)))
    assert len(read.rows) == 2
    assert read.rejects["source_line"].tolist() == [2, 3]


def test_failed_calls_are_rejected_with_their_kind_and_not_their_text(tmp_path):
    limit = {"code": "rate_limit_exceeded", "message": "slow down, alice"}
    failed = {"custom_id": "q1", "response": {"status_code": 429, "body": {"error": limit}}}
    error = {"request": {"model": "gpt-5"}, "response": {"error": {"message": "no answer to: who is alice"}}}
    read = read_traces(write_jsonl(tmp_path / "a.jsonl", chat(0), failed, error))
    assert read.rejects["reason"].tolist() == [
        "a failed call: status 429 rate_limit_exceeded",
        "a failed call: it carries an error",
    ]


def test_missing_file_and_unknown_format_raise(tmp_path):
    with pytest.raises(DatasetError, match="no such file"):
        read_traces(tmp_path / "absent.jsonl")
    with pytest.raises(InvalidInputError, match="openai_jsonl"):
        read_traces(write_jsonl(tmp_path / "a.jsonl", chat(0)), "no_such_format")


def test_rejects_of_all_landed_files_are_kept_with_file_and_line(tmp_path):
    write_jsonl(tmp_path / "a.jsonl", chat(0), "{broken")
    write_jsonl(tmp_path / "b.jsonl", "{broken too", chat(1))
    report = ingest([tmp_path / "*.jsonl"], tmp_path / "landing")
    assert (report.n_read, report.n_usable, report.n_rejects) == (4, 2, 2)
    rejects = load_rejects(tmp_path / "landing")
    found = set(zip(rejects["source_file"], rejects["source_line"], strict=True))
    assert found == {(str(tmp_path / "a.jsonl"), 2), (str(tmp_path / "b.jsonl"), 1)}
    assert len(load_rows(tmp_path / "landing")) == 2


@pytest.mark.parametrize("depth", [128, 129, 254, 900, 100_000])
def test_only_a_record_nested_beyond_the_bound_is_refused(tmp_path, depth):
    # 254 levels ended the delivery with a TypeError.
    spoilt = json.dumps(chat(1))[:-1] + ', "x": ' + "[" * (depth - 1) + "]" * (depth - 1) + "}"
    read = read_traces(write_jsonl(tmp_path / "a.jsonl", chat(0), spoilt, chat(2)))
    assert (len(read.rows), len(read.rejects)) == ((3, 0) if depth == 128 else (2, 1))


def test_a_list_of_records_loses_only_the_one_that_is_too_deep(tmp_path):
    deep = json.dumps(chat(1))[:-1] + ', "x": ' + "[" * 200 + "]" * 200 + "}"
    line = "[" + ", ".join([json.dumps(chat(0)), deep, json.dumps(chat(2))]) + "]"
    read = read_traces(write_jsonl(tmp_path / "a.jsonl", line), "openai_jsonl")
    assert (len(read.rows), len(read.rejects)) == (2, 1)


def test_a_short_text_of_millions_of_values_is_refused(monkeypatch):
    monkeypatch.setattr(stream, "MAX_VALUES", 100)
    assert loads(b"[" + b"[]," * 20 + b"[]]")
    with pytest.raises(ValueError, match="more than 100 values"):
        loads(b"[" + b"[]," * 200 + b"[]]")
