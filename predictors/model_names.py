"""How a model is spelt: one comparable form for the spellings of gateways, clouds and dated releases.

The same model is ``claude-haiku-4-5-20251001`` at its maker, ``anthropic/claude-haiku-4.5`` at a gateway and
``us.anthropic.claude-haiku-4-5-20251001-v1:0`` in a cloud. Tables keep the spelling that came; whoever looks a model up
(history, price, metadata) asks here.
"""

import difflib
import re
from collections.abc import Iterable

CLOUD_PREFIX = re.compile(
    r"^(?:(?:us|eu|apac|jp|au|ca|global|us-gov)\.)?"
    r"(?:anthropic|amazon|meta|mistral|cohere|deepseek|ai21|qwen|openai|minimax|moonshot(?:ai)?|google|nvidia|writer|zai)\."
)
"""Region and maker, as Bedrock writes them before the name."""

CLOUD_SUFFIX = re.compile(r"-v\d+(?::\d+(?::\d+k)?)?$")
ROUTES = re.compile(r":(?:free|beta|nitro|floor|extended|online|exacto|latest|cloud|fast)$")
"""Tags that name a way to the model, not another model."""

DATE = re.compile(r"[-@](?:20\d{6}|20\d{2}-[01]\d-[0-3]\d|[0-2]\d[0-3]\d)(?=$|-preview$|-exp$)")
"""A release date at the end: ``-20251001``, ``-2025-08-07``, ``@20250219``, ``-0905`` or ``-2507``."""

STAGE = re.compile(r"-(?:latest|preview|exp|experimental|ga|default)$")
MAKERS_OWN = re.compile(r"^meta-(?=llama)")
VERSION_AFTER_NAME = re.compile(r"^(llama|qwen|gemma|phi|glm|yi|grok|kimi|minimax|ernie|mixtral|mistral)-?v?(?=\d)")
CLAUDE = re.compile(
    r"^claude-(?:(\d)(?:-(\d{1,2}))?-(opus|sonnet|haiku)|(opus|sonnet|haiku)-(\d)(?:-(\d{1,2}))?)(?=-|$)"
)


def model_keys(name: str) -> tuple[str, ...]:
    """Comparable forms of a model's name in any spelling, from the most specific to the least.

    Two names may mean the same model if they share a form. The first form holds everything that could name another
    model; later ones lack the release date and then the stage (``-preview``, ``-latest``). A fine-tune (``ft:``) has
    one form and equals nothing but itself.

    >>> model_keys("anthropic/claude-haiku-4.5")
    ('claude-haiku-4-5',)
    >>> model_keys("us.anthropic.claude-haiku-4-5-20251001-v1:0")
    ('claude-haiku-4-5-20251001', 'claude-haiku-4-5')
    >>> model_keys("models/gemini-3.1-pro-preview")
    ('gemini-3-1-pro-preview', 'gemini-3-1-pro')
    """
    text = name.strip().lower()
    if text.startswith(("ft:", "arn:")):
        return (text,)
    text = text.rstrip("/").rsplit("/", 1)[-1]
    text = CLOUD_SUFFIX.sub("", CLOUD_PREFIX.sub("", text)) if CLOUD_PREFIX.match(text) else text
    text = ROUTES.sub("", text).replace(":", "-")
    keys = [text]
    for pattern in (DATE, STAGE):
        keys.append(pattern.sub("", keys[-1]))
    return tuple(dict.fromkeys(_plain(key) for key in keys))


def _plain(text: str) -> str:
    """The same words with one punctuation: dashes, versions apart from names, Claude's tier before its version."""
    text = re.sub(r"(?<=\d)p(?=\d)", "-", text)
    text = re.sub(r"[\s._@]+", "-", text)
    text = VERSION_AFTER_NAME.sub(r"\1-", MAKERS_OWN.sub("", text))
    text = re.sub(r"^gpt-35(?=-|$)", "gpt-3-5", text)
    match = CLAUDE.match(text)
    if match is not None:
        tier, major = match[3] or match[4], match[1] or match[5]
        minor = match[2] or match[6]
        version = major if minor in (None, "0") else f"{major}-{minor}"
        text = f"claude-{tier}-{version}{text[match.end() :]}"
    return text.strip("-")


class ModelNames:
    """Names as they stand in the data, to find a model by any of its spellings."""

    def __init__(self, names: Iterable[str]) -> None:
        self._exact = set(names)
        self._by_key: dict[str, list[str]] = {}
        for name in sorted(self._exact):
            for key in model_keys(name):
                self._by_key.setdefault(key, []).append(name)

    def find(self, name: str) -> str | None:
        """The known spelling of the model that `name` means; None if there is none.

        The spelling itself comes first, then a name that shares the most specific form. Of several releases of one
        model the undated name is taken, else the newest.
        """
        if name in self._exact:
            return name
        for key in model_keys(name):
            candidates = self._by_key.get(key)
            if candidates:
                return max(candidates, key=lambda candidate: (model_keys(candidate)[0] == key, candidate))
        return None

    def suggest(self, name: str, n: int = 3) -> list[str]:
        """At most `n` known names that look like `name`, most alike first; empty where nothing is near."""
        close = difflib.get_close_matches(model_keys(name)[-1], list(self._by_key), n=2 * n, cutoff=0.75)
        return list(dict.fromkeys(self._by_key[key][-1] for key in close))[:n]
