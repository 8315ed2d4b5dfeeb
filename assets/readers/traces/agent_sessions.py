"""Sessions of coding agents, as they lie on the user's disk: one request per answer of a model.

Claude Code writes an answer as several lines, one a block, each with the usage so far: the last one counts. Codex
writes usage as events, also where nothing was asked. Both copy lines into the files of sessions that go on elsewhere:
an answer of Claude Code keeps its id, so that the copy is a duplicate; what Codex replays has none and is left out.

Of the texts only the prompt that begins a turn is read: `trace_id`, the first answer's id, tells which answers follow.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foretell.assets.readers.core.messages import query_id_of
from foretell.assets.readers.core.normalise import dig, epoch_us, first
from foretell.assets.readers.core.records import ReadOptions, Record, Reject, Row, Single, records_of
from foretell.assets.readers.core.stream import json_lines
from foretell.assets.readers.traces.openai_jsonl import read_call

REPLAY_US = 1_000_000
"""Codex writes what a fork replays at once, when it begins; a first answer of its own takes longer."""


@dataclass
class _Turn:
    """What the user asked, whether it began the session, and the id of the first answer."""

    message: Any
    is_first: bool
    answer: str | None = None


class ClaudeCode:
    """What the lines of one file share."""

    name = "claude_code"
    marks = (b'"parentUuid"', b'"leafUuid"', b'"file-history-snapshot"')

    def __init__(self) -> None:
        self._turns: dict[str, _Turn] = {}
        self.turn: _Turn | None = None
        self.unfinished: str | None = None
        """The newest answer, where its end is not written yet."""

    def call(self, line: dict[str, Any]) -> Row | None:
        """The answer of which a line tells, in `turn`; None if it tells of none."""
        message, uuid = line.get("message"), line.get("uuid")
        turn = self.turn = self._turns.get(first(line.get("parentUuid"), line.get("logicalParentUuid"), ""))
        if _is_prompt(line):
            turn = _Turn(message, turn is None or (turn.is_first and turn.answer is None))
        if turn is not None and uuid:
            self._turns[uuid] = turn
        # What the program says in the place of a model, such as that a call has failed.
        is_said = line.get("isApiErrorMessage") or dig(message, "model") == "<synthetic>"
        if line.get("type") != "assistant" or not isinstance(message, dict) or is_said:
            return None
        answer = str(first(message.get("id"), line.get("requestId"), uuid))
        self.unfinished = None if message.get("stop_reason") else answer
        # An answer whose end was never written has the tokens of its beginning: a lower bound, like one cut off.
        response = {**message, "stop_reason": "length"} if self.unfinished else message
        return {"request_id": answer, "response": response}


def _is_prompt(line: dict[str, Any]) -> bool:
    """True for what the user wrote: no result of a tool, no text that the program adds."""
    content = dig(line.get("message"), "content")
    is_result = isinstance(content, list) and any(dig(part, "type") == "tool_result" for part in content)
    return line.get("type") == "user" and not (line.get("isMeta") or line.get("isCompactSummary") or is_result)


class Codex:
    """What the lines of one file share."""

    name = "codex"
    marks = (b'"session_meta"',)
    unfinished = None

    def __init__(self) -> None:
        self._id: Any = None
        self._context: dict[str, Any] = {}
        self.turn: _Turn | None = None
        self._total: Any = None
        self._replayed_at: int | None = None
        self._n = 0

    def call(self, line: dict[str, Any]) -> Row | None:
        """The answer of which a line tells, in `turn`; None if it tells of none."""
        payload, at = line.get("payload", {}), epoch_us(line.get("timestamp"))
        kind = dig(payload, "type") if line.get("type") == "event_msg" else line.get("type")
        if kind == "session_meta" and self._id is None:  # a second one is that of the session it was forked from
            self._id, self._replayed_at = payload.get("id"), at
        elif kind == "turn_context":
            self._context = payload
        elif kind == "user_message":
            self.turn = _Turn({"role": "user", "content": payload.get("message")}, self._total is None)
        usage, total = dig(payload, "info", "last_token_usage"), dig(payload, "info", "total_token_usage")
        if kind != "token_count" or usage is None or (total is not None and total == self._total):
            return None  # nothing was asked since the last count
        self._total = total
        if self._n == 0 and at and self._replayed_at and at - self._replayed_at <= REPLAY_US:
            self._replayed_at = at
            return None
        self._n += 1
        response = {"model": self._context.get("model"), "usage": usage}
        request = {"reasoning_effort": self._context.get("effort")}
        return {"request_id": f"{self._id}/{self._n}", "response": response, "request": request}


class AgentSessions:
    """Reader of the sessions of one agent."""

    def __init__(self, agent: type[ClaudeCode | Codex]) -> None:
        self.name, self._agent = agent.name, agent

    def sniff(self, head: bytes, path: Path) -> bool:
        """True for JSON objects with a key or a type that only these sessions have."""
        return head.lstrip()[:1] == b"{" and any(mark in head for mark in self._agent.marks)

    def read(self, path: Path, options: ReadOptions) -> Iterator[Record]:
        """Give the answers, in the order in which they began, at the end of the file: any line may go on with one."""
        session, answers = self._agent(), dict[str, Single]()

        def take(number: int, line: Any) -> Iterator[Single]:
            if not isinstance(line, dict):
                yield Reject(f"a JSON {type(line).__name__}, not an object", number, "leave the line out")
            elif (call := session.call(line)) is not None:
                call["timestamp"] = line.get("timestamp")
                answers[call["request_id"]] = _answer(number, call, session.turn, answers.get(call["request_id"]))

        yield from records_of(json_lines(path), take)
        for name, row in answers.items():
            if isinstance(row, dict) and name == session.unfinished:
                row = Reject("the session ends within this answer", row["source_line"], "ingest it once it has gone on")
            yield row


def _answer(number: int, call: Row, turn: _Turn | None, before: Single | None) -> Single:
    """Row of an answer, in place of what an earlier line said of it."""
    if turn is not None:
        call["trace_id"] = turn.answer = turn.answer or call["request_id"]
        if turn.answer == call["request_id"]:
            call["request"] = {**call.get("request", {}), "messages": [turn.message]}
    row = read_call(call, number, {})
    if isinstance(row, dict):
        if turn is not None and not turn.is_first and row["query_id"]:
            # The turns before are part of the question: "go on" is another one each time.
            row["query_id"] = query_id_of([("user", row["prompt_text"]), ("request", row["request_id"])])
        if isinstance(before, dict):
            row["started_at"] = first(before["started_at"], row["started_at"])
    return row
