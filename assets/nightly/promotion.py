"""Which version is champion: by scope at once, else screen, shadow, e-value, with the registry as the only memory.

The rules themselves are `metrics.deciding.scope.decide_scope` and `metrics.deciding.promotion.decide`. This module
gives them a night's losses; what they say is written by `nightly.record`, so that a kill at any moment leaves either
the old state or the new one. Nights are numbered by the newest day of the data, never by the clock, so a clock that
jumps changes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from foretell.assets.judging.family import Family
from foretell.assets.judging.pipeline import FittedFamily, forecasts_by_cell, loss_differences
from foretell.assets.judging.vault import sealed
from foretell.assets.nightly.record import DECISION_TAG, Record, commit, settle, with_former, without_shadow
from foretell.assets.nightly.scope import judge_scope
from foretell.assets.nightly.serving import Serving, load_serving
from foretell.assets.registry.policy import Policy
from foretell.assets.registry.shipped import SHIPPED, load_shipped, register_shipped
from foretell.assets.registry.tracking import BASELINE, BASIS_TAG, Registry
from foretell.predictors.base import BasePredictor
from foretell.predictors.errors import DatasetError, InvalidInputError
from foretell.predictors.schemas.examples import has_days

if TYPE_CHECKING:
    from foretell.assets.registry.versions import Version
    from foretell.predictors.metrics import NightlyLosses, PromotionDecision, PromotionState

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Judged:
    """One version and the runs that tonight's evidence comes from.

    `register_baseline` registers the reference baseline of tonight's fit, once, and returns its version.
    """

    family: Family
    fitted: FittedFamily
    version: Version
    examples: pd.DataFrame
    evaluation: pd.DataFrame
    register_baseline: Callable[[], Version]
    policy: Policy = field(default_factory=Policy)
    drifted_on: pd.Timestamp | None = None


def newest_night(examples: pd.DataFrame) -> int | None:
    """Ordinal of the newest day with a row; None where no row tells its day."""
    if not has_days(examples):
        return None
    newest: date = examples["started_at"].max().date()
    return newest.toordinal()


def judge(registry: Registry, judged: Judged) -> Record:
    """Decide on tonight's version, once, and make the registry say so.

    Deciding again on the same night changes nothing.

    Returns
    -------
    Record
        What holds now; `reason` tells about this version.
    """
    family, number = judged.family.name, str(judged.version.version)
    record = settle(registry, family)
    night = newest_night(judged.examples)
    champion, record, loss = _standing(registry, judged, record)
    if champion is None:
        return _first(registry, judged, record, night, loss)
    assert record is not None
    assert record.champion is not None
    if number in (record.champion, record.shadow):
        return replace(record, reason=loss + record.reason)
    is_later = night is not None and night > record.state["night"]
    basis = registry.version(family, record.champion).tags.get(BASIS_TAG)
    if basis in (BASELINE, SHIPPED) and (night is None or night >= record.state["night"]):
        return _first(registry, judged, record, night, loss, champion if basis == SHIPPED else None)
    by_scope = judge_scope(judged.family, judged.fitted.predictor, champion, judged.examples, judged.policy)
    if by_scope is not None and by_scope.promotes:
        return _covers(registry, judged, record, night, loss + by_scope.reason)
    why_not = "" if by_scope is None else f" By what it covers: {by_scope.reason}."
    if night is None or not is_later:
        return _not_judged(registry, judged, record, night, (loss, why_not))
    return _later(registry, judged, record, night, champion, (loss, why_not))


# -- decisions --------------------------------------------------------------------------------------
def _standing(
    registry: Registry, judged: Judged, record: Record | None
) -> tuple[BasePredictor | None, Record | None, str]:
    """The champion that tonight's version is compared with, and what was lost where the champion cannot be read.

    A champion that cannot be read is replaced at once: by tonight's version where that is the very same fit, else by
    the newest former champion that can be read. Where there is none, the newcomer is judged as a first.
    """
    family, number = judged.family.name, str(judged.version.version)
    if record is None or record.champion is None:
        return None, record, ""
    serving: Serving | None = None
    try:
        serving = load_serving(registry, family)
    except DatasetError as error:
        fault = str(error)
    else:
        fault = serving.fault
        if not fault:
            return serving.predictor, record, ""
    log.warning(fault)
    digest = registry.version(family, record.champion).tags.get("fit_digest")
    state = without_shadow(record.promotion_state)
    if number != record.champion and digest is not None and digest == judged.version.tags.get("fit_digest"):
        reason = (
            f"The champion, version {record.champion}, cannot be read. Version {number} is the same fit, made anew."
        )
        record = commit(registry, family, Record(state, number, record.former, "mend", reason), {number: reason})
        return judged.fitted.predictor, record, f"{reason} "
    if serving is None:
        return None, record, f"{fault}. "
    former = str(serving.version.version)
    reason = f"The champion, version {record.champion}, cannot be read ({fault}). Version {former} is champion again."
    kept = record.former[: record.former.index(former)]
    reasons = {str(record.champion): reason}
    record = commit(registry, family, Record(state, former, kept, "fall_back", reason), reasons)
    return serving.predictor, record, f"{reason} "


def begin_with_shipped(registry: Registry, family: str, public: Path) -> None:
    """Where a family has no version yet, register the one that came with the package and make it champion."""
    if registry.versions(family):
        return
    shipped = load_shipped(public, family)
    if shipped is None:
        return
    number = str(register_shipped(registry, shipped).version)
    reason = f"Version {number} came with foretell, learnt from {shipped.learnt_from}: champion until a fit beats it."
    commit(registry, family, Record(without_shadow(None), number, (), SHIPPED, reason), {number: reason})


def _first(
    registry: Registry,
    judged: Judged,
    record: Record | None,
    night: int | None,
    loss: str,
    shipped: BasePredictor | None = None,
) -> Record:
    """The first champion must beat its baseline by more than luck; until one does, the reference is champion.

    Where a predictor came with the package, that one stays until a fit is better than it by more than luck, or better
    than the baseline and not worse than it.
    """
    family, number, metric = judged.family.name, str(judged.version.version), judged.policy.metric
    name = judged.policy.first_baseline or judged.family.reference
    table = judged.evaluation
    head = table[(table["segment"] == "all") & (table["metric"] == metric)].iloc[0]
    gain, lower, upper = (
        (head["gain"], head["gain_ci_lower"], head["gain_ci_upper"])
        if name == judged.family.reference
        else _gain_over(judged, name, judged.fitted.baselines.get(name))
    )
    better = bool(lower > 0)
    reason = (
        f"{loss}First fit: {metric} {head['value']:.4f} against {head['value'] + gain:.4f} of {name}, "
        f"gain {gain:+.4f} [{lower:+.4f}, {upper:+.4f}]"
    )
    former = () if record is None else record.former
    before = None if record is None else record.champion
    if shipped is not None:
        over, least, most = _gain_over(judged, SHIPPED, shipped)
        better = bool(least > 0 or (better and most >= 0))
        reason = f"{reason}, over the version that came with foretell {over:+.4f} [{least:+.4f}, {most:+.4f}]"
    if better:
        champion, reason = number, f"{reason}: version {number} is champion."
    elif shipped is not None and record is not None:
        champion, reason = str(before), f"{reason}: better than neither by more than luck. Version {before} stays."
    else:
        champion = str(judged.register_baseline().version)
        reason = (
            f"{reason}: the interval includes zero, so the baseline {judged.family.reference} is champion as version "
            f"{champion} until a version beats {name} by more than luck."
        )
    if record is not None and better and not loss:
        former = with_former(record, before)
    state = without_shadow(None if record is None else record.promotion_state)
    state["night"] = max(state["night"], -1 if night is None else night)
    action = "first" if better else SHIPPED if shipped is not None else "baseline"
    new = Record(state, champion, former, action, reason)
    return commit(registry, family, new, {number: reason, champion: reason})


def _covers(registry: Registry, judged: Judged, record: Record, night: int | None, why: str) -> Record:
    """The version answers for what the champion has never seen: it is champion at once, and judging starts anew."""
    family, number = judged.family.name, str(judged.version.version)
    when = "Rows without a day" if night is None else f"Night of {_day(night)}"
    reason = f"{when}: version {number} is champion in place of version {record.champion} by what it covers: {why}."
    reasons = {number: reason}
    if record.shadow is not None:
        reasons[record.shadow] = reason
    state = without_shadow(record.promotion_state)
    state["night"] = max(state["night"], -1 if night is None else night)
    new = Record(state, number, with_former(record, record.champion), "cover", reason)
    return commit(registry, family, new, reasons)


def _not_judged(
    registry: Registry, judged: Judged, record: Record, night: int | None, around: tuple[str, str]
) -> Record:
    family, number = judged.family.name, str(judged.version.version)
    when = "no row tells its day" if night is None else _day(night)
    why = (
        "no row of the examples tells its day (`started_at`), so none is known to be labelled after a freeze; "
        f"`foretell promote {family} {number} --force` after a look at its error"
        if night is None
        else f"nothing newer than {_day(record.state['night'])} was labelled since the last decision"
    )
    before, after = around
    reason = f"{before}Not judged ({when}): {why}. Champion stays version {record.champion}.{after}"
    if DECISION_TAG not in judged.version.tags:
        registry.tag_version(family, number, DECISION_TAG, reason)
    return replace(record, reason=judged.version.tags.get(DECISION_TAG, reason))


def _gain_over(judged: Judged, name: str, other: BasePredictor | None) -> tuple[float, float, float]:
    """Gain of the fit over another predictor on the test rows, with its interval; above 0 is better."""
    from foretell.predictors.metrics import compare

    if other is None:
        raise InvalidInputError(
            f"mlflow/registry.yaml: {judged.family.name} has no baseline {name!r}; `first_baseline` must be one of "
            f"{sorted(judged.fitted.baselines)}"
        )
    held_out = (judged.examples["split"] == "test") & ~judged.examples["is_capped"] & ~sealed(judged.examples)
    rows = judged.examples[held_out]
    models = {"new": judged.fitted.predictor, name: other}
    forecasts = forecasts_by_cell(judged.family, models, rows)
    comparison = compare(
        rows, forecasts["new"], forecasts[name], metric=judged.policy.metric, scale=judged.family.scale
    )
    lower, upper = comparison.interval()
    return -comparison.value, -upper, -lower


def _later(
    registry: Registry, judged: Judged, record: Record, night: int, champion: BasePredictor, around: tuple[str, str]
) -> Record:
    from foretell.predictors.metrics import PromotionState, decide

    family, number = judged.family.name, str(judged.version.version)
    old = record.promotion_state
    reasons: dict[str, str] = {}
    drift = None if judged.drifted_on is None else judged.drifted_on.date().toordinal()
    if old.shadow is not None and drift is not None and (record.frozen or 0) < drift:
        # It learnt from requests that are no more, and would keep those that learn from today's waiting for weeks.
        reasons[old.shadow] = (
            f"Night of {_day(night)}: version {old.shadow} is dropped as the shadow: it was frozen before the "
            f"forecasts drifted on {_day(drift)}."
        )
        old = PromotionState.from_dict(without_shadow(old))
    losses = _losses(registry, judged, old, night, champion)
    state, decision = decide(old, losses, judged.policy.promotion_rule)
    promoted = decision.action == "promote"
    before, after = around
    new = Record(
        state.to_dict(),
        decision.candidate if promoted else record.champion,
        with_former(record, record.champion) if promoted else record.former,
        decision.action,
        f"{before}{_paragraph(night, number, record, old, decision)}{after}",
        frozen=night if decision.action == "start_shadow" else record.frozen if state.shadow is not None else None,
    )
    reasons[number] = new.reason
    if old.shadow is not None:
        reasons[old.shadow] = new.reason
        points = {"promotion/log_e": decision.log_e, "promotion/gain": decision.gain}
        finite = {key: value for key, value in points.items() if np.isfinite(value)}
        registry.log_series(registry.version(family, old.shadow), night, finite)
    return commit(registry, family, new, reasons)


def _losses(
    registry: Registry, judged: Judged, state: PromotionState, night: int, champion: BasePredictor
) -> NightlyLosses:
    """Tonight's differences per query.

    The screen reuses test queries, which no fit ever learns from. A shadow is judged only on queries that came up
    for the first time after the last judged night: neither it nor the champion has seen them, nor were
    they used to choose it.
    """
    from foretell.predictors.metrics import NightlyLosses

    rows = judged.examples[~judged.examples["is_capped"] & ~sealed(judged.examples)]
    days = rows["started_at"].dt.floor("D")
    after = pd.Timestamp(date.fromordinal(max(state.night, 1)), tz="UTC")
    table = judged.evaluation
    head = table[(table["segment"] == "all") & (table["metric"] == judged.policy.metric)].iloc[0]
    floor = None if pd.isna(head["noise_floor"]) else float(head["noise_floor"])
    if state.shadow is not None:
        is_new = days.groupby(rows[judged.family.fresh_by]).transform("min") > after
        try:
            shadow = registry.load(registry.version(judged.family.name, state.shadow))
        except DatasetError:
            # Gone or written by code that this one cannot read: it can gain no more evidence and will be dropped.
            return NightlyLosses(night, floor=floor)
        differences = loss_differences(judged.family, rows[is_new], champion, {0: shadow}, judged.policy.metric)[0]
        return NightlyLosses(night, shadow_differences=differences, floor=floor)
    since = pd.Timestamp(date.fromordinal(night), tz="UTC") - pd.Timedelta(
        days=judged.policy.promotion_rule.screen_nights
    )
    screen = rows[(rows["split"] == "test") & (days > since)]
    newcomer = {0: judged.fitted.predictor}
    differences = loss_differences(judged.family, screen, champion, newcomer, judged.policy.metric)[0]
    return NightlyLosses(night, challenger=str(judged.version.version), screen_differences=differences, floor=floor)


def _paragraph(night: int, number: str, record: Record, old: PromotionState, decision: PromotionDecision) -> str:
    champion = f"Champion stays version {record.champion}."
    if decision.action == "promote":
        champion = f"Version {decision.candidate} is champion in place of version {record.champion}."
    if old.shadow is None:
        what = {"start_shadow": "becomes the shadow"}.get(decision.action, "did not clear the screen")
        return f"Night of {_day(night)}: version {number} {what}: {decision.reason}. {champion}"
    what = {"promote": "is promoted", "drop_shadow": "is dropped"}.get(decision.action, "stays the shadow")
    return (
        f"Night of {_day(night)}: version {old.shadow} {what}: {decision.reason}. "
        f"Version {number} was not screened meanwhile. {champion}"
    )


def _day(night: int) -> str:
    return date.fromordinal(max(night, 1)).isoformat()
