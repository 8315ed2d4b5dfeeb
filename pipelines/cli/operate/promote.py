"""`foretell promote` and `foretell rollback`: the champion by hand, each with an audit line."""

from typing import Annotated

import typer

from foretell.pipelines.cli.console import out
from foretell.pipelines.cli.options import FamilyName
from foretell.pipelines.settings import Settings
from foretell.predictors.errors import InvalidInputError

Why = Annotated[str, typer.Option(help="For the audit line.")]


def promote(
    family: FamilyName,
    version: Annotated[str, typer.Argument(help="The version that is to be champion.")],
    why: Why,
    force: Annotated[bool, typer.Option("--force", help="Overrule the promotion rule.")] = False,
) -> None:
    """Make a version champion by hand; the registry keeps who, when and why."""
    from foretell.assets.nightly.record import family_lock, force_champion

    settings = Settings()
    registry = settings.open_registry()
    if not force:
        decision = registry.version(family, version).tags.get("decision", "no night has judged it yet")
        raise InvalidInputError(f"version {version} is not promoted by the rule: {decision} --force overrules it")
    with family_lock(settings.home / "locks", family):
        out.print(force_champion(registry, family, version, why).reason)


def rollback(family: FamilyName, why: Why) -> None:
    """Bring the former champion back; the registry keeps who, when and why."""
    from foretell.assets.nightly import record

    settings = Settings()
    with record.family_lock(settings.home / "locks", family):
        out.print(record.rollback(settings.open_registry(), family, why).reason)
