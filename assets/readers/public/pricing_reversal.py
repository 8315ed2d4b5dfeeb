"""The Price Reversal data: queries of public benchmarks with tokens and cost of eight reasoning models.

One JSON document per benchmark and model: a header (``model_name``, ``dataset_name``, ``split``) and
``records`` with prompt, prompt_tokens, completion_tokens (which include thinking_tokens), cost and score;
``data/repeated_trial`` holds five more runs of AIME for three models, without scores.

Licence MIT. Chen, Zhang, He, Stoica, Zaharia, Zou (2026), The Price Reversal Phenomenon, arXiv 2603.23971.
https://github.com/lchen001/pricing-reversal

Known faults, handled here or in `lake.curation`: failed calls kept as zeros (rejected), costs of 0 beside
tokens (the cost is dropped), two runs with one index twice (the second is quarantined as a conflict),
MiniMax cut at 2,048 tokens and Kimi at 32,768 (found as censored by their mass), Haiku with thinking off
(its 2 to 9 thinking tokens are kept as reported), indexes that start at 0 or 1 (items are told by their prompt).
"""

from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from foretell.assets.readers.core.messages import query_id_of_text
from foretell.assets.readers.core.normalise import as_number, dig
from foretell.assets.readers.core.records import ReadOptions, Record, Reject, records_of
from foretell.assets.readers.core.stream import NOT_A_REQUEST, TOO_DEEP, is_too_deep, json_document

_REMEDY = "fetch the file again: `foretell fetch pricing-reversal`"
# Names of the files -> provider, model of the provider, effort (constant/model_info.json of the repository).
_MODELS = {
    "gpt-5.2-high": ("openai", "gpt-5.2", "high"),
    "gpt-5-mini": ("openai", "gpt-5-mini", None),
    "gemini-3.1-pro-preview": ("google", "gemini-3.1-pro-preview", None),
    "gemini-3-flash-preview": ("google", "gemini-3-flash-preview", None),
    "claude-opus-4.6-thinking": ("anthropic", "claude-opus-4-6", "thinking"),
    "claude-haiku-4.5": ("anthropic", "claude-haiku-4-5", "none"),
    "kimi-k2.5": ("moonshotai", "kimi-k2.5", None),
    "MiniMax-M2.5": ("minimax", "MiniMax-M2.5", None),
}


class PricingReversal:
    """Reader of the consolidated and the repeated files."""

    name = "pricing_reversal"

    def sniff(self, head: bytes, path: Path) -> bool:
        """True for a JSON object that names model and data set in its header."""
        start = head.lstrip()[:1] == b"{"
        return start and b'"model_name"' in head and b'"dataset_name"' in head and b'"split"' in head

    def read(self, path: Path, options: ReadOptions) -> Iterator[Record]:
        """Stream the records; ``source_line`` is the position of the record in its file."""
        document = json_document(path, _REMEDY)
        if isinstance(document, Reject) or not isinstance(dig(document, "records"), list):
            yield document if isinstance(document, Reject) else Reject("no list `records`", 1, _REMEDY, is_file=True)
            return
        records = partial(_records, document=document, seen=Counter())
        yield from records_of(enumerate(document["records"], start=1), records)


def _records(position: int, record: Any, *, document: dict[str, Any], seen: Counter[str]) -> Iterator[Record]:
    if not isinstance(record, dict) or not isinstance(record.get("prompt"), str):
        yield Reject("a record without a prompt", position, _REMEDY)
        return
    if is_too_deep(record):
        yield Reject(TOO_DEEP, position, NOT_A_REQUEST)
        return
    name, benchmark, run = str(document.get("model_name")), str(document.get("dataset_name")), document.get("run_index")
    tokens = {key: record.get(key) for key in ("prompt_tokens", "completion_tokens", "thinking_tokens")}
    if not any(tokens.values()):
        yield Reject("a failed call kept as zeros", position, "nothing was measured; the row is left out")
        return
    provider, model, effort = _MODELS.get(name, (None, name, None))
    query_id = query_id_of_text(record["prompt"])
    # An item is its prompt: two prompts stand under two indexes, and GPT-5.2 counts some from 0.
    which = "original" if run is None else f"repeat{run}"
    seen[query_id] += run is None
    twin = f"#{seen[query_id]}" if seen[query_id] > 1 else ""
    cost = as_number(record.get("cost"))
    yield {
        "source": "pricing-reversal",
        "request_id": f"{benchmark}/{name}/{query_id[:16]}{twin}/{which}",
        "query_id": query_id,
        "replicate": 0 if run is None else int(run) + 1,
        "provider": provider,
        "model": model,
        "request_model": model,
        "reasoning_effort": effort,
        "prompt_text": record["prompt"],
        "input_tokens": tokens["prompt_tokens"],
        "output_tokens": tokens["completion_tokens"],
        "reasoning_tokens": tokens["thinking_tokens"],
        # A cost of 0 beside tokens is a cost that was lost (16 rows of GPT-5.2).
        "cost_reported_usd": cost if cost else None,
        "benchmark": benchmark,
        "item_id": str(record.get("index")),
        "score": record.get("score"),
        "repeat_prob": None,  # the authors chose AIME and three models: those cells speak for no others
        "source_line": position,
    }
