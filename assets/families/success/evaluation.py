"""Forecasts of success by what is known of the item: nothing, or how other models did on it."""

from collections.abc import Iterator
from dataclasses import replace

import pandas as pd

from foretell.assets.judging.family import Family
from foretell.assets.judging.pipeline import fit_family
from foretell.assets.judging.splits import Round, Split, held_out_splits
from foretell.assets.store.sources import Sources


def success_splits(family: Family, examples: pd.DataFrame, dataset: str, sources: Sources) -> Iterator[Split]:
    """``within``: new queries of known models; ``within_warm``: with the outcomes of other models on the same query.

    Errors are Brier scores (`crps`), whose floor the repeats tell, and log likelihoods of the first run of a cell.
    """
    fitted = fit_family(family, examples, store=sources.home / "models")
    split, _ = held_out_splits(family, examples, fitted)  # nothing is capped
    split = replace(split, has_likelihood=True)
    yield split
    (cold,) = split.rounds
    warm = Round(None, _warm(cold.inputs, cold.outcomes), cold.outcomes)
    yield replace(split, name=f"{family.held_out}_warm", rounds=[warm])


def _warm(inputs: pd.DataFrame, outcomes: pd.DataFrame) -> pd.DataFrame:
    """Inputs with the outcomes of all other models on the same query."""
    runs = outcomes[["query_id", "model", "value"]]
    pairs = inputs[["query_id", "model"]].reset_index().merge(runs, on="query_id", suffixes=("", "_of_run"))
    pairs = pairs[pairs["model"] != pairs["model_of_run"]]
    known = pairs.groupby("cell_id").agg(context_models=("model_of_run", list), context_scores=("value", list))
    # The contract of requests wants tokens beside models; success reads none.
    known["context_output_tokens"] = known["context_models"].map(lambda models: [0.0] * len(models))
    return inputs.join(known)
