"""Random questions with their answers, one function per task of the model ladder.

Every function takes a generator of random numbers and a size, and returns the question and its answer.
"""

from __future__ import annotations

import itertools
import math
import random

LETTERS = "abcdefghij"
DIGITS = "0123456789"


def _number(rng: random.Random, digits: int) -> int:
    return rng.randrange(10 ** (digits - 1) if digits > 1 else 0, 10**digits)


def _string(rng: random.Random, length: int, letters: str = LETTERS) -> str:
    return "".join(rng.choices(letters, k=length))


def add(rng: random.Random, n: int) -> tuple[str, str]:
    a, b = _number(rng, n), _number(rng, n)
    return f"{a}+{b}", str(a + b)


def subtract(rng: random.Random, n: int) -> tuple[str, str]:
    a, b = sorted((_number(rng, n), _number(rng, n)), reverse=True)
    return f"{a}-{b}", str(a - b)


def multiply(rng: random.Random, n: int) -> tuple[str, str]:
    a, b = _number(rng, n), rng.randrange(2, 10)
    return f"{a}*{b}", str(a * b)


def divide(rng: random.Random, n: int) -> tuple[str, str]:
    a, b = _number(rng, n), rng.randrange(2, 10)
    return f"{a}/{b}", str(a // b)


def remainder(rng: random.Random, n: int) -> tuple[str, str]:
    a, b = _number(rng, n), rng.randrange(2, 10)
    return f"{a}%{b}", str(a % b)


def add_three(rng: random.Random, n: int) -> tuple[str, str]:
    parts = [_number(rng, n) for _ in range(3)]
    return "+".join(map(str, parts)), str(sum(parts))


def signed(rng: random.Random, n: int) -> tuple[str, str]:
    a, b = _number(rng, n), _number(rng, n)
    sign = rng.choice("+-")
    return f"-{a}{sign}{b}", str(-a + b if sign == "+" else -a - b)


def digit_sum(rng: random.Random, n: int) -> tuple[str, str]:
    text = _string(rng, n, DIGITS)
    return text, str(sum(map(int, text)))


def gcd(rng: random.Random, n: int) -> tuple[str, str]:
    k = rng.randrange(1, n // 4)
    a, b = k * rng.randrange(1, n // k + 1), k * rng.randrange(1, n // k + 1)
    return f"{a},{b}", str(math.gcd(a, b))


def reverse(rng: random.Random, n: int) -> tuple[str, str]:
    text = _string(rng, n)
    return text, text[::-1]


def rotate(rng: random.Random, n: int) -> tuple[str, str]:
    text, k = _string(rng, n), rng.randrange(1, n)
    return f"{k}:{text}", text[k:] + text[:k]


def delete(rng: random.Random, n: int) -> tuple[str, str]:
    text = _string(rng, n, LETTERS[:5])
    gone = rng.choice(text)
    return f"{gone}:{text}", text.replace(gone, "")


def replace(rng: random.Random, n: int) -> tuple[str, str]:
    text = _string(rng, n, LETTERS[:6])
    old, new = rng.choice(text), rng.choice(LETTERS)
    return f"{old}{new}:{text}", text.replace(old, new)


def double(rng: random.Random, n: int) -> tuple[str, str]:
    text = _string(rng, n)
    return text, "".join(c + c for c in text)


def unique(rng: random.Random, n: int) -> tuple[str, str]:
    text = _string(rng, n, LETTERS[:7])
    return text, "".join(dict.fromkeys(text))


def swap_pairs(rng: random.Random, n: int) -> tuple[str, str]:
    text = _string(rng, n)
    return text, "".join(text[i + 1] + text[i] for i in range(0, n, 2))


def interleave(rng: random.Random, n: int) -> tuple[str, str]:
    a, b = _string(rng, n), _string(rng, n)
    return f"{a},{b}", "".join(x + y for x, y in zip(a, b, strict=True))


def shift(rng: random.Random, n: int) -> tuple[str, str]:
    text, k = _string(rng, n), rng.randrange(1, 10)
    return f"{k}:{text}", _shifted(text, k)


def _shifted(text: str, k: int) -> str:
    return "".join(LETTERS[(LETTERS.index(c) + k) % 10] for c in text)


def sort_digits(rng: random.Random, n: int) -> tuple[str, str]:
    text = _string(rng, n, DIGITS)
    return text, "".join(sorted(text))


def sort_letters_down(rng: random.Random, n: int) -> tuple[str, str]:
    text = _string(rng, n)
    return text, "".join(sorted(text, reverse=True))


def kth_smallest(rng: random.Random, n: int) -> tuple[str, str]:
    text, k = _string(rng, n, DIGITS), rng.randrange(1, n + 1)
    return f"{k}:{text}", sorted(text)[k - 1]


def position_of_largest(rng: random.Random, n: int) -> tuple[str, str]:
    text = "".join(rng.sample(DIGITS, n))
    return text, str(text.index(max(text)) + 1)


def count_letter(rng: random.Random, n: int) -> tuple[str, str]:
    text, letter = _string(rng, n, LETTERS[:3]), rng.choice(LETTERS[:3])
    return f"{letter}:{text}", str(text.count(letter))


def count_distinct(rng: random.Random, n: int) -> tuple[str, str]:
    text = _string(rng, n)
    return text, str(len(set(text)))


def count_rises(rng: random.Random, n: int) -> tuple[str, str]:
    text = _string(rng, n, DIGITS)
    return text, str(sum(a < b for a, b in itertools.pairwise(text)))


def longest_run(rng: random.Random, n: int) -> tuple[str, str]:
    text = rng.choice("01")
    for _ in range(n - 1):
        text += text[-1] if rng.random() < 0.6 else "10"[int(text[-1])]
    return text, str(max(len(run) for run in text.replace("01", "0 1").replace("10", "1 0").split()))


def lookup(rng: random.Random, n: int) -> tuple[str, str]:
    keys, values = rng.sample(LETTERS, n), rng.choices(DIGITS, k=n)
    i = rng.randrange(n)
    return "".join(k + v for k, v in zip(keys, values, strict=True)) + "?" + keys[i], values[i]


def lookup_twice(rng: random.Random, n: int) -> tuple[str, str]:
    keys = rng.sample(LETTERS, n)
    values = [rng.choice([k for k in keys if k != key]) for key in keys]
    table = dict(zip(keys, values, strict=True))
    asked = rng.choice(keys)
    return "".join(k + v for k, v in table.items()) + "?" + asked, table[table[asked]]


def letter_at(rng: random.Random, n: int) -> tuple[str, str]:
    text, k = _string(rng, n), rng.randrange(1, n + 1)
    return f"{k}:{text}", text[k - 1]


def parity(rng: random.Random, n: int) -> tuple[str, str]:
    text = _string(rng, n, "01")
    return text, str(text.count("1") % 2)


def evaluate_logic(rng: random.Random, n: int) -> tuple[str, str]:
    value = rng.random() < 0.5
    text = str(int(value))
    for _ in range(n - 1):
        operator, operand = rng.choice("&|"), rng.random() < 0.5
        negated = rng.random() < 0.4
        text += operator + ("!" if negated else "") + str(int(operand))
        operand ^= negated
        value = (value and operand) if operator == "&" else (value or operand)
    return text, str(int(value))


def balanced(rng: random.Random, n: int) -> tuple[str, str]:
    text, stack = "", ""
    while len(text) < n:
        left = n - len(text)
        if stack and (len(stack) == left or rng.random() < 0.5):
            text, stack = text + stack[-1], stack[:-1]
        else:
            opening, closing = rng.choice(("()", "[]"))
            text, stack = text + opening, stack + closing
    if rng.random() < 0.5:
        return text, "1"
    i = rng.randrange(n)
    broken = text[:i] + rng.choice([c for c in "()[]" if c != text[i]]) + text[i + 1 :]
    return broken, "0"


def compare(rng: random.Random, n: int) -> tuple[str, str]:
    a = _number(rng, n)
    digits = list(str(a))
    i = rng.randrange(n)
    digits[i] = rng.choice("123456789" if i == 0 else DIGITS)
    for j in range(i + 1, n):
        digits[j] = rng.choice(DIGITS)
    b = int("".join(digits))
    return f"{a},{b}", "<" if a < b else ">" if a > b else "="


def continue_sequence(rng: random.Random, n: int) -> tuple[str, str]:
    start, step = _number(rng, n), _number(rng, max(n - 1, 1)) + 1
    terms = [start + i * step for i in range(4)]
    return ",".join(map(str, terms[:3])), str(terms[3])


def continue_pattern(rng: random.Random, n: int) -> tuple[str, str]:
    period = rng.randrange(2, 2 + n)
    text = (_string(rng, period) * 20)[: 2 * n + 7]
    cut = 2 * n + 4
    return text[:cut], text[cut:]


def reverse_shift(rng: random.Random, n: int) -> tuple[str, str]:
    text, k = _string(rng, n), rng.randrange(1, 4)
    return f"{k}:{text}", _shifted(text[::-1], k)


def sort_unique(rng: random.Random, n: int) -> tuple[str, str]:
    text = _string(rng, n, DIGITS)
    return text, "".join(sorted(set(text)))


def lookup_add(rng: random.Random, n: int) -> tuple[str, str]:
    keys, values = rng.sample(LETTERS, n), rng.choices(DIGITS, k=n)
    i, j = rng.sample(range(n), 2)
    return (
        "".join(k + v for k, v in zip(keys, values, strict=True)) + f"?{keys[i]}+{keys[j]}",
        str(int(values[i]) + int(values[j])),
    )


def largest_minus_smallest(rng: random.Random, n: int) -> tuple[str, str]:
    text = _string(rng, n, DIGITS)
    return text, str(int(max(text)) - int(min(text)))
