"""Tables that fit the terminal, names that are printed as they are, sums that do not vanish."""

from __future__ import annotations

import re

import pandas as pd
import pytest

from foretell.assets.pages import Page, Section
from foretell.pipelines.cli.console import chance, count_keys, counted, money, print_json, print_table
from foretell.pipelines.cli.forecast.predict import _shown
from foretell.pipelines.cli.forecast.quote_page import SET_ASIDE, totals_table
from foretell.pipelines.cli.judge.tables import evaluation_page, floors_page
from foretell.pipelines.cli.operate.doctor import Finding
from foretell.pipelines.cli.output import print_page
from foretell.predictors.schemas.evaluation import Evaluation
from foretell.predictors.thinking_tokens.bill.quote import QuoteTerms

NASTY = "[/red][bold]:smile:\x1b[31m"
PRINTED = "[/red][bold]:smile:\N{REPLACEMENT CHARACTER}[31m"
WIDTHS = (60, 80, 120)


def evaluation(name: str = "gpt-5-mini") -> pd.DataFrame:
    row = dict.fromkeys(Evaluation.to_schema().columns, 1.2345) | {
        "predictor": "ThinkingTokensPredictor", "family": "thinking_tokens", "dataset": name, "baseline": "model",
        "floor_source": "repeats: random, of 3 runs each", "n_queries": 1234, "n_replicates": 5678,
    }  # fmt: skip
    segments = [(f"model={name}", split, metric) for split in ("within", "new_benchmark") for metric in ("crps", "mae")]
    rows = [row | {"segment": s, "split": split, "metric": m} for s, split, m in segments]
    return pd.DataFrame([*rows, rows[0] | {"metric": "coverage_90", "value": 0.9}])


def totals(name: str) -> pd.DataFrame:
    parts = ("mean", "median", "lower_90", "upper_90", "lower_50", "upper_50")
    sums = {f"{unit}_{part}": 0.000412 if unit == "usd" else 1234.0 for unit in ("usd", "tokens") for part in parts}
    more = {"probability_over_budget": 0.0, "reservation_usd": 32.81, "worst_case_usd": float("nan")}
    return pd.DataFrame([{"option": name, "n_requests": 1, "problem": f"{name} unseen", **sums, **more}])


def forecasts(name: str) -> pd.DataFrame:
    parts = ("mean", "median", "lower_50", "upper_50", "lower_90", "upper_90")
    told = {"known": "neither", "basis": "what is said of an unknown model on an unknown benchmark"}
    row = told | dict.fromkeys(parts, 12345.6) | {f"cost_{part}_usd": 0.000412 for part in parts}
    return pd.DataFrame([{"request": 1, "custom_id": "q-1", "model": name, **row, "price_version": "x"}])


def show(kind: str, name: str) -> None:
    """Print one of the tables of the command line about a thing of that name."""
    if kind == "evaluate":
        print_page(evaluation_page(evaluation(name)))
    elif kind == "floor":
        print_page(floors_page(evaluation(name), title=f"on {name}"))
    elif kind == "quote":
        table = totals_table(totals(name), QuoteTerms([name], budget_usd=20.0))
        print_page(Page("a quote", [Section(table=table)], remarks=[SET_ASIDE]))
    elif kind == "predict":
        shown = _shown(forecasts(name))
        print_table(name, list(shown.columns), shown.to_numpy().tolist(), n_keys=4, prose=("basis",))
    elif kind == "doctor":
        finding = Finding(
            f"champion {name}", "failure", "cannot be loaded: " + "a long reason " * 9, "foretell retrain"
        )
        cells = [(finding.check, finding.status, finding.found, finding.remedy)]
        print_table("doctor", ("check", "status", "found", "remedy"), cells, n_keys=2, prose=("found", "remedy"))
    else:
        cells = [("thinking_tokens", 12, name, "0.427", "0.377", "0.708", "0.945", "-", "2026-11-29T11:24")]
        columns = ("family", "version", "alias", "crps", "floor", "skill", "cover 90 %", "log e", "created")
        print_table("registered models", columns, cells, n_keys=3)


KINDS = ("evaluate", "floor", "quote", "predict", "doctor", "models")


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_table_fits_and_keeps_its_keys(kind: str, width: int, monkeypatch, capsys) -> None:
    # At 80, 100 and 140 columns model, segment, split and tokens were lost, and predict printed vertical letters.
    name = "claude-sonnet-4-5-20250929"
    monkeypatch.setenv("COLUMNS", str(width))
    show(kind, name)
    printed = capsys.readouterr().out
    tables = [line for line in printed.splitlines() if re.match("[│┃┏┡└ ]", line)]
    assert tables
    assert max(map(len, tables)) <= width
    assert name in printed, "a key is never left out or broken"
    if kind == "evaluate":
        assert {"within", "new_benchmark", "crps", "mae"} <= set(re.findall(r"\w+", printed))
    letters = [cell for line in tables for cell in re.split("[│┃]", line) if len(cell.strip()) == 1]
    assert not [cell for cell in letters if cell.strip().isalpha()], "no word is printed letter below letter"


@pytest.mark.parametrize("width", [*WIDTHS, 200])
@pytest.mark.parametrize("kind", KINDS)
def test_a_name_is_no_markup_and_no_command_to_the_terminal(kind: str, width: int, monkeypatch, capsys) -> None:
    # A model named [/red] raised MarkupError.
    monkeypatch.setenv("COLUMNS", str(width))
    show(kind, NASTY)
    printed = capsys.readouterr().out
    assert PRINTED in printed
    assert "\x1b" not in printed


def test_what_is_left_out_for_width_is_named(monkeypatch, capsys) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    print_table("t", ("key", "a", "b", "gone"), [("k", "1" * 8, "2" * 8, "3" * 30)])
    printed = capsys.readouterr().out
    assert "too narrow for gone" in printed
    assert "333" not in printed
    print_table("t", ("key", "a", "b"), [("k" * 30, "1" * 8, "2" * 8)])
    assert capsys.readouterr().out.splitlines() == ["t", "k" * 30, "  a 11111111   b 22222222"]


def test_the_keys_of_any_table_are_its_first_words() -> None:
    table = pd.DataFrame({"model": ["a"], "effort": ["low"], "n": [1], "why": ["x"]})
    assert [count_keys(table), count_keys(table[["n", "why"]]), count_keys(table[["why"]])] == [2, 1, 1]


def test_every_row_of_a_data_frame_is_one_json_object(capsys) -> None:
    print_json(pd.DataFrame({"a": [1.5, float("nan")]}))
    assert capsys.readouterr().out == '{"a": 1.5}\n{"a": null}\n'


@pytest.mark.parametrize(
    ("usd", "text"),
    [(0.0, "$0.00"), (0.000412, "$0.00041"), (0.0004, "$0.0004"), (0.05, "$0.05"), (12.345, "$12.35"),
     (-0.004, "-$0.004"), (1234.5, "$1,234.50"), (3.2e-9, "$0.0000000032")],
)  # fmt: skip
def test_small_sums_are_not_zero(usd: float, text: str) -> None:
    assert money(usd) == text


def test_one_is_not_plural_and_a_small_chance_is_not_none() -> None:
    assert [counted(1, "model"), counted(2, "model"), counted(1234, "query", "queries")] == [
        "1 model", "2 models", "1,234 queries",
    ]  # fmt: skip
    assert [chance(0.0), chance(0.0004), chance(0.25), chance(1.0), chance(float("nan"))] == [
        "< 0.1 %", "< 0.1 %", "25.0 %", "> 99.9 %", "-",
    ]  # fmt: skip


def test_what_is_set_aside_beyond_the_budget_is_explained(monkeypatch, capsys) -> None:
    # "over budget 0 %" stood beside "set aside $32.81" at a budget of $20.
    monkeypatch.setenv("COLUMNS", "200")
    show("quote", "m")
    printed = capsys.readouterr().out
    assert "over $20.00" in printed
    assert "$32.81" in printed
    assert "the total needs less, since not all requests run long at once" in printed
