"""A live MLflow store: its traces are ingested by address, and an export that grew counts nothing twice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from foretell.assets.lake.landing.deliveries import ingest, load_rows
from foretell.assets.lake.landing.mlflow_store import export_mlflow_traces, split_address
from foretell.predictors.errors import DatasetError

USAGE = {"prompt_tokens": 12, "completion_tokens": 340, "total_tokens": 352,
         "completion_tokens_details": {"reasoning_tokens": 300}}  # fmt: skip


def _log(n: int) -> None:
    import mlflow

    for i in range(n):
        with mlflow.start_span("answer", span_type="CHAIN"), mlflow.start_span("chat", span_type="CHAT_MODEL") as span:
            span.set_inputs({"model": "gpt-5", "messages": [{"role": "user", "content": f"Why {i}?"}]})
            span.set_attribute("mlflow.llm.model", "gpt-5")
            span.set_attribute(
                "mlflow.chat.tokenUsage", {"input_tokens": 12, "output_tokens": 340, "total_tokens": 352}
            )
            span.set_outputs({"model": "gpt-5", "choices": [], "usage": USAGE})


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A store with three traces in one experiment, logged as an application would."""
    import mlflow

    # A thread that still writes traces while the test reads them would find sqlite locked on a busy machine.
    monkeypatch.setenv("MLFLOW_ENABLE_ASYNC_TRACE_LOGGING", "false")
    uri = f"sqlite:///{tmp_path / 'store.db'}"
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(uri)
    try:
        for name in ("empty", "chat"):
            mlflow.create_experiment(name, artifact_location=str(tmp_path / "artifacts"))
        mlflow.set_experiment("chat")
        _log(3)
        mlflow.flush_trace_async_logging()
        yield uri
    finally:
        mlflow.set_tracking_uri(before)


def test_traces_of_a_store_land_once_and_only_the_model_spans_count(store: str, tmp_path: Path) -> None:
    file = tmp_path / "traces.jsonl"
    assert export_mlflow_traces(f"mlflow-traces:{store}/chat", file) == 3
    report = ingest([file], tmp_path / "landing", format="mlflow_traces")
    assert (report.n_usable, report.n_rejects) == (3, 0)
    rows = load_rows(tmp_path / "landing")
    assert rows["output_tokens"].tolist() == [340] * 3
    assert rows["reasoning_tokens"].tolist() == [300] * 3
    _log(2)
    import mlflow

    mlflow.flush_trace_async_logging()
    longer = tmp_path / "longer.jsonl"
    assert export_mlflow_traces(f"mlflow-traces:{store}", longer) == 5
    assert longer.read_text().startswith(file.read_text())
    ingest([longer], tmp_path / "landing", format="mlflow_traces")
    assert load_rows(tmp_path / "landing")["request_id"].nunique() == 5
    assert [json.loads(line)["info"]["trace_id"] for line in longer.read_text().splitlines()]


def test_a_store_that_is_not_there_is_said_and_not_made(store: str, tmp_path: Path) -> None:
    out = tmp_path / "traces.jsonl"
    with pytest.raises(DatasetError, match="no such file"):
        export_mlflow_traces(f"mlflow-traces:sqlite:///{tmp_path / 'absent.db'}", out)
    assert not (tmp_path / "absent.db").exists()
    with pytest.raises(DatasetError, match=r"/chats: no experiment 'chats'; there is Default, chat, empty$"):
        export_mlflow_traces(f"mlflow-traces:{store}/chats", out)
    with pytest.raises(DatasetError, match="holds no trace"):
        export_mlflow_traces(f"mlflow-traces:{store}/empty", out)


def test_an_address_names_store_and_experiment() -> None:
    assert split_address("mlflow:databricks#/a/b") == ("databricks", "/a/b")
    assert split_address("mlflow:sqlite:///x.db") == ("sqlite:///x.db", None)
    assert split_address("mlflow:sqlite:///x.db#chat") == ("sqlite:///x.db", "chat"), "as it was written before"
    assert split_address("mlflow-traces:databricks") == ("databricks", None)
    assert split_address("mlflow-runs:http://host:5000/a/b") == ("http://host:5000", "a/b")
