"""`foretell adapt`: the champion with what a few runs say, registered as a version."""

from pathlib import Path
from typing import Annotated

import typer

from foretell.pipelines.cli.console import counted, out, say_next, say_problems
from foretell.pipelines.cli.options import QUOTE, FamilyName
from foretell.pipelines.settings import Settings
from foretell.predictors.errors import InvalidInputError


def adapt(
    family: FamilyName,
    files: Annotated[list[Path], typer.Argument(help="Finished runs: any log that `foretell ingest` reads.")],
) -> None:
    """Teach the champion what a few runs say, without training again, and register what comes of it."""
    from foretell.assets.lake.own_runs import read_runs
    from foretell.assets.nightly.adapting import FAMILY, adapt_champion

    if family != FAMILY:
        raise InvalidInputError(f"{family} learns from no single runs: `foretell adapt` is for {FAMILY}")
    settings = Settings()
    runs, problems = read_runs(files, price_file=settings.price_file)
    say_problems(problems, most=5)
    before, after = adapt_champion(
        settings.open_registry(), runs, public=settings.sources.public, locks=settings.home / "locks"
    )
    left = f", {counted(len(problems), 'record')} left out" if problems else ""
    out.print(
        f"{family} version {after} is champion: version {before} and {counted(len(runs), 'run')}{left}. "
        f"`foretell rollback {family}` takes it back; `foretell retrain` learns from what `foretell ingest` has landed."
    )
    say_next(QUOTE)
