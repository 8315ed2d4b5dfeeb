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
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from foretell.assets.judging.family import Family
from foretell.assets.judging.pipeline import FittedFamily, forecasts_by_cell, loss_differences
from foretell.assets.judging.vault import usable
from foretell.assets.nightly.record import DECISION_TAG, Record, commit, settle, with_former, without_shadow
from foretell.assets.nightly.serving import Serving, load_serving
from foretell.assets.registry.policy import Policy
from foretell.assets.registry.shipped import SHIPPED, load_shipped, register_shipped
from foretell.assets.registry.tracking import BASELINE, BASIS_TAG, Registry
from foretell.predictors.base import BasePredictor, Cell
from foretell.predictors.errors import DatasetError, InvalidInputError
from foretell.predictors.schemas.examples import has_days

if TYPE_CHECKING:
    from foretell.assets.registry.versions import Version
    from foretell.predictors.metrics import NightlyLosses, PromotionDecision, PromotionState, ScopeDecision

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

    @cached_property
    def night(self) -> int | None:
        """Ordinal of the newest day with a row; None where no row tells its day."""
        if not has_days(self.examples):
            return None
        return int(self.examples["started_at"].max().toordinal())

    @property
    def head(self) -> pd.Series:
        """The row of the evaluation that decides."""
        table = self.evaluation
        row: pd.Series = table[(table["segment"] == "all") & (table["metric"] == self.policy.metric)].iloc[0]
        return row

    @cached_property
    def rows(self) -> pd.DataFrame:
        """The runs that may decide something: neither cut off nor in the vault."""
        return self.examples[usable(self.examples)]


def judge(registry: Registry, judged: Judged) -> Record:
    """Decide on tonight's version, once, and make the registry say so: what holds now, `reason` about this version.

    Deciding again on the same night changes nothing.
    """
    champion, record, loss = _standing(registry, judged, settle(registry, judged.family.name))
    if champion is None:
        return _first(registry, judged, record, loss)
    assert record is not None
    assert record.champion is not None
    if judged.version.version in (record.champion, record.shadow):
        return replace(record, reason=loss + record.reason)
    night = judged.night
    basis = registry.version(judged.family.name, record.champion).tags.get(BASIS_TAG)
    if basis in (BASELINE, SHIPPED) and (night is None or night >= record.state.night):
        return _first(registry, judged, record, loss, champion if basis == SHIPPED else None)
    by_scope = judge_scope(judged.family, judged.fitted.predictor, champion, judged.examples, judged.policy)
    if by_scope is not None and by_scope.promotes:
        return _covers(registry, judged, record, loss + by_scope.reason)
    why_not = "" if by_scope is None else f" By what it covers: {by_scope.reason}."
    if night is None or night <= record.state.night:
        return _not_judged(registry, judged, record, loss, why_not)
    return _later(registry, judged, record, night, champion, (loss, why_not))


# -- decisions --------------------------------------------------------------------------------------
def _standing(
    registry: Registry, judged: Judged, record: Record | None
) -> tuple[BasePredictor | None, Record | None, str]:
    """The champion that tonight's version is compared with, and what was lost where the champion cannot be read.

    A champion that cannot be read is replaced at once: by tonight's version where that is the very same fit, else by
    the newest former champion that can be read. Where there is none, the newcomer is judged as a first.
    """
    family, number = judged.family.name, judged.version.version
    if record is None or record.champion is None:
        return None, record, ""
    serving: Serving | None = None
    try:
        serving = load_serving(registry, family)
        fault = serving.fault
    except DatasetError as error:
        fault = str(error)
    if serving is not None and not fault:
        return serving.predictor, record, ""
    log.warning(fault)
    digest = registry.version(family, record.champion).tags.get("fit_digest")
    lost = f"The champion, version {record.champion}, cannot be read"
    if number != record.champion and digest is not None and digest == judged.version.tags.get("fit_digest"):
        reason = f"{lost}. Version {number} is the same fit, made anew."
        mended = Record(without_shadow(record), number, record.former, "mend", reason)
        return judged.fitted.predictor, commit(registry, family, mended, {number: reason}), f"{reason} "
    if serving is None:
        return None, record, f"{fault}. "
    former = str(serving.version.version)
    reason = f"{lost} ({fault}). Version {former} is champion again."
    kept = record.former[: record.former.index(former)]
    back = Record(without_shadow(record), former, kept, "fall_back", reason)
    return serving.predictor, commit(registry, family, back, {record.champion: reason}), f"{reason} "


def begin_with_shipped(registry: Registry, family: str, public: Path) -> None:
    """Where a family has no version yet, register the one that came with the package and make it champion."""
    if registry.family(family).versions:
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
    loss: str,
    shipped: BasePredictor | None = None,
) -> Record:
    """The first champion must beat its baseline by more than luck; until one does, the reference is champion.

    Where a predictor came with the package, that one stays until a fit is better than it by more than luck, or better
    than the baseline and not worse than it.
    """
    number, head, reference = judged.version.version, judged.head, judged.family.reference
    name = judged.policy.first_baseline or reference
    gain, lower, upper = (
        (head["gain"], head["gain_ci_lower"], head["gain_ci_upper"])
        if name == reference
        else _gain_over(judged, name, judged.fitted.baselines.get(name))
    )
    better = bool(lower > 0)
    reason = (
        f"{loss}First fit: {judged.policy.metric} {head['value']:.4f} against {head['value'] + gain:.4f} of {name}, "
        f"gain {gain:+.4f} [{lower:+.4f}, {upper:+.4f}]"
    )
    if shipped is not None:
        over, least, most = _gain_over(judged, SHIPPED, shipped)
        better = bool(least > 0 or (better and most >= 0))
        reason = f"{reason}, over the version that came with foretell {over:+.4f} [{least:+.4f}, {most:+.4f}]"
    if better:
        champion, reason = number, f"{reason}: version {number} is champion."
    elif shipped is not None and record is not None:
        champion = str(record.champion)
        reason = f"{reason}: better than neither by more than luck. Version {champion} stays."
    else:
        champion = str(judged.register_baseline().version)
        reason = (
            f"{reason}: the interval includes zero, so the baseline {reference} is champion as version "
            f"{champion} until a version beats {name} by more than luck."
        )
    former = () if record is None else with_former(record) if better and not loss else record.former
    action = "first" if better else SHIPPED if shipped is not None else "baseline"
    new = Record(without_shadow(record, judged.night), champion, former, action, reason)
    return commit(registry, judged.family.name, new, {number: reason, champion: reason})


def _covers(registry: Registry, judged: Judged, record: Record, why: str) -> Record:
    """The version answers for what the champion has never seen: it is champion at once, and judging starts anew."""
    when = "Rows without a day" if judged.night is None else f"Night of {_day(judged.night)}"
    number = judged.version.version
    reason = f"{when}: version {number} is champion in place of version {record.champion} by what it covers: {why}."
    new = Record(without_shadow(record, judged.night), number, with_former(record), "cover", reason)
    about = (number, record.shadow)
    return commit(registry, judged.family.name, new, {number: reason for number in about if number is not None})


def _not_judged(registry: Registry, judged: Judged, record: Record, before: str, after: str) -> Record:
    family, number, night = judged.family.name, judged.version.version, judged.night
    when = "no row tells its day" if night is None else _day(night)
    why = (
        "no row of the examples tells its day (`started_at`), so none is known to be labelled after a freeze; "
        f"`foretell promote {family} {number} --force` after a look at its error"
        if night is None
        else f"nothing newer than {_day(record.state.night)} was labelled since the last decision"
    )
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
    rows = judged.rows[judged.rows["split"] == "test"]
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
    from foretell.predictors.metrics import decide

    family, number = judged.family.name, judged.version.version
    old = record.state
    reasons: dict[str, str] = {}
    drift = None if judged.drifted_on is None else judged.drifted_on.date().toordinal()
    if old.shadow is not None and drift is not None and (record.frozen or 0) < drift:
        # It learnt from requests that are no more, and would keep those that learn from today's waiting for weeks.
        reasons[old.shadow] = (
            f"Night of {_day(night)}: version {old.shadow} is dropped as the shadow: it was frozen before the "
            f"forecasts drifted on {_day(drift)}."
        )
        old = without_shadow(record)
    losses = _losses(registry, judged, old, night, champion)
    state, decision = decide(old, losses, judged.policy.rule)
    promoted = decision.action == "promote"
    before, after = around
    new = Record(
        state,
        decision.candidate if promoted else record.champion,
        with_former(record) if promoted else record.former,
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

    family, metric = judged.family, judged.policy.metric
    rows, days = judged.rows, judged.rows["started_at"].dt.floor("D")
    floor = None if pd.isna(judged.head["noise_floor"]) else float(judged.head["noise_floor"])
    if state.shadow is not None:
        after = pd.Timestamp(date.fromordinal(max(state.night, 1)), tz="UTC")
        is_new = days.groupby(rows[family.fresh_by]).transform("min") > after
        try:
            shadow = registry.load(registry.version(family.name, state.shadow))
        except DatasetError:
            # Gone or written by code that this one cannot read: it can gain no more evidence and will be dropped.
            return NightlyLosses(night, floor=floor)
        differences = loss_differences(family, rows[is_new], champion, {0: shadow}, metric)[0]
        return NightlyLosses(night, shadow_differences=differences, floor=floor)
    screened = pd.Timedelta(days=judged.policy.rule.screen_nights)
    screen = rows[(rows["split"] == "test") & (days > pd.Timestamp(date.fromordinal(night), tz="UTC") - screened)]
    differences = loss_differences(family, screen, champion, {0: judged.fitted.predictor}, metric)[0]
    return NightlyLosses(night, challenger=judged.version.version, screen_differences=differences, floor=floor)


def judge_scope(
    family: Family, version: BasePredictor, champion: BasePredictor, examples: pd.DataFrame, policy: Policy
) -> ScopeDecision | None:
    """Whether a version becomes champion by what it covers.

    Only rows that are in no fit count: the test split, without those that were cut off or lie in the vault. None where
    the version has learnt from no cell that is new to the champion, where the champion was saved before cells were
    written down or names them otherwise, or where the version has forgotten a cell of the examples that it knows.
    """
    from foretell.predictors.metrics import ScopeLosses, decide_scope, query_losses

    fresh, familiar = version.known_cells, champion.known_cells
    if fresh is None or familiar is None or not fresh - familiar or version.scope_columns != champion.scope_columns:
        return None
    all_cells = set(version.cells(family.inputs(examples)))
    if (familiar & all_cells) - fresh:
        return None
    rows = examples[(examples["split"] == "test") & usable(examples)]
    cells = version.cells(family.inputs(rows))
    is_new = cells.isin(fresh - familiar)
    if not is_new.any():
        return None
    forecasts = forecasts_by_cell(family, {"version": version, "champion": champion}, rows)

    def losses(part: pd.DataFrame) -> NDArray[np.float64]:
        return query_losses(part, forecasts["version"], forecasts["champion"], metric=policy.metric, scale=family.scale)

    by_cell = {cell_name(cell): losses(rows[cells == cell]) for cell in sorted(set(cells[is_new]))}
    return decide_scope(ScopeLosses(by_cell, losses(rows[~is_new])), policy.scope)


def cell_name(cell: Cell) -> str:
    """A cell in words, such as ``gpt-5 high``; what it leaves open is left out."""
    return " ".join(value for value in cell if value) or "(unnamed)"


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
