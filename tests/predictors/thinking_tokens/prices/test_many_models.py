"""Names that are looked up at once have the prices of names that are looked up one by one."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from genai_prices.data_snapshot import get_snapshot

from foretell.predictors.thinking_tokens.prices import many_models
from foretell.predictors.thinking_tokens.prices.cost import request_rates
from foretell.predictors.thinking_tokens.prices.many_models import priced_alike
from foretell.predictors.thinking_tokens.prices.rates import find_model

SPELLINGS = ("{}", "{}-2025-08-07", "{}-20250807", "openai/{}", "us.anthropic.{}-v1:0", "ft:{}:org::1", "my-{}")
SELLERS = ("", "openai", "AWS", "azure", "google", "litellm", "nobody", "bedrock")


def spelt() -> pd.DataFrame:
    """Every twentieth listed model in some spellings, from a seller each."""
    names = [model.id for provider in get_snapshot().providers for model in provider.models][::20]
    rows = [
        (spelling.format(name.upper() if i % 5 == 0 else name), SELLERS[(i + j) % len(SELLERS)], "batch" * (i % 2))
        for i, name in enumerate(names)
        for j, spelling in enumerate(SPELLINGS)
    ]
    return pd.DataFrame(rows, columns=["model", "provider", "service_tier"]).drop_duplicates(ignore_index=True)


def test_every_case_is_replaced_by_one_that_the_same_entry_prices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(many_models, "FEW", 0)
    cases = spelt()
    alike = priced_alike(cases, None)
    assert (alike[["provider", "service_tier"]] == cases[["provider", "service_tier"]]).all(axis=None)
    assert alike["model"].nunique() < 0.5 * cases["model"].nunique()
    priced = 0
    for name, other, seller in zip(cases["model"], alike["model"], cases["provider"], strict=True):
        entry = find_model(name, seller or None)
        assert entry is find_model(other, seller or None), (name, other, seller)
        priced += entry is not None
    assert 40 < priced < len(cases) / 2


def test_rates_are_those_of_few_cases(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    own = tmp_path / "prices.yaml"
    own.write_text("version: 1\nmodels:\n- {model: MY-gpt-5, input_usd_per_mtok: 3, output_usd_per_mtok: 4}\n", "utf-8")
    models = ["my-gpt-5", "gpt-5", "openai/gpt-5", "unknown", "unheard of", "my-other"] * 2
    frame = pd.DataFrame({"model": models, "provider": [None] * 6 + ["openai"] * 6, "input_tokens": 10.0})
    one_by_one = request_rates(frame, price_file=own)
    monkeypatch.setattr(many_models, "FEW", 0)
    pd.testing.assert_frame_equal(request_rates(frame, price_file=own), one_by_one)
    assert one_by_one["output"].notna().sum() == 5


def test_few_cases_are_left_as_they_are() -> None:
    cases = spelt().head(many_models.FEW)
    assert priced_alike(cases, None) is cases
