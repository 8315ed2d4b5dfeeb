"""`foretell retrain`: the job of a family, here and now."""

from typing import Annotated

import typer

from foretell.assets.store.io import read_table
from foretell.pipelines.cli.console import out, say, say_next
from foretell.pipelines.cli.options import QUOTE, check_family
from foretell.pipelines.cli.progress import UnderWay
from foretell.pipelines.runs import curate_tables, execute, locked, open_instance, refresh
from foretell.pipelines.settings import Settings
from foretell.predictors.errors import DatasetError
from foretell.predictors.families import FAMILIES

NEXT = {"thinking_tokens": QUOTE, "success": "route FILE --budget USD", "downstream_scaling": "compute FILE"}
"""What answers with a champion, where that is not `predict` alone."""


def retrain(
    families: Annotated[list[str] | None, typer.Argument(help="Families; by default all of them.")] = None,
) -> None:
    """Refit, judge and register families now, as their schedules do."""
    from foretell.assets.families import get_family

    settings, families = Settings(), families or list(FAMILIES)
    for family in families:
        check_family(family)
    with locked(settings), settings.open_engine(), open_instance(settings) as instance:
        with UnderWay("curate") as way:
            curate_tables(settings, instance, way.step)
        for family in families:
            say(f"{family}:")
            with UnderWay(f"retrain {family}") as way:
                if not get_family(family).adds_own:
                    execute(f"retrain_{family}", settings, instance, progress=way.step)
                elif not refresh(settings, instance, family, way.step, force=not _has_champion(settings, family)):
                    say("  nothing has changed since the last time")
            row = read_table(settings.home / "lake", f"{family}_registered_model").iloc[0]
            out.print(f"{family} version {row['version']}: {row['decision']}")
    say_next(*dict.fromkeys(NEXT.get(family, f"predict {family} FILE") for family in families))


def _has_champion(settings: Settings, family: str) -> bool:
    """Whether the family has a champion that can be read."""
    from foretell.assets.nightly.serving import load_serving

    try:
        return not load_serving(settings.open_registry(), family).fault
    except DatasetError:
        return False
