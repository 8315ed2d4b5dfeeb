"""Fifty secrets in every format: no byte of what is kept holds one."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

from foretell.assets.lake.landing.deliveries import ingest, load_rejects, load_rows
from foretell.assets.lake.traces.curation import curate
from tests.assets.every_format import (
    HEADER,
    LINES,
    TABLES,
    as_csv,
    as_document,
    as_eval,
    as_parquet,
    jsonl,
    reversal,
    sample,
)
from tests.assets.trace_lines import no_price
from tests.conftest import ROOT

FORMS = (
    "sk-proj-{}abcdefghijkl",
    "ghp_{}abcdefghijklmnop",
    "AKIAABCDEFGHIJ{:0>6}",
    "AIzaSyA{}abcdefghijklmnopqrstuvwx",
    "xoxb-{}-abcdefghij",
    "eyJhbGciOiJI{}.eyJzdWIiOiIx.c2lnbmF0dXJl",
    "hf_{}abcdefghijklmnop",
)
KEYS = [form.format(f"{i:04d}") for i, form in zip(range(21), itertools.cycle(FORMS), strict=False)]
UNDER_A_NAME = ["Bearer abcdef{:04d}", "password=hunter{:04d}", '"client_secret": "shh-{:04d}"', "ftp://me:pw{:04d}@h/"]
TOKENS = [form.format(i) for i, form in zip(range(4), UNDER_A_NAME, strict=True)]
WORDS = [f"alice keeps {i:02d} cats" for i in range(25)]
"""Content: nothing gives it away, so that only leaving it out helps."""
ALL = KEYS + TOKENS + WORDS
PLANTED_WORDS = ["abcdef0000", "hunter0001", "shh-0002", "pw0003"]
EVERYTHING = "; ".join(ALL)


def test_there_are_fifty_secrets():
    assert len(set(ALL)) == 50


def planted(value: Any) -> Any:
    """The record with all secrets in its prompt and, under keys of no format, in each of its objects."""
    if isinstance(value, str):
        if value[:1] in ("{", "[") and "question" in value:
            return json.dumps(planted(json.loads(value)))
        return EVERYTHING if value in ("yes", "Hi") or value.startswith("question") else value
    if isinstance(value, list):
        return [planted(item) for item in value]
    if not isinstance(value, dict):
        return value
    record = {key: planted(item) for key, item in value.items()}
    more = {"apiKey": KEYS[0], "authorization": TOKENS[0], "documents": list(ALL), "note": EVERYTHING, "stop": WORDS}
    return {**record, **{key: secret for key, secret in more.items() if key not in record}}


def with_refused(name: str) -> list[Any]:
    """Three good records, a failed call, a broken line, a record of another kind, a count that is a text."""
    maker = LINES[name]
    odd = {**maker(9), "output_tokens": WORDS[0], "usage_details": {"x": ALL}}
    refused = [json.dumps(EVERYTHING)[:-1], {EVERYTHING: 1}, odd]
    if name not in TABLES:
        failed = {**maker(8), "status": "failure", "error": {"message": EVERYTHING}, "error_str": EVERYTHING}
        spoilt = {**maker(7), "usage": {"prompt_tokens": EVERYTHING}, "response": {"service_tier": WORDS[1]}}
        refused += [failed, spoilt]
    return [*(planted(maker(i)) for i in range(3)), *refused]


def in_attributes(line: dict[str, Any]) -> dict[str, Any]:
    """An OTLP line with secrets in the attributes of its spans."""
    for span in line["resourceSpans"][0]["scopeSpans"][0]["spans"]:
        span["attributes"] += [
            {"key": key, "value": {"stringValue": EVERYTHING}}
            for key in ("gen_ai.prompt", "gen_ai.completion", "http.request.header.authorization", "error.stack")
        ]
    return line


def deliveries(folder: Path) -> Iterator[Path]:
    """A file of every format, and files of none."""
    folder.mkdir()
    contents: dict[str, bytes] = {}
    for name, maker in LINES.items():
        records = with_refused(name)
        if name == "otlp_json":
            records = [*map(in_attributes, (maker(i) for i in range(3))), *records[3:]]
        contents[f"{name}.jsonl"] = jsonl(records)
    for name in TABLES:
        rows = [{**LINES[name](i), "note": EVERYTHING, "prompt_text": EVERYTHING, "settings": f'{{"x": "{WORDS[2]}"}}'}
                for i in range(3)]  # fmt: skip
        contents[f"{name}.csv"] = as_csv(rows)
        contents[f"{name}.parquet"] = as_parquet({key: [row[key] for row in rows] for key in rows[0]})
    failed = json.dumps({**json.loads(sample(9)), "error": {"message": EVERYTHING, "traceback": EVERYTHING}}).encode()
    samples = [*(json.dumps(planted(json.loads(sample(i)))).encode() for i in range(3)), failed]
    contents["log.eval"] = as_eval(samples)
    contents["log.json"] = json.dumps({**json.loads(HEADER), "samples": [json.loads(s) for s in samples]}).encode()
    contents["reversal.json"] = as_document([planted(reversal(1)), EVERYTHING])
    contents["notes.txt"] = EVERYTHING.encode()
    contents["notes.bin"] = b"\0\1" + EVERYTHING.encode()
    contents["columns.csv"] = (",".join(ALL[:5]) + "\n").encode()
    contents["keys.json"] = json.dumps({secret: secret for secret in ALL}).encode()
    for name, content in contents.items():
        (folder / name).write_bytes(content)
        yield folder / name


def texts_of(folder: Path) -> Iterator[tuple[str, str]]:
    """Every file as it stands, and every table as it reads."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield str(path), path.read_bytes().decode("latin-1")
            if path.suffix == ".parquet":
                yield str(path), json.dumps(pq.read_table(path).to_pylist(), default=str, ensure_ascii=False)


def leaks(folder: Path, secrets: list[str]) -> list[tuple[str, str]]:
    return [(name, secret) for name, text in texts_of(folder) for secret in secrets if secret in text]


@pytest.mark.parametrize("with_prompts", [True, False])
def test_no_byte_that_is_kept_holds_a_secret(tmp_path, with_prompts):
    files = list(deliveries(tmp_path / "in"))
    landing = tmp_path / "home" / "landing"
    reports = ingest(files, landing, with_prompts=with_prompts, date="2026-11-22").files
    empty = {Path(report.path).name for report in reports if not report.n_rows}
    assert empty == {"notes.txt", "notes.bin", "columns.csv", "keys.json"}
    assert all(report.n_read == report.n_rows + report.n_rejects for report in reports)
    curated = curate(load_rows(landing), price=no_price, rejects=load_rejects(landing))
    for name in ("traces", "quarantine", "warnings"):
        getattr(curated, name).to_parquet(tmp_path / "home" / f"{name}.parquet")
    # Content is to be kept where prompts are; keys and tokens never are.
    secrets = [*KEYS, *PLANTED_WORDS, *([] if with_prompts else WORDS)]
    assert leaks(tmp_path / "home", secrets) == []
    if with_prompts:
        assert leaks(tmp_path / "home", WORDS)  # the search finds what is there


def test_hashes_of_prompts_do_not_depend_on_whether_they_are_kept(tmp_path):
    files = list(deliveries(tmp_path / "in"))
    ids = []
    for with_prompts in (True, False):
        landing = tmp_path / str(with_prompts)
        ingest(files, landing, with_prompts=with_prompts, date="2026-11-22")
        rows = load_rows(landing).sort_values(["source", "request_id", "source_line"])
        ids.append(rows["query_id"].reset_index(drop=True))
    pd.testing.assert_series_equal(*ids)


@pytest.mark.slow
def test_no_byte_of_a_home_holds_a_secret_after_an_ingest_without_prompts(tmp_path):
    files = [str(path) for path in deliveries(tmp_path / "in")]
    command = [sys.executable, "-m", "foretell.pipelines.cli.app", "ingest", "--no-prompts", "--date", "2026-11-22"]
    environment = {**os.environ, "FORETELL_HOME": str(tmp_path / "home")}
    done = subprocess.run([*command, *files], env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "home").rglob("*.parquet"))
    assert leaks(tmp_path / "home", [*KEYS, *PLANTED_WORDS, *WORDS]) == []
    assert not [secret for secret in ALL if secret in done.stdout + done.stderr]
