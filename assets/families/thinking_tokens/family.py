"""The thinking-token family: how many tokens will these requests take."""

from functools import partial
from pathlib import Path

import pandas as pd

from foretell.assets.judging.family import LAKE, Family, late, predictors_of
from foretell.assets.lake.datasets import PUBLIC, TRACE_DATASETS
from foretell.assets.lake.input_tables import refuse_other_family
from foretell.predictors.errors import InvalidInputError
from foretell.predictors.fitting.text.features import MIN_TEXTS_OF_TERM


def read_inputs(path: Path) -> pd.DataFrame:
    """The requests of a file, one row each, in order.

    Raises
    ------
    InvalidInputError
        If the file is for another family, names no model, or at the first request that cannot be read: leaving one
        out would shift the forecasts of the others.
    """
    from foretell.assets.lake.requests import read_requests
    from foretell.assets.readers.core.stream import head_of
    from foretell.assets.readers.traces.tabular import column_names

    if path.is_file():
        refuse_other_family(path, "thinking_tokens", column_names(head_of(path), path))
    requests, problems = read_requests(path)
    if problems:
        raise InvalidInputError(problems[0])
    if "model" not in requests:
        raise InvalidInputError(
            f"{path}: has no column `model`; add it, or ask `foretell quote {path.name} --model NAME` for the whole"
        )
    return requests


_LIBRARY = predictors_of("thinking_tokens")
_LIBRARY["predictor"] = partial(_LIBRARY["predictor"], public=True)

FAMILY = Family(
    **_LIBRARY,
    scale="log",
    segments=("benchmark", "model", "reasoning_effort", ("benchmark", "model"), ("benchmark", "reasoning_effort")),
    datasets=(*TRACE_DATASETS, LAKE, PUBLIC),
    dataset=LAKE,
    make_examples=late("thinking_tokens.examples:examples_from_dataset"),
    from_requests=lambda traces, _, most: late("thinking_tokens.examples:token_examples")(traces, most),
    splits=late("thinking_tokens.evaluation:token_splits"),
    read_inputs=read_inputs,
    limits=(
        "Forecasts are only as good as the traces behind them: a model, a configuration or a kind of prompt that "
        "was not seen in training is forecast from what it has in common with those that were, with wide intervals. "
        "The bundled starter data is one tiny local model and is no evidence about large ones. "
        f"A version holds no prompt, but words, pairs of words and parts of words that {MIN_TEXTS_OF_TERM} or more "
        "distinct prompts share, and names of models and benchmarks: whoever can load it can read them, a customer's "
        "name among them if it stands in as many prompts. Ingest with `--no-prompts` where that is too much."
    ),
)
