"""`foretell promote`, `rollback` and `vault`: what people may do by hand, each with an audit line."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pandas as pd

from pipelines.console import out, print_evaluation, print_json, say
from pipelines.settings import Settings
from predictors.errors import InvalidInputError

__all__ = ["open_vault", "promote", "roll_back"]


def promote(settings: Settings, family: str, version: str, *, force: bool, why: str) -> None:
    """Make a version champion by hand.

    Raises
    ------
    InvalidInputError
        Without `force`: the rule promotes by itself, and says why it does not.
    DatasetError
        If there is no such version or it cannot be loaded.
    """
    from assets.promotion_record import family_lock, force_champion
    from pipelines.definitions import build_tracking

    registry = build_tracking(settings).registry()
    if not force:
        said = registry.version(family, version).tags.get("decision", "no night has judged it yet")
        raise InvalidInputError(f"version {version} is not promoted by the rule: {said} --force overrules it")
    with family_lock(settings.home / "locks", family):
        record = force_champion(registry, family, version, why)
    out.print(record.reason, markup=False)


def roll_back(settings: Settings, family: str, *, why: str) -> None:
    """Bring the former champion back.

    Raises
    ------
    DatasetError
        If there was none.
    """
    from assets.promotion_record import family_lock, rollback
    from pipelines.definitions import build_tracking

    registry = build_tracking(settings).registry()
    with family_lock(settings.home / "locks", family):
        record = rollback(registry, family, why)
    out.print(record.reason, markup=False)


def open_vault(settings: Settings, family: str, *, why: str, as_json: bool) -> None:
    """Judge the champion on the sealed queries, for a report; the opening is logged first.

    Raises
    ------
    InvalidInputError
        If the vault is empty, there is no champion, or it was opened too often in a year.
    """
    table = vault_evaluation(settings, family, why)
    if as_json:
        print_json(table)
    else:
        print_evaluation(table)


def vault_evaluation(settings: Settings, family: str, why: str) -> pd.DataFrame:
    """The Evaluation table of the champion on the vault; see `open_vault`."""
    from assets.family import FittedFamily, evaluate_family, load_newest_fit
    from assets.io import read_table
    from assets.promotion_record import audit, audit_lines, family_lock
    from assets.vault import MIN_QUERIES, OPENINGS_PER_YEAR, sealed
    from pipelines.definitions import build_tracking
    from pipelines.evaluation import family_module

    pipeline = family_module(family).PIPELINE
    registry = build_tracking(settings).registry()
    examples = read_table(settings.home / "lake", f"{family}_examples")
    inside = examples[sealed(examples)]
    champion = registry.champion(family)
    if inside.empty or champion is None:
        raise InvalidInputError(
            f"{family} has no {'champion' if champion is None else 'vault'} yet: a vault begins with {MIN_QUERIES} "
            f"sealed queries, about {25 * MIN_QUERIES} queries in the window"
        )
    with family_lock(settings.home / "locks", family):
        year_ago = f"{datetime.now(UTC) - timedelta(days=365):%Y-%m-%d}"
        opened = [line for line in audit_lines(registry, family) if ": vault opened" in line and line > year_ago]
        if len(opened) >= OPENINGS_PER_YEAR:
            raise InvalidInputError(
                f"the vault of {family} was opened {len(opened)} times within a year, at most {OPENINGS_PER_YEAR} "
                "keep it fresh; the last: " + opened[-1]
            )
        audit(registry, family, f"vault opened on version {champion.version}: {why}")
    say(f"opening {len(opened) + 1} of {OPENINGS_PER_YEAR} this year, logged")
    baselines = load_newest_fit(settings.home / "models" / family).baselines
    fitted = FittedFamily("", "", registry.load(champion), baselines)
    # Under another name than the lake's, so that nothing is left out of it.
    return evaluate_family(pipeline, fitted, inside, dataset="vault")
