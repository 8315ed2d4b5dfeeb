"""Which version is champion: screen, shadow, e-value, with the registry as the only memory.

The rule itself is `predictors.metrics.promotion.decide`. This module gives it a night's losses; what it says is
written by `assets.promotion_record`, so that a kill at any moment leaves either the old state or the new one. Nights
are numbered by the newest day of the data, never by the clock, so a clock that jumps changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from assets.family import FamilyPipeline, FittedFamily, forecasts_by_cell
from assets.policy import Policy
from assets.promotion_record import DECISION_TAG, Record, commit, settle, with_former, without_shadow
from assets.tracking import Registry
from assets.vault import sealed
from predictors.base import BasePredictor
from predictors.errors import DatasetError, InvalidInputError

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

    from predictors.metrics.promotion import NightlyLosses, PromotionDecision, PromotionState

__all__ = ["Judged", "judge", "newest_night"]


@dataclass(frozen=True)
class Judged:
    """One version and the runs that tonight's evidence comes from."""

    pipeline: FamilyPipeline
    fitted: FittedFamily
    version: ModelVersion
    examples: pd.DataFrame
    evaluation: pd.DataFrame
    policy: Policy = field(default_factory=Policy)
    drifted_on: pd.Timestamp | None = None


def newest_night(examples: pd.DataFrame) -> int | None:
    """Ordinal of the newest day with a row; None where no row tells its day."""
    if "started_at" not in examples or not examples["started_at"].notna().any():
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
    family, number = judged.pipeline.family, str(judged.version.version)
    record = settle(registry, family)
    if record is not None and number in (record.champion, record.shadow):
        return record
    night = newest_night(judged.examples)
    champion, unreadable = _load(registry, family, record)
    if champion is None:
        return _first(registry, judged, record, night, unreadable)
    assert record is not None
    when = "no row tells its day" if night is None else _day(night)
    if night is None or night <= record.state["night"]:
        why = (
            "no row of the examples tells its day (`started_at`), so none is known to be labelled after a freeze; "
            f"`foretell promote {family} {number} --force` after a look at its error"
            if night is None
            else f"nothing newer than {_day(record.state['night'])} was labelled since the last decision"
        )
        reason = f"Not judged ({when}): {why}. Champion stays version {record.champion}."
        if DECISION_TAG not in judged.version.tags:
            registry.tag_version(family, number, DECISION_TAG, reason)
        return replace(record, reason=judged.version.tags.get(DECISION_TAG, reason))
    return _later(registry, judged, record, night, champion)


# -- decisions --------------------------------------------------------------------------------------
def _first(registry: Registry, judged: Judged, record: Record | None, night: int | None, unreadable: str) -> Record:
    """The first champion must beat its baseline by more than luck."""
    family, number, metric = judged.pipeline.family, str(judged.version.version), judged.policy.metric
    name = judged.policy.first_baseline or judged.pipeline.reference
    table = judged.evaluation
    head = table[(table["segment"] == "all") & (table["metric"] == metric)].iloc[0]
    gain, lower, upper = (
        (head["gain"], head["gain_ci_lower"], head["gain_ci_upper"])
        if name == judged.pipeline.reference
        else _gain_over(judged, name)
    )
    better = bool(lower > 0)
    reason = (
        f"{unreadable}First fit: {metric} {head['value']:.4f} against {head['value'] + gain:.4f} of {name}, "
        f"gain {gain:+.4f} [{lower:+.4f}, {upper:+.4f}]"
        + (f": version {number} is champion." if better else ": the interval includes zero, so no champion is named.")
    )
    state = without_shadow(None if record is None else record.promotion_state)
    state["night"] = max(state["night"], -1 if night is None else night)
    former = () if record is None else with_former(record, record.champion if better else None)
    champion = number if better else None if record is None else record.champion
    new = Record(state, champion, former, "first" if better else "wait", reason)
    return commit(registry, family, new, {number: reason})


def _gain_over(judged: Judged, name: str) -> tuple[float, float, float]:
    """Gain of the fit over one of its baselines on the test rows, with its interval; above 0 is better."""
    from predictors.metrics import compare

    if name not in judged.fitted.baselines:
        raise InvalidInputError(
            f"mlflow/registry.yaml: {judged.pipeline.family} has no baseline {name!r}; `first_baseline` must be one of "
            f"{sorted(judged.fitted.baselines)}"
        )
    held_out = (judged.examples["split"] == "test") & ~judged.examples["is_capped"] & ~sealed(judged.examples)
    rows = judged.examples[held_out]
    models = {"new": judged.fitted.predictor, name: judged.fitted.baselines[name]}
    forecasts = forecasts_by_cell(judged.pipeline, models, rows)
    found = compare(rows, forecasts["new"], forecasts[name], metric=judged.policy.metric, scale=judged.pipeline.scale)
    return -found.difference, -found.ci_upper, -found.ci_lower


def _later(registry: Registry, judged: Judged, record: Record, night: int, champion: BasePredictor) -> Record:
    from predictors.metrics.promotion import PromotionState, decide

    family, number = judged.pipeline.family, str(judged.version.version)
    old = record.promotion_state
    told: dict[str, str] = {}
    drift = None if judged.drifted_on is None else judged.drifted_on.date().toordinal()
    if old.shadow is not None and drift is not None and (record.frozen or 0) < drift:
        # It learnt from requests that are no more, and would keep those that learn from today's waiting for weeks.
        told[old.shadow] = (
            f"Night of {_day(night)}: version {old.shadow} is dropped as the shadow: it was frozen before the "
            f"forecasts drifted on {_day(drift)}."
        )
        old = PromotionState.from_dict(without_shadow(old))
    losses = _losses(registry, judged, old, night, champion)
    state, decision = decide(old, losses, judged.policy.promotion_rule)
    promoted = decision.action == "promote"
    new = Record(
        state.to_dict(),
        decision.candidate if promoted else record.champion,
        with_former(record, record.champion) if promoted else record.former,
        decision.action,
        _paragraph(night, number, record, old, decision),
        frozen=night if decision.action == "start_shadow" else record.frozen if state.shadow is not None else None,
    )
    told[number] = new.reason
    if old.shadow is not None:
        told[old.shadow] = new.reason
        points = {"promotion/log_e": decision.log_e, "promotion/gain": decision.gain}
        finite = {key: value for key, value in points.items() if np.isfinite(value)}
        registry.log_series(registry.version(family, old.shadow), night, finite)
    return commit(registry, family, new, told)


def _losses(
    registry: Registry, judged: Judged, state: PromotionState, night: int, champion: BasePredictor
) -> NightlyLosses:
    """Tonight's differences per query.

    The screen reuses test queries, which no fit ever learns from. A shadow is judged only on queries that came up
    for the first time after the last judged night: neither it nor the champion has seen them, nor were
    they used to choose it.
    """
    from predictors.metrics.promotion import NightlyLosses

    rows = judged.examples[~judged.examples["is_capped"] & ~sealed(judged.examples)]
    days = rows["started_at"].dt.floor("D")
    after = pd.Timestamp(date.fromordinal(max(state.night, 1)), tz="UTC")
    table = judged.evaluation
    head = table[(table["segment"] == "all") & (table["metric"] == judged.policy.metric)].iloc[0]
    floor = None if pd.isna(head["noise_floor"]) else float(head["noise_floor"])
    if state.shadow is not None:
        is_new = days.groupby(rows["query_id"]).transform("min") > after
        try:
            shadow = registry.load(registry.version(judged.pipeline.family, state.shadow))
        except DatasetError:
            # Gone or written by code that this one cannot read: it can gain no more evidence and will be dropped.
            return NightlyLosses(night, floor=floor)
        found = _differences(judged, shadow, champion, rows[is_new])
        return NightlyLosses(night, shadow_differences=found, floor=floor)
    since = pd.Timestamp(date.fromordinal(night), tz="UTC") - pd.Timedelta(
        days=judged.policy.promotion_rule.screen_nights
    )
    screen = rows[(rows["split"] == "test") & (days > since)]
    found = _differences(judged, judged.fitted.predictor, champion, screen)
    return NightlyLosses(night, challenger=str(judged.version.version), screen_differences=found, floor=floor)


def _differences(
    judged: Judged, candidate: BasePredictor, champion: BasePredictor, rows: pd.DataFrame
) -> NDArray[np.float64]:
    from predictors.metrics import query_differences

    if rows.empty:
        return np.empty(0)
    forecasts = forecasts_by_cell(judged.pipeline, {"candidate": candidate, "champion": champion}, rows)
    return query_differences(
        rows,
        forecasts["candidate"],
        forecasts["champion"],
        metric=judged.policy.metric,
        scale=judged.pipeline.scale,
    )


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


def _load(registry: Registry, family: str, record: Record | None) -> tuple[BasePredictor | None, str]:
    if record is None or record.champion is None:
        return None, ""
    try:
        return registry.load(registry.version(family, record.champion)), ""
    except DatasetError as error:
        # Consumers can load it with the code it carries; we cannot, so the newcomer is judged as a first.
        return None, f"The champion cannot be compared with ({error}). "


def _day(night: int) -> str:
    return date.fromordinal(max(night, 1)).isoformat()
