"""What a pilot has spent and may still spend: written down before anything is sent, so that a kill forgets nothing."""

import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from foretell.predictors.errors import InvalidInputError


class Ledger:
    """Accounts of one pilot, in a file of one JSON object a line.

    Before a request is sent its worst case is reserved, and that line is on the disk. An answer releases the
    reservation for what it cost. A request of which nobody knows whether it was billed (a dropped connection, a kill)
    counts at its reservation for good, and is sent again only where `retry_in_doubt` is set: then both count.

    Parameters
    ----------
    file : Path
        Made where it is absent; the last line of a file may be torn by a kill.
    max_cost : float
        In USD; spent plus reserved (where `in_all` is not set: what is added to both from now on) never exceeds it.
    answered : mapping of str to float
        Requests whose answer was kept, and what it cost; it counts even if the kill came before its line here.

    Raises `InvalidInputError` if a line of the file is no account.
    """

    def __init__(
        self, file: Path, max_cost: float, answered: Mapping[str, float], *, retry_in_doubt: bool = False,
        in_all: bool = True,
    ) -> None:  # fmt: skip
        self._file = file
        self._changed = threading.Condition()
        self._open: dict[str, float] = {}
        self._spent = 0.0
        self.answered = dict(answered)
        if file.exists():
            self._replay(file)
        self._spent += sum(self.answered.values())
        self.in_doubt = set(self._open)
        if retry_in_doubt:
            self._spent += sum(self._open.values())
            for key in self.in_doubt:
                append_durably(file, {"event": "given up", "key": key, "usd": self._open[key]})
            self._open, self.in_doubt = {}, set()
        self._max_cost = max_cost if in_all else self.committed + max_cost

    def _replay(self, file: Path) -> None:
        drop_torn_line(file)  # what it would have said had not happened yet
        for number, line in enumerate(file.read_bytes().splitlines(), 1):
            try:
                entry = json.loads(line)
                event, key, usd = entry["event"], str(entry["key"]), float(entry["usd"])
            except (ValueError, KeyError, TypeError):
                raise InvalidInputError(f"{file}:{number}: not a line of a pilot's log; move the file away") from None
            self._open.pop(key, None)
            if event == "reserved":
                self._open[key] = usd
            elif event == "given up":
                self._spent += usd
            elif event == "answered":
                self.answered.setdefault(key, usd)
        for key in self.answered:
            self._open.pop(key, None)

    @property
    def spent(self) -> float:
        """USD that were spent or count as spent, without what is reserved for requests under way."""
        return self._spent + sum(self._open[key] for key in self.in_doubt)

    @property
    def committed(self) -> float:
        """USD spent and reserved; never above the limit."""
        return self._spent + sum(self._open.values())

    def reserve(self, key: str, usd: float) -> bool:
        """Set the worst case of a request aside, waiting for others to come back; False where it does not fit.

        Raises `InvalidInputError` if `usd` is no number of dollars: what cannot be bounded is not sent.
        """
        if not 0 <= usd < float("inf"):
            raise InvalidInputError(f"a reservation must be a number of dollars, got {usd}")
        with self._changed:
            while self.committed + usd > self._max_cost:
                if self._open.keys() <= self.in_doubt:  # nothing is under way
                    return False
                self._changed.wait()
            append_durably(self._file, {"event": "reserved", "key": key, "usd": usd})
            self._open[key] = usd
            return True

    def settle(self, key: str, usd: float) -> None:
        """The request was answered for `usd`; its answer is on the disk already."""
        self._close("answered", key, usd)
        self.answered[key] = usd

    def release(self, key: str) -> None:
        """The request was refused before anything was billed."""
        self._close("refused", key, 0.0)

    def leave_in_doubt(self, key: str) -> None:
        """Nobody knows whether the request was billed: its reservation stays."""
        with self._changed:
            if key in self._open:
                self.in_doubt.add(key)
            self._changed.notify_all()

    def _close(self, event: str, key: str, usd: float) -> None:
        with self._changed:
            append_durably(self._file, {"event": event, "key": key, "usd": usd})
            self._open.pop(key, None)
            self._spent += usd
            self._changed.notify_all()


def drop_torn_line(file: Path) -> None:
    """Cut off a last line that a kill left without its end."""
    content = file.read_bytes()
    if content and not content.endswith(b"\n"):
        with file.open("rb+") as torn:
            torn.truncate(content.rfind(b"\n") + 1)


def kept_lines(file: Path) -> list[dict[str, Any]]:
    """The lines of a file of answers, without one that a kill tore; none where there is no file."""
    if not file.exists():
        return []
    drop_torn_line(file)
    return [json.loads(line) for line in file.read_bytes().splitlines()]


def append_durably(file: Path, entry: Mapping[str, Any]) -> None:
    """Add a line to a file of JSON lines; it is on the disk when this returns. Readable by its owner alone."""
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, json.dumps(entry, ensure_ascii=False).encode() + b"\n")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def worst_case(body: Mapping[str, Any]) -> tuple[float, float] | None:
    """The most input and output tokens of a chat request: a token has at least one byte, no answer exceeds its cap.

    None where nothing bounds it: no cap, or content that is no text.
    """
    cap, answers = body.get("max_completion_tokens", body.get("max_tokens")), body.get("n") or 1
    if not isinstance(cap, int) or isinstance(cap, bool) or cap < 1 or not _is_text(body.get("messages")):
        return None
    asked = {key: value for key, value in body.items() if key not in ("model", "metadata", "user")}
    return float(len(json.dumps(asked, ensure_ascii=False).encode())), float(cap) * int(answers)


def _is_text(messages: object) -> bool:
    """Whether every message is text: what an image or a file comes to is the provider's secret."""
    if not isinstance(messages, list) or not messages:
        return False
    for message in messages:
        parts = message.get("content") if isinstance(message, dict) else None
        if isinstance(parts, list) and not all(isinstance(p, dict) and p.get("type") == "text" for p in parts):
            return False
    return True


def json_object(content: str | bytes) -> dict[str, Any] | None:
    """What the text holds; None where it is no JSON object."""
    try:
        parsed = json.loads(content)
    except ValueError:
        return None
    return parsed if isinstance(parsed, dict) else None
