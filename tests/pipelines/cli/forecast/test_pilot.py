"""`foretell pilot` and what `quote --runs` makes of it, by command and over real HTTP."""

from __future__ import annotations

import itertools
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import foretell as api
from foretell.pipelines.cli.app import app
from foretell.pipelines.pilots.plan import body_of, raw_requests, read_pilot, scores_of
from foretell.predictors.errors import InvalidInputError
from foretell.predictors.thinking_tokens.baselines import ModelBenchmarkBaseline
from tests.predictors.thinking_tokens.synthetic_runs import INPUTS, make_runs

PRICES = """
version: "1"
models:
  - {model: small, input_usd_per_mtok: 1, output_usd_per_mtok: 10}
  - {model: large, input_usd_per_mtok: 2, output_usd_per_mtok: 30}
"""
N = 60


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = make_runs(60)
    folder = tmp_path_factory.mktemp("saved") / "predictor"
    ModelBenchmarkBaseline().fit(runs[INPUTS], runs["output_tokens"], groups=runs["query_id"]).save(folder)
    return folder


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "prices.yaml").write_text(PRICES, "utf-8")
    lines = [
        {
            "messages": [{"role": "user", "content": f"count {i}"}],
            "max_tokens": 900,
            "answer": str(i % 3),
            "stream": True,
        }
        for i in range(N)
    ]
    (tmp_path / "requests.jsonl").write_text("\n".join(map(json.dumps, lines)), "utf-8")
    monkeypatch.setenv("FORETELL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("FORETELL_PRICE_FILE", str(tmp_path / "prices.yaml"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def address() -> Iterator[str]:
    """A local model whose answers are lognormal in length and right for a third of the prompts."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *arguments: Any) -> None: ...

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            number = int(body["messages"][0]["content"].split()[-1])
            length = int(np.exp(4 + 0.5 * np.random.default_rng(number).normal()))
            answer = {
                "id": f"{body['model']}-{number}", "object": "chat.completion", "model": body["model"],
                "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "0"}}],
                "usage": {"prompt_tokens": 5, "completion_tokens": length, "total_tokens": 5 + length},
            }  # fmt: skip
            assert set(body) == {"messages", "max_tokens", "model"}
            text = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()


def foretell(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments))


def drawn(saved: Path, *more: str) -> Any:
    return foretell("pilot", "requests.jsonl", "--model", "small", "--model", "large", "--predictor", str(saved), *more)


@pytest.mark.slow
def test_the_same_seed_draws_the_same_requests_on_every_model(here: Path, saved: Path) -> None:
    for plan, seed in (("a.jsonl", "3"), ("b.jsonl", "3"), ("c.jsonl", "4")):
        made = drawn(saved, "--n", "8", "--seed", seed, "--plan", plan)
        assert made.exit_code == 0, made.output
    a, b, c = ((here / f"{name}.jsonl").read_text("utf-8") for name in "abc")
    assert a == b != c
    lines = [json.loads(line) for line in a.splitlines()]
    asked = {
        model: {k["pilot"]["request"] for k in lines if k["body"]["model"] == model} for model in ("small", "large")
    }
    assert asked["small"] == asked["large"]
    assert len(asked["small"]) == 8
    assert sum(1 / k["pilot"]["probability"] for k in lines) == pytest.approx(2 * N, rel=0.35)
    assert all("stream" not in k["body"] and "answer" not in k["body"] for k in lines)


@pytest.mark.slow
def test_what_a_pilot_costs_and_how_narrow_it_makes_the_bill_is_a_table(here: Path, saved: Path) -> None:
    rows = [json.loads(line) for line in drawn(saved, "--n", "12", "--json").stdout.splitlines()]
    assert [row["n"] for row in rows] == [5, 10, 12, 20, 50]
    assert all(row["even"] < row["usual"] < row["uneven"] for row in rows)
    assert all(one["usual"] > other["usual"] for one, other in itertools.pairwise(rows))
    assert rows[2]["worst_usd"] > rows[2]["expected_usd"] > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--run"], "`--run` needs `--max-cost`"),
        (["--run", "--max-cost", "1"], "give `--base-url`"),
        (["--plan", "nowhere/pilot.jsonl"], "there is no folder nowhere"),
        (["--run", "--max-cost", "1", "--base-url", "ftp://x"], "must be such as https"),
        (["--run", "--max-cost", "1", "--base-url", "https://x", "--key-env", "NO_KEY"], "NO_KEY is not set"),
    ],
)
def test_what_is_missing_is_said_in_one_line(here: Path, saved: Path, more: list[str], words: str) -> None:
    made = drawn(saved, *more)
    assert isinstance(made.exception, InvalidInputError)
    assert words in str(made.exception)


@pytest.mark.slow
def test_requests_without_a_cap_are_refused_unless_one_is_given(here: Path, saved: Path) -> None:
    text = (here / "requests.jsonl").read_text("utf-8").replace('"max_tokens": 900, ', "")
    (here / "requests.jsonl").write_text(text, "utf-8")
    send = ["--run", "--max-cost", "1", "--base-url", "http://127.0.0.1:1/v1"]
    made = drawn(saved, *send)
    assert "nothing bounds what" in str(made.exception)
    assert "No worst case for 40 calls" in made.output
    assert drawn(saved, "--max-tokens", "500").exit_code == 0
    assert json.loads((here / "pilot.jsonl").read_text("utf-8").splitlines()[0])["body"]["max_tokens"] == 500


@pytest.mark.slow
def test_another_pilot_is_never_overwritten(here: Path, saved: Path) -> None:
    assert drawn(saved).exit_code == 0
    assert drawn(saved).exit_code == 0
    assert "holds another pilot" in str(drawn(saved, "--seed", "9").exception)


@pytest.mark.slow
def test_a_pilot_is_sent_lands_in_the_lake_and_makes_the_bill(here: Path, saved: Path, address: str) -> None:
    send = ["--run", "--base-url", address, "--max-cost", "5", "--n", "15"]
    made = drawn(saved, *send)
    assert made.exit_code == 0, made.output
    assert "30 of 30 answered" in made.output
    assert "30 landed, 0 quarantined" in made.output
    again = drawn(saved, *send)
    assert "goes on as it was drawn" in again.output
    assert "30 of 30 answered" in again.output
    assert len((here / "pilot.runs.jsonl").read_text("utf-8").splitlines()) == 30
    quote = ["quote", "requests.jsonl", "--model", "small", "--model", "large", "--predictor", str(saved)]
    quote += ["--runs", "pilot.runs.jsonl", "--check", "exact:answer", "--budget", "0.05"]
    rows = [json.loads(line) for line in foretell(*quote, "--json").stdout.splitlines()]
    after = {row["model"]: row for row in rows if row["stage"] == "pilot"}
    # In Python the same files give the same bill, beside a forecast that they did not move.
    predictor = api.load(source=saved)
    quoted = api.quote("requests.jsonl", ["small", "large"], runs="pilot.runs.jsonl", predictor=predictor)
    assert quoted.pilot is not None
    assert quoted.pilot.totals.set_index("model")["usd_upper_90"].to_dict() == {
        name: pytest.approx(row["usd_upper_90"]) for name, row in after.items()
    }
    alone = api.quote("requests.jsonl", ["small", "large"], predictor=predictor)
    assert alone.pilot is None
    assert quoted.totals["usd_median"].tolist() == alone.totals["usd_median"].tolist()
    frame, _ = read_pilot([here / "pilot.runs.jsonl"], here / "prices.yaml") or (None, [])
    same = api.quote("requests.jsonl", ["small"], runs=frame, predictor=predictor)
    whole = quoted.pilot.totals.set_index("model")["usd_median"]
    assert same.pilot.totals["usd_median"].tolist() == [whole["small"]]
    with pytest.raises(InvalidInputError, match="pilot of 60 requests"):
        api.quote(["one"], ["small"], runs=frame, predictor=predictor)
    lengths = [int(np.exp(4 + 0.5 * np.random.default_rng(i).normal())) for i in range(N)]
    assert after["small"]["tokens_lower_90"] / 1.2 <= sum(lengths) <= 1.2 * after["small"]["tokens_upper_90"]
    assert after["small"]["usd_median"] < after["large"]["usd_median"]
    assert 0 < after["small"]["pass_rate"] < 1
    assert {row["stage"] for row in rows} == {"forecast", "pilot"}
    shown = foretell(*quote, "--out", "quote.html")
    assert re.search(r"small, before: .* a forecast", shown.output)
    assert re.search(r"small, after: .* by design from 15 of 60 requests", shown.output)
    assert "small is cheaper than large with a probability of" in shown.output
    page = (here / "quote.html").read_text("utf-8")
    assert "After the pilot" in page
    assert "Before the pilot: " in page
    report = foretell("report", "quotes", "--json")
    kept = {(row["model"], row["stage"]) for row in map(json.loads, report.stdout.splitlines())}
    assert kept == {(model, stage) for model in ("small", "large") for stage in ("forecast", "pilot")}


# -- reading -------------------------------------------------------------------------------------------
def a_pilot(folder: Path, *results: dict) -> Path:
    design = {"request": 1, "model": "small", "probability": 0.5, "n_units": 2, "n_drawn": 1, "seed": 0}
    plan = {"custom_id": "1:small", "body": {"model": "small", "max_tokens": 9}, "pilot": design}
    (folder / "plan.jsonl").write_text(json.dumps(plan), "utf-8")
    (folder / "results.jsonl").write_text("\n".join(map(json.dumps, results)), "utf-8")
    return folder / "plan.jsonl"


def test_results_of_a_batch_find_their_design_in_the_plan(tmp_path: Path) -> None:
    body = {"choices": [{"message": {"content": "so: 7"}}], "usage": {"prompt_tokens": 1, "completion_tokens": 5}}
    plan = a_pilot(tmp_path, {"custom_id": "1:small", "response": {"status_code": 200, "body": body}, "grade": 0.5})
    pilot = read_pilot([plan, tmp_path / "results.jsonl"])
    assert pilot is not None
    runs, faults = pilot
    assert faults == []
    assert runs[["output_tokens", "answer", "max_tokens"]].to_numpy().tolist() == [[5, "so: 7", 9]]
    assert scores_of(runs, "regex:7$", plan).tolist() == [1.0]
    assert scores_of(runs, "column:grade", plan).tolist() == [0.5]
    for check, words in (("exact:nothing", "has no 'nothing'"), ("vote", "must be exact"), ("regex:(", "regex")):
        with pytest.raises(InvalidInputError, match=words):
            scores_of(runs, check, plan)
    assert read_pilot([tmp_path / "results.jsonl"]) is None


def test_a_result_that_nobody_drew_is_named(tmp_path: Path) -> None:
    plan = a_pilot(tmp_path, {"custom_id": "2:small", "response": {"body": {}}})
    with pytest.raises(InvalidInputError, match=r"results\.jsonl:1: '2:small' was not drawn"):
        read_pilot([plan, tmp_path / "results.jsonl"])


def test_rows_of_a_table_become_chat_requests(tmp_path: Path) -> None:
    table = pd.DataFrame({"prompt_text": ["hello"], "max_tokens": [30], "answer": ["x"]})
    table.to_csv(tmp_path / "requests.csv", index=False)
    raw = raw_requests(tmp_path / "requests.csv")[1]
    request = {"prompt_text": "hello", "max_tokens": 30.0, "temperature": float("nan")}
    assert body_of(raw, request, "gpt-5-mini", None) == {
        "max_tokens": 30, "messages": [{"role": "user", "content": "hello"}], "model": "gpt-5-mini"
    }  # fmt: skip
    assert body_of({}, {"prompt_text": "hello"}, "openai/gpt-5-mini", 70)["max_completion_tokens"] == 70
