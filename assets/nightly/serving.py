"""The version that answers tonight: the champion, or a former one where it is damaged, and what waits behind it."""

from collections.abc import Collection
from dataclasses import dataclass

from foretell.assets.nightly.record import DECISION_TAG, read_record
from foretell.assets.registry.tracking import BASELINE, BASIS_TAG, CHAMPION, Registry
from foretell.assets.registry.versions import Version
from foretell.predictors.base import BasePredictor, Cell
from foretell.predictors.errors import DatasetError


@dataclass(frozen=True)
class Serving:
    """A version that can be asked; `fault` says why it is not the champion, and is empty where it is."""

    predictor: BasePredictor
    version: Version
    fault: str = ""


def load_serving(registry: Registry, family: str) -> Serving:
    """Load the champion, or the newest former champion that can be read where it cannot.

    Raises DatasetError if there is no champion, or neither it nor a former one can be read; names what is wrong with
    the champion.
    """
    champion = registry.family(family).aliases.get(CHAMPION)
    if champion is None:
        raise DatasetError(
            f"models:/{family}@champion does not exist yet: run `foretell retrain {family}`, or `foretell demo`"
        )
    record = read_record(registry, family)
    former = () if record is None else tuple(number for number in record.former if number != champion)
    first: DatasetError | None = None
    for number in (champion, *reversed(former)):
        try:
            version = registry.version(family, number)
            predictor = registry.load(version)
        except DatasetError as error:
            first = first or error
            continue
        fault = "" if first is None else f"the champion of {family} cannot be read, version {number} answers: {first}"
        return Serving(predictor, version, fault)
    assert first is not None
    raise DatasetError(f"{first}; no former champion can be read either: run `foretell retrain {family}`") from first


def baseline_note(registry: Registry, family: str) -> str | None:
    """A line for people where the champion is a baseline; None where it is a predictor of the family."""
    champion = registry.champion(family)
    if champion is None or champion.tags.get(BASIS_TAG) != BASELINE:
        return None
    return (
        f"version {champion.version} of {family} is its baseline: on the data so far the predictor is not better by "
        "more than luck"
    )


def waiting_version(registry: Registry, family: str, asked: Collection[str] = ()) -> str | None:
    """A line for people where a better version waits behind the champion; None where none does.

    `asked` is what is asked about, as in the first of the predictor's `scope_columns`, such as models. A version that
    has learnt from one of them, which the champion has not, is told of before a shadow that is ahead.
    """
    champion = registry.family(family).aliases.get(CHAMPION)
    if champion is None:
        return None
    covering = _covering(registry, family, champion, asked)
    if covering is not None:
        version, names = covering
        return (
            f"version {version.version} of {family} has learnt from {', '.join(sorted(names))} and waits behind "
            f"champion {champion}, which has not: {version.tags.get(DECISION_TAG, 'no night has judged it yet')} "
            f"Ask it with `--predictor models:/{family}/{version.version}`."
        )
    record = read_record(registry, family)
    if record is None or record.shadow is None:
        return None
    metrics = registry.metrics(registry.version(family, record.shadow))
    log_e, gain = metrics.get("promotion/log_e", 0.0), metrics.get("promotion/gain", 0.0)
    if not (log_e > 0 and gain > 0):
        return None
    return (
        f"version {record.shadow} of {family} is ahead of champion {champion} and waits as its shadow (log e "
        f"{log_e:.1f}, `foretell models` shows what it needs)"
    )


def _covering(
    registry: Registry, family: str, champion: str, asked: Collection[str]
) -> tuple[Version, set[str]] | None:
    """The newest version after the champion that has learnt from what is asked and the champion has not seen."""
    familiar = _cells_of(registry, registry.version(family, champion)) if asked else None
    if familiar is None:
        return None
    unseen = set(asked) - {cell[0] for cell in familiar if cell}
    later = [version for version in registry.family(family).versions if int(version.version) > int(champion)]
    for version in reversed(later if unseen else []):
        names = unseen & {cell[0] for cell in _cells_of(registry, version) or () if cell}
        if names:
            return version, names
    return None


def _cells_of(registry: Registry, version: Version) -> frozenset[Cell] | None:
    """Cells that a version has learnt from; None where it does not say, or cannot be read."""
    try:
        cells = registry.manifest(version).get("known_cells")
    except DatasetError:
        return None
    return None if cells is None else frozenset(tuple(cell) for cell in cells)
