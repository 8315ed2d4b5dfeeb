"""The landing zone is idempotent, atomic, safe for many processes at once, and splits by UTC day."""

import contextlib
import io
import multiprocessing
import os
import random
import shutil
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from foretell.assets.engine.tables import LATER
from foretell.assets.lake.landing import deliveries as zone
from foretell.assets.lake.traces.curation import curate
from foretell.assets.store import days as store_days
from foretell.predictors.errors import DatasetError, InvalidInputError
from tests.assets.trace_lines import chat, no_price, write_jsonl


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if p.is_file() and ".locks" not in p.parts
    }


def test_same_content_lands_once_whatever_its_name(tmp_path):
    a = write_jsonl(tmp_path / "a.jsonl", chat(0), chat(1))
    b = Path(shutil.copy(a, tmp_path / "b.jsonl"))
    first = zone.ingest([a], tmp_path / "landing")
    before = files_of(tmp_path / "landing")
    again = zone.ingest([a, b], tmp_path / "landing")
    assert [f.status for f in first.files + again.files] == ["landed", "known", "known"]
    assert again.n_usable == 4  # known rows are usable
    assert again.days == []
    assert files_of(tmp_path / "landing") == before
    assert len(zone.load_rows(tmp_path / "landing")) == 2


def test_rows_go_to_their_own_utc_day_and_late_rows_too(tmp_path):
    midnight = 1_795_305_600  # 2026-11-22T00:00:00Z
    early, late = chat(0, response={"created": midnight - 1}), chat(1, response={"created": midnight})
    zone.ingest([write_jsonl(tmp_path / "a.jsonl", late)], tmp_path / "landing")
    before = zone.day_digests(tmp_path / "landing")
    report = zone.ingest([write_jsonl(tmp_path / "b.jsonl", early)], tmp_path / "landing")
    after = zone.day_digests(tmp_path / "landing")
    assert report.days == ["2026-11-21"]
    assert sorted(after) == ["2026-11-21", "2026-11-22"]
    assert after["2026-11-22"] == before["2026-11-22"]
    assert zone.load_rows(tmp_path / "landing", ["2026-11-21"])["request_id"].tolist() == ["chatcmpl-0"]
    assert zone.load_rows(tmp_path / "landing", ["2026-11-20"]).empty


def test_overlapping_exports_do_not_count_twice(tmp_path):
    write_jsonl(tmp_path / "monday.jsonl", *[chat(i) for i in range(6)])
    write_jsonl(tmp_path / "tuesday.jsonl", *[chat(i) for i in range(3, 9)])
    zone.ingest([tmp_path], tmp_path / "landing")
    curated = curate(zone.load_rows(tmp_path / "landing"), price=no_price)
    assert (len(curated.traces), curated.n_duplicates, len(curated.quarantine)) == (9, 3, 0)


def test_order_of_delivery_does_not_change_the_table(tmp_path):
    names = []
    for n in range(4):
        names.append(write_jsonl(tmp_path / f"{n}.jsonl", *[chat(i) for i in range(n, n + 3)]))
    zone.ingest(names, tmp_path / "one")
    for name in reversed(names):
        zone.ingest([name], tmp_path / "two")
    one, two = (curate(zone.load_rows(tmp_path / name), price=no_price).traces for name in ("one", "two"))
    pd.testing.assert_frame_equal(one, two)
    assert zone.landing_digest(tmp_path / "one") == zone.landing_digest(tmp_path / "two")


def test_rows_without_a_time_wait_for_a_date(tmp_path):
    line = chat(0)
    del line["response"]["created"]
    path = write_jsonl(tmp_path / "a.jsonl", line)
    report = zone.ingest([path], tmp_path / "landing")
    assert report.n_usable == 0
    assert "pass --date YYYY-MM-DD" in report.files[0].problems[0]
    dated = zone.ingest([path], tmp_path / "landing", date="2026-05-04")
    assert (dated.n_usable, dated.days) == (1, ["2026-05-04"])
    assert zone.load_rejects(tmp_path / "landing").empty  # the first attempt is replaced, not added to
    # A later delivery that says nothing about the date does not undo it.
    assert zone.ingest([path], tmp_path / "landing").files[0].status == "known"
    assert zone.landed_days(tmp_path / "landing") == ["2026-05-04"]


def test_what_a_killed_run_left_is_swept_away(tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", chat(0))
    landing = tmp_path / "landing"
    report = zone.ingest([path], landing)
    key = zone.load_manifests(landing)["key"][0]
    (landing / key).rename(landing / f".tmp-{key}")  # killed before the rename
    assert zone.landed_days(landing) == []
    assert zone.ingest([path], landing).files[0].status == "landed"
    assert zone.ingest([path], landing).n_usable == report.n_usable == 1
    assert not list(landing.glob(".tmp-*"))


def test_batch_input_beside_its_output_gives_the_prompts(tmp_path):
    request = {"custom_id": "q1", "method": "POST", "url": "/v1/chat/completions", "body": chat(0)["request"]}
    answer = {"id": "b1", "custom_id": "q1", "response": {"status_code": 200, "body": chat(0)["response"]}}
    write_jsonl(tmp_path / "in.jsonl", request)
    write_jsonl(tmp_path / "out.jsonl", answer)
    report = zone.ingest([tmp_path / "in.jsonl", tmp_path / "out.jsonl"], tmp_path / "landing")
    assert [f.status for f in report.files] == ["joined", "landed"]
    rows = zone.load_rows(tmp_path / "landing")
    assert rows["prompt_text"].tolist() == ["question 0"]
    assert rows["temperature"].tolist() == [0.5]


def test_batch_input_alone_says_what_is_missing(tmp_path):
    request = {"custom_id": "q1", "method": "POST", "url": "/v1/chat/completions", "body": chat(0)["request"]}
    report = zone.ingest([write_jsonl(tmp_path / "in.jsonl", request)], tmp_path / "landing")
    assert report.n_usable == 0
    assert "pass the batch output too" in report.files[0].problems[0]


def test_without_prompts_only_the_hash_is_kept(tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", chat(0))
    zone.ingest([path], tmp_path / "with")
    zone.ingest([path], tmp_path / "without", with_prompts=False)
    with_text, without = zone.load_rows(tmp_path / "with"), zone.load_rows(tmp_path / "without")
    assert without["prompt_text"].isna().all()
    assert without["query_id"].tolist() == with_text["query_id"].tolist()
    assert b"question" not in b"".join(files_of(tmp_path / "without").values())


def test_absent_paths_are_reported(tmp_path):
    report = zone.ingest([tmp_path / "absent", tmp_path / "*.nothing"], tmp_path / "landing")
    assert [f.status for f in report.files] == ["unusable", "unusable"]
    assert "no such file" in report.files[0].problems[0]


def test_malformed_arguments_raise(tmp_path):
    with pytest.raises(InvalidInputError, match="date"):
        zone.ingest([], tmp_path, date="yesterday")
    with pytest.raises(InvalidInputError, match="format"):
        zone.ingest([], tmp_path, format="xml")


def _ingest_all(folder: Path, landing: Path, start: int) -> None:
    paths = sorted(folder.glob("*.jsonl"))
    zone.ingest(paths[start:] + paths[:start], landing)


@pytest.mark.parametrize("n_processes", [8, pytest.param(100, marks=pytest.mark.slow)])
def test_concurrent_ingests_of_the_same_files_end_with_the_right_table(tmp_path, n_processes):
    for n in range(5):
        write_jsonl(tmp_path / f"{n}.jsonl", *[chat(i) for i in range(n * 10, n * 10 + 15)])
    context = multiprocessing.get_context("fork")
    landing = tmp_path / "landing"
    workers = [context.Process(target=_ingest_all, args=(tmp_path, landing, i % 5)) for i in range(n_processes)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(300)
    assert [worker.exitcode for worker in workers] == [0] * n_processes
    curated = curate(zone.load_rows(landing), price=no_price)
    assert (len(curated.traces), curated.n_duplicates) == (55, 20)
    assert not list(landing.glob(".tmp-*"))


def test_rejects_beyond_the_bound_are_counted_and_stay_in_the_landing_zone(tmp_path, monkeypatch):
    monkeypatch.setattr(zone, "MAX_REJECTS", 3)
    path = write_jsonl(tmp_path / "a.jsonl", chat(0), *["garbage"] * 10)
    report = zone.ingest([path], tmp_path / "landing").files[0]
    assert (report.n_rejects, len(report.problems)) == (10, 6)
    rejects = zone.load_rejects(tmp_path / "landing")
    assert rejects["source_line"].tolist()[:3] == [2, 3, 4]
    assert rejects["reason"].tolist()[3:] == ["and 7 more records of this file"]
    assert pq.read_table(next((tmp_path / "landing").rglob("rejects.parquet"))).num_rows == 10


def test_redacted_prompts_are_kept_under_the_hash_of_the_original(tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", chat(0))
    zone.ingest([path], tmp_path / "plain")
    zone.ingest([path], tmp_path / "redacted", redact=lambda text: text.replace("question", "[...]"))
    rows = zone.load_rows(tmp_path / "redacted")
    assert rows["prompt_text"].tolist() == ["[...] 0"]
    assert rows["query_id"].tolist() == zone.load_rows(tmp_path / "plain")["query_id"].tolist()


def test_standard_input_lands_like_a_file(tmp_path):
    raw = write_jsonl(tmp_path / "a.jsonl.gz", chat(0), chat(1)).read_bytes()
    report = zone.ingest_stream(io.BytesIO(raw), tmp_path / "landing")
    assert report.n_usable == 2
    assert zone.ingest([tmp_path / "a.jsonl.gz"], tmp_path / "landing").files[0].status == "known"
    assert [p.name for p in (tmp_path / "landing").iterdir() if p.name.startswith(".stdin")] == []


def later(days: int) -> type[datetime]:
    """A clock that is ahead."""

    class Clock(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) + timedelta(days=days)

    return Clock


def dated(i: int, moment: datetime) -> dict:
    return chat(i, response={"created": int(moment.timestamp())})


def test_records_of_impossible_days_are_quarantined_and_the_others_land(tmp_path, monkeypatch):
    # Each made every later ingest a traceback, since no table could hold its day.
    now = datetime.now(UTC)
    moments = [datetime(2001, 5, 16, tzinfo=UTC), datetime(2019, 6, 1, tzinfo=UTC), now, now + timedelta(days=40)]
    path = write_jsonl(tmp_path / "a.jsonl", *[dated(i, moment) for i, moment in enumerate(moments)])
    (report,) = zone.ingest([path], tmp_path / "landing").files
    assert (report.n_read, report.n_rows, report.n_rejects) == (4, 2, 2)
    assert report.days == ["2019-06-01", f"{now:%Y-%m-%d}"]
    reasons = zone.load_rejects(tmp_path / "landing").set_index("source_line")["reason"]
    assert "2001-05-16, before" in reasons[1]
    assert "yet to come" in reasons[4]
    assert zone.ingest([path], tmp_path / "landing").files[0].status == "known"
    # Once the day has come, the same file is read again.
    monkeypatch.setattr(store_days, "datetime", later(41))
    (report,) = zone.ingest([path], tmp_path / "landing").files
    assert (report.status, report.n_rows, report.n_rejects) == ("landed", 3, 1)


def test_impossible_date_for_records_without_a_time_is_refused(tmp_path):
    with pytest.raises(InvalidInputError, match="2015-01-01"):
        zone.ingest([], tmp_path, date="0001-01-01")


def test_empty_path_is_not_the_working_folder(tmp_path, monkeypatch):
    write_jsonl(tmp_path / "a.jsonl", chat(0))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidInputError, match="empty"):
        zone.ingest([""], tmp_path / "landing")
    assert zone.landed_days(tmp_path / "landing") == []


def test_file_name_that_is_no_utf8_lands_and_is_told_by_its_bytes(tmp_path):
    path = Path(os.fsdecode(os.fsencode(tmp_path / "log-") + b"\xff.jsonl"))
    write_jsonl(path, chat(0), {"no": "record"})
    (report,) = zone.ingest([path], tmp_path / "landing").files
    assert report.path.endswith(r"log-\xff.jsonl")
    for table in (zone.load_manifests(tmp_path / "landing"), zone.load_rejects(tmp_path / "landing")):
        table.to_parquet(tmp_path / "table.parquet")  # which failed, for this file and every later one
    assert zone.load_rows(tmp_path / "landing")["source_file"].tolist() == [report.path]


class PowerCutError(BaseException):
    """The end of a process, at a rename."""


_renames_left: list[int] = []


def _cut_power(event: str, arguments: tuple) -> None:
    if event == "os.rename" and _renames_left:
        _renames_left[0] -= 1
        if _renames_left[0] < 0:
            _renames_left.clear()
            raise PowerCutError


sys.addaudithook(_cut_power)


@pytest.mark.parametrize("n_renames", range(4))
def test_death_at_any_rename_leaves_the_old_rows_or_the_new(tmp_path, n_renames):
    # Between the two renames of before, the rows were in `.old-*`, where nobody looks.
    path, landing = write_jsonl(tmp_path / "a.jsonl", chat(0)), tmp_path / "landing"
    zone.ingest([path], landing)
    _renames_left[:] = [n_renames]
    with contextlib.suppress(PowerCutError):
        zone.ingest([path], landing, source="mine")
    _renames_left.clear()
    assert zone.load_rows(landing)["source"].tolist() in (["openai_jsonl"], ["mine"])
    zone.ingest([path], landing, source="mine")
    assert zone.load_rows(landing)["source"].tolist() == ["mine"]
    (folder,) = (path for path in landing.iterdir() if not path.name.startswith("."))
    assert len(list(folder.iterdir())) == 2  # the account and one folder of rows


def test_no_bit_flip_changes_landed_rows_unnoticed(tmp_path):
    path, landing = write_jsonl(tmp_path / "a.jsonl", *map(chat, range(50))), tmp_path / "landing"
    zone.ingest([path], landing)
    expected = zone.load_rows(landing)
    (file,) = landing.glob("*/*/rows-*.parquet")
    whole, rng, n_refused = file.read_bytes(), random.Random(2), 0
    # Evenly over the file: about a quarter of its bytes says nothing that is read.
    positions = [int(place) for place in np.linspace(0, len(whole) - 1, 240)]
    for position in positions:
        file.write_bytes(whole[:position] + bytes([whole[position] ^ 1 << rng.randrange(8)]) + whole[position + 1 :])
        try:
            pd.testing.assert_frame_equal(zone.load_rows(landing), expected)
        except DatasetError:
            n_refused += 1
    assert n_refused > 160


def test_rows_that_landed_before_projects_were_known_have_none(tmp_path):
    path, landing = write_jsonl(tmp_path / "a.jsonl", *map(chat, range(3))), tmp_path / "landing"
    zone.ingest([path], landing)
    expected = zone.load_rows(landing)
    (file,) = landing.glob("*/*/rows-*.parquet")
    whole = pq.read_table(file)
    pq.write_table(whole.drop_columns([*LATER]), file, write_page_checksum=True)
    pd.testing.assert_frame_equal(zone.load_rows(landing), expected)
    pq.write_table(whole.drop_columns(["project", "model"]), file, write_page_checksum=True)
    with pytest.raises(DatasetError, match="names or types of columns have changed"):
        zone.load_rows(landing)


@pytest.mark.parametrize("damage", [b"", b'{"key": 1', b"[]", b'{"key": "x"}'])
def test_damaged_account_is_one_line_and_mended_by_the_same_file(tmp_path, damage):
    path, landing = write_jsonl(tmp_path / "a.jsonl", chat(0)), tmp_path / "landing"
    zone.ingest([path], landing)
    (account,) = landing.glob("*/manifest.json")
    account.write_bytes(damage)
    with pytest.raises(DatasetError, match=r"manifest\.json: damaged"):
        zone.load_rows(landing)
    assert zone.ingest([path], landing).files[0].status == "landed"
    assert len(zone.load_rows(landing)) == 1


def test_flipped_digit_of_an_account_is_noticed(tmp_path):
    landing = tmp_path / "landing"
    zone.ingest([write_jsonl(tmp_path / "a.jsonl", chat(0))], landing)
    (account,) = landing.glob("*/manifest.json")
    account.write_text(account.read_text("utf-8").replace('"n_rows": 1', '"n_rows": 3'), "utf-8")
    with pytest.raises(DatasetError, match="checksum"):
        zone.load_manifests(landing)


def test_a_file_that_cannot_be_read_leaves_its_folder_alone(tmp_path):
    # The first file without the right to read it ended the delivery of all. /proc/self/mem refuses root too.
    folder = tmp_path / "in"
    folder.mkdir()
    write_jsonl(folder / "b.jsonl", chat(1))
    (folder / "a.jsonl").symlink_to("/proc/self/mem")
    unreadable, good = zone.ingest([folder], tmp_path / "landing").files
    assert (unreadable.status, good.status) == ("unusable", "landed")
    assert "cannot be read" in unreadable.problems[0]
