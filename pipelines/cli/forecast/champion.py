"""The predictor that a command asks: the champion of a family unless another version or a folder is named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from foretell.pipelines.cli.console import counted, say
from foretell.predictors.errors import DatasetError, InvalidInputError
from foretell.predictors.families import FAMILIES

if TYPE_CHECKING:
    import pandas as pd

    from foretell.pipelines.settings import Settings
    from foretell.predictors.base import BasePredictor
    from foretell.predictors.thinking_tokens.log_quantiles import LogQuantilePredictor

REGISTERED = "models:/"
WORDS = {
    "neither": "neither model nor benchmark known",
    "benchmark": "benchmark known, model not",
    "model": "model known, benchmark not",
    "cell": "model and benchmark known",
}
"""What `BasePredictor.known_of` answers, in words, the least known first."""


def load_champion(settings: Settings, family: str, source: Path | str | None = None) -> BasePredictor:
    """The predictor of a family that is to be asked; it is said where another than the champion answers.

    `source` is a folder that `BasePredictor.save` wrote, ``models:/<family>@<alias>`` or
    ``models:/<family>/<version>``; by default the champion, or what stands in for it (`answering`).

    Raises
    ------
    InvalidInputError
        If there is no such family.
    DatasetError
        If nothing is there, or what is there is of another family or version of the code.
    """
    from foretell.predictors.base import load_predictor

    if family not in FAMILIES:
        raise InvalidInputError(f"`family` must be one of {', '.join(FAMILIES)}, got {family!r}")
    if source is None:
        answer = answering(settings, family)
        if answer.note:
            say(answer.note)
        predictor = answer.predictor
    elif str(source).startswith(REGISTERED):
        predictor = _registered(settings, str(source))
    else:
        predictor = load_predictor(source)
    if predictor.family != family:
        raise DatasetError(f"{source}: holds a predictor of {predictor.family}, not of {family}")
    return predictor


def say_what_waits(
    settings: Settings, predictor: BasePredictor, inputs: pd.DataFrame, source: Path | str | None
) -> None:
    """Say where the champion is only a baseline, or a better version waits behind it; nothing for a named source.

    `inputs` are what is asked about, with the first of the predictor's `scope_columns`, such as `model`.
    """
    from foretell.assets.nightly.serving import baseline_note, waiting_version

    if source is not None or not settings.has_registry:
        return
    registry = settings.open_registry()
    asked = {str(value) for name in predictor.scope_columns[:1] if name in inputs for value in inputs[name].dropna()}
    for note in (baseline_note(registry, predictor.family), waiting_version(registry, predictor.family, asked)):
        if note is not None:
            say(note)


def load_quoting(settings: Settings, models: Sequence[str], source: str | None) -> LogQuantilePredictor:
    """The predictor that quotes a batch on `models`; what waits behind it is said.

    Raises `DatasetError` if there is none, or it cannot quote.
    """
    import pandas as pd

    from foretell.predictors.thinking_tokens.log_quantiles import LogQuantilePredictor

    predictor = load_champion(settings, "thinking_tokens", source)
    if not isinstance(predictor, LogQuantilePredictor):
        raise DatasetError(f"a {type(predictor).__name__} cannot quote a batch: run `foretell retrain thinking_tokens`")
    say_what_waits(settings, predictor, pd.DataFrame({"model": models}), source)
    return predictor


@dataclass(frozen=True)
class Answering:
    """What answers for a family; `note` must be said before an answer, where there is one."""

    predictor: BasePredictor
    version: str
    note: str = ""


def champion_number(settings: Settings, family: str) -> str | None:
    """The version that is champion of a family; None where none was registered."""
    from foretell.assets.registry.tracking import CHAMPION

    return settings.open_registry().family(family).aliases.get(CHAMPION) if settings.has_registry else None


def answering(settings: Settings, family: str) -> Answering:
    """The champion of a family, or a former one where it is damaged, or what came with the package where there is none.

    Raises `DatasetError` if there is none, or it cannot be read.
    """
    from foretell.assets.nightly.serving import load_serving
    from foretell.assets.registry.shipped import SHIPPED, load_shipped

    if champion_number(settings, family) is None:
        shipped = load_shipped(settings.sources.public, family)
        if shipped is not None:
            return Answering(shipped.predictor, SHIPPED, shipped.note)
    serving = load_serving(settings.open_registry(), family)
    return Answering(serving.predictor, str(serving.version.version), serving.fault)


def _registered(settings: Settings, uri: str) -> BasePredictor:
    name, at, alias = uri.removeprefix(REGISTERED).partition("@")
    family, _, number = name.partition("/")
    registry = settings.open_registry()
    version = registry.family(family).aliases.get(alias) if at else number
    if not version:
        raise DatasetError(f"{uri} does not exist yet: run `foretell retrain {family}`, or `foretell demo`")
    return registry.load(registry.version(family, version))


def known_lines(known: pd.Series) -> list[str]:
    """How many rows each is true of, such as ``neither model nor benchmark known: 2 rows``; none where none is told."""
    counts = known.value_counts()
    parts = [f"{words}: {counted(int(counts[name]), 'row')}" for name, words in WORDS.items() if name in counts]
    return ["; ".join(parts)] if parts else []
