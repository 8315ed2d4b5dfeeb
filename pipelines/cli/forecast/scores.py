"""`foretell predict benchmark_scores --benchmark TEXT --model NAME`: words in, a table and a picture out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import typer

from foretell.pipelines.settings import Settings
from foretell.predictors.errors import InvalidInputError

if TYPE_CHECKING:
    import pandas as pd

PANEL = "Benchmark scores only"


@dataclass(frozen=True)
class ScoreOptions:
    """Options of `foretell predict benchmark_scores` without a file.

    Attributes
    ----------
    benchmark : str or None
        A description in words, or a file of one; see `foretell.assets.families.benchmark_scores.asking`.
    model : list of str
        Models to forecast, in any spelling.
    """

    benchmark: Annotated[
        str | None,
        typer.Option(help="The benchmark in words, or a .txt or .yaml file of them.", rich_help_panel=PANEL),
    ] = None
    model: Annotated[
        list[str], typer.Option(help="Model to forecast; several times for several.", rich_help_panel=PANEL)
    ] = field(default_factory=list)

    @property
    def is_given(self) -> bool:
        """Whether any of them is."""
        return self.benchmark is not None or bool(self.model)

    def rows(self, settings: Settings) -> pd.DataFrame:
        """What to forecast, a row per model.

        Raises
        ------
        InvalidInputError
            If one of the two is missing, or refused.
        """
        from foretell.assets.families.benchmark_scores.asking import ask_rows

        if self.benchmark is None or not self.model:
            raise InvalidInputError("give both `--benchmark` (a description or its file) and `--model` (once or more)")
        return ask_rows(self.benchmark, self.model, settings.sources.public)
