"""What the registry remembers of promotion: one tag, written so that a kill leaves the old state or the new one.

A decision is several writes (`foretell.assets.nightly.promotion` says which state it leads to):

1. the reason goes to the version, the e-value to the metric series of the shadow's run;
2. one tag of the registered model takes the whole new state, marked as *pending*: from here on it holds;
3. the aliases follow, `champion` last; then the mark is taken off.

A run that dies before 2 is simply repeated (same data, same state, same decision); one that dies after it is
rolled forward by the next, with the old champion serving until then. What people do by hand takes the same way.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from getpass import getuser
from pathlib import Path
from socket import gethostname

from foretell.assets.registry.tracking import CHAMPION, SHADOW, Registry
from foretell.predictors.errors import DatasetError, InvalidInputError
from foretell.predictors.metrics import PromotionState

RECORD_TAG = "foretell.promotion"
DECISION_TAG = "decision"
AUDIT = "audit."
MAX_FORMER = 20
LOCK_WAIT_S = 3600.0


@dataclass(frozen=True)
class Record:
    """What the registry remembers of a family between nights.

    `state` is that of the rule, `champion` the version that consumers load, `former` the champions before it, oldest
    first. `action` is what the last decision did, `reason` why, in a paragraph. `pending` is whether the aliases
    may still have to follow, `frozen` the night on which the shadow was frozen.
    """

    state: PromotionState
    champion: str | None = None
    former: tuple[str, ...] = ()
    action: str = "wait"
    reason: str = ""
    pending: bool = False
    frozen: int | None = None

    @property
    def shadow(self) -> str | None:
        """Version that is being judged, if any."""
        return self.state.shadow


@contextmanager
def family_lock(folder: Path, family: str, *, wait_s: float = LOCK_WAIT_S) -> Iterator[None]:
    """Hold a family on this machine: two retrains of it never overlap.

    The kernel releases the lock when its holder dies, however it dies, so a killed run never blocks the next.

    Raises DatasetError if another process holds it for longer than `wait_s`.
    """
    from filelock import FileLock, Timeout

    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / f"{family}.lock", timeout=wait_s):
            yield
    except Timeout as error:
        raise DatasetError(f"another process has held {family} for {wait_s:.0f} s: wait for it or end it") from error


def read_record(registry: Registry, family: str) -> Record | None:
    """What the registry remembers; None before the first decision.

    Raises DatasetError if somebody else has written into it.
    """
    text = registry.family(family).tags.get(RECORD_TAG)
    if text is None:
        return None
    try:
        content = json.loads(text)
        state, former = PromotionState.from_dict(content["state"]), tuple(map(str, content["former"]))
        return Record(**{**content, "state": state, "former": former})
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DatasetError(
            f"the tag {RECORD_TAG} of registered model {family} cannot be read ({error}); delete it, and judging "
            "starts anew against the champion"
        ) from error


def settle(registry: Registry, family: str) -> Record | None:
    """Finish what a killed run had decided; take over what somebody did by hand."""
    record = read_record(registry, family)
    if record is not None and record.pending:
        record = _follow(registry, family, record)
    serving = registry.family(family).aliases.get(CHAMPION)
    if serving == (None if record is None else record.champion):
        return record
    reason = f"The alias `{CHAMPION}` was moved to version {serving} from outside; judging starts anew against it."
    return commit(registry, family, Record(without_shadow(record), serving, with_former(record), "adopt", reason))


def force_champion(registry: Registry, family: str, number: str, why: str) -> Record:
    """Make a version champion whatever the rule says, with an audit line.

    Raises DatasetError if there is no such version or it cannot be loaded.
    """
    registry.load(registry.version(family, number))
    record = settle(registry, family)
    if record is not None and record.champion == number:
        raise InvalidInputError(f"version {number} of {family} is the champion already")
    return _by_hand(registry, family, record, number, "force", why)


def rollback(registry: Registry, family: str, why: str) -> Record:
    """Bring the champion before this one back, with an audit line.

    Raises DatasetError if there was none, or it cannot be loaded.
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
    key = f"{AUDIT}{1 + sum(tag.startswith(AUDIT) for tag in registry.family(family).tags):05d}"
    registry.set_tag(family, key, f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC {who}: {line}")


def audit_lines(registry: Registry, family: str) -> list[str]:
    """Every audit line of a family, oldest first."""
    return [text for key, text in sorted(registry.family(family).tags.items()) if key.startswith(AUDIT)]


def commit(registry: Registry, family: str, record: Record, told: Mapping[str, str] | None = None) -> Record:
    """Make a new state hold; `told` is the reason of every version that it is about."""
    for number, reason in (told or {}).items():
        registry.tag_version(family, number, DECISION_TAG, reason)
    return _follow(registry, family, _write(registry, family, replace(record, pending=True)))


def _follow(registry: Registry, family: str, record: Record) -> Record:
    """Point the aliases where the record says; the champion's moves last."""
    aliases = registry.family(family).aliases
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
    former = with_former(record)
    if action == "rollback":
        former = former[:-2]  # neither the one that is back nor the one that was wrong
    audit(registry, family, f"{action}: {before} -> {number}: {why}")
    return commit(registry, family, Record(without_shadow(record), number, former, action, reason), {number: reason})


def without_shadow(record: Record | None, night: int | None = None) -> PromotionState:
    """The state of a record whose shadow, if it has one, was let go; what is up to `night` is judged."""
    state = PromotionState() if record is None else record.state
    judged = max(state.night, -1 if night is None else night)
    return replace(state, night=judged, shadow=None, shadow_nights=0, n_units=0, total=0.0, total_squares=0.0)


def with_former(record: Record | None) -> tuple[str, ...]:
    """The former champions with the champion of a record, the newest last."""
    if record is None or record.champion is None:
        return () if record is None else record.former
    return (*record.former, record.champion)[-MAX_FORMER:]


def _user() -> str:
    try:
        return getuser()
    except (KeyError, OSError):  # a container without a name for its user
        return "unknown"
