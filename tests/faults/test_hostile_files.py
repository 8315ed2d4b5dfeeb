"""Hostile files: each is answered by rows and rejects that add up, in bounded memory, and costs no other."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from foretell.assets.lake.landing.deliveries import FileReport, ingest, load_rejects, load_rows
from foretell.assets.lake.traces.curation import curate
from foretell.assets.readers.reading import READERS, is_trace_format
from tests.assets.trace_lines import no_price
from tests.conftest import ROOT
from tests.faults.hostile_files import NEIGHBOURS, bombs, small_files

MAX_MIB = 1_500
DATE = "2026-11-22"
ANSWERED = ("mixed-deep", "mixed-resources", "mixed-usage", "mixed-tags", "mixed-events", "mixed-inspect")

# The peak is that of a program of its own, which does nothing but what `foretell ingest` does.
PROGRAM = """
import json, sys
from pathlib import Path
from foretell.assets.lake.traces.curation import curate
from foretell.assets.lake.landing.deliveries import ingest, load_rejects, load_rows
from tests.assets.trace_lines import no_price
from tests.faults.test_hostile_files import delivered_traces
folder, landing = map(Path, sys.argv[1:])
files = ingest([folder], landing, date="2026-11-22").files
rows = load_rows(landing)
curated = curate(rows, price=no_price, rejects=load_rejects(landing))
with open("/proc/self/status") as status:
    peak = next(int(line.split()[1]) >> 10 for line in status if line.startswith("VmHWM"))
answers = [[Path(f.path).name, f.n_read, f.n_rows, f.n_rejects, f.problems] for f in files]
counts = {"peak": peak, "curated": curated.n_read, "delivered": delivered_traces(files)}
print(json.dumps({"files": answers, **counts}))
"""


def delivered_traces(files: Sequence[FileReport]) -> int:
    """Records of calls in the files; what is delivered twice is landed once, runs and scores are of other tables."""
    traces = [file for file in files if file.format not in READERS or is_trace_format(file.format)]
    elsewhere = {f.sha256: sum(n for name, n in f.tables.items() if name != "request_traces") for f in traces}
    return sum({f.sha256: f.n_read - elsewhere[f.sha256] for f in traces}.values())


def check_answer(name: str, n_read: int, n_rows: int, n_rejects: int, problems: list[str]) -> None:
    """The counts add up, a file without rows says why, good neighbours are read."""
    assert n_read == n_rows + n_rejects, name
    assert n_rows or problems, name
    assert all("; " in problem or "see the quarantine" in problem for problem in problems), problems  # with a remedy
    if name.startswith("mixed"):
        assert n_rows >= NEIGHBOURS, (name, problems)
    if name.startswith(ANSWERED):  # elsewhere a spoilt span may be of other work, which is passed over
        assert n_read > NEIGHBOURS, (name, problems)


@pytest.mark.slow
def test_no_file_ends_the_delivery_and_counts_add_up(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name, content in small_files(seed=1):
        (tmp_path / "in" / name).write_bytes(content)
    landing = tmp_path / "landing"
    reports = ingest([tmp_path / "in"], landing, date=DATE).files
    assert len(reports) == len(list((tmp_path / "in").iterdir()))
    for report in reports:
        if report.status != "joined":
            check_answer(Path(report.path).name, report.n_read, report.n_rows, report.n_rejects, report.problems)
    curated = curate(load_rows(landing), price=no_price, rejects=load_rejects(landing))
    assert curated.n_read == delivered_traces(reports)


@pytest.mark.slow
def test_two_hundred_hostile_files_are_answered_in_bounded_memory(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    files = [*small_files(seed=2), *bombs()]
    assert len(files) >= 200
    for name, content in files:
        (tmp_path / "in" / name).write_bytes(content)
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "in"), str(tmp_path / "landing")]
    answer = json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)
    for name, *counts in answer["files"]:
        if name != "batch-input.jsonl":  # joined with the others, as the input of their answers
            check_answer(name, *counts)
    assert answer["curated"] == answer["delivered"]
    assert answer["peak"] < MAX_MIB
