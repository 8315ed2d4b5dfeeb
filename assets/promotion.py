"""Which version is champion: screen, shadow, e-value, with the registry as the only memory.

The rule itself is `predictors.metrics.promotion.decide`. This module gives it a night's losses and writes
down what it says so that a kill at any moment leaves either the old state or the new one:

1. the reason goes to the version, the e-value to the metric series of the shadow's run;
2. one tag of the registered model takes the whole new state, marked as *pending*: from here on it holds;
3. the aliases follow, `champion` last; then the mark is taken off.

A run that dies before 2 is simply repeated (same data, same state, same decision); one that dies after it is
rolled forward by the next, with the old champion serving until then. Nights are numbered by the newest day of
the data, never by the clock, so a clock that jumps changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, date, datetime
from getpass import getuser
from pathlib import Path
from socket import gethostname
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from assets.family import FamilyPipeline, FittedFamily, forecasts_by_cell
from assets.policy import Policy
from assets.tracking import CHAMPION, SHADOW, Registry
from assets.vault import sealed
from predictors.base import BasePredictor
from predictors.errors import DatasetError, InvalidInputError

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

    from predictors.metrics.promotion import NightlyLosses, PromotionDecision, PromotionState

__all__ = ["Record", "audit", "family_lock", "force_champion", "judge", "newest_night", "read_record", "rollback"]

RECORD_TAG = "foretell.promotion"
DECISION_TAG = "decision"
AUDIT = "audit."
MAX_FORMER = 20
LOCK_WAIT_S = 3600.0


@dataclass(frozen=True)
class Record:
    """What the registry remembers of a family between nights.

    Attributes
    ----------
    state : dict
        `PromotionState.to_dict()`.
    champion : str or None
        Version that consumers load.
    former : tuple of str
        Champions before it, oldest first.
    action : str
        What the last decision did.
    reason : str
        Why, in a paragraph.
    pending : bool
        Whether the aliases may still have to follow.
    frozen : int or None
        Night on which the shadow was frozen.
    """

    state: dict[str, Any]
    champion: str | None = None
    former: tuple[str, ...] = ()
    action: str = "wait"
    reason: str = ""
    pending: bool = False
    frozen: int | None = None

    @property
    def promotion_state(self) -> PromotionState:
        from predictors.metrics.promotion import PromotionState

        return PromotionState.from_dict(self.state)

    @property
    def shadow(self) -> str | None:
        """Version that is being judged, if any."""
        return self.state.get("shadow")


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


@contextmanager
def family_lock(folder: Path, family: str, *, wait_s: float = LOCK_WAIT_S) -> Iterator[None]:
    """Hold a family on this machine: two retrains of it never overlap.

    The kernel releases the lock when its holder dies, however it dies, so a killed run never blocks the next.

    Raises
    ------
    DatasetError
        If another process holds it for longer than `wait_s`.
    """
    from filelock import FileLock, Timeout

    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / f"{family}.lock", timeout=wait_s):
            yield
    except Timeout as error:
        raise DatasetError(f"another process has held {family} for {wait_s:.0f} s: wait for it or end it") from error


def newest_night(examples: pd.DataFrame) -> int | None:
    """Ordinal of the newest day with a row; None where no row tells its day."""
    if "started_at" not in examples or not examples["started_at"].notna().any():
        return None
    newest: date = examples["started_at"].max().date()
    return newest.toordinal()


def read_record(registry: Registry, family: str) -> Record | None:
    """What the registry remembers; None before the first decision."""
    text = registry.tags(family).get(RECORD_TAG)
    if text is None:
        return None
    content = json.loads(text)
    return Record(**{**content, "former": tuple(content["former"])})


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
            "no row of the examples tells its day (`started_at`), so none is known to be labelled after a freeze"
            if night is None
            else f"nothing newer than {_day(record.state['night'])} was labelled since the last decision"
        )
        reason = f"Not judged ({when}): {why}. Champion stays version {record.champion}."
        if DECISION_TAG not in judged.version.tags:
            registry.tag_version(family, number, DECISION_TAG, reason)
        return replace(record, reason=judged.version.tags.get(DECISION_TAG, reason))
    return _later(registry, judged, record, night, champion)


def settle(registry: Registry, family: str) -> Record | None:
    """Finish what a killed run had decided; take over what somebody did by hand."""
    record = read_record(registry, family)
    if record is not None and record.pending:
        record = _follow(registry, family, record)
    serving = registry.aliases(family).get(CHAMPION)
    if serving == (None if record is None else record.champion):
        return record
    reason = f"The alias `{CHAMPION}` was moved to version {serving} from outside; judging starts anew against it."
    state = _without_shadow(None if record is None else record.promotion_state)
    former = () if record is None else _with_former(record, record.champion)
    return _commit(registry, family, Record(state, serving, former, "adopt", reason))


def force_champion(registry: Registry, family: str, number: str, why: str) -> Record:
    """Make a version champion whatever the rule says, with an audit line.

    Raises
    ------
    DatasetError
        If there is no such version or it cannot be loaded.
    """
    registry.load(registry.version(family, number))
    record = settle(registry, family)
    if record is not None and record.champion == number:
        raise InvalidInputError(f"version {number} of {family} is the champion already")
    return _by_hand(registry, family, record, number, "force", why)


def rollback(registry: Registry, family: str, why: str) -> Record:
    """Bring the champion before this one back, with an audit line.

    Raises
    ------
    DatasetError
        If there was none, or it cannot be loaded.
    """
    record = settle(registry, family)
    if record is None or not record.former:
        raise DatasetError(f"{family} had no champion before this one: nothing to roll back to")
    number = record.former[-1]
    registry.load(registry.version(family, number))
    return _by_hand(registry, family, record, number, "rollback", why)


def audit(registry: Registry, family: str, line: str) -> None:
    """Append a line to the family's audit tags: who, when, what. Numbered, because clocks jump."""
    who = f"{_user()}@{gethostname()}"
    key = f"{AUDIT}{1 + sum(tag.startswith(AUDIT) for tag in registry.tags(family)):05d}"
    registry.set_tag(family, key, f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC {who}: {line}")


def audit_lines(registry: Registry, family: str) -> list[str]:
    """Every audit line of a family, oldest first."""
    return [text for key, text in sorted(registry.tags(family).items()) if key.startswith(AUDIT)]


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
    state = _without_shadow(None if record is None else record.promotion_state)
    state["night"] = max(state["night"], -1 if night is None else night)
    former = () if record is None else _with_former(record, record.champion if better else None)
    champion = number if better else None if record is None else record.champion
    new = Record(state, champion, former, "first" if better else "wait", reason)
    return _commit(registry, family, new, {number: reason})


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
        old = PromotionState.from_dict(_without_shadow(old))
    losses = _losses(registry, judged, old, night, champion)
    state, decision = decide(old, losses, judged.policy.promotion_rule)
    promoted = decision.action == "promote"
    new = Record(
        state.to_dict(),
        decision.candidate if promoted else record.champion,
        _with_former(record, record.champion) if promoted else record.former,
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
    return _commit(registry, family, new, told)


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


# -- writing ----------------------------------------------------------------------------------------
def _commit(registry: Registry, family: str, record: Record, told: Mapping[str, str] | None = None) -> Record:
    for number, reason in (told or {}).items():
        registry.tag_version(family, number, DECISION_TAG, reason)
    return _follow(registry, family, _write(registry, family, replace(record, pending=True)))


def _follow(registry: Registry, family: str, record: Record) -> Record:
    """Point the aliases where the record says; the champion's moves last."""
    aliases = registry.aliases(family)
    for alias, wanted in ((SHADOW, record.shadow), (CHAMPION, record.champion)):
        if aliases.get(alias) != wanted:
            registry.point(family, alias, wanted)
    registry.set_tag(family, DECISION_TAG, record.reason)
    return _write(registry, family, replace(record, pending=False))


def _write(registry: Registry, family: str, record: Record) -> Record:
    registry.set_tag(family, RECORD_TAG, json.dumps(asdict(record), sort_keys=True))
    return record


def _by_hand(registry: Registry, family: str, record: Record | None, number: str, action: str, why: str) -> Record:
    before = None if record is None else record.champion
    reason = f"By hand ({action}): version {number} is champion in place of version {before}: {why}"
    former = () if record is None else _with_former(record, before)
    if action == "rollback":
        former = former[:-2]  # neither the one that is back nor the one that was wrong
    audit(registry, family, f"{action}: {before} -> {number}: {why}")
    state = _without_shadow(None if record is None else record.promotion_state)
    return _commit(registry, family, Record(state, number, former, action, reason), {number: reason})


def _load(registry: Registry, family: str, record: Record | None) -> tuple[BasePredictor | None, str]:
    if record is None or record.champion is None:
        return None, ""
    try:
        return registry.load(registry.version(family, record.champion)), ""
    except DatasetError as error:
        # Consumers can load it with the code it carries; we cannot, so the newcomer is judged as a first.
        return None, f"The champion cannot be compared with ({error}). "


def _without_shadow(state: PromotionState | None) -> dict[str, Any]:
    from predictors.metrics.promotion import PromotionState

    free = replace(state or PromotionState(), shadow=None, shadow_nights=0, n_units=0, total=0.0, total_squares=0.0)
    return free.to_dict()


def _with_former(record: Record, number: str | None) -> tuple[str, ...]:
    return record.former if number is None else (*record.former, number)[-MAX_FORMER:]


def _day(night: int) -> str:
    return date.fromordinal(max(night, 1)).isoformat()


def _user() -> str:
    try:
        return getuser()
    except (KeyError, OSError):  # a container without a name for its user
        return "unknown"
