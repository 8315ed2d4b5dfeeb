"""Language models as forecasters of the set ``modern``: `python bench/asked_scores_study.py --ask gpt-5-mini ...`.

On every benchmark of a fold left out, `--per-benchmark` random models are asked about, beside a predictor that was
fitted to the other folds. What the pool weighs each by is learnt on the other folds, of benchmarks published after the
cut-off of the asked model alone. Prints the Evaluation of predictor, asked model and pool, before and after the
cut-off (`is_before_cutoff`), on the cells that have an answer, and the weight of every fold.

`--ask` names models at `--base-url` (as `foretell predict --ask`), or some of three that need none: ``right`` (knows
the score but for 4 points), ``noise`` (draws at random) and ``local`` (SmolLM2-135M of `make local-llm`). PRECOG's
setting is ``--ask gpt-5 --base-url https://api.openai.com/v1 --key-env OPENAI_API_KEY --cutoff 2024-09 --max-cost 20``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd

from foretell.assets.families import get_family
from foretell.assets.families.benchmark_scores.asking import release_of, year_of
from foretell.assets.families.benchmark_scores.evaluation import FOLDS
from foretell.pipelines.pilots.elicited import Asking, ask, learnt_pool
from foretell.pipelines.pilots.sending import Answer, Endpoint, HttpEndpoint
from foretell.pipelines.settings import Settings
from foretell.predictors.base import LEVELS
from foretell.predictors.benchmark_scores.description.leakage import assign_folds
from foretell.predictors.benchmark_scores.elicitation.prompt import KEYS, messages_of
from foretell.predictors.metrics import evaluate

FREE = ("right", "noise", "local")
SPREAD = np.array([-9.0, -3, 0, 3, 9])
METRICS = ("mae", "crps", "coverage_90", "width_90")


class Made:
    """Answers as a model that is nearly right, or one that draws at random."""

    def __init__(self, scores: Mapping[str, float] | None) -> None:
        self.scores, self.rng = scores, np.random.default_rng(0)

    def __call__(self, body: Mapping[str, Any]) -> Answer:
        text = body["messages"][0]["content"]
        centre = self.rng.uniform(0, 100) if self.scores is None else self.scores[text] + self.rng.normal(0, 4)
        content = json.dumps(dict(zip(KEYS, np.clip(centre + SPREAD, 0, 100).round(1).tolist(), strict=True)))
        return _answer(body, content, {"prompt_tokens": len(text) // 4, "completion_tokens": 40})


class Local:
    """SmolLM2-135M in this process; it writes no JSON of its own accord, so that a grammar makes it."""

    def __init__(self) -> None:
        from foretell.collect.local_llm import LocalModel

        self.model, self.n = LocalModel(), 0

    def __call__(self, body: Mapping[str, Any]) -> Answer:
        self.n += 1
        number = {"type": "integer", "minimum": 0, "maximum": 100}
        form = {"type": "object", "properties": dict.fromkeys(KEYS, number), "required": list(KEYS)}
        made = self.model._server.handle_chat_completions({
            **body, "seed": self.n, "temperature": 0.8,
            "response_format": {"type": "json_schema", "json_schema": {"name": "forecast", "schema": form}},
        })  # fmt: skip
        return _answer(body, made["choices"][0]["message"]["content"], made["usage"])


def _answer(body: Mapping[str, Any], content: str, usage: Mapping[str, Any]) -> Answer:
    message = {"role": "assistant", "content": content}
    return Answer(200, {"model": body["model"], "choices": [{"index": 0, "message": message}], "usage": dict(usage)})


def left_out(per_benchmark: int, most: int | None) -> tuple[pd.DataFrame, pd.DataFrame, np.ndarray]:
    """Cells to ask about, their inputs, and quantiles of a predictor that has seen neither leak group."""
    family = get_family("benchmark_scores")
    examples = family.examples("modern", Settings().sources)
    fold = assign_folds(examples["leak_group"], FOLDS)
    order = pd.Series(np.random.default_rng(0).random(len(examples)), index=examples.index)
    asked = examples[order.groupby(examples["benchmark"]).rank() <= per_benchmark]
    asked = asked.assign(fold=fold).drop(columns="split")
    asked = asked[asked["benchmark"].isin(asked["benchmark"].drop_duplicates().sample(frac=1, random_state=0)[:most])]
    ours = pd.DataFrame(np.nan, asked.index, list(LEVELS))
    for number, rows in asked.groupby("fold"):
        train = examples[fold != number]
        fitted = family.predictor().fit(family.inputs(train), train["value"], groups=train["leak_group"])
        ours.loc[rows.index] = fitted.predict_quantiles(family.inputs(rows), LEVELS).to_numpy()
    return asked.reset_index(drop=True), family.inputs(asked).reset_index(drop=True), ours.to_numpy()


def main() -> None:
    """Fit, ask, learn weights, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ask", nargs="+", required=True)
    parser.add_argument("--base-url")
    parser.add_argument("--key-env")
    parser.add_argument("--cutoff", help="month at which what it has read ends; by default its release")
    parser.add_argument("--samples", type=int, default=5)
    parser.add_argument("--max-cost", type=float, default=1.0)
    parser.add_argument("--per-benchmark", type=int, default=3, help="models to ask about on each benchmark")
    parser.add_argument("--benchmarks", type=int, help="how many benchmarks, drawn at random; by default all")
    parser.add_argument("--folder", type=Path, help="where answers are kept; by default the home")
    arguments = parser.parse_args()
    settings = Settings()
    cells, inputs, ours = left_out(arguments.per_benchmark, arguments.benchmarks)
    for llm in arguments.ask:
        with TemporaryDirectory() as scratch:
            asking = terms(arguments, llm, settings, Path(scratch), endpoint(arguments, llm, cells, inputs))
            answered = ask(inputs, ours, asking, pd.DataFrame({"benchmark": [], "model": []}))
        for problem in answered.problems[:10]:
            print(problem)
        report(cells, ours, answered.table, f"{llm}, {answered.n_bad} answers are no forecast, "
               f"${answered.usd:.4g} spent")  # fmt: skip


def terms(arguments: argparse.Namespace, llm: str, settings: Settings, scratch: Path, endpoint: Endpoint) -> Asking:
    """How a model is asked; answers of those that cost nothing are kept in `scratch`, if no folder is named."""
    price_file, folder = settings.price_file, arguments.folder or settings.home / "asked-study"
    if llm in FREE:
        folder, price_file = arguments.folder or scratch, scratch / "prices.yaml"
        free = {"model": llm, "input_usd_per_mtok": 0, "output_usd_per_mtok": 0}
        price_file.write_text(json.dumps({"version": "1", "models": [free]}), "utf-8")
    cutoff = year_of(arguments.cutoff, "--cutoff") if arguments.cutoff else release_of(llm, settings.sources.public)
    return Asking(llm, endpoint, folder, arguments.samples, arguments.max_cost, cutoff, price_file,
                  answer_tokens=200 if llm in FREE else 4_000, say=lambda line: None)  # fmt: skip


def endpoint(arguments: argparse.Namespace, llm: str, cells: pd.DataFrame, inputs: pd.DataFrame) -> Endpoint:
    """Who is asked."""
    if llm == "local":
        return Local()
    if llm == "right":
        texts = [messages_of(row)[0]["content"] for row in inputs.to_dict("records")]
        return Made(dict(zip(texts, cells["value"], strict=True)))
    if llm == "noise":
        return Made(None)
    return HttpEndpoint(arguments.base_url, Settings.api_key(arguments.key_env, arguments.base_url), 120.0)


def report(cells: pd.DataFrame, ours: np.ndarray, table: pd.DataFrame, title: str) -> None:
    """The Evaluation of predictor, asked model and pool; the pool of each fold is learnt on the others."""
    judged = cells.assign(
        group=cells["leak_group"], is_before_cutoff=table["is_before_cutoff"].to_numpy(),
        predictor=list(ours), asked=list(table[list(LEVELS)].to_numpy()),
    )[table["n_answers"].to_numpy() > 0]  # fmt: skip
    print(f"{title}: {len(judged)} of {len(cells)} cells have an answer, {judged['is_before_cutoff'].sum()} of them "
          f"before the cut-off; {judged['leak_group'].nunique()} leak groups")  # fmt: skip
    if judged.empty:
        return
    stack = {name: np.stack(judged[name].tolist()) for name in ("predictor", "asked")}
    stack["pooled"] = stack["predictor"].copy()
    for number in sorted(judged["fold"].unique()):
        pool = learnt_pool(judged[judged["fold"] != number])
        at = (judged["fold"] == number).to_numpy()
        stack["pooled"][at] = pool.apply(stack["predictor"][at], stack["asked"][at])
        print(f"  fold {number}: {pool.said}")
    forecasts = {name: pd.DataFrame(values, judged["cell_id"], list(LEVELS)) for name, values in stack.items()}
    tables = [
        evaluate(judged, forecasts[name], predictor=name, family="benchmark_scores", dataset="modern",
                 split="new_benchmark", baseline=forecasts["predictor"], baseline_name="predictor", metrics=METRICS,
                 segments=("is_before_cutoff",))
        for name in stack
    ]  # fmt: skip
    shown = pd.concat(tables)[["predictor", "segment", "metric", "value", "ci_lower", "ci_upper", "gain",
                               "gain_ci_lower", "gain_ci_upper", "n_queries"]]  # fmt: skip
    with pd.option_context("display.width", 200, "display.max_rows", None):
        print(shown.round(3).to_string(index=False))


if __name__ == "__main__":
    main()
