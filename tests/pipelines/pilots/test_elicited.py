"""Forecasts asked of a language model over real HTTP: what is kept, what it costs, how it is judged."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from foretell.pipelines.pilots.elicited import Asking, ask, judged_answers, learnt_pool, scored_cells
from foretell.pipelines.pilots.ledger import kept_lines
from foretell.pipelines.pilots.sending import HttpEndpoint
from foretell.pipelines.settings import Settings
from foretell.predictors.base import LEVELS
from foretell.predictors.benchmark_scores.elicitation.prompt import KEYS
from foretell.predictors.errors import InvalidInputError
from tests.pipelines.pilots.test_sending import ANSWER, KEY, PRICES, Provider, reply, serve

__all__ = ["serve"]  # a fixture
PUBLIC = Settings().sources.public
NOTHING = pd.DataFrame({"benchmark": [], "model": [], "value": [], "group": []})
USD = 0.00021
"""Of an answer, by `PRICES` and the usage in `ANSWER`."""


def said(content: str) -> dict[str, Any]:
    return {**ANSWER, "choices": [{"finish_reason": "stop", "message": {"role": "assistant", "content": content}}]}


def numbers(*quantiles: float) -> dict[str, Any]:
    return said(json.dumps(dict(zip(KEYS, quantiles, strict=True))))


GOOD = numbers(20, 30, 40, 50, 60)


def rows_of(n: int = 2, year: float = 2025.5) -> pd.DataFrame:
    return pd.DataFrame({
        "benchmark": [f"b{i}" for i in range(n)], "task": [f"Weigh {i} zebras." for i in range(n)], "model": "gpt-5",
        "published_year": year,
    })  # fmt: skip


def ours(n: int = 2) -> np.ndarray:
    return np.tile([10.0, 30, 50, 70, 90], (n, 1))


@pytest.fixture
def asking(tmp_path: Path) -> Callable[..., Asking]:
    (tmp_path / "prices.yaml").write_text(PRICES, "utf-8")

    def make(provider: Provider, *, timeout_s: float = 5, **options: Any) -> Asking:
        terms = Asking("tiny", HttpEndpoint(provider.url, KEY, timeout_s), tmp_path / "asked", samples=2,
                       cutoff=2025.0, price_file=tmp_path / "prices.yaml", say=lambda line: None)  # fmt: skip
        return replace(terms, **options)

    return make


def test_answers_are_combined_counted_and_never_asked_for_twice(serve, asking) -> None:
    provider = serve(lambda k, handler: reply(handler, 200, GOOD))
    terms = asking(provider)
    answered = ask(rows_of(), ours(), terms, NOTHING)
    np.testing.assert_allclose(answered.table[list(LEVELS)], np.tile([20, 30, 40, 50, 60], (2, 1)))
    assert answered.table["n_answers"].tolist() == [2, 2]
    assert (answered.n_bad, answered.problems, answered.usd) == (0, [], pytest.approx(4 * USD))
    again = ask(rows_of(), ours(), terms, NOTHING)
    assert (len(provider.seen), again.usd) == (4, 0)
    pd.testing.assert_frame_equal(again.table, answered.table)
    ask(rows_of(), ours(), replace(terms, samples=3), NOTHING)  # only what is missing
    assert len(provider.seen) == 6
    assert all(KEY not in file.read_text("utf-8") for file in terms.folder.iterdir())


def test_what_is_no_forecast_is_counted_and_left_out(serve, asking) -> None:
    bad = [said("about 40"), numbers(60, 50, 40, 30, 20), said(""), {**ANSWER, "choices": []}]
    provider = serve(lambda k, handler: reply(handler, 200, bad[k] if k < len(bad) else GOOD))
    answered = ask(rows_of(), ours(), asking(provider, samples=4), NOTHING)
    assert answered.n_bad == 4
    assert answered.table["n_answers"].sum() == 4
    assert answered.usd == pytest.approx(8 * USD)
    hopeless = serve(lambda k, handler: reply(handler, 200, said("no")))
    nothing = ask(rows_of(1), ours(1), asking(hopeless, llm="tiny-2", price_file=_priced(asking, "tiny-2")), NOTHING)
    assert nothing.table[list(LEVELS)].isna().all(axis=None)


def _priced(asking: Callable[..., Asking], model: str) -> Path:
    file = asking(Provider(lambda k, handler: None)).price_file
    assert file is not None
    file.write_text(PRICES.replace("model: tiny", f"model: {model}"), "utf-8")
    return file


def test_a_silent_or_refusing_endpoint_is_told_and_nothing_is_lost(serve, asking) -> None:
    def silent(k: int, handler: Any) -> None:
        if k == 0:
            handler.connection.recv(1)  # until the caller hangs up
        else:
            reply(handler, 200, GOOD)

    answered = ask(rows_of(), ours(), asking(serve(silent), timeout_s=0.5), NOTHING)
    assert len(answered.problems) == 1
    assert "in doubt" not in answered.problems[0]
    assert "it may have been billed" in answered.problems[0]
    assert sorted(answered.table["n_answers"]) == [1, 2]
    refusing = serve(lambda k, handler: reply(handler, 401, {"error": {"code": "invalid_api_key"}}))
    other = asking(refusing, folder=asking(refusing).folder / "other")
    refused = ask(rows_of(), ours(), other, NOTHING)
    assert any("HTTP 401 invalid_api_key" in problem for problem in refused.problems)
    assert refused.table[list(LEVELS)].isna().all(axis=None)
    assert refused.usd == 0


def test_no_more_is_spent_than_allowed_at_worst_and_the_limit_is_that_of_one_command(serve, asking) -> None:
    provider = serve(lambda k, handler: reply(handler, 200, GOOD))
    worst = kept_worst(asking(provider))
    first = ask(rows_of(), ours(), asking(provider, max_cost=worst * 1.01), NOTHING)
    assert any("does not fit under the limit" in problem for problem in first.problems)
    assert 1 <= len(provider.seen) < 4
    assert first.usd <= worst * 1.01
    asked = len(provider.seen)
    ask(rows_of(), ours(), asking(provider, max_cost=worst * 1.01), NOTHING)  # allows as much again
    assert len(provider.seen) > asked
    nothing = ask(rows_of(3), ours(3), asking(provider, max_cost=0.0), NOTHING)
    assert nothing.usd == 0
    assert np.isnan(nothing.table[0.5].iloc[2])


def kept_worst(terms: Asking) -> float:
    """The worst case of one call."""
    probe = replace(terms, folder=terms.folder / "probe")
    ask(rows_of(1), ours(1), replace(probe, samples=1), NOTHING)
    return float(kept_lines(probe.folder / "answers.jsonl")[0]["pilot"]["reserved_usd"])


def test_a_model_without_a_price_is_not_asked(serve, asking) -> None:
    provider = serve(lambda k, handler: reply(handler, 200, GOOD))
    with pytest.raises(InvalidInputError, match=r"nothing bounds what .* costs"):
        ask(rows_of(), ours(), asking(provider, llm="unpriced"), NOTHING)
    assert provider.seen == []


def _landed(names: list[str], values: Any, groups: list[str]) -> pd.DataFrame:
    own = pd.DataFrame({"benchmark": names, "model": "openai/gpt-5", "value": values, "leak_group": groups})
    return scored_cells(own, PUBLIC)


def test_scores_that_land_later_judge_kept_answers_and_earn_weight(serve, asking) -> None:
    rng = np.random.default_rng(0)
    values = rng.uniform(10, 90, 48)

    def knows(k: int, handler: Any) -> None:
        zebras = int(provider.seen[k][0].split("Weigh ")[1].split()[0])
        reply(handler, 200, numbers(*np.clip(values[zebras] + np.array([-9, -3, 0, 3, 9.0]), 0, 100)))

    provider = serve(knows)
    terms = asking(provider, samples=1)
    ask(rows_of(48), ours(48), terms, NOTHING)
    assert learnt_pool(judged_answers(terms, NOTHING)).weight == 0
    names, groups = [f"b{i}" for i in range(48)], [f"g{i // 3}" for i in range(48)]
    judged = judged_answers(terms, _landed(names, values, groups))
    assert (len(judged), judged["is_before_cutoff"].any()) == (48, False)
    pool = learnt_pool(judged)
    assert (pool.weight > 0.3, pool.n_scored, pool.n_groups) == (True, 48, 16)
    assert len(judged_answers(replace(terms, llm="other"), _landed(names, values, groups))) == 0


def test_answers_about_what_the_model_can_have_read_never_count(serve, asking) -> None:
    provider = serve(lambda k, handler: reply(handler, 200, GOOD))
    terms = asking(provider, samples=1)
    early = ask(rows_of(60, year=2024.9), ours(60), terms, NOTHING)
    undated = ask(rows_of(2).drop(columns="published_year"), ours(2), terms, NOTHING)
    assert early.table["is_before_cutoff"].all()
    assert undated.table["is_before_cutoff"].all()
    names, groups = [f"b{i}" for i in range(60)], [f"g{i // 3}" for i in range(60)]
    scored = _landed(names, np.full(60, 40.0), groups)
    judged = judged_answers(terms, scored)
    assert (len(judged), judged["is_before_cutoff"].all()) == (60, True)
    assert (learnt_pool(judged).weight, learnt_pool(judged).n_scored) == (0, 0)
    assert learnt_pool(judged_answers(replace(terms, cutoff=2024.0), scored)).weight > 0
    assert judged_answers(replace(terms, cutoff=None), scored)["is_before_cutoff"].all()


def test_what_had_a_score_when_it_was_asked_is_not_judged(serve, asking) -> None:
    provider = serve(lambda k, handler: reply(handler, 200, GOOD))
    terms = asking(provider, samples=1)
    scored = _landed(["b0"], [40.0], ["g0"])
    ask(rows_of(2), ours(2), terms, scored)
    judged = judged_answers(terms, _landed(["b0", "b1"], [40.0, 41.0], ["g0", "g1"]))
    assert judged["benchmark"].tolist() == ["b1"]
    public = scored_cells(pd.DataFrame(), PUBLIC)
    cell = public.iloc[0]
    known = rows_of(1).assign(benchmark=cell["benchmark"], model=cell["model"], task="Weigh them all.")
    ask(known, ours(1), terms, public)
    assert kept_lines(terms.folder / "answers.jsonl")[-1]["pilot"]["had_score"] is True
