"""The contract of `ladder_samples`: what each model of a ladder did on each item, at each checkpoint."""

import numpy as np
import pandas as pd
import pandera.pandas as pa
from pandera.typing import Series

from .contracts import Table


class LadderSamples(Table):
    """One row per model, item and checkpoint.

    `family` names the ladder and `model` a trained model (a size and a seed). `level` is the item's difficulty, 0
    where items have none. `n_params` counts all trainable parameters, `n_train_tokens` what was trained on so far,
    and `train_flops` is ``6 n_params n_train_tokens``, all as floats: products of large counts overflow integers.
    `loss` is the negative log-likelihood of the whole answer in nats, and `exact_pass_rate` its ``exp(-loss)``: the
    probability that one draw at temperature 1 is right. `pass_rate` is ``n_correct / n_draws`` of real draws;
    `greedy` says whether the likeliest answer was right. `checkpoint` is the share of the training done, 1 at its end.
    Unknown figures are null.
    """

    family: Series[pd.CategoricalDtype] = pa.Field(coerce=True)
    model: Series[pd.CategoricalDtype] = pa.Field(coerce=True)
    benchmark: Series[pd.CategoricalDtype] = pa.Field(coerce=True)
    level: Series[np.int8] = pa.Field(ge=0)
    item_id: Series[pd.CategoricalDtype] = pa.Field(coerce=True)
    n_params: Series[np.float64] = pa.Field(gt=0)
    n_train_tokens: Series[np.float64] = pa.Field(gt=0)
    train_flops: Series[np.float64] = pa.Field(gt=0)
    loss: Series[np.float32] = pa.Field(nullable=True, ge=0)
    n_draws: Series[np.int16] = pa.Field(ge=0)
    n_correct: Series[np.int16] = pa.Field(ge=0)
    pass_rate: Series[np.float32] = pa.Field(nullable=True, ge=0, le=1)
    exact_pass_rate: Series[np.float32] = pa.Field(nullable=True, ge=0, le=1)
    greedy: Series[pd.BooleanDtype] = pa.Field(nullable=True)
    seed: Series[np.int16] = pa.Field(ge=0)
    checkpoint: Series[np.float32] = pa.Field(gt=0, le=1)

    class Config:
        unique = ["family", "model", "benchmark", "item_id", "checkpoint"]  # noqa: RUF012

    @pa.dataframe_check(error="n_correct must not exceed n_draws")
    def correct_within_draws(cls, df: pd.DataFrame) -> pd.Series:
        return df["n_correct"] <= df["n_draws"]

    @pa.dataframe_check(error="pass_rate must be n_correct / n_draws, and null without draws")
    def pass_rate_matches(cls, df: pd.DataFrame) -> pd.Series:
        drawn = df["n_draws"] > 0
        share = df["n_correct"] / df["n_draws"].where(drawn)
        return df["pass_rate"].isna().where(~drawn, (df["pass_rate"] - share).abs() < 1e-4)

    @pa.dataframe_check(error="train_flops must be 6 n_params n_train_tokens")
    def flops_match(cls, df: pd.DataFrame) -> pd.Series:
        expected = 6.0 * df["n_params"] * df["n_train_tokens"]
        return (df["train_flops"] / expected - 1.0).abs() < 1e-3
