"""`foretell retrain`: the job of a family, here and now."""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.console import out, say
from pipelines.runs import execute, locked, open_instance
from pipelines.settings import Settings
from predictors.errors import InvalidInputError
from predictors.families import FAMILIES

__all__ = ["run_retrain"]


def run_retrain(settings: Settings, families: Sequence[str]) -> None:
    """Run ``retrain_<family>`` for each family and print what was decided.

    Raises
    ------
    InvalidInputError
        If there is no such family.
    RunFailedError
        If a step failed, or another run holds this installation.
    """
    from assets.io import read_table

    unknown = [name for name in families if name not in FAMILIES]
    if unknown:
        raise InvalidInputError(f"unknown family {unknown[0]!r}; there is {', '.join(FAMILIES)}")
    with locked(settings), settings.open_engine(), open_instance(settings) as instance:
        for family in families:
            say(f"{family}:")
            execute(f"retrain_{family}", settings, instance, progress=_progress)
            row = read_table(settings.home / "lake", f"{family}_registered_model").iloc[0]
            out.print(f"{family} version {row['version']}: {row['decision']}", markup=False)


def _progress(step: str, seconds: float) -> None:
    say(f"  {step:<34} {seconds:6.1f} s")
