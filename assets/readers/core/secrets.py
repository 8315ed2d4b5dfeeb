"""What no record may leave behind: keys, tokens, passwords; and content where only a word is wanted.

`scrub_column` runs over every text that a reader gives, `scrub` over every reason of a reject, whether prompts are kept
or not. What else a reader says about a record is said through `described`, `word` and `shown_names`, which quote no
content, so that a reason holds nothing that ``--no-prompts`` promises to leave out.
"""

import re
from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

SECRET = "[secret]"

# Read by Python and by RE2, which Arrow uses: nothing here looks ahead or back.
_KEYS = (
    r"\b(?:sk|rk|pk)[-_][A-Za-z0-9_-]{16,}",  # OpenAI, Anthropic, OpenRouter, Stripe
    r"\b(?:gh[opsur]|github_pat|glpat|hf|gsk|xai|pplx|nvapi|r8|npm|pypi|lsv2|dckr_pat|shpat)[-_][A-Za-z0-9_-]{16,}",
    r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b",
    r"\bAIza[A-Za-z0-9_-]{30,}",
    r"\bya29\.[A-Za-z0-9_-]{16,}",
    r"\bxox[a-z]-[A-Za-z0-9-]{10,}",
    r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*",  # JSON web tokens
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----[A-Za-z0-9+/=\s:,\\-]*",
)
_KEY = "|".join(_KEYS)
_NAMES = (
    r"(?:api|access|secret|private|subscription|account|signing|encryption)[_ -]?keys?|"
    r"(?:access|auth|refresh|id|bearer|session|security|api)[_ -]?tokens?|"
    r"client[_ -]?secrets?|pass(?:word|wd|phrase)s?|pwd|credentials?|authorization|cookies?|x-api-key"
)
# The words before a secret stay, so that a reader of the text sees what was there.
_RULES = (
    (_KEY, SECRET),
    (
        rf"(?i:(\b(?:{_NAMES})\\?[\"']?\s*[:=]\s*\\?[\"']?)"
        r"(?:(?:basic|bearer|digest|token)\s+)?[^\s\"',;\\[\](){}<>]{6,})",
        rf"\1{SECRET}",
    ),
    (r"((?i:\bbearer)\s+)[A-Za-z0-9._~+/=-]{8,}", rf"\1{SECRET}"),
    (r"(\b[a-z][a-z0-9+.-]*://[^\s/:@]+:)[^\s/:@]+@", rf"\1{SECRET}@"),
)
_ANY = "|".join(f"(?:{pattern})" for pattern, _ in _RULES)
_COMPILED = [(re.compile(pattern), put) for pattern, put in _RULES]
_SECRET_NAME = re.compile(rf"(?i)^(?:.*(?:{_NAMES})|(?:.*[_-])?(?:key|secret|token|auth|headers))$")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:/+-]{0,47}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,31}")


def scrub(text: str) -> str:
    """Return the text with `SECRET` in the place of keys, tokens and passwords.

    Examples
    --------
    >>> scrub("curl -H 'Authorization: Bearer abcdef0123456789'")
    "curl -H 'Authorization: [secret]'"
    """
    for pattern, put in _COMPILED:
        text = pattern.sub(put, text)
    return text


def scrub_column(texts: pa.Array) -> pa.Array:
    """`scrub` of each text of an Arrow array; texts without secrets, which are nearly all, are only searched."""
    held = pc.fill_null(pc.match_substring_regex(texts, _ANY), False)
    if not pc.any(held).as_py():
        return texts
    changed = texts.filter(held)
    for pattern, put in _RULES:
        changed = pc.replace_substring_regex(changed, pattern, put)
    return pc.replace_with_mask(texts, held, changed)


def is_secret_name(name: str) -> bool:
    """True if what stands under this name is a secret: its value is kept in no form."""
    return _SECRET_NAME.match(name) is not None or _COMPILED[0][0].search(name) is not None


def is_word(value: Any) -> bool:
    """True for a short text without spaces, such as the name of a setting's choice, that is no secret."""
    return isinstance(value, str) and _WORD.fullmatch(value) is not None and scrub(value) == value


def word(value: Any) -> str | None:
    """Return the value if it is a word, or the error's class that a longer text begins with.

    Examples
    --------
    >>> word("rate_limit_exceeded"), word("RateLimitError: the prompt was ..."), word("no such user: Alice")
    ('rate_limit_exceeded', 'RateLimitError', None)
    """
    if is_word(value):
        return str(value)
    if isinstance(value, str) and (head := re.match(r"[A-Za-z_][\w.]{0,60}(?:Error|Exception|Timeout)\b", value)):
        return head[0]
    return None


def described(value: Any) -> str:
    """Say what a value is without quoting it; a number says nothing else than itself.

    Examples
    --------
    >>> described(-5), described("ten"), described([1])
    ('-5', 'a text of 3 characters', 'a list')
    """
    if isinstance(value, bool | int | float) or value is None:
        text = repr(value)
        return text if len(text) <= 24 else f"a number of {len(text)} digits"
    if isinstance(value, str):
        return f"a text of {len(value)} characters"
    if isinstance(value, list | tuple | dict):
        return "an object" if isinstance(value, dict) else "a list"
    return f"a {type(value).__name__}"


def shown_name(name: Any) -> str:
    """Return a key or a column if it is a plain name, else what it is: it may be content."""
    text = str(name)
    return text if _NAME.fullmatch(text) and scrub(text) == text else f"a key of {len(text)} characters"


def shown_names(names: Iterable[Any], n: int = 6) -> list[str]:
    """Return `shown_name` of the first `n` keys or columns."""
    return [shown_name(name) for name in sorted(map(str, names))[:n]]
