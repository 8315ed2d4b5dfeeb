"""`foretell predict benchmark_scores --ask MODEL`: what a language model expects, beside and in the forecast."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from foretell.assets.pages import Section
from foretell.pipelines.cli.console import counted, money, say, spans
from foretell.pipelines.cli.options import EndpointOptions
from foretell.predictors.errors import InvalidInputError

if TYPE_CHECKING:
    import pandas as pd

    from foretell.pipelines.settings import Settings

ASKED = "Benchmark scores, asking a language model"
OF_FORECAST = ["lower_90", "lower_50", "median", "upper_50", "upper_90"]
"""The columns of a forecast at `LEVELS`."""


@dataclass(frozen=True)
class AskOptions(EndpointOptions):
    """Options of `foretell predict benchmark_scores --ask`."""

    ask: Annotated[str | None, typer.Option(help="Language model to ask too.", rich_help_panel=ASKED)] = None
    samples: Annotated[int, typer.Option(help="Answers for each forecast.", min=1, rich_help_panel=ASKED)] = 5
    max_cost: Annotated[
        float, typer.Option(help="USD that this command never exceeds, at worst cases.", rich_help_panel=ASKED)
    ] = 1.0
    cutoff: Annotated[
        str | None,
        typer.Option(help="Month where what it has read ends; by default that of its release.", rich_help_panel=ASKED),
    ] = None

    def check(self, family: str) -> None:
        """Refuse the options where nobody is asked, or for another family."""
        if self.ask is None and self != AskOptions():
            raise InvalidInputError("`--base-url`, `--samples`, `--max-cost` and the like go with `--ask MODEL`")
        if self.ask is not None and family != "benchmark_scores":
            raise InvalidInputError(f"`--ask` is about benchmark_scores and does not apply to {family}")
        if not self.max_cost >= 0:
            raise InvalidInputError(f"`--max-cost` must be a number of dollars, got {self.max_cost}")


def asked_forecasts(
    settings: Settings, options: AskOptions, inputs: pd.DataFrame, forecasts: pd.DataFrame
) -> tuple[pd.DataFrame, Section]:
    """Columns that the asked model adds to the forecasts, and a section that shows them.

    Raises `InvalidInputError` if it cannot be asked.
    """
    import numpy as np

    from foretell.assets.families.benchmark_scores.asking import release_of, year_of
    from foretell.assets.families.benchmark_scores.examples import examples_from_dataset
    from foretell.assets.judging.family import LAKE
    from foretell.pipelines.pilots.elicited import Asking, ask, judged_answers, learnt_pool, scored_cells
    from foretell.predictors.base import LEVELS

    assert options.ask is not None
    sources = settings.sources
    cutoff = year_of(options.cutoff, "`--cutoff`") if options.cutoff else release_of(options.ask, sources.public)
    asking = Asking(options.ask, options.endpoint(settings), settings.home / "asked", options.samples, options.max_cost,
                    cutoff, settings.price_file, say=say)  # fmt: skip
    scored = scored_cells(examples_from_dataset(LAKE, sources), sources.public)
    ours = forecasts[OF_FORECAST].to_numpy(dtype=np.float64)
    answered = ask(inputs, ours, asking, scored)
    pool = learnt_pool(judged_answers(asking, scored))
    theirs = answered.table[list(LEVELS)].to_numpy(dtype=np.float64)
    both = pool.apply(ours, theirs)
    added = answered.table[["n_answers", "is_before_cutoff"]].rename(columns={"n_answers": "asked_answers"})
    for called, quantiles in (("asked", theirs), ("pooled", both)):
        added[[f"{called}_{name}" for name in OF_FORECAST]] = quantiles
    added["asked_weight"] = pool.weight
    beside = {"champion": ours, options.ask: theirs, "pooled": both}
    names = [name for name in ("model", "benchmark") if name in inputs and inputs[name].notna().any()]
    shown = inputs[names].fillna("").astype("str").assign(
        **{name: spans(quantiles[:, [2, 0, 4]], "{:.3g}".format) for name, quantiles in beside.items()},
        answers=[f"{n} of {options.samples}" for n in added["asked_answers"]],
    )  # fmt: skip
    lines = [
        f"{options.ask} in the pooled forecast has {pool.said}.",
        f"{counted(answered.n_bad, 'answer')} of it {'is' if answered.n_bad == 1 else 'are'} no forecast and left out; "
        f"{money(answered.usd)} spent now.",
    ]
    n_before = int(added["is_before_cutoff"].sum())
    if n_before:
        until = "nobody says when its training ended" if cutoff is None else f"from before {cutoff:.1f}, or undated"
        lines.append(f"It can have read results of what {n_before} of {len(added)} forecasts are about ({until}): "
                     "these never count for its weight.")  # fmt: skip
    if "benchmark" not in names:
        lines.append("Give the benchmark a name (`benchmark: NAME` in its file): scores that land under it judge it.")
    return added, Section(f"Asked: {options.ask}", lines, table=shown, n_keys=len(names))
