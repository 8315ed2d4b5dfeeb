"""`foretell vault`: the champion on the sealed queries."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from foretell.pipelines.cli.console import say
from foretell.pipelines.cli.options import FamilyName, flat
from foretell.pipelines.cli.output import PlainOutput
from foretell.pipelines.settings import Settings
from foretell.predictors.errors import InvalidInputError


@flat
def vault(
    family: FamilyName,
    why: Annotated[str, typer.Option(help="For the log of openings.")],
    output: PlainOutput,
) -> None:
    """Judge the champion on the sealed queries, for a report; four times a year at most."""
    from foretell.assets.families import get_family
    from foretell.assets.judging.pipeline import FittedFamily, load_newest_fit
    from foretell.assets.judging.splits import evaluate_family
    from foretell.assets.judging.vault import MIN_QUERIES, OPENINGS_PER_YEAR, sealed
    from foretell.assets.nightly.record import audit, audit_lines, family_lock
    from foretell.assets.store.io import read_table
    from foretell.pipelines.cli.judge.tables import evaluation_page

    settings = Settings()
    registry = settings.open_registry()
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
    table = evaluate_family(get_family(family), fitted, inside, dataset="vault", leave_out_vault=False)
    output.show(table, evaluation_page(table))
