"""Which version is champion: only one that is better by more than luck, and never half of a decision."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow.entities.model_registry import ModelVersion

from foretell.assets.families.thinking_tokens.family import FAMILY as THINKING_TOKENS
from foretell.assets.judging.pipeline import FittedFamily
from foretell.assets.judging.vault import sealed
from foretell.assets.nightly import promotion
from foretell.assets.nightly import record as promotion_record
from foretell.assets.nightly.promotion import Judged, judge
from foretell.assets.nightly.record import Record, force_champion, read_record, rollback
from foretell.assets.registry.policy import Policy, load_policies
from foretell.assets.registry.tracking import BASELINE, BASIS_TAG, CHAMPION, SHADOW, Registry
from foretell.predictors.base import BasePredictor
from foretell.predictors.errors import DatasetError, InvalidInputError
from foretell.predictors.thinking_tokens.baselines import GlobalBaseline
from tests.assets.nightly.nights import FAMILY, FIRST_DAY, PER_NIGHT, POLICY, evaluation, night_of, register, world
from tests.conftest import ROOT


def no_baseline() -> ModelVersion:
    raise AssertionError("no baseline is asked for")


def three_nights(registry: Registry, examples: pd.DataFrame, models: dict[str, BasePredictor]) -> Record:
    """A weak champion, a good challenger that becomes shadow, and the nights until it is promoted."""
    night_of(registry, examples, models["weak"], 1, 8)
    night_of(registry, examples, models["good"], 2, 12)
    for number, nights in ((3, 13), (4, 14)):
        record = night_of(registry, examples, models["again"], number, nights)
    return record


def test_until_a_fit_beats_it_the_baseline_is_champion(registry, examples, models) -> None:
    record = night_of(registry, examples, models["good"], 1, 8, evaluation=evaluation(-0.01), baseline=models["weak"])
    assert record.champion == "2"
    assert "the baseline model_benchmark is champion as version 2" in record.reason
    assert registry.family(FAMILY).aliases == {CHAMPION: "2"}
    assert registry.champion(FAMILY).tags[BASIS_TAG] == BASELINE
    assert isinstance(registry.load(registry.champion(FAMILY)), GlobalBaseline)


def test_first_fit_that_beats_its_baseline_is_champion_with_its_reason(registry, examples, models) -> None:
    record = night_of(registry, examples, models["weak"], 1, 8)
    assert registry.family(FAMILY).aliases == {CHAMPION: "1"}
    assert registry.champion(FAMILY).tags["decision"] == record.reason
    assert "version 1 is champion" in record.reason


def test_better_challenger_is_screened_frozen_judged_on_later_queries_and_promoted(registry, examples, models) -> None:
    night_of(registry, examples, models["weak"], 1, 8)
    frozen = night_of(registry, examples, models["good"], 2, 12)
    assert frozen.action == "start_shadow"
    assert registry.family(FAMILY).aliases == {CHAMPION: "1", SHADOW: "2"}
    assert frozen.state.n_units == 0
    later = night_of(registry, examples, models["again"], 3, 13)
    # Queries of one new night, all splits: nobody has seen them.
    assert later.state.n_units in (0, PER_NIGHT)
    record = night_of(registry, examples, models["again"], 4, 14)
    assert registry.family(FAMILY).aliases == {CHAMPION: "2"}
    assert record.former == ("1",)
    reasons = {v.version: v.tags["decision"] for v in registry.family(FAMILY).versions}
    assert "Version 2 is champion in place of version 1" in registry.family(FAMILY).tags["decision"]
    assert all(len(reason) > 60 for reason in reasons.values())


def test_evidence_is_a_metric_series_of_the_shadows_run(registry, examples, models) -> None:
    three_nights(registry, examples, models)
    run_id = registry.version(FAMILY, "2").run_id
    series = registry.client().get_metric_history(run_id, "promotion/log_e")
    assert len(series) >= 1
    assert series[-1].value > np.log(1 / 0.05)
    newest = (FIRST_DAY + pd.Timedelta(days=12)).date().toordinal()
    assert series[0].step == newest


def test_useless_challengers_are_never_promoted(registry, examples, models) -> None:
    night_of(registry, examples, models["good"], 1, 8)
    for number, nights in enumerate(range(9, 20), start=2):
        record = night_of(registry, examples, models[("weak", "again")[nights % 2]], number, nights)
        assert record.champion == "1"
    assert record.state.n_promotions == 0


def test_same_night_again_changes_nothing(registry, examples, models) -> None:
    night_of(registry, examples, models["weak"], 1, 8)
    night_of(registry, examples, models["good"], 2, 12)
    before = registry.family(FAMILY).tags
    night_of(registry, examples, models["good"], 2, 12)
    other = night_of(registry, examples, models["again"], 3, 12)
    assert "nothing newer than 2026-01-12" in other.reason
    assert registry.family(FAMILY).tags == before


def test_clock_or_data_going_backwards_decides_nothing(registry, examples, models) -> None:
    night_of(registry, examples, models["weak"], 1, 12)
    before = registry.family(FAMILY).tags
    record = night_of(registry, examples, models["good"], 2, 8)
    assert record.champion == "1"
    assert "Not judged" in record.reason
    assert registry.family(FAMILY).tags == before


def test_rows_without_a_day_name_a_first_champion_and_judge_no_later_one(registry, examples, models) -> None:
    undated = examples.assign(started_at=pd.Series(pd.NaT, examples.index, dtype="datetime64[us, UTC]"))
    for number, name in enumerate(("weak", "good"), start=1):
        register(registry, models[name], number)
        fitted = FittedFamily(name, "data", models[name], {})
        version = registry.version(FAMILY, str(number))
        record = judge(registry, Judged(THINKING_TOKENS, fitted, version, undated, evaluation(), no_baseline, POLICY))
    assert record.champion == "1"
    assert "`started_at`" in record.reason


class Killed(BaseException):
    """What SIGKILL does, without a process."""


WRITES = ("set_tag", "tag_version", "point", "log_series")


def killing(monkeypatch: pytest.MonkeyPatch, after: int) -> Iterator[int]:
    """Let `after` writes through, then die before the next one."""
    count = {"writes": 0}

    def guarded(name: str):
        real = getattr(Registry, name)

        def write(self, *args, **kwargs):
            if count["writes"] >= after:
                raise Killed
            count["writes"] += 1
            return real(self, *args, **kwargs)

        return write

    for name in WRITES:
        monkeypatch.setattr(Registry, name, guarded(name))
    return count


def picture(registry: Registry) -> dict[str, object]:
    """Everything that the registry remembers of a family."""
    return {
        "aliases": registry.family(FAMILY).aliases,
        "record": read_record(registry, FAMILY),
        "decisions": {v.version: v.tags.get("decision") for v in registry.family(FAMILY).versions},
        "series": [
            (m.step, m.value)
            for v in registry.family(FAMILY).versions
            for m in registry.client().get_metric_history(v.run_id, "promotion/log_e")
        ],
    }


@pytest.mark.slow
def test_kill_before_any_write_of_a_promotion_leaves_the_old_champion_and_the_next_run_ends_the_same(
    registry, examples, models, tmp_path
) -> None:
    night_of(registry, examples, models["weak"], 1, 8)
    night_of(registry, examples, models["good"], 2, 12)
    night_of(registry, examples, models["again"], 3, 13)
    register(registry, models["again"], 4)
    start = tmp_path / "before.db"
    shutil.copy(tmp_path / "mlflow.db", start)

    def restored(name: str) -> Registry:
        shutil.copy(start, tmp_path / name)
        return Registry(f"sqlite:///{tmp_path / name}", tmp_path / "artifacts")

    whole = restored("whole.db")
    assert night_of(whole, examples, models["again"], 4, 14).action == "promote"
    expected, boundaries = picture(whole), 0
    for after in range(100):
        torn = restored(f"torn-{after}.db")
        with pytest.MonkeyPatch.context() as patch:
            killing(patch, after)
            try:
                night_of(torn, examples, models["again"], 4, 14)
                break
            except Killed:
                boundaries += 1
        serving = torn.champion(FAMILY)
        assert serving.version in ("1", "2", 1, 2)
        torn.load(serving)
        night_of(torn, examples, models["again"], 4, 14)
        assert picture(torn) == expected, f"killed before write {after}"
    assert boundaries >= 7


def test_store_that_is_down_is_an_error_and_no_empty_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    # A hiccup once read as "no champion yet", which would have let the newcomer in as a first.
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    down = Registry("http://127.0.0.1:9")
    with pytest.raises(Exception, match="HTTPConnectionPool"):
        down.champion(FAMILY)
    with pytest.raises(Exception, match="HTTPConnectionPool"):
        promotion_record.settle(down, FAMILY)


def test_alias_moved_by_hand_is_taken_over_and_the_shadow_dropped(registry, examples, models) -> None:
    night_of(registry, examples, models["weak"], 1, 8)
    night_of(registry, examples, models["good"], 2, 12)
    registry.point(FAMILY, CHAMPION, "2")
    record = promotion_record.settle(registry, FAMILY)
    assert (record.champion, record.shadow, record.action) == ("2", None, "adopt")
    assert registry.family(FAMILY).aliases == {CHAMPION: "2"}


def test_champion_of_before_this_memory_is_kept_and_compared_with(registry, examples, models) -> None:
    register(registry, models["weak"], 1)
    registry.point(FAMILY, CHAMPION, "1")
    record = night_of(registry, examples, models["good"], 2, 12)
    assert (record.champion, record.shadow) == ("1", "2")


def test_force_and_rollback_leave_an_audit_line_and_drop_the_shadow(registry, examples, models) -> None:
    night_of(registry, examples, models["weak"], 1, 8)
    night_of(registry, examples, models["good"], 2, 12)
    register(registry, models["again"], 3)
    forced = force_champion(registry, FAMILY, "3", "the provider changed its tokenizer")
    assert (forced.champion, forced.shadow) == ("3", None)
    assert registry.family(FAMILY).aliases == {CHAMPION: "3"}
    back = rollback(registry, FAMILY, "it was slower")
    assert back.champion == "1"
    lines = promotion_record.audit_lines(registry, FAMILY)
    assert [line.split(": ", 1)[1] for line in lines] == [
        "force: 1 -> 3: the provider changed its tokenizer",
        "rollback: 3 -> 1: it was slower",
    ]
    with pytest.raises(DatasetError, match="nothing to roll back to"):
        rollback(registry, FAMILY, "once more")


def test_impossible_orders_by_hand_are_refused(registry, examples, models) -> None:
    night_of(registry, examples, models["weak"], 1, 8)
    with pytest.raises(InvalidInputError, match="champion already"):
        force_champion(registry, FAMILY, "1", "why not")
    with pytest.raises(DatasetError, match="no version 9"):
        force_champion(registry, FAMILY, "9", "typing error")
    assert promotion_record.audit_lines(registry, FAMILY) == []


def test_shadow_that_cannot_be_read_is_dropped_in_the_end(registry, examples, models) -> None:
    night_of(registry, examples, models["weak"], 1, 8)
    night_of(registry, examples, models["good"], 2, 12)
    shutil.rmtree(registry.artifact_root / "model-2")
    for number, nights in enumerate(range(13, 20), start=3):
        record = night_of(registry, examples, models["again"], number, nights)
        if record.action == "drop_shadow":
            break
    assert record.action == "drop_shadow"
    assert registry.family(FAMILY).aliases == {CHAMPION: "1"}


def test_shadow_that_was_frozen_before_a_drift_makes_room_for_those_that_learn_from_today(
    registry, examples, models
) -> None:
    night_of(registry, examples, models["weak"], 1, 8)
    night_of(registry, examples, models["good"], 2, 12)
    record = night_of(registry, examples, models["again"], 3, 13, drifted_on=FIRST_DAY + pd.Timedelta(days=12))
    assert record.shadow is None
    assert "frozen before the forecasts drifted" in registry.version(FAMILY, "2").tags["decision"]
    assert registry.family(FAMILY).aliases == {CHAMPION: "1"}
    again = night_of(registry, examples, models["good"], 4, 14, drifted_on=FIRST_DAY + pd.Timedelta(days=12))
    assert again.shadow == "4"
    kept = night_of(registry, examples, models["again"], 5, 15, drifted_on=FIRST_DAY + pd.Timedelta(days=12))
    assert kept.shadow == "4" or kept.champion == "4"


def test_prune_keeps_champion_shadow_former_ones_and_the_newest(registry, examples, models) -> None:
    record = three_nights(registry, examples, models)
    gone = registry.prune(FAMILY, keep=1, always=record.former)
    assert gone == ["3"]
    assert [str(v.version) for v in registry.family(FAMILY).versions] == ["1", "2", "4"]
    assert registry.prune(FAMILY, keep=1, always=record.former) == []


def test_vault_is_a_stable_fifth_of_the_test_queries_once_there_are_enough() -> None:
    few, many = world(20), world(200)
    assert not sealed(few).any()
    inside = sealed(many)
    assert set(many.loc[inside, "split"]) == {"test"}
    share = inside.sum() / (many["split"] == "test").sum()
    assert 0.15 < share < 0.25
    again = sealed(many.sample(frac=1, random_state=0)).reindex(many.index)
    pd.testing.assert_series_equal(again, inside, check_names=False)


def test_queries_of_the_vault_decide_nothing(registry, models, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[set[str]] = []
    real = promotion.loss_differences

    def watched(family, rows, *judged):
        seen.append(set(rows["query_id"]))
        return real(family, rows, *judged)

    monkeypatch.setattr(promotion, "loss_differences", watched)
    monkeypatch.setattr("foretell.assets.judging.vault.MIN_QUERIES", 10)
    examples = world(20)
    three_nights(registry, examples, models)
    assert seen
    assert not set(examples.loc[sealed(examples), "query_id"]) & set.union(*seen)


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ("thinking_tokens: {metrik: crps}", "metrik"),
        ("thinking_tokens: {keep_versions: 0}", "keep_versions"),
        ("thinking_tokens: {rule: {screen_zz: 3}}", "screen_zz"),
        ("thinking_tokens: {rule: {error_probability: 2}}", "error_probability"),
        ("thinking_tokens: {scope: {screen_z: 3}}", "screen_z"),
        ("thinking_tokens: {scope: {margin: 1.5}}", "margin"),
    ],
)
def test_unknown_or_impossible_policy_is_named(tmp_path: Path, content: str, word: str) -> None:
    file = tmp_path / "registry.yaml"
    file.write_text(content, "utf-8")
    with pytest.raises(InvalidInputError, match=rf"registry\.yaml: thinking_tokens.*{word}"):
        load_policies(file)


def test_shipped_policy_is_valid() -> None:
    policies = load_policies(ROOT / "mlflow" / "registry.yaml")
    assert policies[FAMILY].rule.min_gain_of_floor == 0.02
    assert replace(policies[FAMILY].rule, min_gain_of_floor=0.0).screen_z == 3.5


def test_a_first_fit_is_judged_against_the_baseline_that_the_policy_names(registry, examples, models) -> None:
    # By the table it is no better than the reference; by its own forecasts it beats, or equals, the baseline named.
    policy = Policy(first_baseline="rival")
    changes = {"evaluation": evaluation(-0.01), "policy": policy}
    equal = night_of(registry, examples, models["weak"], 1, 8, **changes, baselines={"rival": models["weak"]})
    assert equal.champion == "2"
    better = night_of(registry, examples, models["good"], 3, 8, **changes, baselines={"rival": models["weak"]})
    assert better.champion == "3"
    assert "of rival" in better.reason


def test_a_policy_that_names_no_baseline_of_the_family_is_told(registry, examples, models) -> None:
    with pytest.raises(InvalidInputError, match="no baseline 'nobody'; `first_baseline` must be one of"):
        night_of(registry, examples, models["good"], 1, 8, policy=Policy(first_baseline="nobody"))
