"""The judging loop: what is fitted once, what each model is asked, what is left out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from foretell.assets.families.learning_curves.family import FAMILY as CURVES
from foretell.assets.families.thinking_tokens.family import FAMILY
from foretell.assets.judging.splits import Round, Split, _Fits, held_out_splits, judge_splits
from foretell.predictors.base import EVALUATION_LEVELS
from foretell.predictors.errors import InvalidInputError
from foretell.predictors.learning_curves.pfn.predictor import PfnPredictor
from foretell.predictors.metrics import evaluate
from foretell.predictors.splits import assign_split
from foretell.predictors.thinking_tokens.baselines import GlobalBaseline, ModelBaseline

CHEAP = replace(
    FAMILY,
    predictor=lambda: ModelBaseline(),
    baselines=lambda: {"global": GlobalBaseline()},
    reference="global",
    segments=("model",),
)


@pytest.fixture(scope="module")
def examples() -> pd.DataFrame:
    """Queries on two models, one of which writes more."""
    rng = np.random.default_rng(0)
    rows = [
        (f"q{query}|{model}", f"q{query}", model, float(np.exp(rng.normal(4 + (model == "b"), 0.5))))
        for query in range(200)
        for model in ("a", "b")
    ]
    table = pd.DataFrame(rows, columns=["cell_id", "query_id", "model", "value"])
    fixed = {"replicate": 0, "is_censored": False, "is_capped": False, "repeat_prob": 1.0}
    return table.assign(**fixed, split=assign_split(table["query_id"]))


def rounds(examples: pd.DataFrame, n: int) -> list[Round]:
    """Each n-th of the queries, forecast by a fit to the others."""
    place = pd.factorize(examples["query_id"])[0] % n
    parts = [(examples[place != k], examples[place == k]) for k in range(n)]
    return [Round(train, CHEAP.inputs_by_cell(rows), rows.drop(columns="split")) for train, rows in parts]


def split(name: str, of: list[Round], models: dict[str, ModelBaseline | GlobalBaseline], **options) -> Split:
    return Split(name, of, models, ("global", models["global"]), **options)


def test_rounds_are_judged_together_as_by_hand(examples: pd.DataFrame) -> None:
    models = CHEAP.models()
    table = judge_splits(CHEAP, [split("s", rounds(examples, 3), models, segments=("model",))], dataset="d")
    forecasts = []
    for each in rounds(examples, 3):
        model = ModelBaseline().fit(CHEAP.inputs(each.train), each.train["value"], groups=each.train["query_id"])
        forecasts.append(model.predict_quantiles(each.inputs, EVALUATION_LEVELS))
    names = {"predictor": CHEAP.name, "family": CHEAP.name, "dataset": "d", "split": "s"}
    expected = evaluate(
        examples.drop(columns="split"), pd.concat(forecasts), scale="log", segments=("model",), **names
    ).set_index(["segment", "metric"])["value"]
    first = table[table["predictor"] == CHEAP.name].set_index(["segment", "metric"])["value"]
    np.testing.assert_allclose(first, expected.loc[first.index], rtol=1e-9)
    reference = table[table["predictor"] == "global"]
    assert reference["baseline"].isna().all(), "the reference is measured against nothing"
    assert set(reference["segment"]) == {"all"}


def test_splits_that_share_their_training_rows_share_the_fit(examples: pd.DataFrame) -> None:
    messages: list[str] = []
    shared, models = rounds(examples, 2), CHEAP.models()
    splits = [split(name, shared, models) for name in ("one", "other")]
    judge_splits(CHEAP, splits, dataset="d", progress=messages.append)
    fits = [message for message in messages if message.startswith("fitting")]
    assert len(fits) == 2 * len(models)


def test_a_reference_may_know_something_else(examples: pd.DataFrame) -> None:
    (each,) = rounds(examples, 2)[:1]
    blind = each.inputs.assign(model="unheard of")
    asked = replace(each, reference_inputs=blind)
    model = ModelBaseline()
    table = judge_splits(CHEAP, [Split("s", [asked], {"m": model}, ("blind", model))], dataset="d")
    row = table[table["metric"] == "crps"].iloc[0]
    assert row["baseline"] == "blind"
    assert row["gain"] > 0


def test_queries_that_are_left_out_are_not_judged(examples: pd.DataFrame) -> None:
    test = examples.loc[examples["split"] == "test", "query_id"].unique()
    sealed = set(test[: len(test) // 2])
    table = judge_splits(CHEAP, held_out_splits(CHEAP, examples), dataset="d", leave_out=sealed)
    whole = table[table["segment"] == "all"]
    assert (whole["n_queries"] == len(test) - len(sealed)).all()
    with pytest.raises(InvalidInputError, match="held out to be judged on"):
        judge_splits(CHEAP, held_out_splits(CHEAP, examples), dataset="d", leave_out=set(test))


def test_a_forecast_can_tell_segments(examples: pd.DataFrame) -> None:
    def widths(model: object, inputs: pd.DataFrame, forecast: pd.DataFrame, outcomes: pd.DataFrame) -> pd.DataFrame:
        width = (forecast[0.95] - forecast[0.05]).loc[outcomes["cell_id"]].to_numpy()
        return outcomes.assign(is_wide=np.where(width > np.median(width), "yes", "no"))

    options = {"segments": ("is_wide",), "describe": widths}
    table = judge_splits(CHEAP, [split("s", rounds(examples, 2), CHEAP.models(), **options)], dataset="d")
    assert {"is_wide=yes", "is_wide=no"} <= set(table["segment"])


def test_a_forecast_with_its_density_is_made_though_one_without_was_kept() -> None:
    fits = _Fits(CURVES, print)
    network = PfnPredictor.zero_shot()
    curves = pd.DataFrame({"steps": [[1.0, 2.0, 4.0]], "values": [[0.3, 0.4, 0.5]], "target_step": [32.0]})
    plain, nothing = fits.forecast(network, curves, has_density=False)
    assert nothing is None
    dense, distribution = fits.forecast(network, curves, has_density=True)
    assert np.isfinite(distribution.log_density(pd.Series([0.6]))).all()
    assert np.allclose(plain, dense)
    assert fits.forecast(network, curves, has_density=True)[1] is distribution, "made once"
