"""The page of a quote, what-ifs, logs as requests, and bad input."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from foretell.assets.lake.requests import read_requests
from foretell.assets.pages import Page, Section
from foretell.pipelines.cli.forecast.quote_page import quote_page, verdict
from foretell.predictors.errors import InvalidInputError
from foretell.predictors.thinking_tokens.bill.quote import Option, QuoteTerms, quote
from foretell.predictors.thinking_tokens.predictor import ThinkingTokensPredictor
from tests.predictors.thinking_tokens.synthetic_runs import INPUTS, make_runs

PRICES = """
version: "2026-11-01"
models:
  - model: small
    input_usd_per_mtok: 1
    output_usd_per_mtok: 10
    cache_read_usd_per_mtok: 0.1
    service_tiers: {batch: 0.5}
  - {model: large, input_usd_per_mtok: 1, output_usd_per_mtok: 10}
"""


@pytest.fixture(scope="module")
def fitted() -> ThinkingTokensPredictor:
    runs = make_runs(120, seed=1)
    runs["reasoning_effort"] = np.where(np.arange(len(runs)) // 6 % 2, "low", "high")
    runs["output_tokens"] *= np.where(runs["reasoning_effort"] == "high", 2.0, 1.0)
    predictor = ThinkingTokensPredictor(n_estimators=10, refit=False)
    return predictor.fit(runs[[*INPUTS, "reasoning_effort"]], runs["output_tokens"], groups=runs["query_id"])


@pytest.fixture
def prices(tmp_path: Path) -> Path:
    path = tmp_path / "prices.yaml"
    path.write_text(PRICES, "utf-8")
    return path


@pytest.fixture(scope="module")
def requests() -> pd.DataFrame:
    return pd.DataFrame({"prompt_text": [f"count <b>seven</b> {i}" for i in range(12)], "max_tokens": 4000.0})


# -- what-ifs ------------------------------------------------------------------------------------------
def test_every_model_is_quoted_with_every_effort_and_limit(
    fitted: ThinkingTokensPredictor, requests: pd.DataFrame, prices: Path
) -> None:
    found = quote(
        fitted,
        requests,
        QuoteTerms(["small", "large"], reasoning_efforts=["low", "high"], max_tokens=[50, 9000]),
        price_file=prices,
    )
    totals = found.totals.set_index(["model", "reasoning_effort", "max_tokens"])
    assert len(totals) == 8
    assert totals["option"].is_unique
    medians = totals["tokens_median"]
    assert medians["small", "high", 9000.0] > 1.2 * medians["small", "low", 9000.0]
    assert (found.totals.loc[found.totals["max_tokens"] == 50, "tokens_upper_90"] <= 50 * 12).all()
    assert found.totals["problem"].isna().all()


def test_an_effort_never_seen_is_said(fitted: ThinkingTokensPredictor, requests: pd.DataFrame) -> None:
    found = quote(fitted, requests, QuoteTerms(["small"], reasoning_efforts=["extreme"]))
    assert "never seen with effort extreme" in found.totals["problem"].iloc[0]


def test_tiers_and_cached_input_change_the_price_only(
    fitted: ThinkingTokensPredictor, requests: pd.DataFrame, prices: Path
) -> None:
    X = requests.assign(input_tokens=1e6)
    plain, batch, cached = (
        quote(fitted, X, QuoteTerms(["small"], **terms), price_file=prices).totals.iloc[0]
        for terms in ({}, {"service_tier": "batch"}, {"cached_share": 1.0})
    )
    assert batch["usd_mean"] == pytest.approx(plain["usd_mean"] / 2)
    assert plain["usd_mean"] - cached["usd_mean"] == pytest.approx(12 * 0.9)
    assert batch["tokens_mean"] == plain["tokens_mean"]


@pytest.mark.parametrize(
    ("terms", "message"),
    [({"max_tokens": [0]}, "must be positive"), ({"cached_share": 1.5}, "cached_share"), ({"confidence": 0.0}, "conf")],
)
def test_terms_that_make_no_sense_are_refused(
    fitted: ThinkingTokensPredictor, requests: pd.DataFrame, terms: dict, message: str
) -> None:
    with pytest.raises(InvalidInputError, match=message):
        quote(fitted, requests, QuoteTerms(["small"], **terms))


def test_an_option_replaces_settings_and_keeps_the_rest() -> None:
    sent = Option("m", max_tokens=5).applied(pd.DataFrame({"prompt_text": ["a"], "max_tokens": [9.0], "top_p": [0.5]}))
    assert sent[["model", "max_tokens", "top_p", "request"]].iloc[0].tolist() == ["m", 5.0, 0.5, 0]


# -- the page ------------------------------------------------------------------------------------------
def test_page_says_everything_and_fetches_nothing(
    fitted: ThinkingTokensPredictor, requests: pd.DataFrame, prices: Path
) -> None:
    terms = QuoteTerms(["small", "large", "nobody"], budget_usd=5.0)
    found = quote(fitted, requests, terms, price_file=prices)
    text = quote_page(found, requests, terms, ["r.jsonl: request 5: no text"], fitted, Path("r.jsonl")).html()
    for wanted in (
        "small is the cheapest with a probability of ", "over $5.00", "worst case", "How much to set aside",
        "12 requests",
        "file:2026-11-01", "no text", "Never seen in training: nobody", "How it was come by", "median [90 %]",
        "a quarter of the characters", "<svg",
        f"Learnt from {fitted.n_samples_} runs with their texts and {fitted.unseen_.seen_.n_public:,} of public fig",
    ):  # fmt: skip
        assert wanted in text, wanted
    assert "count &lt;b&gt;seven" in text
    assert "<b>seven" not in text
    assert "http" not in text.replace("http://www.w3.org/", "")
    assert "<script" not in text


def test_what_is_not_known_comes_first(fitted: ThinkingTokensPredictor, requests: pd.DataFrame, tmp_path: Path) -> None:
    # It was the last line of the page, below "the cheapest, with a probability of 90 %".
    prices = tmp_path / "prices.yaml"
    prices.write_text(PRICES.replace("large", "nobody"), "utf-8")
    terms = QuoteTerms(["small", "nobody"])
    quoted = quote(fitted, requests, terms, price_file=prices)
    text = quote_page(quoted, requests, terms, [], fitted, Path("r.jsonl")).html()
    body = text.partition("</h1>")[2].strip()
    assert body.startswith('<p class="caveat">nobody: neither model nor benchmark was seen')
    assert "nobody (never seen in training)" in verdict(quoted, QuoteTerms(["small", "nobody"], confidence=0.999))
    assert body.index("Never seen") < body.index('class="answer"') < body.index("<table")


def test_one_model_is_not_called_the_cheapest(
    fitted: ThinkingTokensPredictor, requests: pd.DataFrame, prices: Path
) -> None:
    terms = QuoteTerms(["small"])
    assert verdict(quote(fitted, requests, terms, price_file=prices), terms).startswith("small: about $")


def test_page_without_any_price_is_in_tokens(fitted: ThinkingTokensPredictor, requests: pd.DataFrame) -> None:
    found = quote(fitted, requests.drop(columns="max_tokens"), QuoteTerms(["nobody"]))
    text = quote_page(found, requests, QuoteTerms(["nobody"]), [], fitted, Path("r.csv")).html()
    assert "in tokens only" in text
    assert "Not every request has a limit" in text
    assert "Total in output tokens" in text


def test_tables_escape_what_they_show_and_fold_what_is_too_wide() -> None:
    wide = pd.DataFrame({"a_b": ["<x>"], "n": ["$1.20 [0.4, 3]"], **{f"c{i}": ["1"] for i in range(9)}})
    sections = [Section("all", table=wide, best=0), Section("none", table=wide.head(0))]
    text = Page("<t>", sections, answer=["<b>"]).html()
    assert "<h1>&lt;t&gt;</h1>" in text
    assert '<p class="answer">&lt;b&gt;</p>' in text
    assert '<td class="text">&lt;x&gt;</td><td>$1.20' in text
    assert '<tr class="best">' in text
    assert "<summary>c6, c7, c8</summary>" in text
    assert "none" not in text.partition("<body>")[2], "a section without anything is left out"


# -- logs ----------------------------------------------------------------------------------------------
def _log(n_samples: int = 3, epochs: int = 2) -> dict:
    samples = [
        {
            "id": i, "epoch": epoch, "input": f"What is {i} + {i}?", "uuid": f"{i}-{epoch}",
            "model_usage": {"openai/small": {"input_tokens": 9, "output_tokens": 40 + i, "reasoning_tokens": 30}},
            "scores": {"match": {"value": "C"}}, "output": {"choices": [{"stop_reason": "stop"}]},
        }
        for i in range(n_samples)
        for epoch in range(1, epochs + 1)
    ]  # fmt: skip
    task = {"task": "sums", "task_id": "t", "model": "openai/small", "created": "2026-01-01T00:00:00+00:00",
            "config": {"epochs": epochs}}  # fmt: skip
    return {"version": 2, "status": "success", "eval": task, "samples": samples}


def test_a_log_is_projected_onto_another_model_knowing_its_runs(
    fitted: ThinkingTokensPredictor, tmp_path: Path
) -> None:
    path = tmp_path / "log.json"
    path.write_text(json.dumps(_log()), "utf-8")
    read, problems = read_requests(path)
    assert problems == []
    assert len(read) == 6
    assert read["context_models"].iloc[0] == ["small", "small"]
    assert read["context_output_tokens"].iloc[0] == [40.0, 40.0]
    assert read["context_scores"].iloc[0] == [1.0, 1.0]
    assert quote(fitted, read, QuoteTerms(["large"])).totals["n_requests"].tolist() == [6]


def test_failed_samples_are_named_and_a_broken_log_is_refused(tmp_path: Path) -> None:
    log = _log()
    log["samples"][0]["error"] = {"message": "APIConnectionError: no connection"}
    path = tmp_path / "log.json"
    path.write_text(json.dumps(log), "utf-8")
    read, problems = read_requests(path)
    assert len(read) == 5
    assert "APIConnectionError" in problems[0]
    path.write_text('{"version": 2, "eval"', "utf-8")
    with pytest.raises(InvalidInputError, match="holds no request"):
        read_requests(path)


# -- bad input -----------------------------------------------------------------------------------------
def test_formats_may_be_mixed_and_every_bad_line_is_named(fitted: ThinkingTokensPredictor, tmp_path: Path) -> None:
    path = tmp_path / "mixed.jsonl"
    chat = {"messages": [{"role": "user", "content": "Why?"}]}
    lines = [
        json.dumps({"model": "a", **chat}).encode(),
        json.dumps({"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": chat}).encode(),
        json.dumps({"prompt_text": "How?"}).encode(),
        b'{"messages": [',
        b'{"prompt_text": "\xff\xfe"}',
        json.dumps({"messages": []}).encode(),
        json.dumps({"prompt_text": "x " * 500_000}).encode(),
        b"[1, 2]",
    ]
    path.write_bytes(b"\n".join(lines) + b"\n")
    read, problems = read_requests(path)
    told = [problem.split(": ")[0].rsplit(":", 1)[1] for problem in problems]
    assert told == ["4", "5", "8"]
    assert read.index.tolist() == [1, 2, 3, 6, 7]
    found = quote(fitted, read.drop(columns="model"), QuoteTerms(["small"]))
    assert found.left_out["request"].tolist() == [6]
    assert found.totals["n_requests"].tolist() == [4]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_what_is_not_utf8_is_said(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"latin{suffix}"
    path.write_bytes("prompt_text,model\ncafé,a\n".encode("latin-1"))
    with pytest.raises(InvalidInputError, match=r"UTF-8|holds no request"):
        read_requests(path)


def test_an_empty_batch_and_an_unknown_kind_of_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "none.jsonl").touch()
    with pytest.raises(InvalidInputError, match="holds no request"):
        read_requests(tmp_path / "none.jsonl")
    with pytest.raises(InvalidInputError, match="expected one of"):
        read_requests(tmp_path / "none.xlsx")
