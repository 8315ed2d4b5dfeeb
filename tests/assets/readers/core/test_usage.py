"""What users of other tools were billed wrongly, one test per issue: from the log line to the dollars."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from foretell.assets.lake.traces.curation import Curated, curate
from foretell.assets.readers.reading import read_traces
from foretell.predictors.thinking_tokens.prices.cost import price_requests
from tests.assets.trace_lines import chat, write_jsonl


def _curated(tmp_path: Path, *lines: dict[str, Any]) -> Curated:
    read = read_traces(write_jsonl(tmp_path / "log.jsonl", *lines))
    return curate(read.rows, price=price_requests, rejects=read.rejects)


def _call(model: str, usage: dict[str, Any], **line: Any) -> dict[str, Any]:
    return chat(request={"model": model}, response={"model": model}, **line) | {
        "response": chat()["response"] | {"model": model, "usage": usage}
    }


def _priced(curated: Curated) -> pd.Series:
    assert len(curated.traces) == 1, curated.quarantine.to_dict("records")
    return curated.traces.iloc[0]


def test_opencode_17566_reasoning_is_a_part_of_the_output_and_billed_once(tmp_path: Path) -> None:
    """14,746 in and 1,944 out, of which 1,360 reasoning, are $0.7923 at 30 and 180 a million; not $1.04."""
    usage = {"prompt_tokens": 14_746, "completion_tokens": 1_944, "total_tokens": 16_690,
             "completion_tokens_details": {"reasoning_tokens": 1_360}}  # fmt: skip
    row = _priced(_curated(tmp_path, _call("gpt-5.4-pro", usage)))
    assert row["cost_usd"] == pytest.approx(0.7923, abs=1e-6)


def test_langfuse_16508_hermes_agent_68081_reasoning_beside_the_output_is_billed_too(tmp_path: Path) -> None:
    """Where the total proves that reasoning stands beside the answer, both are billed at the output's price."""
    answer, reasoning = 500, 4_500
    beside = {"prompt_tokens": 1_000, "completion_tokens": answer, "total_tokens": 1_000 + answer + reasoning,
              "completion_tokens_details": {"reasoning_tokens": reasoning}}  # fmt: skip
    within = beside | {"completion_tokens": answer + reasoning}
    rows = [_priced(_curated(tmp_path, _call("deepseek-v4-pro", usage))) for usage in (beside, within)]
    assert rows[0]["output_tokens"] == rows[1]["output_tokens"] == answer + reasoning
    assert rows[0]["cost_usd"] == pytest.approx(rows[1]["cost_usd"])
    without = price_requests(pd.DataFrame({"model": ["deepseek-v4-pro"], "provider": ["deepseek"],
                                           "input_tokens": [1_000], "output_tokens": [answer]}))  # fmt: skip
    assert rows[0]["cost_usd"] > 2 * without["cost_usd"].iloc[0]


def test_opik_7777_reasoning_has_its_own_rate_where_the_provider_publishes_one() -> None:
    """Perplexity's deep research: 108 in at 2, 3,256 out at 8 and 73,248 reasoning at 3 a million."""
    asked = pd.DataFrame({"model": ["sonar-deep-research"], "provider": ["perplexity"], "input_tokens": [108],
                          "output_tokens": [3_256 + 73_248], "reasoning_tokens": [73_248]})  # fmt: skip
    by_hand = (108 * 2 + 3_256 * 8 + 73_248 * 3) / 1e6
    assert price_requests(asked)["cost_usd"].iloc[0] == pytest.approx(by_hand, rel=1e-6)


def test_opencode_24268_reasoning_above_an_output_that_nothing_explains_is_quarantined(tmp_path: Path) -> None:
    """77 output and 78 reasoning tokens whose total is input + output: one of the counts is wrong."""
    usage = {"prompt_tokens": 9, "completion_tokens": 77, "total_tokens": 86,
             "completion_tokens_details": {"reasoning_tokens": 78}}  # fmt: skip
    curated = _curated(tmp_path, _call("kimi-k2.6", usage))
    assert curated.traces.empty
    assert "reasoning_tokens exceed" in curated.quarantine["reason"].iloc[0]


@pytest.mark.parametrize("details", [None, {}, {"reasoning_tokens": None}])
def test_hermes_agent_41583_reasoning_that_is_not_reported_is_unknown_and_warned_about(
    tmp_path: Path, details: dict[str, Any] | None
) -> None:
    usage = {"prompt_tokens": 10, "completion_tokens": 700, "total_tokens": 710, "completion_tokens_details": details}
    curated = _curated(tmp_path, _call("mimo-v2.5", usage))
    assert _priced(curated)["reasoning_tokens"] is pd.NA
    assert "reasoning_unknown" in set(curated.warnings["check"])


def test_langchain_29779_cost_of_a_reasoning_model_counts_all_output(tmp_path: Path) -> None:
    usage = {"prompt_tokens": 12, "completion_tokens": 1_035, "total_tokens": 1_047,
             "completion_tokens_details": {"reasoning_tokens": 960}}  # fmt: skip
    row = _priced(_curated(tmp_path, _call("o3-mini", usage)))
    # $1.10 and $4.40 a million.
    assert row["cost_usd"] == pytest.approx((12 * 1.1 + 1_035 * 4.4) / 1e6, rel=1e-6)
