"""The asset graph, its checks and its clock are pinned: a change of them is a change for users."""

from __future__ import annotations

import json

import pytest

from tests.conftest import ROOT

SNAPSHOT = ROOT / "tests" / "golden" / "definitions.json"


@pytest.fixture(scope="module")
def definitions(tmp_path_factory: pytest.TempPathFactory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FORETELL_HOME", str(tmp_path_factory.mktemp("home")))
        from foretell.pipelines.definitions import defs

        yield defs


def describe(defs) -> dict[str, object]:
    """Everything of the definitions that users see by name."""
    graph = defs.resolve_asset_graph()
    return {
        "assets": {
            key.to_user_string(): {
                "group": graph.get(key).group_name,
                "kinds": sorted(graph.get(key).kinds),
                "partitioned": graph.get(key).is_partitioned,
                "parents": sorted(parent.to_user_string() for parent in graph.get(key).parent_keys),
            }
            for key in sorted(graph.get_all_asset_keys())
        },
        "checks": sorted(f"{key.asset_key.to_user_string()}:{key.name}" for key in graph.asset_check_keys),
        "jobs": sorted(job.name for job in defs.resolve_all_job_defs() if not job.name.startswith("__")),
        "schedules": {s.name: s.cron_schedule for s in defs.schedules},
        "sensors": sorted(s.name for s in defs.sensors),
    }


def test_definitions_are_the_pinned_ones(definitions) -> None:
    # Regenerate after an intended change: python -m tests.pipelines.test_definitions
    assert describe(definitions) == json.loads(SNAPSHOT.read_text("utf-8"))


def test_every_asset_says_what_one_row_is(definitions) -> None:
    graph = definitions.resolve_asset_graph()
    silent = [key for key in graph.get_all_asset_keys() if not (graph.get(key).description or "").startswith("One row")]
    assert silent == []


def test_every_asset_is_linked_but_for_what_is_collected_by_name(definitions) -> None:
    # `ladder_samples`, of which a family's examples are made, stood alone in the graph.
    graph = definitions.resolve_asset_graph()
    nodes = [graph.get(key) for key in graph.get_all_asset_keys()]
    alone = [node for node in nodes if not node.parent_keys and not node.child_keys]
    assert {node.group_name for node in alone} == {"collection"}


def test_every_asset_has_an_owner_and_a_kind(definitions) -> None:
    graph = definitions.resolve_asset_graph()
    nodes = [graph.get(key) for key in graph.get_all_asset_keys()]
    assert [node.key for node in nodes if not node.owners] == []
    assert [node.key for node in nodes if not node.kinds] == []


def test_mlflow_folder_does_not_hide_the_library() -> None:
    import mlflow

    root = ROOT
    assert (root / "mlflow").is_dir()
    assert not (root / "mlflow" / "__init__.py").exists()
    assert mlflow.__version__.split(".")[0] == "3"


if __name__ == "__main__":
    from foretell.pipelines.definitions import defs

    SNAPSHOT.write_text(json.dumps(describe(defs), indent=1, sort_keys=True) + "\n", "utf-8")
