"""Structured corruption and raw bytes: no crash, no hang, no lost and no invented row, bounded memory."""

import gzip
import json
import struct
import subprocess
import sys
import tracemalloc
import zipfile
import zlib

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from foretell.assets.lake.tables.contracts import TABLES
from foretell.assets.readers.core.records import ReadOptions, Reject
from foretell.assets.readers.core.tables import tables
from foretell.assets.readers.files import archives
from foretell.assets.readers.files.archives import MemberError, open_archive, read_member
from foretell.assets.readers.reading import READERS, detect, is_trace_format, read_tables, read_traces, table_reader
from tests.assets.every_format import (
    HEADER,
    claude_code,
    eval_archive,
    langsmith,
    litellm,
    sample,
    span,
    table,
    trace,
)
from tests.assets.json_mutations import json_values, paths_within, replaced
from tests.assets.trace_lines import ROOT, chat, write_jsonl

quick = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
thorough = settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


MAKERS = {"openai_jsonl": chat, "otlp_json": span, "litellm": litellm, "mlflow_traces": trace, "tabular": table,
          "claude_code": claude_code, "langsmith": langsmith}  # fmt: skip


def check_one_corrupted(folder, name, data):
    lines = [MAKERS[name](i) for i in range(1, 4)]
    path_in = data.draw(st.sampled_from(list(paths_within(lines[1]))))
    lines[1] = replaced(lines[1], path_in, data.draw(json_values))
    path = folder / "a.jsonl"
    path.write_text("\n".join(json.dumps(line) for line in lines) + "\n", "utf-8", "surrogatepass")
    read = read_traces(path, name)
    assert read.n_read == len(read.rows) + len(read.rejects)
    whole = read_traces(write_jsonl(folder / "whole.jsonl", lines[0], lines[2]), name).rows
    # The neighbours of the corrupted record are always there, and nothing else is but it.
    assert set(whole["request_id"]) <= set(read.rows["request_id"])
    # A list of objects on a line is as many records as it has objects.
    assert len(read.rows) <= 2 + (len(lines[1]) if isinstance(lines[1], list) else 2)


@quick
@given(data=st.data(), name=st.sampled_from(sorted(MAKERS)))
def test_a_corrupted_record_never_costs_its_neighbours(tmp_path, data, name):
    check_one_corrupted(tmp_path, name, data)


@pytest.mark.slow
@thorough
@given(data=st.data(), name=st.sampled_from(sorted(MAKERS)))
def test_a_corrupted_record_never_costs_its_neighbours_thoroughly(tmp_path, data, name):
    check_one_corrupted(tmp_path, name, data)


def check_raw_bytes(folder, raw):
    path = folder / "a"
    path.write_bytes(raw)
    detect(path)
    for name in READERS:
        if is_trace_format(name):
            read = read_traces(path, name, options=ReadOptions(date="2026-01-01"))
            assert read.n_read == len(read.rows) + len(read.rejects)
        if (reader := table_reader(name)) is not None:
            check_table_rows(reader.rows(path, ReadOptions(date="2026-01-01")))


def check_table_rows(items):
    for item in items:
        if not isinstance(item, Reject):
            table, row = item
            assert isinstance(TABLES[table].typed({**row, "source": "s", "source_file": "f"}, 1), dict | Reject)


seeds = st.sampled_from(
    [b"", b"{", b"[", b'{"usage":', b"PK\x03\x04", b"PAR1", b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b"\xff\xfe", b"\0"]
)
raw_bytes = st.builds(lambda head, body: head + body, seeds, st.binary(max_size=200))


@quick
@given(raw=raw_bytes)
def test_no_bytes_crash_a_reader(tmp_path, raw):
    check_raw_bytes(tmp_path, raw)


@pytest.mark.slow
@thorough
@given(raw=raw_bytes)
def test_no_bytes_crash_a_reader_thoroughly(tmp_path, raw):
    check_raw_bytes(tmp_path, raw)


@pytest.mark.parametrize("pack", [lambda raw: raw, gzip.compress, lambda raw: pa.compress(raw, "zstd", asbytes=True)])
def test_a_file_cut_at_any_byte_keeps_its_whole_lines(tmp_path, pack):
    lines = [json.dumps(chat(i)).encode() + b"\n" for i in range(6)]
    raw = pack(b"".join(lines))
    for cut in range(0, len(raw), max(1, len(raw) // 25)):
        path = tmp_path / "a"
        path.write_bytes(raw[:cut])
        read = read_traces(path, "openai_jsonl")
        n_good = len(read.rows)
        assert read.rows["request_id"].tolist() == [f"chatcmpl-{i}" for i in range(n_good)]
        assert len(read.rejects) <= 1
        if pack(b"") == b"":
            assert n_good in (raw[:cut].count(b"\n"), raw[:cut].count(b"\n") + 1)


# -- bombs -----------------------------------------------------------------------------------------------------


def peak_mib(run):
    tracemalloc.start()
    try:
        run()
        return tracemalloc.get_traced_memory()[1] / 2**20
    finally:
        tracemalloc.stop()


def test_zip_bomb_in_an_eval_is_refused_and_its_neighbours_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MAX_MEMBER_BYTES", 4 << 20)
    bomb = b"[" + b" " * (30 << 20) + b"]"
    path = eval_archive(
        tmp_path / "a.eval",
        {"header.json": HEADER, "samples/0.json": sample(0), "samples/1.json": bomb, "samples/2.json": sample(2)},
    )
    reads = []
    assert peak_mib(lambda: reads.append(read_traces(path))) < 20
    (read,) = reads
    assert read.rows["item_id"].tolist() == ["q0", "q2"]
    assert read.rejects["source_line"].tolist() == [2]
    assert "inflates beyond" in read.rejects["reason"][0]


def test_names_in_an_archive_never_leave_it(tmp_path):
    names = ["samples/../../../../escaped.json", "/samples/absolute.json", "samples/ok.json"]
    path = eval_archive(
        tmp_path / "in" / "a.eval" if (tmp_path / "in").mkdir() else tmp_path / "in/a.eval",
        {"header.json": HEADER} | {name: sample(i) for i, name in enumerate(names)},
    )
    before = sorted(p for p in tmp_path.rglob("*"))
    assert read_traces(path).n_read == 2  # read in memory; the absolute name is no sample
    assert sorted(p for p in tmp_path.rglob("*")) == before


def test_damaged_member_costs_only_itself(tmp_path):
    path = eval_archive(
        tmp_path / "a.eval",
        {"header.json": HEADER, "samples/0.json": sample(0), "samples/1.json": sample(1)},
        zipfile.ZIP_STORED,
    )
    path.write_bytes(path.read_bytes().replace(b'"id": "q0"', b'"id": "qX"'))
    read = read_traces(path)
    assert read.rows["item_id"].tolist() == ["q1"]
    assert "checksum" in read.rejects["reason"][0]


def test_zstd_members_are_read_and_unknown_methods_refused(tmp_path):
    content = sample(0)
    packed = pa.compress(content, "zstd", asbytes=True)

    def archive(method):
        name = b"samples/0.json"
        fields = (20, 0, method, 0, 0, zlib.crc32(content), len(packed), len(content), len(name), 0)
        local = struct.pack("<4s5H3I2H", b"PK\x03\x04", *fields) + name + packed
        central = struct.pack("<4s6H3I5H2I", b"PK\x01\x02", 20, *fields, 0, 0, 0, 0, 0) + name
        return local + central + struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 1, 1, len(central), len(local), 0)

    (tmp_path / "a.eval").write_bytes(archive(93))
    with open_archive(tmp_path / "a.eval") as opened:
        assert read_member(opened, "samples/0.json") == content
        assert opened.namelist() == ["samples/0.json"]
    (tmp_path / "b.eval").write_bytes(archive(97))
    with open_archive(tmp_path / "b.eval") as opened, pytest.raises(MemberError, match="method 97"):
        read_member(opened, "samples/0.json")


def test_line_of_100_mb_is_refused_with_bounded_memory(tmp_path):
    path = tmp_path / "a.jsonl.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(json.dumps(chat(0)).encode() + b"\n" + b'{"x": "')
        for _ in range(100):
            file.write(b"y" * (1 << 20))
        file.write(b'"}\n' + json.dumps(chat(1)).encode() + b"\n")
    found = []

    def run():
        _, stream = read_tables(path, "openai_jsonl")
        for rows, rejects in stream:
            found.extend([rows.column("request_id").to_pylist(), [reject.source_line for reject in rejects]])

    peak = peak_mib(run)
    assert found == [["chatcmpl-0", "chatcmpl-1"], [2]]
    assert peak < 160  # the limit of a line is 64 MiB, held once in pieces and not joined


@pytest.mark.slow
def test_a_file_that_inflates_to_4_gb_of_garbage_keeps_memory_flat(tmp_path):
    block = gzip.compress(b"\0" * (64 << 20), 6)
    (tmp_path / "a.gz").write_bytes(block * 64)
    n_rows, peak = told_by(ZEROS, tmp_path / "a.gz")
    assert n_rows == 0
    assert peak < 500


PEAK = """
def peak_mib():  # of this program alone: what getrusage tells begins at the size of the process that started it
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) >> 10 for line in status if line.startswith("VmHWM"))
"""
ZEROS = f"""
import sys
from pathlib import Path
from foretell.assets.readers.reading import read_traces
{PEAK}
print(len(read_traces(Path(sys.argv[1]), "openai_jsonl").rows), peak_mib())
"""
GARBAGE = f"""
import random, sys, zlib
from pathlib import Path
from foretell.assets.lake.landing.deliveries import ingest
{PEAK}
path, n_mib = Path(sys.argv[1]), int(sys.argv[2])
piece = bytearray(random.Random(0).randbytes(1 << 14))
for i in range(0, len(piece), 1024):
    piece[i] = 10  # a line of about 1 KiB
pack = zlib.compressobj(1, wbits=31)
block = pack.compress(bytes(piece) * 4096) + pack.flush()
with path.open("wb") as file:
    file.writelines(block for _ in range(n_mib // 64))
report = ingest([path], path.parent / "landing", format="openai_jsonl").files[0]
print(report.n_rows, report.n_rejects, peak_mib())
"""


def told_by(code: str, *arguments: object) -> list[int]:
    """The numbers that a program of its own prints."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return [int(word) for word in subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout.split()]


@pytest.mark.slow
def test_garbage_of_many_lines_lands_in_flat_memory(tmp_path):
    # 10 GiB were run once by hand, see docs/studies/ingest-speed.md.
    peaks = []
    for n_mib in (128, 512):
        n_rows, n_rejects, peak = told_by(GARBAGE, tmp_path / f"{n_mib}.gz", n_mib)
        assert n_rows == 0
        assert n_rejects >= n_mib << 10  # the random bytes hold some ends of lines of their own
        peaks.append(peak)
    assert peaks[1] < peaks[0] + 100
    assert peaks[1] < 500


def test_rows_stream_in_batches_so_that_memory_stays_flat(tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", *[chat(i) for i in range(250)])
    records = READERS["openai_jsonl"].read(path, ReadOptions())
    sizes = [rows.num_rows for rows, _ in tables(records, source="s", source_file="f", batch_rows=100)]
    assert sizes == [100, 100, 50]
