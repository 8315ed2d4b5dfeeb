"""What a model's name and effort say about it: who made it, its family, and whether it reasons before it answers."""

import re

import pandas as pd

from ...model_names import model_keys

VENDORS = {
    "openai": r"^(gpt|chatgpt|o\d|codex|davinci|computer-use)",
    "anthropic": r"^claude",
    "google": r"^(gemini|gemma|palm)",
    "meta": r"llama|^muse",
    "mistral": r"stral|^mistral|^mixtral",
    "qwen": r"^(qwen|qwq)",
    "deepseek": r"^deepseek",
    "xai": r"^grok",
    "zhipu": r"^glm",
    "moonshot": r"^kimi",
    "minimax": r"^minimax",
}
FAMILY = re.compile(
    r"^(claude-(?:opus|sonnet|haiku)|gpt-oss|gpt-\d(?:-\d)?o?|o\d|gemini-\d(?:-\d)?|llama-\d|qwen-?\d|deepseek-(?:v\d|r\d|coder|chat)"
    r"|grok-\d|glm-\d|kimi-k\d|minimax-m\d|mistral|mixtral|gemma-?\d|phi-\d)"
)
REASONS = re.compile(
    r"^o\d(-|$)|^gpt-[5-9]|^gpt-oss|think|(^|-)r\d(-|$)|^qwq|^gemini-2-5|^gemini-[3-9]|^grok-([4-9]|3-mini)|^minimax-m|^glm-4-[5-9]"
    r"|^glm-[5-9]|^kimi-k2-[5-9]|^kimi-k[3-9]|^magistral|^seed-oss|^intellect-3|^deephermes|^nemotron|^claude-\w+-4-[6-9]|^claude-\w+-[5-9]"
    r"|speciale|reasoning|^sonar-deep"
)
ANSWERS_AT_ONCE = re.compile(r"instruct-2507|non-reasoning|no-?think|chat-latest")
EFFORTS_THAT_REASON = {"minimal", "low", "medium", "high", "xhigh", "max", "thinking", "enabled"}
EFFORTS_THAT_DO_NOT = {"none", "off", "disabled"}


def describe_models(cells: pd.DataFrame) -> pd.DataFrame:
    """Add what names say to a table of cells with the columns `model` and `reasoning_effort` (text).

    These are `base` (the model's least specific spelling, `model_names.model_keys`), `family`, `vendor` and `reasons`:
    1 where it reasons before it answers, 0 where not, one half where a model that can is asked not to, since many go on
    thinking in the answer.
    """
    base = cells["model"].map({name: model_keys(str(name))[-1] for name in cells["model"].unique()})
    vendor = {key: next((v for v, p in VENDORS.items() if re.search(p, key)), key) for key in base.unique()}
    family = {key: match[0] if (match := FAMILY.match(key)) else key for key in base.unique()}
    reasons = [_reasons(key, str(effort).lower()) for key, effort in zip(base, cells["reasoning_effort"], strict=True)]
    return cells.assign(base=base, family=base.map(family), vendor=base.map(vendor), reasons=reasons)


def _reasons(base: str, effort: str) -> float:
    able = bool(REASONS.search(base)) and not ANSWERS_AT_ONCE.search(base)
    if effort in EFFORTS_THAT_REASON:
        return 1.0
    if effort in EFFORTS_THAT_DO_NOT:
        return 0.5 if able else 0.0
    return float(able)
