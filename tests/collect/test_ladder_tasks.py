"""The questions of the model ladder: their answers by a slow second definition, and the wall to the held-out items."""

from __future__ import annotations

import hashlib
import itertools
import random
import re
from collections.abc import Callable

import pytest

from foretell.collect import ladder_tasks
from foretell.collect.ladder_generators import LETTERS
from foretell.collect.ladder_model import encode
from foretell.collect.ladder_tasks import (
    ALPHABET,
    MAX_ROW,
    TASKS,
    chance_floor,
    heldout_items,
    training_rows,
)
from foretell.collect.ladder_words import describe_levels, describe_tasks, task_table
from foretell.predictors.benchmark_scores.description.redaction import check_leaks, redact_descriptions
from foretell.predictors.schemas.descriptions import DESCRIPTION_FIELDS


def _long_division(a: int, b: int) -> tuple[int, int]:
    count = 0
    while a >= b * 1000:
        a, count = a - b * 1000, count + 1000
    while a >= b:
        a, count = a - b, count + 1
    return count, a


def _signed_sum(question: str) -> int:
    return sum(int(term) for term in re.findall(r"[+-]?\d+", question))


def _next_in_ring(letter: str, k: int) -> str:
    ring = itertools.cycle(LETTERS)
    while next(ring) != letter:
        pass
    for _ in range(k):
        letter = next(ring)
    return letter


def _insertion_sort(text: str) -> str:
    out: list[str] = []
    for c in text:
        i = 0
        while i < len(out) and out[i] <= c:
            i += 1
        out.insert(i, c)
    return "".join(out)


def _table(question: str) -> tuple[dict[str, str], str]:
    pairs, asked = question.split("?")
    return {pairs[i]: pairs[i + 1] for i in range(0, len(pairs), 2)}, asked


def _nested(text: str) -> bool:
    while True:
        shorter = text.replace("()", "").replace("[]", "")
        if shorter == text:
            return not text
        text = shorter


def _logic(question: str) -> int:
    value, operator = None, ""
    for token in re.findall(r"[&|]|!?[01]", question):
        if token in "&|":
            operator = token
            continue
        bit = int(token[-1]) ^ token.startswith("!")
        value = bit if value is None else min(value, bit) if operator == "&" else max(value, bit)
    assert value is not None
    return value


def _compare(question: str) -> str:
    a, b = map(int, question.split(","))
    return "=" if a == b else "<>"[a > b]


def _continue_pattern(question: str) -> str:
    for period in range(1, len(question)):
        if all(question[i] == question[i - period] for i in range(period, len(question))):
            return "".join(question[len(question) - period + i % period] for i in range(3))
    raise AssertionError(question)


def _split(question: str) -> tuple[str, str]:
    head, text = question.split(":")
    return head, text


SLOW: dict[str, Callable[[str], object]] = {
    "add": _signed_sum,
    "subtract": _signed_sum,
    "multiply": lambda q: sum(int(q.split("*")[0]) for _ in range(int(q.split("*")[1]))),
    "divide": lambda q: _long_division(*map(int, q.split("/")))[0],
    "remainder": lambda q: _long_division(*map(int, q.split("%")))[1],
    "add-three": _signed_sum,
    "signed": _signed_sum,
    "digit-sum": lambda q: sum(int(c) * q.count(c) for c in set(q)),
    "gcd": lambda q: max(k for k in range(1, 401) if all(int(n) % k == 0 for n in q.split(","))),
    "reverse": lambda q: "".join(q[len(q) - 1 - i] for i in range(len(q))),
    "rotate": lambda q: "".join(_split(q)[1][(i + int(q[0])) % len(q[2:])] for i in range(len(q[2:]))),
    "delete": lambda q: "".join(c for c in q[2:] if c != q[0]),
    "replace": lambda q: "".join(q[1] if c == q[0] else c for c in q[3:]),
    "double": lambda q: "".join(q[i // 2] for i in range(2 * len(q))),
    "unique": lambda q: "".join(c for i, c in enumerate(q) if c not in q[:i]),
    "swap-pairs": lambda q: "".join(q[i ^ 1] for i in range(len(q))),
    "interleave": lambda q: "".join(q.split(",")[i % 2][i // 2] for i in range(len(q) - 1)),
    "shift": lambda q: "".join(_next_in_ring(c, int(q[0])) for c in q[2:]),
    "sort-digits": _insertion_sort,
    "sort-letters-down": lambda q: _insertion_sort(q)[::-1],
    "kth-smallest": lambda q: _insertion_sort(_split(q)[1])[int(q[0]) - 1],
    "position-of-largest": lambda q: 1 + next(i for i, c in enumerate(q) if all(c >= d for d in q)),
    "count-letter": lambda q: sum(c == q[0] for c in q[2:]),
    "count-distinct": lambda q: sum(c in q for c in LETTERS),
    "count-rises": lambda q: sum(int(q[i]) < int(q[i + 1]) for i in range(len(q) - 1)),
    "longest-run": lambda q: max(len(list(run)) for _, run in itertools.groupby(q)),
    "lookup": lambda q: _table(q)[0][_table(q)[1]],
    "lookup-twice": lambda q: _table(q)[0][_table(q)[0][_table(q)[1]]],
    "letter-at": lambda q: (" " + _split(q)[1])[int(_split(q)[0])],
    "parity": lambda q: sum(map(int, q)) % 2,
    "evaluate-logic": _logic,
    "balanced": lambda q: int(_nested(q)),
    "compare": _compare,
    "continue-sequence": lambda q: 2 * int(q.split(",")[2]) - int(q.split(",")[1]),
    "continue-pattern": _continue_pattern,
    "reverse-shift": lambda q: "".join(_next_in_ring(c, int(q[0])) for c in reversed(q[2:])),
    "sort-unique": lambda q: "".join(c for c in "0123456789" if c in q),
    "lookup-add": lambda q: sum(int(_table(q)[0][k]) for k in _table(q)[1].split("+")),
    "largest-minus-smallest": lambda q: int(_insertion_sort(q)[-1]) - int(_insertion_sort(q)[0]),
}


def test_there_are_enough_described_tasks_in_several_skills() -> None:
    assert len(TASKS) >= 24
    assert len({task.skill for task in TASKS}) >= 8
    assert len({task.tag for task in TASKS}) == len({task.name for task in TASKS}) == len(TASKS)
    assert set(SLOW) == {task.name for task in TASKS}
    assert len(heldout_items()) >= 2_000


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_answers_agree_with_a_slow_second_definition(task: ladder_tasks.Task) -> None:
    rng = random.Random(7)
    for size in task.levels:
        for _ in range(60):
            question, answer = task.make(rng, size)
            assert answer == str(SLOW[task.name](question)), question
            assert len(question) + len(answer) + 3 <= MAX_ROW
            assert set(question + answer) <= set(ALPHABET[1:])


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_every_level_has_many_more_questions_than_are_held_out(task: ladder_tasks.Task) -> None:
    for size in task.levels:
        rng = random.Random(1)
        assert len({task.make(rng, size)[0] for _ in range(1500)}) > 10 * 25


def test_training_never_asks_a_heldout_question() -> None:
    held = frozenset(item.prompt for item in heldout_items())
    assert len(held) == len(heldout_items()) == len({item.item_id for item in heldout_items()})
    rows = list(training_rows(random.Random(3), 30_000, held))
    assert not held & {prompt for prompt, _ in rows}
    free = {prompt for prompt, _ in training_rows(random.Random(3), 30_000, frozenset())}
    assert held & free  # without the wall some would have been asked


def test_items_and_rows_are_fixed_by_their_seed() -> None:
    first = heldout_items()
    heldout_items.cache_clear()
    assert heldout_items() == first
    text = "\n".join(f"{item.item_id} {item.prompt}{item.answer}" for item in first)
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == "7c582c7dc706d226"
    rows = [list(training_rows(random.Random(seed), 50, frozenset())) for seed in (1, 1, 2)]
    assert rows[0] == rows[1] != rows[2]


def test_encoded_rows_bound_their_answers() -> None:
    rows = encode([("A12+3=", "15;"), ("Jab=", "ba;")])
    assert [ALPHABET[i] for i in rows.tokens[1, rows.start[1] : rows.stop[1]]] == list("ba;")
    tokens, where, answers = rows.chunk(rows.start.argsort())
    assert tokens.shape == where.shape == (2, 8)
    assert "".join(ALPHABET[i] for i in answers.tolist()) == "ba;15;"


def test_chance_of_a_coin_is_a_half_and_of_a_long_string_nothing() -> None:
    assert chance_floor("parity", 1) == pytest.approx(0.5, abs=0.03)
    assert chance_floor("lookup", 2) == pytest.approx(0.1, abs=0.02)
    assert chance_floor("reverse", 3) < 1e-3


def test_descriptions_are_valid_redacted_already_and_leak_no_item() -> None:
    tasks, levels = describe_tasks(), describe_levels()
    assert len(tasks) == len(TASKS)
    assert len(levels) == 3 * len(TASKS) == len(task_table())
    for table in (tasks, levels):
        text = " ".join(table[list(DESCRIPTION_FIELDS)].astype("str").agg(" ".join, axis=1))
        assert not re.search(r"\d", text)
        words = {word.strip(".,:;") for word in text.split()}
        assert not words & {item.prompt[1:-1] for item in heldout_items()}
    redacted, removed = redact_descriptions(levels)
    check_leaks(redacted)
    assert removed.empty
    assert not levels[list(DESCRIPTION_FIELDS)].agg(" ".join, axis=1).duplicated().any()
