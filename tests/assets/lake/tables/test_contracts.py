"""The canonical tables beside the traces: what lands, what is quarantined, what is made anew."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from foretell.assets.lake.landing.deliveries import ingest, load_rejects
from foretell.assets.lake.landing.table_rows import landed_parts, load_part, tables_digest
from foretell.assets.lake.tables.contracts import TABLES, UNDATED
from foretell.assets.lake.tables.curation import QUARANTINED, CuratedTable, curate_rows, curate_table, stale_tables
from foretell.assets.readers.core.records import Reject

RUNS, CURVES = TABLES["benchmark_runs"], TABLES["training_curves"]


def scores(path: Path, *rows: str, header: str = "model,benchmark,score,date") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([header, *rows]) + "\n", "utf-8")
    return path


def land_and_curate(tmp_path: Path, *files: Path, **options: object) -> CuratedTable:
    ingest(list(files), tmp_path / "landing", **options)
    return curate_table(RUNS, tmp_path / "landing", tmp_path / "lake")


def test_good_rows_are_kept_and_every_other_one_is_told_with_line_and_remedy(tmp_path):
    file = scores(
        tmp_path / "s.csv", "m1,gsm8k,71.5,2026-11-01", "m2,gsm8k,,2026-11-01", "m3,gsm8k,many,2026-11-01",
        "m4,gsm8k,55,2099-01-01", "m5,gsm8k,61,",
    )  # fmt: skip
    curated = land_and_curate(tmp_path, file)
    assert sorted(curated.parts) == ["2026-11-01", UNDATED]
    assert curated.counts == {"read": 2, "accepted": 2, "quarantined": 0, "duplicates": 0}
    rejects = load_rejects(tmp_path / "landing").sort_values("source_line")
    assert rejects["source_line"].tolist() == [3, 4, 5]
    assert [reason.split(";")[0] for reason in rejects["reason"]] == [
        "`score` is unknown", "`score` is no number", "the record is dated 2099-01-01, which is yet to come",
    ]  # fmt: skip
    assert (rejects["remedy"].str.len() > 20).all()
    read = RUNS.read(tmp_path / "lake")
    assert read["started_at"].notna().sum() == 1
    assert read["source"].unique().tolist() == ["score_table"]


def test_a_date_that_the_caller_gives_is_the_day_of_rows_without_one(tmp_path):
    curated = land_and_curate(tmp_path, scores(tmp_path / "s.csv", "m1,gsm8k,71.5,"), date="2026-11-05")
    assert sorted(curated.parts) == ["2026-11-05"]


def test_the_same_record_again_is_a_duplicate_and_another_under_its_key_is_quarantined(tmp_path):
    one = scores(tmp_path / "a" / "s.csv", "m1,gsm8k,71.5,2026-11-01", "m2,gsm8k,60,2026-11-01")
    two = scores(
        tmp_path / "b" / "s.csv", "m1,gsm8k,71.5,2026-11-01", "m2,gsm8k,99,2026-11-01", "m3,gsm8k,5,2026-11-01"
    )
    curated = land_and_curate(tmp_path, one, two)
    (account,) = curated.parts.values()
    assert {name: account[name] for name in ("read", "accepted", "quarantined", "duplicates")} == {
        "read": 5, "accepted": 3, "quarantined": 1, "duplicates": 1,
    }  # fmt: skip
    refused = pd.concat(pd.read_parquet(f) for f in (tmp_path / "lake" / QUARANTINED).glob("*.parquet"))
    assert refused["source_file"].tolist() == [str(two)]
    assert "came before with other content" in refused["reason"].iloc[0]


def test_the_order_in_which_records_come_changes_nothing():
    rows = [
        {"source": "s", "source_file": f, "source_line": n, "run_id": "r", "item_id": "*", "replicate": 0,
         "metric": "acc",
         "filter": "none", "benchmark": "b", "model": f"m{n}", "score": 1.0 * n, "higher_is_better": True,
         "harness": "h"}
        for f, n in (("a", 1), ("b", 1), ("c", 2))
    ]  # fmt: skip
    typed = [RUNS.typed(row, 1) for row in rows]
    frame = pd.DataFrame(typed).convert_dtypes().reindex(columns=list(RUNS.columns))
    for shuffled in (frame, frame.iloc[::-1], frame.iloc[[1, 2, 0]]):
        kept, bad, n_duplicates = curate_rows(RUNS, shuffled)
        assert kept["source_file"].tolist() == ["a"]
        assert bad["source_file"].tolist() == ["c"]
        assert n_duplicates == 1


def test_only_parts_for_which_something_landed_are_made_anew(tmp_path):
    first = scores(tmp_path / "1.csv", "m1,gsm8k,71,2026-11-01", "m1,mmlu,71,2026-11-02")
    assert land_and_curate(tmp_path, first).changed == ("2026-11-01", "2026-11-02")
    before = {name: (tmp_path / "lake" / RUNS.name / f"{name}.parquet").stat().st_mtime_ns for name in ("2026-11-01",)}
    assert land_and_curate(tmp_path, first).changed == ()
    assert stale_tables(tmp_path / "landing", tmp_path / "lake") == []
    digest = tables_digest(tmp_path / "landing", [RUNS.name])
    second = scores(tmp_path / "2.csv", "m2,mmlu,64,2026-11-02")
    ingest([second], tmp_path / "landing")
    assert stale_tables(tmp_path / "landing", tmp_path / "lake") == [RUNS.name]
    assert tables_digest(tmp_path / "landing", [RUNS.name]) != digest
    assert land_and_curate(tmp_path, second).changed == ("2026-11-02",)
    for name, time in before.items():
        assert (tmp_path / "lake" / RUNS.name / f"{name}.parquet").stat().st_mtime_ns == time


def test_a_run_that_has_ended_takes_the_place_of_itself_while_it_went_on(tmp_path):
    def export(path: Path, status: str, n_points: int) -> Path:
        history = {"val_acc": [[step, 0.1 * step, 1_795_000_000_000 + step] for step in range(1, n_points + 1)]}
        run = {"mlflow_run": "r1", "name": "n", "experiment": "e", "status": status, "start_time": 1_795_000_000_000,
               "params": {"max_steps": "8"}, "tags": {}, "parent_params": {}, "history": history}  # fmt: skip
        path.write_text(json.dumps(run) + "\n", "utf-8")
        return path

    ingest([export(tmp_path / "a.jsonl", "RUNNING", 3)], tmp_path / "landing")
    curate_table(CURVES, tmp_path / "landing", tmp_path / "lake")
    assert not CURVES.read(tmp_path / "lake")["is_finished"].any()
    ingest([export(tmp_path / "b.jsonl", "FINISHED", 5)], tmp_path / "landing")
    curated = curate_table(CURVES, tmp_path / "landing", tmp_path / "lake")
    rows = CURVES.read(tmp_path / "lake")
    assert rows["is_finished"].all()
    assert rows["step"].tolist() == [1, 2, 3, 4, 5]
    assert (curated.counts["duplicates"], curated.counts["quarantined"]) == (3, 0)
    assert rows["target_step"].unique().tolist() == [8.0]


def test_an_undated_record_that_comes_again_with_its_day_is_read_once(tmp_path):
    land_and_curate(tmp_path, scores(tmp_path / "1.csv", "m1,gsm8k,71,"), source="mine")
    land_and_curate(tmp_path, scores(tmp_path / "2.csv", "m1,gsm8k,71,2026-11-02"), source="mine")
    read = RUNS.read(tmp_path / "lake")
    assert len(read) == 1
    assert read["started_at"].notna().all()


def test_landed_rows_hold_no_secret_and_no_number_is_invented(tmp_path):
    file = scores(
        tmp_path / "s.csv", "m1,gsm8k,71,2026-11-01,api_key=sk-abcdefghijklmnop1234",
        header="model,benchmark,score,date,config",
    )  # fmt: skip
    ingest([file], tmp_path / "landing")
    (part,) = landed_parts(tmp_path / "landing", RUNS)
    row = load_part(tmp_path / "landing", RUNS, part).iloc[0]
    assert "sk-abc" not in row["config"]
    assert pd.isna(row["n_items"])
    assert pd.isna(row["standard_error_reported"])


@pytest.mark.parametrize("table", list(TABLES.values()), ids=list(TABLES))
def test_every_table_names_its_key_and_has_an_empty_form(table, tmp_path):
    assert table.key
    assert set(table.key) <= set(table.columns)
    assert {"source", "started_at", "source_file", "source_line"} <= set(table.columns)
    assert list(table.read(tmp_path).columns) == list(table.empty().columns)
    assert isinstance(table.typed({}, 3), Reject)


def test_a_backup_holds_the_tables_and_their_accounts(tmp_path):
    from foretell.pipelines.backups import back_up, restore
    from foretell.pipelines.settings import Settings

    settings = Settings(home=tmp_path / "home")
    ingest([scores(tmp_path / "s.csv", "m1,gsm8k,71.5,2026-11-01")], settings.landing)
    lake = settings.home / "lake"
    curate_table(RUNS, settings.landing, lake)
    before = RUNS.read(lake)
    back_up(settings, tmp_path / "backup")
    for path in (lake / RUNS.name).iterdir():
        path.unlink()
    restore(settings, tmp_path / "backup")
    pd.testing.assert_frame_equal(RUNS.read(lake), before)
    assert curate_table(RUNS, settings.landing, lake).changed == ()


def test_a_kill_between_a_part_and_its_account_makes_the_part_again_and_loses_nothing(tmp_path, monkeypatch):
    from foretell.assets.lake.tables import curation as table_curation

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    file = scores(tmp_path / "s.csv", "m1,gsm8k,71.5,2026-11-01", "m2,gsm8k,71.5,2026-11-02")
    ingest([file], tmp_path / "landing")
    monkeypatch.setattr(table_curation, "write_text_durably", killed)
    with pytest.raises(KeyboardInterrupt):
        curate_table(RUNS, tmp_path / "landing", tmp_path / "lake")
    monkeypatch.undo()
    assert stale_tables(tmp_path / "landing", tmp_path / "lake") == [RUNS.name]
    curated = land_and_curate(tmp_path, file)
    assert (curated.changed, curated.counts["accepted"]) == (("2026-11-01", "2026-11-02"), 2)


def test_a_log_that_landed_when_there_were_only_traces_is_read_again(tmp_path):
    from foretell.assets.lake.landing.manifests import read_manifests, write_manifest

    samples = [{"id": "q", "epoch": 1, "input": "?", "scores": {"match": {"value": "C"}}, "started_at": "2026-11-01",
                "model_usage": {"m": {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}}}]  # fmt: skip
    log = {"version": 2, "eval": {"task": "t", "task_id": "i", "eval_id": "e", "model": "m"}, "samples": samples}
    file = tmp_path / "log.json"
    file.write_text(json.dumps(log), "utf-8")
    landing = tmp_path / "landing"
    assert ingest([file], landing).files[0].tables == {"request_traces": 1, "benchmark_runs": 1}
    (manifest,) = read_manifests(landing)
    write_manifest(landing / manifest["key"], {k: v for k, v in manifest.items() if k != "tables"})
    assert ingest([file], landing).files[0].status == "landed"
    assert ingest([file], landing).files[0].status == "known"


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize(
    ("name", "header", "row"),
    [
        ("benchmark_runs", "model,benchmark,score,date,stderr", "m,b,71.25,2026-11-01,0.5"),
        ("training_curves", "run,step,value,metric,started_at", "r,10,0.125,val_acc,2026-11-01T01:02:03.000004Z"),
        ("ladder_measurements", "family,model,benchmark,n_params,n_train_tokens,score", "f,m,b,1e8,2e9,50"),
        ("benchmark_descriptions", "benchmark,task,published_at", "b,Count moons.,2024-01-02"),
        ("models", "model,n_params,is_reasoning", "m,7e9,1"),
    ],
)
def test_what_is_exported_is_read_again_as_the_same_records(tmp_path, name, header, row, suffix):
    from foretell.assets.lake.export import export_traces

    table, landing, lake = TABLES[name], tmp_path / "landing", tmp_path / "lake"
    ingest([scores(tmp_path / "a.csv", row, header=header)], landing)
    assert curate_table(table, landing, lake).counts["accepted"] == 1
    out = export_traces(table.read(lake), tmp_path / f"out.{suffix}")
    (report,) = ingest([out], landing).files
    assert report.tables == {name: 1}
    curated = curate_table(table, landing, lake)
    assert (curated.counts["accepted"], curated.counts["duplicates"], curated.counts["quarantined"]) == (1, 1, 0)


def test_a_part_is_made_on_any_worker_of_an_engine(tmp_path):
    import pickle
    from functools import partial

    from foretell.assets.lake.tables.curation import _curate_part

    landing, lake = tmp_path / "landing", tmp_path / "lake"
    ingest([scores(tmp_path / "s.csv", "m1,gsm8k,71.5,2026-11-01")], landing)
    sent = pickle.dumps(partial(_curate_part, table_name=RUNS.name, landing=landing, lake=lake))
    made = pickle.loads(sent)("2026-11-01")  # noqa: S301  our own bytes
    assert made == {"read": 1, "accepted": 1, "quarantined": 0, "duplicates": 0}
    assert len(RUNS.read(lake)) == 1
