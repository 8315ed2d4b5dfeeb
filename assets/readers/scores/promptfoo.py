"""Results of promptfoo (``promptfoo eval --output results.json``), with all repeats of a test.

An item is a test, told by its variables and description: with ``--repeat n`` promptfoo numbers the repeats as tests of
their own (``testIdx``). A system is a provider, and where there are several prompts a provider and a prompt. Results
give the metrics ``score``, ``pass`` and their named scores. Calls that ended with an error are no wrong answers: they
are counted and left out, as promptfoo's own statistics do.
"""

from collections import Counter
from collections.abc import Iterator
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson

from foretell.assets.readers.core.normalise import as_number, dig, epoch_us, first
from foretell.assets.readers.core.records import ReadOptions, Reject, Row, records_of
from foretell.assets.readers.core.stream import json_document

_ERROR = 2
"""`failureReason` of a call that ended with an error."""


class Promptfoo:
    """Reader of a results file of version 3 or 4; ``source_line`` is the position of the result."""

    name = "promptfoo"

    def sniff(self, head: bytes, path: Path) -> bool:
        """True for a file that starts as promptfoo's results do."""
        return head.lstrip()[:1] == b"{" and b'"evalId"' in head and b'"results"' in head and b'"prompts"' in head

    def rows(self, path: Path, options: ReadOptions) -> Iterator[tuple[str, Row] | Reject]:
        """Stream one row of `benchmark_runs` per result and numeric score."""
        document = json_document(path, "write it again with `promptfoo export eval`")
        results = dig(document, "results", "results")
        if not isinstance(results, list):
            remedy = "write it with `promptfoo eval --output results.json`"
            is_none = Reject("no list results.results", 1, remedy, is_file=True)
            yield document if isinstance(document, Reject) else is_none
            return
        has_prompts = len({r.get("promptId") for r in results if isinstance(r, dict)}) > 1
        rows = partial(_rows, document=document, has_prompts=has_prompts, seen=Counter())
        yield from records_of(enumerate(results, start=1), rows)


def _scores(result: dict[str, Any]) -> dict[str, float]:
    named = result.get("namedScores")
    values = {
        "score": first(result.get("score"), dig(result, "gradingResult", "score")),
        "pass": first(result.get("success"), dig(result, "gradingResult", "pass")),
        **(named if isinstance(named, dict) else {}),
    }
    numbers = {str(k): float(v) if isinstance(v, bool) else as_number(v) for k, v in values.items()}
    return {name: number for name, number in numbers.items() if number is not None}


def _rows(
    number: int, result: Any, *, document: dict[str, Any], has_prompts: bool, seen: Counter[tuple[str, str]]
) -> Iterator[tuple[str, Row] | Reject]:
    if not isinstance(result, dict) or result.get("failureReason") == _ERROR or not _scores(result):
        yield Reject("the call ended with an error, or has no score", number, "run it again, or leave it out")
        return
    provider = str(first(dig(result, "provider", "label"), dig(result, "provider", "id"), result.get("provider")))
    system = f"{provider} ({dig(result, 'prompt', 'label')})"[:120] if has_prompts else provider
    test = {"vars": first(result.get("vars"), dig(result, "testCase", "vars")),
            "description": dig(result, "testCase", "description")}  # fmt: skip
    item = sha256(orjson.dumps(test, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]
    replicate = seen[system, item]
    seen[system, item] += 1
    for metric, score in _scores(result).items():
        row = {
            "run_id": f"{document.get('evalId')}/{system}",
            "item_id": item,
            "replicate": replicate,
            "metric": metric,
            "filter": "none",
            "benchmark": str(first(dig(document, "config", "description"), "promptfoo")),
            "model": system,
            "score": score,
            "higher_is_better": True,
            "tokens": dig(result, "tokenUsage", "completion"),
            "started_at": epoch_us(dig(document, "results", "timestamp")),
            "harness": "promptfoo",
            "harness_version": dig(document, "metadata", "promptfooVersion"),
            "source_line": number,
        }
        yield "benchmark_runs", row
