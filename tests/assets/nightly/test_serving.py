"""What answers where the champion is damaged, and what is said of versions that wait."""

from __future__ import annotations

import pytest

from foretell.assets.nightly.record import audit_lines, read_record
from foretell.assets.nightly.serving import baseline_note, load_serving, waiting_version
from foretell.assets.registry.tracking import CHAMPION, Registry
from foretell.predictors.errors import DatasetError
from foretell.predictors.thinking_tokens.baselines import GlobalBaseline, ModelBaseline
from tests.assets.nightly.nights import FAMILY, evaluation, night_of, register


def cut_short(registry: Registry, number: int) -> None:
    file = registry.artifact_root / f"model-{number}" / "artifacts" / "predictor" / "quantiles.safetensors"
    file.write_bytes(file.read_bytes()[:-20])


@pytest.fixture
def promoted(registry: Registry, examples, models) -> Registry:
    """Version 2 is champion in place of version 1."""
    night_of(registry, examples, models["weak"], 1, 8)
    night_of(registry, examples, models["good"], 2, 12)
    for number, nights in ((3, 13), (4, 14)):
        night_of(registry, examples, models["again"], number, nights)
    assert registry.family(FAMILY).aliases == {CHAMPION: "2"}
    return registry


def test_a_damaged_champion_leaves_the_word_to_the_former_one(promoted) -> None:
    assert load_serving(promoted, FAMILY).fault == ""
    cut_short(promoted, 2)
    serving = load_serving(promoted, FAMILY)
    assert isinstance(serving.predictor, GlobalBaseline)
    assert serving.version.version == "1" or serving.version.version == 1
    assert "version 1 answers" in serving.fault
    assert "quantiles.safetensors" in serving.fault
    cut_short(promoted, 1)
    with pytest.raises(DatasetError, match=r"version 2: .*damaged.*run `foretell retrain thinking_tokens`"):
        load_serving(promoted, FAMILY)


def test_the_next_night_brings_the_former_champion_back_and_goes_on(promoted, examples, models) -> None:
    cut_short(promoted, 2)
    record = night_of(promoted, examples, models["again"], 5, 15)
    assert record.champion == "1"
    assert promoted.family(FAMILY).aliases[CHAMPION] == "1"
    assert record.reason.startswith("The champion, version 2, cannot be read")
    assert "Version 1 is champion again." in promoted.version(FAMILY, "2").tags["decision"]
    assert "Night of 2026-01-15" in record.reason


def test_the_same_fit_made_anew_takes_the_place_of_the_damaged_one(promoted, examples, models) -> None:
    cut_short(promoted, 2)
    assert promoted.find(FAMILY, "digest-2") is None
    register(promoted, models["good"], 5, "digest-2")
    record = night_of(promoted, examples, models["good"], 5, 14)
    assert record.champion == "5"
    assert "Version 5 is the same fit, made anew" in record.reason
    assert str(promoted.find(FAMILY, "digest-2").version) == "5"


def test_without_a_former_champion_the_newcomer_is_judged_as_a_first(registry, examples, models) -> None:
    night_of(registry, examples, models["weak"], 1, 8)
    cut_short(registry, 1)
    record = night_of(registry, examples, models["good"], 2, 8)
    assert record.champion == "2"
    assert "no former champion can be read either" in record.reason
    assert record.former == ()


def test_a_baseline_is_refitted_every_night_until_a_fit_beats_it(registry, examples, models) -> None:
    weak = {"evaluation": evaluation(-0.01)}
    night_of(registry, examples, models["good"], 1, 8, **weak, baseline=models["weak"])
    assert baseline_note(registry, FAMILY).startswith("version 2 of thinking_tokens is its baseline")
    again = night_of(registry, examples, models["good"], 1, 8, **weak, baseline=models["weak"])
    assert (again.champion, again.former) == ("2", ())
    fresh = night_of(registry, examples, models["good"], 3, 9, **weak, baseline=models["again"])
    assert (fresh.champion, fresh.former) == ("4", ())
    better = night_of(registry, examples, models["good"], 5, 9, baseline=models["again"])
    assert (better.champion, better.former) == ("5", ("4",))
    assert baseline_note(registry, FAMILY) is None


def test_a_version_that_knows_what_is_asked_is_told_of(registry, examples, models) -> None:
    short = examples[(examples["split"] != "test") & (examples["model"] == "short")]
    narrow = ModelBaseline().fit(short[["model"]], short["value"], groups=short["query_id"])
    night_of(registry, examples, narrow, 1, 8)
    assert waiting_version(registry, FAMILY, ["long"]) is None
    register(registry, models["good"], 2)
    assert waiting_version(registry, FAMILY, ["short"]) is None
    note = waiting_version(registry, FAMILY, ["short", "long"])
    assert "version 2 of thinking_tokens has learnt from long and waits behind champion 1, which has not" in note
    assert "--predictor models:/thinking_tokens/2" in note


def test_a_shadow_that_is_ahead_is_told_of(registry, examples, models) -> None:
    night_of(registry, examples, models["weak"], 1, 8)
    night_of(registry, examples, models["good"], 2, 12)
    assert waiting_version(registry, FAMILY) is None
    run = registry.version(FAMILY, "2").run_id
    registry.client().log_metric(run, "promotion/log_e", 1.25)
    registry.client().log_metric(run, "promotion/gain", 0.1)
    assert "version 2 of thinking_tokens is ahead of champion 1" in waiting_version(registry, FAMILY)
    assert read_record(registry, FAMILY).shadow == "2"
    assert audit_lines(registry, FAMILY) == []
