"""What is read of MLflow's SQLite file is what MLflow says of it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from foretell.assets.registry.tracking import Registry
from foretell.assets.registry.versions import Version, read_family, read_metrics

FAMILY = "thinking_tokens"


@pytest.fixture
def store(tmp_path: Path) -> Registry:
    """Three versions of one family, the second deleted, an alias, tags, metrics of which one is NaN."""
    registry = Registry(f"sqlite:///{tmp_path / 'mlflow.db'}")
    client = registry.client()
    client.create_registered_model(FAMILY)
    for number in ("1", "2", "3"):
        run = client.create_run(client.create_experiment(number))
        client.log_metric(run.info.run_id, "within/crps", float(number), step=0)
        client.log_metric(run.info.run_id, "within/crps", float(number) / 2, step=1)
        client.log_metric(run.info.run_id, "within/crps_floor", float("nan"))
        client.create_model_version(FAMILY, source=f"{tmp_path}/{number}", run_id=run.info.run_id, tags={"n": number})
    client.delete_model_version(FAMILY, "2")
    client.set_registered_model_alias(FAMILY, "champion", "3")
    client.set_registered_model_tag(FAMILY, "decision", "first")
    return registry


@pytest.mark.slow
def test_the_file_says_what_mlflow_says(store: Registry, tmp_path: Path) -> None:
    client, database = store.client(), tmp_path / "mlflow.db"
    record = read_family(database, FAMILY)
    assert record is not None
    asked = sorted(client.search_model_versions(f"name = '{FAMILY}'"), key=lambda version: int(version.version))
    assert [replace(version, folder=None) for version in record.versions] == [Version.of(version) for version in asked]
    assert [version.version for version in record.versions] == ["1", "3"]
    model = client.get_registered_model(FAMILY)
    assert record.aliases == {"champion": "3"} == {name: str(number) for name, number in model.aliases.items()}
    assert record.tags == model.tags == {"decision": "first"}
    metrics = read_metrics(database, record.versions[1].run_id)
    assert metrics == pytest.approx(client.get_run(record.versions[1].run_id).data.metrics, nan_ok=True)
    assert metrics["within/crps"] == 1.5


@pytest.mark.slow
def test_where_the_file_cannot_be_read_mlflow_is_asked(store: Registry, tmp_path: Path) -> None:
    expected = store.family(FAMILY)
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as file, file:
        file.execute("DELETE FROM registered_model_tags")
        file.execute("ALTER TABLE latest_metrics RENAME TO other")
    assert store.family(FAMILY) == replace(expected, tags={})
    assert read_metrics(tmp_path / "mlflow.db", expected.versions[0].run_id) is None
    (tmp_path / "mlflow.db").write_bytes(b"no database")
    assert read_family(tmp_path / "mlflow.db", FAMILY) is None


def test_a_family_that_is_not_registered_has_nothing(tmp_path: Path) -> None:
    assert read_family(tmp_path / "none.db", FAMILY) is None
