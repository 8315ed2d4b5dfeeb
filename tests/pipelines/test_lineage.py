"""Columns lead back to columns that exist, as far as the raw record."""

from __future__ import annotations

import dagster as dg
import pytest

from foretell.assets.store.io import read_table
from foretell.assets.store.lineage import column_lineage, origins
from foretell.pipelines.settings import Settings

TABLES = ("request_traces", "thinking_tokens_examples", "thinking_tokens_noise_floor", "thinking_tokens_evaluation")


def lineage_of(instance: dg.DagsterInstance, table: str) -> dict[str, list[dg.TableColumnDep]]:
    event = instance.get_latest_materialization_event(dg.AssetKey(table))
    assert event is not None
    assert event.asset_materialization is not None
    found = event.asset_materialization.metadata["dagster/column_lineage"].value
    return {name: list(origins) for name, origins in found.deps_by_column.items()}


def descriptions_of(instance: dg.DagsterInstance, table: str) -> dict[str, str | None]:
    event = instance.get_latest_materialization_event(dg.AssetKey(table))
    assert event is not None
    assert event.asset_materialization is not None
    schema = event.asset_materialization.metadata["dagster/column_schema"].value
    return {column.name: column.description for column in schema.columns}


@pytest.mark.parametrize("table", TABLES)
def test_columns_of_a_materialised_table_come_from_columns_that_exist(installed, table: str) -> None:
    settings: Settings = installed.settings
    with dg.DagsterInstance.from_config(str(settings.dagster_home)) as instance:
        lineage = lineage_of(instance, table)
        told = descriptions_of(instance, table)
    lake = settings.home / "lake"
    assert set(lineage) <= set(read_table(lake, table).columns)
    assert {name for name, text in told.items() if text} == set(lineage)
    for found in lineage.values():
        for origin in found:
            assert origin.column_name in read_table(lake, origin.asset_key.to_user_string()).columns


def test_every_column_of_the_traces_and_examples_has_an_origin() -> None:
    from foretell.predictors.schemas.traces import RequestTraces

    columns = list(RequestTraces.to_schema().columns)
    lineage = column_lineage("request_traces", columns)
    assert lineage is not None
    assert set(lineage.deps_by_column) == set(columns)


def test_the_outcome_leads_back_to_the_output_tokens_of_the_raw_record() -> None:
    examples = column_lineage("thinking_tokens_examples", ["value", "prompt_text"])
    traces = column_lineage("request_traces", ["output_tokens"])
    assert examples is not None
    assert traces is not None
    assert examples.deps_by_column["value"] == [dg.TableColumnDep(dg.AssetKey("request_traces"), "output_tokens")]
    assert examples.deps_by_column["prompt_text"] == [dg.TableColumnDep(dg.AssetKey("request_traces"), "prompt_text")]
    assert traces.deps_by_column["output_tokens"] == [dg.TableColumnDep(dg.AssetKey("raw_traces"), "output_tokens")]


def test_origins_are_told_in_words_beside_each_column() -> None:
    lineage = column_lineage("request_traces", ["is_censored", "provider"])
    assert origins(lineage, "provider") == "raw_traces.provider"
    made_of = ("finish_reason", "max_tokens", "model", "output_tokens")
    assert origins(lineage, "is_censored") == ", ".join(f"raw_traces.{name}" for name in made_of)
    assert origins(lineage, "another") is None
    assert origins(None, "provider") is None


def test_a_table_of_which_nothing_is_known_has_no_lineage() -> None:
    assert column_lineage("landed_files", ["key"]) is None
    evaluation = column_lineage("learning_curves_evaluation", ["value", "predictor"])
    assert evaluation is not None
    assert set(evaluation.deps_by_column) == {"value"}
    assert evaluation.deps_by_column["value"][0].asset_key == dg.AssetKey("learning_curves_examples")
