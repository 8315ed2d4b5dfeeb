"""Prices: golden cases typed from public price lists, the user's own file, and what happens without a price."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from genai_prices import Usage, calc_price

from foretell.predictors.errors import InvalidInputError
from foretell.predictors.thinking_tokens.prices import rates
from foretell.predictors.thinking_tokens.prices.cost import price_forecast, price_requests, request_rates
from foretell.predictors.thinking_tokens.prices.rates import published_rates

DAY = pd.Timestamp("2026-03-01 12:00", tz="UTC")
ONE = pd.DataFrame({"model": ["a"], "input_tokens": [1], "output_tokens": [1]})

# USD per million tokens: input, cached input, output. Source: constant/model_info.json of
# github.com/lchen001/pricing-reversal at 69f5f1a (last updated 2026-02-28, from the providers' price pages).
LISTED = {
    ("openai", "gpt-5.2"): (1.75, 0.175, 14.0),
    ("openai", "gpt-5-mini"): (0.25, 0.025, 2.0),
    ("google", "gemini-3.1-pro-preview"): (2.0, 0.2, 12.0),
}


@pytest.mark.parametrize("key", LISTED, ids="/".join)
def test_cost_of_a_request_as_listed(key: tuple[str, str]) -> None:
    usd_input, usd_cached, usd_output = LISTED[key]
    frame = pd.DataFrame(
        {"provider": [key[0]], "model": [key[1]], "started_at": [DAY], "input_tokens": [10_000],
         "cache_read_tokens": [4_000], "output_tokens": [2_500]}
    )  # fmt: skip
    expected = (6_000 * usd_input + 4_000 * usd_cached + 2_500 * usd_output) / 1e6
    assert price_requests(frame)["cost_usd"].iloc[0] == pytest.approx(expected, rel=1e-12)


def test_a_long_input_has_the_price_of_its_tier_for_all_its_tokens() -> None:
    # Same source: $4 and $18 per million tokens for prompts of more than 200,000 tokens.
    frame = pd.DataFrame(
        {"provider": "google", "model": "gemini-3.1-pro-preview", "started_at": DAY,
         "input_tokens": [200_000, 200_001], "output_tokens": 1_000}
    )  # fmt: skip
    expected = [(200_000 * 2 + 1_000 * 12) / 1e6, (200_001 * 4 + 1_000 * 18) / 1e6]
    np.testing.assert_allclose(price_requests(frame)["cost_usd"], expected, rtol=1e-12)


def test_the_fast_way_agrees_with_pricing_one_request_at_a_time() -> None:
    rng = np.random.default_rng(0)
    models = [
        ("openai", "gpt-5.2"),
        ("anthropic", "claude-opus-4-6"),
        ("google", "gemini-2.5-pro"),
        ("deepseek", "deepseek-chat"),
    ]
    rows = []
    for i in range(80):
        provider, model = models[i % 4]
        n = int(rng.integers(1, 400_000))
        read = int(rng.integers(0, n + 1))
        rows.append(
            {"provider": provider, "model": model, "input_tokens": n, "cache_read_tokens": read,
             "cache_write_tokens": int(rng.integers(0, n - read + 1)), "output_tokens": int(rng.integers(0, 9_999)),
             "started_at": DAY - pd.Timedelta(hours=int(rng.integers(0, 9_000)))}
        )  # fmt: skip
    frame = pd.DataFrame(rows)
    slow = [
        float(
            calc_price(
                Usage(
                    input_tokens=r["input_tokens"],
                    cache_read_tokens=r["cache_read_tokens"],
                    cache_write_tokens=r["cache_write_tokens"],
                    output_tokens=r["output_tokens"],
                ),
                r["model"],
                provider_id=r["provider"],
                genai_request_timestamp=r["started_at"].to_pydatetime(),
            ).total_price
        )
        for r in rows
    ]
    np.testing.assert_allclose(price_requests(frame)["cost_usd"], slow, rtol=1e-9)


def test_an_unknown_model_or_provider_costs_null_and_never_zero() -> None:
    frame = pd.DataFrame(
        {"provider": [None, "no-such-provider", "openai"], "model": ["SmolLM2-135M-Instruct", "gpt-5.2", "gpt-5.2"],
         "input_tokens": [5, 5, None], "output_tokens": 5}, index=[3, 1, 2],
    )  # fmt: skip
    priced = price_requests(frame)
    assert priced.index.tolist() == [3, 1, 2]
    assert priced["cost_usd"].isna().all()
    assert priced["price_version"].isna().all()


def test_batches_are_cheaper_where_the_provider_says_so() -> None:
    # OpenAI's Batch API: half of the standard price (platform.openai.com/docs/guides/batch).
    frame = pd.DataFrame(
        {"model": "gpt-5-mini", "service_tier": [None, "batch"], "input_tokens": 100, "output_tokens": 100}
    )
    plain, batch = price_requests(frame)["cost_usd"]
    assert batch == pytest.approx(plain / 2)


def _write(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8")
    return path


OWN = """
version: 2026-11-01
models:
  - model: My-Model
    input_usd_per_mtok: 1
    output_usd_per_mtok: 10
    cache_read_usd_per_mtok: 0.1
    service_tiers: {batch: 0.5}
  - {model: my-model, from: 2026-06-01, input_usd_per_mtok: 2, output_usd_per_mtok: 20}
  - {model: gpt-5.2, provider: openai, input_usd_per_mtok: 0, output_usd_per_mtok: 1, usd_per_request: 0.5}
"""


def test_the_users_own_prices_come_first_and_are_dated(tmp_path: Path) -> None:
    path = _write(tmp_path / "prices.yaml", OWN)
    frame = pd.DataFrame(
        {
            "model": ["my-model", "MY-MODEL", "my-model", "gpt-5.2", "gpt-5.2", "my-model"],
            "provider": [None, None, None, "openai", None, None],
            "service_tier": [None, None, None, None, None, "batch"],
            "started_at": [DAY, DAY + pd.Timedelta(days=200), pd.NaT, DAY, DAY, DAY],
            "input_tokens": 1_000_000,
            "output_tokens": 1_000_000,
            "cache_read_tokens": [500_000, 0, 0, 0, 0, 0],
        }
    )
    priced = price_requests(frame, price_file=path)
    np.testing.assert_allclose(priced["cost_usd"], [0.5 + 0.05 + 10, 22, 22, 1.5, 15.75, 5.5])
    assert priced["price_version"].str.startswith("file:2026-11-01@").tolist() == [True, True, True, True, False, True]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("{model: a, output_usd_per_mtok: 1}", r"`models.0.input_usd_per_mtok`: Field required"),
        ("{model: a, input_usd_per_mtok: -1, output_usd_per_mtok: 1}", r"`models.0.input_usd_per_mtok`"),
        ("{model: a, input_usd_per_mtok: x, output_usd_per_mtok: 1}", r"saw 'x'"),
        ("{model: a, input_usd_per_mtok: 1, output_usd_per_mtok: 1, price: 3}", r"`models.0.price`"),
    ],
)
def test_a_faulty_entry_is_refused_by_file_and_key(tmp_path: Path, entry: str, message: str) -> None:
    path = _write(tmp_path / "prices.yaml", f"version: 1\nmodels:\n  - {entry}\n")
    with pytest.raises(InvalidInputError, match=message) as caught:
        price_requests(ONE, price_file=path)
    assert "prices.yaml" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [("- a\n- b\n", "must hold the keys `version` and `models`"), ("version: [\n", "is not YAML")],
)
def test_a_file_that_is_no_price_file_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = _write(tmp_path / "prices.yaml", text)
    with pytest.raises(InvalidInputError, match=message) as caught:
        price_requests(ONE, price_file=path)
    assert "prices.yaml" in str(caught.value)


def test_a_missing_price_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"absent\.yaml: cannot be read"):
        request_rates(pd.DataFrame({"model": ["a"]}), price_file=tmp_path / "absent.yaml")


def test_a_forecast_is_priced_with_its_input_known_or_estimated() -> None:
    X = pd.DataFrame(
        {"model": ["gpt-5-mini"] * 3, "input_tokens": [1_000, np.nan, np.nan], "prompt_text": [None, "x" * 4_000, None]}
    )
    priced = price_forecast(X, pd.DataFrame({"median": [500.0, 500.0, 500.0]}))
    expected = (1_000 * 0.25 + 500 * 2) / 1e6
    np.testing.assert_allclose(priced["cost_median_usd"], [expected, expected, np.nan])


def test_a_hundred_thousand_requests_are_priced_in_seconds() -> None:
    rng = np.random.default_rng(1)
    n = 100_000
    frame = pd.DataFrame(
        {"model": rng.choice(["gpt-5.2", "gpt-5-mini", "claude-opus-4-6", "unknown"], n),
         "started_at": DAY + pd.to_timedelta(rng.integers(0, 86_400 * 20, n), unit="s"),
         "input_tokens": rng.integers(1, 9_999, n), "output_tokens": rng.integers(1, 9_999, n)}
    )  # fmt: skip
    started = time.perf_counter()
    assert price_requests(frame)["cost_usd"].isna().mean() == pytest.approx(0.25, abs=0.01)
    # Measured at about half a second; one price at a time takes minutes.
    assert time.perf_counter() - started < 20


def test_a_provider_before_the_name_is_whose_price_holds() -> None:
    # Gateways write ``openai/gpt-5``; it had no price, and a batch quoted under that name had no total.
    names = [
        "gpt-5",
        "openai/gpt-5",
        "gemini-2.5-pro",
        "models/gemini-2.5-pro",
        "gemini/gemini-2.5-pro",
        "nobody/gpt-5",
    ]
    cost = price_requests(pd.DataFrame({"model": names, "input_tokens": 1000, "output_tokens": 1000}))["cost_usd"]
    assert cost[1] == cost[0]
    assert cost[3] == cost[4] == cost[2]
    assert np.isnan(cost[5])


def test_a_cloud_model_costs_what_the_cloud_asks() -> None:
    name = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
    frame = pd.DataFrame(
        {"model": [name, name], "provider": [None, "aws"], "input_tokens": 1000, "output_tokens": 1000}
    )
    cost = price_requests(frame)["cost_usd"]
    assert cost[0] == cost[1] > 0


def test_names_of_one_entry_of_the_list_are_solved_once(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = (published_rates(f"ft:gpt-4o-2024-08-06:org::{i}", "openai", None) for i in "ab")
    assert first is second
    assert published_rates("ft:gpt-4o-2024-08-06:org::a", "openai", "batch") is not first
    assert published_rates("gpt-4o-mini", "openai", None) is not first
    monkeypatch.setattr(rates, "MOST_MADE", 1)
    held = {tier: published_rates("gpt-4o", "openai", tier) for tier in ("one", "two", "three")}
    assert len(rates._made) == 1
    assert held["three"] is rates._made.popitem()[1][1]
