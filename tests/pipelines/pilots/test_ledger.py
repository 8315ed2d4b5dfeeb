"""The limit of cost holds whatever comes: long answers, errors, kills at any moment, and again on resuming."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from foretell.pipelines.pilots.ledger import Ledger, append_durably, drop_torn_line, worst_case
from foretell.pipelines.pilots.sending import Answer, Call, InDoubtError, Sending, send
from foretell.predictors.errors import InvalidInputError

CHAT = {"model": "m", "messages": [{"role": "user", "content": "héllo"}], "max_tokens": 10}


class Killed(BaseException):
    """What no code catches."""


class Provider:
    """An endpoint that bills what it likes up to the cap, and fails, hangs up or has the process killed at random."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng, self.billed, self.answered = rng, 0.0, []

    def __call__(self, body: dict) -> Answer:
        fate, reserved = self.rng.random(), body["worst"]
        if fate < 0.08:
            raise Killed
        if fate < 0.2:
            return Answer(int(self.rng.choice([429, 500, 503])), retry_after_s=0.0)
        if fate < 0.25:
            return Answer(400)
        # From here on it is billed, mostly all that was reserved.
        cost = reserved if self.rng.random() < 0.6 else reserved * self.rng.random()
        self.billed += cost
        if fate < 0.33:
            raise InDoubtError("the connection broke")
        if fate < 0.41:
            raise Killed
        self.answered.append(body["key"])
        usage = None if fate < 0.5 else cost
        return Answer(200, None if fate < 0.45 else {"model": "m", "usage": usage})


def one_life(
    folder: Path, provider: Provider, calls: list[Call], limit: float, *, retry: bool, concurrency: int
) -> Ledger | None:
    """Start, resume what is there, and send until done or killed."""
    out, log = folder / "runs.jsonl", folder / "log.jsonl"
    answered = {}
    if out.exists():
        drop_torn_line(out)
        lines = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
        answered = {line["custom_id"]: line["pilot"]["counted_usd"] for line in lines}
    ledger = Ledger(log, limit, answered, retry_in_doubt=retry)
    sending = Sending(
        provider,
        lambda call, body: float("nan") if body["usage"] is None else body["usage"],
        out,
        concurrency=concurrency,
        retries=2,
        say=lambda line: None,
    )
    try:
        send(calls, sending, ledger)
    except Killed:
        tear(provider.rng, log, "answered")
        return None
    return ledger


def tear(rng: np.random.Generator, log: Path, event: str) -> None:
    """A kill may come in the midst of a write: half of the last line, or all of it if its answer is on the disk."""
    if not log.exists() or rng.random() < 0.5:
        return
    lines = log.read_bytes().splitlines(keepends=True)
    if lines and json.loads(lines[-1])["event"] == event:
        cut = int(rng.integers(0, len(lines[-1])))
        log.write_bytes(b"".join(lines[:-1]) + lines[-1][:cut])


@pytest.mark.slow
def test_a_thousand_pilots_never_cost_more_than_their_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # no power fails here, and a disk is slow
    n_stopped = n_killed = 0
    for seed in range(1000):
        rng = np.random.default_rng(seed)
        folder = tmp_path / str(seed)
        folder.mkdir()
        worst = rng.lognormal(size=int(rng.integers(3, 9)))
        calls = [
            Call(str(i), {"model": "m", "worst": w, "key": str(i)}, float(w), {"request": i})
            for i, w in enumerate(worst)
        ]
        limit, provider = float(worst.sum() * rng.uniform(0.3, 1.5)), Provider(rng)
        for _ in range(6):
            ledger = one_life(
                folder, provider, calls, limit, retry=bool(rng.random() < 0.3), concurrency=1 + 3 * (seed % 2)
            )
            assert provider.billed <= limit * (1 + 1e-9), seed
            n_killed += ledger is None
            if ledger is not None:
                assert ledger.committed <= limit * (1 + 1e-9)
                assert provider.billed <= ledger.committed * (1 + 1e-9), seed
                n_stopped += len(ledger.answered) < len(calls)
        assert len(provider.answered) == len(set(provider.answered)), seed
    assert n_killed > 500
    assert n_stopped > 500


def test_what_is_reserved_is_written_down_before_and_counts_after_a_kill(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    assert Ledger(log, 5.0, {}).reserve("a", 3.0)
    again = Ledger(log, 5.0, {})
    assert (again.in_doubt, again.spent, again.committed) == ({"a"}, 3.0, 3.0)
    assert not again.reserve("b", 2.5)
    anew = Ledger(log, 5.0, {}, retry_in_doubt=True)
    assert (anew.in_doubt, anew.committed) == (set(), 3.0)
    assert anew.reserve("a", 1.5)
    assert Ledger(log, 5.0, {}).committed == 4.5  # the lost one counts for good


def test_an_answer_on_the_disk_counts_though_the_log_had_no_time_to_say_so(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    Ledger(log, 5.0, {}).reserve("a", 3.0)
    ledger = Ledger(log, 5.0, {"a": 0.5})
    assert (ledger.in_doubt, ledger.committed) == (set(), 0.5)


def test_a_torn_line_is_dropped_and_a_foreign_one_is_named(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    append_durably(log, {"event": "reserved", "key": "a", "usd": 1.0})
    with log.open("ab") as lines:
        lines.write(b'{"event": "answ')
    assert Ledger(log, 5.0, {}).committed == 1.0
    assert log.read_bytes().endswith(b"}\n")
    log.write_text('{"some": "line"}\n', "utf-8")
    with pytest.raises(InvalidInputError, match=r"log\.jsonl:1: not a line of a pilot's log"):
        Ledger(log, 5.0, {})


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, 10.0),
        ({"n": 3}, 30.0),
        ({"max_tokens": None}, None),
        ({"max_tokens": 0}, None),
        ({"max_tokens": True}, None),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]}, None),
        ({"messages": "hello"}, None),
    ],
)
def test_what_nothing_bounds_has_no_worst_case(change: dict, expected: float | None) -> None:
    bound = worst_case({**CHAT, **change})
    assert (bound and bound[1]) == expected
    assert bound is None or bound[0] > len("héllo".encode())


def test_files_of_a_pilot_are_for_their_owner_alone(tmp_path: Path) -> None:
    append_durably(tmp_path / "log.jsonl", {"event": "reserved", "key": "a", "usd": 1.0})
    assert (tmp_path / "log.jsonl").stat().st_mode & 0o077 == 0
