"""The champion with what a few runs say, as a version of its own."""

from pathlib import Path

import pandas as pd

from foretell.assets.lake.own_runs import ANCHOR_COLUMNS, as_runs, learn_from_runs
from foretell.assets.nightly.promotion import begin_with_shipped
from foretell.assets.nightly.record import family_lock, force_champion
from foretell.assets.nightly.rows import HALVES
from foretell.assets.nightly.serving import load_serving
from foretell.assets.registry.model_card import evaluation_cells
from foretell.assets.registry.tracking import BASIS_TAG, Fit, Registry
from foretell.assets.store.digests import fit_digest, frame_digest
from foretell.assets.store.markdown import markdown
from foretell.predictors.base import EVALUATION_LEVELS
from foretell.predictors.errors import InvalidInputError
from foretell.predictors.splits import assign_split
from foretell.predictors.thinking_tokens.predictor import ThinkingTokensPredictor

FAMILY = "thinking_tokens"


def adapt_champion(registry: Registry, runs: pd.DataFrame, *, public: Path, locks: Path) -> tuple[str, str]:
    """Register the champion adapted to finished runs and make it champion; numbers of the versions before and after.

    Raises InvalidInputError if the champion learns from no single runs, DatasetError if there is no champion.
    """
    with family_lock(locks, FAMILY):
        begin_with_shipped(registry, FAMILY, public)
        serving = load_serving(registry, FAMILY)
        champion, before = serving.predictor, str(serving.version.version)
        if not isinstance(champion, ThinkingTokensPredictor):
            raise InvalidInputError(f"the champion is a {type(champion).__name__}, which learns from no single runs")
        runs = as_runs(runs)
        table, data = judge_halves(champion, runs), frame_digest(runs[["query_id", "model", "output_tokens"]])
        example = runs[[name for name in ANCHOR_COLUMNS[:3] if name in runs]].head(5)
        digest = fit_digest(FAMILY, data, serving.version.tags.get("fit_digest"))
        why = f"version {before} adapted to {len(runs):,} runs of {runs['model'].nunique()} models"
        card = f"# {FAMILY}: {why}\n\nJudged on each half by the other:\n\n{markdown(evaluation_cells(table))}\n"
        adapted = learn_from_runs(champion, runs)
        version = registry.register(
            Fit(FAMILY, digest, data, adapted, table, runs.drop(columns="prompt_text", errors="ignore"), example, card,
                {BASIS_TAG: "adapted"})
        )  # fmt: skip
        force_champion(registry, FAMILY, str(version.version), why)
    return before, str(version.version)


def judge_halves(champion: ThinkingTokensPredictor, runs: pd.DataFrame) -> pd.DataFrame:
    """The Evaluation table of each half of the queries, forecast by the champion adapted to the other half."""
    from foretell.predictors.metrics import evaluate

    runs = runs.assign(cell_id=[f"{place}" for place in range(len(runs))], value=runs["output_tokens"].astype(float))
    half = assign_split(runs["query_id"].astype(str), fractions=HALVES, salt="adapt")
    parts, others = [], []
    for name in HALVES:
        learn, test = runs[half != name], runs[half == name].set_index("cell_id", drop=False)
        if len(test):
            inputs = test[[column for column in ANCHOR_COLUMNS if column in test]]
            fitted = learn_from_runs(champion, learn) if len(learn) else champion
            parts.append(fitted.predict_quantiles(inputs, EVALUATION_LEVELS))
            others.append(champion.predict_quantiles(inputs, EVALUATION_LEVELS))
    return evaluate(
        runs, pd.concat(parts), predictor=type(champion).__name__, family=FAMILY, dataset="runs", split="within",
        baseline=pd.concat(others), baseline_name="champion", scale="log",
    )  # fmt: skip
