"""What is under way, on standard error: a bar with the time left at a terminal, else a line now and then.

Work of less than `FIRST_S` says nothing, and a command that prints JSON never does.
"""

import sys
import threading
import time

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from foretell.assets.engine.local import in_process, nobody
from foretell.pipelines.cli.console import say
from foretell.pipelines.cli.options import prints_json

FIRST_S, EVERY_S, REDRAWN_S = 2.0, 10.0, 0.2


class UnderWay:
    """How far a piece of work is; a thread shows it, so that work which tells nothing is seen to go on too.

    With `counts_parts` the engine of this process tells it of the parts that it has worked on.
    """

    def __init__(self, work: str, *, counts_parts: bool = False) -> None:
        self._work, self._step, self._share, self._counts_parts = work, "", 0.0, counts_parts
        self._began, self._whole, self._ended = time.monotonic(), 0.0, threading.Event()
        self._is_quiet = prints_json.is_set()
        self._thread = threading.Thread(target=self._show, name="progress", daemon=True)

    def done(self, n: int, of: int, step: str = "") -> None:
        """`n` of `of` parts are done."""
        self._tell(step or f"{n:,} of {of:,}", n / max(of, 1))

    def step(self, step: str, seconds: float, share: float) -> None:
        """A step has ended, after so many seconds; `share` of all steps are done. Beside parts no step has a line."""
        if not (self._is_quiet or self._counts_parts):
            say(f"  {step:<34} {seconds:6.1f} s")
        self._tell(step, share)

    def _tell(self, step: str, share: float) -> None:
        if share < self._share:  # other work, with a pace of its own
            self._began = time.monotonic()
        self._step, self._share = step, share
        self._whole = (time.monotonic() - self._began) / share if 0 < share < 1 else 0.0

    def _times(self) -> str:
        """How long it has taken, and what is left of what all of it would take at the pace so far."""
        seconds = time.monotonic() - self._began
        left = self._whole - seconds
        return _clock(seconds) + (f", about {_clock(left)} left" if left > 0 else "")

    def _show(self) -> None:
        if self._ended.wait(FIRST_S):
            return
        if not sys.stderr.isatty():
            while not self._ended.is_set():
                say("  ".join(part for part in (self._work, self._step, self._times()) if part))
                self._ended.wait(EVERY_S)
            return

        columns = TextColumn("{task.description}", markup=False), BarColumn(), TextColumn("{task.fields[times]}")
        # Results may go elsewhere than this terminal: only standard error is written above the bar.
        with Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False) as bar:
            task = bar.add_task(self._work, total=None, times="")
            while not self._ended.wait(REDRAWN_S):
                bar.update(
                    task, description=f"{self._work}  {self._step}".rstrip(), completed=self._share,
                    total=1.0 if self._share else None, times=self._times(),
                )  # fmt: skip

    def __enter__(self) -> "UnderWay":
        if self._counts_parts:
            in_process.told = self.done
        if not self._is_quiet:
            self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._ended.set()
        if self._counts_parts:
            in_process.told = nobody
        if not self._is_quiet:
            self._thread.join()


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"
