"""The predictors that the package brings, fitted and judged: ``data/public/champions/<family>``.

    FORETELL_MIRROR=... python -m foretell.collect.champion thinking_tokens

What is bundled is the fit to the bundled starter data (its test queries apart) and to the public figures; the table
beside it is that of `foretell evaluate FAMILY --dataset public`, whose fits have not seen what they are judged on.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from foretell.assets.families import get_family
from foretell.assets.judging.pipeline import fit_family, main_segments
from foretell.assets.judging.splits import Round, Split, evaluate_dataset, judge_splits
from foretell.assets.registry.shipped import ABOUT, EVALUATION, EXAMPLE
from foretell.pipelines.settings import Settings
from foretell.predictors.base import BasePredictor

__all__ = ["CHAMPIONS", "PUBLIC"]

PUBLIC = Path(__file__).resolve().parent.parent / "public"
LARGEST_MB = 6.0
QUIZ = "Questions of a school quiz on rivers and mountains; pick one of 4 options. The share of right options counts."
PROMPT = "Why do leaves turn red in autumn?"

Champion = tuple[BasePredictor, str, pd.DataFrame, pd.DataFrame]
"""What is shipped of a family: predictor, what it has learnt from, Evaluation table, example of its inputs."""


def _thinking_tokens(settings: Settings) -> Champion:
    from foretell.predictors.thinking_tokens.shift.public import public_runs

    family = get_family("thinking_tokens")
    starter, runs = family.examples("starter", settings.sources), public_runs()
    fitted = fit_family(family, starter)
    evaluation = evaluate_dataset(family, "public", settings.sources, leave_out_vault=False)
    evaluation = evaluation[main_segments(evaluation)]
    learnt_from = (
        f"{len(runs):,} runs of {runs['model'].nunique()} models in {runs['source'].nunique()} public sets and "
        f"{fitted.predictor.n_samples_:,} of one small local model"
    )
    example = pd.DataFrame({"model": ["gpt-5", "claude-haiku-4-5"], "prompt_text": PROMPT, "reasoning_effort": None})
    return fitted.predictor, learnt_from, evaluation, example.astype({"reasoning_effort": "str"})


def _benchmark_scores(settings: Settings) -> Champion:
    from foretell.assets.families.benchmark_scores.asking import ask_rows

    family = get_family("benchmark_scores")
    examples = family.examples("modern", settings.sources)
    evaluation = evaluate_dataset(family, "modern", settings.sources, leave_out_vault=False, progress=print)
    evaluation = evaluation[main_segments(evaluation)]
    predictor = family.predictor().fit(family.inputs(examples), examples["value"], groups=examples["leak_group"])
    learnt_from = (
        f"{len(examples):,} scores of {examples['model'].nunique()} models on {examples['benchmark'].nunique()} public "
        "benchmarks, described in this project's words"
    )
    return predictor, learnt_from, evaluation, ask_rows(QUIZ, ["gpt-5", "claude-haiku-4.5"], settings.sources.public)


def _downstream_scaling(settings: Settings) -> Champion:
    family = get_family("downstream_scaling")
    examples = family.examples("public", settings.sources)
    fitted = fit_family(family, examples)
    learnt = examples[examples["split"] == "train"]
    learnt_from = f"{len(learnt):,} scores of larger models in {learnt['family'].nunique()} families of public ladders"
    example = pd.DataFrame({
        "target_flops": [1e22], "chance_score": [25.0], "n_items": [1000.0],
        "ladder_flops": [[1e18, 1e19, 1e20, 1e21]], "ladder_scores": [[27.0, 33.0, 41.0, 50.0]],
    })  # fmt: skip
    evaluation = evaluate_dataset(family, "public", settings.sources, leave_out_vault=False)
    return fitted.predictor, learnt_from, evaluation[main_segments(evaluation)], example


def _learning_curves(settings: Settings) -> Champion:
    from foretell.assets.families.learning_curves.examples import TRAINING_RUNS

    family = get_family("learning_curves")
    examples = family.examples(TRAINING_RUNS, settings.sources)
    is_test = examples["split"] == "test"
    train, test = examples[~is_test], examples[is_test].set_index("cell_id", drop=False)
    fitted = {
        name: model.fit(family.inputs(train), train["value"], groups=train["query_id"])
        for name, model in family.models().items()
    }
    judged = Round(None, family.inputs(test), test.reset_index(drop=True).drop(columns=["split", "steps", "values"]))
    split = Split("new_benchmark", [judged], fitted, ("last_value", fitted["last_value"]),
                  segments=(("source", "cut"),), others_segments=(("source", "cut"),), has_likelihood=True)  # fmt: skip
    evaluation = judge_splits(family, [split], dataset=TRAINING_RUNS)
    learnt_from = (
        f"{len(train) // train['cut'].nunique():,} curves of public training runs of {train['dataset'].nunique()} "
        "workloads"
    )
    example = pd.DataFrame({
        "steps": [[100.0, 200.0, 300.0, 400.0]], "values": [[3.9, 3.4, 3.2, 3.1]], "target_step": [1000.0],
        "metric": ["validation loss"], "resource_unit": ["steps"],
    })  # fmt: skip
    return fitted[family.name], learnt_from, evaluation, example


CHAMPIONS: dict[str, Callable[[Settings], Champion]] = {
    "thinking_tokens": _thinking_tokens,
    "benchmark_scores": _benchmark_scores,
    "downstream_scaling": _downstream_scaling,
    "learning_curves": _learning_curves,
}


def save_shipped(
    public: Path, predictor: BasePredictor, *, learnt_from: str, evaluation: pd.DataFrame, example: pd.DataFrame
) -> Path:
    """Write what `load_shipped` reads; returns the folder. `example`: a few rows of inputs, which anybody may see."""
    folder = public / "champions" / predictor.family
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / ABOUT).write_text(json.dumps({"learnt_from": learnt_from}, indent=1) + "\n", "utf-8")
    evaluation.to_parquet(folder / EVALUATION, index=False)
    example.to_parquet(folder / EXAMPLE, index=False)
    predictor.save(folder)  # last: its checksums are of every file that is there
    for path in folder.iterdir():
        path.chmod(0o644)
    return folder


def main() -> None:
    """Parse, fit, judge, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("family", choices=sorted(CHAMPIONS))
    family = parser.parse_args().family
    predictor, learnt_from, evaluation, example = CHAMPIONS[family](Settings())
    evaluation["predictor"] = evaluation["predictor"].replace(family, type(predictor).__name__)
    folder = save_shipped(PUBLIC, predictor, learnt_from=learnt_from, evaluation=evaluation, example=example)
    size = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
    print(f"{folder}: {size:.2f} MB, learnt from {learnt_from}")
    if size > LARGEST_MB:
        raise SystemExit(f"{folder}: {size:.2f} MB are more than {LARGEST_MB} MB")


if __name__ == "__main__":
    main()
