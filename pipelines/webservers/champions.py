"""The champions that a server answers with, followed while it runs."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from foretell.pipelines.cli.forecast.champion import Answering, answering, champion_number
from foretell.predictors.errors import DatasetError, ForecastError

if TYPE_CHECKING:
    from foretell.pipelines.settings import Settings

_logger = logging.getLogger(__name__)

LOOK_EVERY_S = 5.0
TRY_AGAIN_S = 60.0
"""After this long a champion that could not be read is tried again."""


class Followed:
    """The champions of some families: loaded when the server starts, replaced when another version is promoted.

    One thread looks and loads; requests never wait for it and are answered by the version that was there. The first
    family must have a champion for a server to start. `say` is told of what comes and of what cannot be read.
    """

    def __init__(self, settings: "Settings", families: Sequence[str], say: Callable[[str], None]) -> None:
        self.families = tuple(families)
        self.faults: dict[str, str] = {}
        self.n_swaps = 0
        self._settings, self._say = settings, say
        self._now: dict[str, Answering] = {}
        self._tried: dict[str, tuple[str | None, float]] = {}
        self._ended = threading.Event()

    def start(self) -> None:
        """Load what there is, and look for changes from now on.

        Raises `DatasetError` if the first family has no champion.
        """
        for family in self.families:
            self._look(family)
        if self.families[0] not in self._now:
            raise DatasetError(self.faults[self.families[0]])
        threading.Thread(target=self._follow, name="foretell-champions", daemon=True).start()

    def stop(self) -> None:
        """End the thread that looks."""
        self._ended.set()

    def current(self, family: str) -> Answering:
        """The version that answers now.

        Raises `DatasetError` if there is none.
        """
        if family not in self._now:
            raise DatasetError(self.faults.get(family, f"{family} is not served here"))
        return self._now[family]

    @property
    def versions(self) -> dict[str, str]:
        """Version by family, of those that answer."""
        return {family: held.version for family, held in self._now.items()}

    @property
    def broken(self) -> dict[str, str]:
        """What is wrong, by family, where there is a champion and it cannot be read or looked up."""
        return {
            name: fault for name, fault in self.faults.items() if name in self._now or self._tried.get(name, (None,))[0]
        }

    def _follow(self) -> None:
        while not self._ended.wait(LOOK_EVERY_S):
            for family in self.families:
                self._look(family)

    def _look(self, family: str) -> None:
        try:
            number = champion_number(self._settings, family)
            wanted, tried = self._tried.get(family, ("", 0.0))
            due = family in self.faults and time.monotonic() - tried > TRY_AGAIN_S
            if family in self._tried and number == wanted and not due:
                return
            self._tried[family] = (number, time.monotonic())
            loaded = answering(self._settings, family)
        except (ForecastError, OSError) as error:
            if self.faults.get(family) != str(error):
                self._say(f"{family}: {error}")
            self.faults[family] = str(error)
            return
        except Exception as error:  # a store may fail in any way; what is loaded answers on, and the log says why
            if family not in self.faults:
                _logger.exception("the champion of %s cannot be looked up", family)
            self.faults[family] = f"the registry cannot be read ({type(error).__name__}); the log says why"
            return
        self.faults.pop(family, None)
        if loaded.note:
            self._say(loaded.note)
        self.n_swaps += family in self._now
        self._now[family] = loaded
        self._say(f"{family}: version {loaded.version} answers")
