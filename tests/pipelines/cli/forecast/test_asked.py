"""What a language model expects, beside the forecast of the champion."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from foretell.pipelines.cli.data.ingest import Options, run_ingest
from foretell.pipelines.cli.forecast.predict import predict
from foretell.pipelines.cli.output import Output
from foretell.pipelines.settings import Settings
from foretell.predictors.benchmark_scores.predictor import BenchmarkScorePredictor
from foretell.predictors.errors import InvalidInputError
from tests.pipelines.cli.forecast.test_predict import GIVEN
from tests.pipelines.pilots.test_elicited import numbers, said
from tests.pipelines.pilots.test_sending import PRICES, reply, serve
from tests.predictors.benchmark_scores.synthetic_scores import INPUTS, make_scores

__all__ = ["serve"]  # a fixture


def test_a_language_model_is_asked_beside_the_champion(capsys, tmp_path: Path, monkeypatch, serve) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FORETELL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("FORETELL_PRICE_FILE", str(tmp_path / "prices.yaml"))
    (tmp_path / "prices.yaml").write_text(PRICES, "utf-8")
    (tmp_path / "quiz.yaml").write_text(
        "benchmark: own-quiz\npublished: 2026-05\ntask: Legal clauses are sorted into 4 classes by pupils.\n"
    )
    scores = make_scores(20, 6)
    small = BenchmarkScorePredictor(n_folds=2, scale_rounds=3)
    small.fit(scores[INPUTS], scores["value"], groups=scores["leak_group"]).save(tmp_path / "saved")

    def good_then_bad(k: int, handler: Any) -> None:
        asked_before = [prompt for prompt, _ in provider.seen[:k]].count(provider.seen[k][0])
        reply(handler, 200, said("hm") if asked_before else numbers(20, 30, 40, 50, 60))

    provider = serve(good_then_bad)
    given = GIVEN | {"predictor": str(tmp_path / "saved"), "benchmark": "quiz.yaml", "model": ["gpt-5", "o3"]}
    given |= {"ask": "tiny", "base_url": provider.url, "samples": 2, "cutoff": "2025-01"}
    predict(family="benchmark_scores", file=None, out=[], json=False, **given)
    shown = capsys.readouterr().out
    assert "own-quiz" not in "".join(prompt for prompt, _ in provider.seen)
    assert "tiny in the pooled forecast has weight 0: 0 of its forecasts" in shown
    assert "2 answers of it are no forecast and left out" in shown
    assert "can have read results" not in shown
    predict(family="benchmark_scores", file=None, out=[], json=True, **given | {"cutoff": None})
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(provider.seen) == 4
    assert [row["asked_median"] for row in rows] == pytest.approx([40, 40])
    assert [(row["pooled_median"], row["asked_weight"]) for row in rows] == [(row["median"], 0) for row in rows]
    assert all(row["is_before_cutoff"] for row in rows)  # nobody says when the training of this one ended
    (tmp_path / "scores.csv").write_text("benchmark,model,score\nown-quiz,openai/o3,41.5\n")
    assert run_ingest(Settings(), [str(tmp_path / "scores.csv")], Options(), Output(json=True), curate=True) == 0
    capsys.readouterr()
    predict(family="benchmark_scores", file=None, out=[], json=False, **given)
    assert "weight 0: 1 of its forecasts on 1 groups of benchmarks were scored" in capsys.readouterr().out
    assert len(provider.seen) == 4
    with pytest.raises(InvalidInputError, match="go with `--ask MODEL`"):
        predict(family="benchmark_scores", file=None, out=[], json=False, **GIVEN | {"max_cost": 2.0})
    with pytest.raises(InvalidInputError, match="does not apply to thinking_tokens"):
        predict(family="thinking_tokens", file=None, out=[], json=False, **GIVEN | {"ask": "tiny"})
    with pytest.raises(InvalidInputError, match="`--cutoff` must be a year or a month"):
        predict(family="benchmark_scores", file=None, out=[], json=False, **given | {"cutoff": "soon"})
