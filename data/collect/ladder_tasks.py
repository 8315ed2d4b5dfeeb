"""The tasks of the model ladder: generators of questions with one right answer, and what they are in words.

A row is ``<tag><question>=<answer>;``. The tag is one character and names the task; the level is not named. Every
question is fresh and random. The held-out items (`heldout_items`) are drawn once, and training rows that ask one of
their questions are drawn again (`training_rows`).
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

from foretell.collect import ladder_generators as g
from foretell.collect.ladder_generators import DIGITS, LETTERS

__all__ = [
    "ALPHABET",
    "HELDOUT_SEED",
    "MAX_ROW",
    "TASKS",
    "Item",
    "Task",
    "chance_floor",
    "heldout_items",
    "training_rows",
]

TAGS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ@#$~_{"
ALPHABET = "\0=;" + DIGITS + LETTERS + "+-*/%,:?<>()[]&|!" + TAGS
"""Every character of a row; its index is the token. The first one pads."""
MAX_ROW = 28
"""Characters of the longest row."""
HELDOUT_SEED = 20261122
CHANCE_ROWS = 4000

Maker = Callable[[random.Random, int], tuple[str, str]]


@dataclass(frozen=True)
class Task:
    """One described task.

    `levels` are sizes that `make` takes, from easy to hard; `says` is the task in words, `scale` what the sizes
    count, `form` the form of the answer, `n_classes` the number of possible answers where it is small.
    """

    name: str
    tag: str
    skill: str
    levels: tuple[int, int, int]
    make: Maker
    scale: str
    form: str
    says: str
    n_classes: int | None = None


@dataclass(frozen=True)
class Item:
    """One held-out question with its answer; `level` is 1, 2 or 3."""

    task: str
    level: int
    item_id: str
    prompt: str
    answer: str


_DIGITS = "digits a number"
_TEXT = "characters a string"
_TABLE = "entries a table"

TASKS: tuple[Task, ...] = (
    Task("add", "A", "arithmetic", (2, 3, 5), g.add, _DIGITS, "number",
         "Add two whole numbers of the same length"),
    Task("subtract", "B", "arithmetic", (2, 3, 5), g.subtract, _DIGITS, "number",
         "Subtract the smaller of two whole numbers from the larger"),
    Task("multiply", "C", "arithmetic", (2, 3, 4), g.multiply, _DIGITS, "number",
         "Multiply a whole number by a single digit"),
    Task("divide", "D", "arithmetic", (3, 4, 5), g.divide, _DIGITS, "number",
         "Divide a whole number by a single digit and drop the remainder"),
    Task("remainder", "E", "arithmetic", (3, 4, 6), g.remainder, _DIGITS, "digit",
         "Give the remainder of a whole number divided by a single digit"),
    Task("add-three", "F", "arithmetic", (1, 2, 3), g.add_three, _DIGITS, "number",
         "Add three whole numbers"),
    Task("signed", "G", "arithmetic", (2, 3, 4), g.signed, _DIGITS, "number",
         "Add a whole number to a negative one, or subtract it from a negative one"),
    Task("digit-sum", "H", "arithmetic", (3, 5, 8), g.digit_sum, _TEXT, "number",
         "Sum the digits of a string of digits"),
    Task("gcd", "I", "arithmetic", (50, 99, 400), g.gcd, "as the largest number", "number",
         "Find the greatest common divisor of two whole numbers"),
    Task("reverse", "J", "string edits", (4, 7, 10), g.reverse, _TEXT, "string",
         "Write a string of letters backwards"),
    Task("rotate", "K", "string edits", (4, 6, 9), g.rotate, _TEXT, "string",
         "Move a given number of letters from the front of a string to its end"),
    Task("delete", "L", "string edits", (5, 7, 10), g.delete, _TEXT, "string",
         "Delete every occurrence of a given letter from a string"),
    Task("replace", "M", "string edits", (4, 6, 9), g.replace, _TEXT, "string",
         "Replace every occurrence of one letter in a string by another letter"),
    Task("double", "N", "string edits", (3, 5, 8), g.double, _TEXT, "string",
         "Write every letter of a string twice"),
    Task("unique", "O", "string edits", (4, 7, 10), g.unique, _TEXT, "string",
         "Keep only the first occurrence of every letter of a string, in order"),
    Task("swap-pairs", "P", "string edits", (4, 6, 10), g.swap_pairs, _TEXT, "string",
         "Swap the letters of a string pair by pair"),
    Task("interleave", "Q", "string edits", (2, 4, 6), g.interleave, _TEXT, "string",
         "Interleave two strings of the same length letter by letter"),
    Task("shift", "R", "string edits", (2, 4, 7), g.shift, _TEXT, "string",
         "Move every letter of a string a given number of places on in a ring of letters"),
    Task("sort-digits", "S", "sorting", (4, 6, 10), g.sort_digits, _TEXT, "string",
         "Sort the digits of a string in rising order"),
    Task("sort-letters-down", "T", "sorting", (4, 6, 10), g.sort_letters_down, _TEXT, "string",
         "Sort the letters of a string from last to first"),
    Task("kth-smallest", "U", "sorting", (3, 5, 9), g.kth_smallest, _TEXT, "digit",
         "Give the digit of a given rank among the digits of a string", 10),
    Task("position-of-largest", "V", "sorting", (4, 6, 9), g.position_of_largest, _TEXT, "digit",
         "Give the position of the largest of different digits", 9),
    Task("count-letter", "W", "counting", (6, 9, 14), g.count_letter, _TEXT, "number",
         "Count how often a given letter occurs in a string"),
    Task("count-distinct", "X", "counting", (4, 7, 11), g.count_distinct, _TEXT, "number",
         "Count the different letters of a string"),
    Task("count-rises", "Y", "counting", (4, 7, 12), g.count_rises, _TEXT, "number",
         "Count how often a digit of a string is followed by a larger one"),
    Task("longest-run", "Z", "counting", (11, 14, 17), g.longest_run, _TEXT, "number",
         "Give the length of the longest run of equal bits"),
    Task("lookup", "@", "lookup", (3, 5, 8), g.lookup, _TABLE, "digit",
         "Look up the digit that belongs to a letter in a table given in the question", 10),
    Task("lookup-twice", "#", "lookup", (3, 5, 8), g.lookup_twice, _TABLE, "letter",
         "Look up a letter in a table given in the question, and look up what was found once more", 10),
    Task("letter-at", "$", "lookup", (4, 7, 12), g.letter_at, _TEXT, "letter",
         "Give the letter at a given position of a string", 10),
    Task("parity", "~", "logic", (10, 12, 15), g.parity, _TEXT, "class",
         "Say whether a string of bits holds an odd number of ones", 2),
    Task("evaluate-logic", "_", "logic", (4, 5, 7), g.evaluate_logic, "operands a chain", "class",
         "Evaluate a chain of and, or and not over bits from left to right", 2),
    Task("balanced", "{", "logic", (8, 12, 16), g.balanced, _TEXT, "class",
         "Say whether a string of two kinds of brackets is properly nested", 2),
    Task("compare", "<", "logic", (3, 5, 8), g.compare, _DIGITS, "class",
         "Say which of two whole numbers is larger, or that they are equal", 3),
    Task("continue-sequence", ">", "patterns", (2, 3, 4), g.continue_sequence, _DIGITS, "number",
         "Give the next term of an arithmetic sequence"),
    Task("continue-pattern", "?", "patterns", (2, 4, 6), g.continue_pattern, "letters as the longest period", "string",
         "Continue a repeating string of letters"),
    Task("reverse-shift", "&", "composition", (3, 5, 7), g.reverse_shift, _TEXT, "string",
         "Write a string backwards and move every letter a given number of places on in a ring of letters"),
    Task("sort-unique", "|", "composition", (4, 6, 10), g.sort_unique, _TEXT, "string",
         "Sort the digits of a string and write each only once"),
    Task("lookup-add", "!", "composition", (3, 4, 7), g.lookup_add, _TABLE, "number",
         "Look up two letters in a table given in the question and add what was found"),
    Task("largest-minus-smallest", "%", "composition", (3, 6, 10), g.largest_minus_smallest, _TEXT, "digit",
         "Subtract the smallest digit of a string from the largest", 10),
)  # fmt: skip


def _row(task: Task, rng: random.Random, level: int) -> tuple[str, str]:
    question, answer = task.make(rng, task.levels[level - 1])
    return f"{task.tag}{question}=", f"{answer};"


@cache
def heldout_items(per_level: int = 25) -> tuple[Item, ...]:
    """The fixed held-out items, `per_level` different questions of every task and level."""
    items, seen = [], set()
    for task in TASKS:
        for level in (1, 2, 3):
            rng = random.Random(f"{HELDOUT_SEED}/{task.name}/{level}")
            kept = 0
            while kept < per_level:
                prompt, answer = _row(task, rng, level)
                if prompt in seen:
                    continue
                seen.add(prompt)
                items.append(Item(task.name, level, f"{task.name}/{level}/{kept:02d}", prompt, answer))
                kept += 1
    return tuple(items)


def training_rows(rng: random.Random, n_rows: int, heldout: frozenset[str]) -> Iterator[tuple[str, str]]:
    """Yield `n_rows` (prompt, answer): tasks and levels evenly at random, no prompt of `heldout`."""
    for _ in range(n_rows):
        task, level = TASKS[int(rng.random() * len(TASKS))], 1 + int(rng.random() * 3)
        prompt, answer = _row(task, rng, level)
        while prompt in heldout:
            prompt, answer = _row(task, rng, level)
        yield prompt, answer


@cache
def chance_floor(task: str, level: int, per_level: int = 25) -> float:
    """Pass rate of guessing: answers drawn as they occur in the task and level, without reading the question.

    Estimated from `CHANCE_ROWS` fresh rows: the mean over the held-out items of how often their answer occurs.
    """
    made = next(t for t in TASKS if t.name == task)
    rng = random.Random(f"chance/{HELDOUT_SEED}/{task}/{level}")
    counts = Counter(_row(made, rng, level)[1] for _ in range(CHANCE_ROWS))
    items = [item for item in heldout_items(per_level) if item.task == task and item.level == level]
    return sum(counts[item.answer] for item in items) / len(items) / CHANCE_ROWS
